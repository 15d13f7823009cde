package twofahttp_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	classOfPage     = regexp.MustCompile(`{{define "width"}}.*?{{end}}`)
	templateAction  = regexp.MustCompile(`(?s){{.*?}}`)
	tagOfPage       = regexp.MustCompile(`(?s)<[^>]*>|[a-z-]+="[^"]*"`)
	spokenAttribute = regexp.MustCompile(`\b(?:aria-(?:label|description|roledescription|placeholder|valuetext)|alt|title|placeholder|label|summary|data-said)\s*=\s*("[^"]*"|'[^']*'|[^\s>"']+)`)
	wordButton      = regexp.MustCompile(`<input[^>]*\btype\s*=\s*["']?(?:submit|button|reset|image)\b[^>]*>`)
	word            = regexp.MustCompile(`[\p{L}]*[\p{Ll}]+[\p{L}]*|\p{Lo}{2,}`)

	// A literal that a page shows begins an action or is the argument of a function
	// that prints it. Any other literal is a name, and has no space or capital.
	shownLiteral = regexp.MustCompile("^{{-?\\s*[\"`]|\\b(?:print|printf|println|html|bdi|ltr)\\s+[\"`]|[\"`]\\s*\\|")
	nameLiteral  = regexp.MustCompile("^[\"`][a-z0-9_./-]*[\"`]$")
	literal      = regexp.MustCompile("\"[^\"]*\"|`[^`]*`")
)

// wordsOfPage returns the words of a page that are not from package locale.
func wordsOfPage(content string) (words []string) {
	content = classOfPage.ReplaceAllString(content, "")
	for _, action := range templateAction.FindAllString(content, -1) {
		words = append(words, shownLiteral.FindAllString(action, -1)...)
		for _, text := range literal.FindAllString(action, -1) {
			if !nameLiteral.MatchString(text) {
				words = append(words, text)
			}
		}
	}
	page := templateAction.ReplaceAllString(content, "")
	words = append(words, wordButton.FindAllString(page, -1)...)
	words = append(words, word.FindAllString(tagOfPage.ReplaceAllString(page, " "), -1)...)
	for _, attribute := range spokenAttribute.FindAllStringSubmatch(page, -1) {
		words = append(words, word.FindAllString(attribute[1], -1)...)
	}
	return words
}

// No page has a word of its own, neither in its text nor in an attribute that a
// browser shows or a screen reader reads. All words are in package locale.
func TestPages_HaveNoWords(t *testing.T) {
	files, err := filepath.Glob("pages/*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Empty(t, wordsOfPage(string(content)), file)
	}
	for _, planted := range []string{`<p>Hello</p>`, `<p>設定</p>`, `<a aria-label="Close">`, `<a aria-label='Close'>`, `<a aria-label=Close>`, `<img alt="QR code">`, `<input title = "Digits">`,
		`<input placeholder="Work phone">`, `<span data-said="Copied">`, `<div aria-description="Danger">`, `<optgroup label="Europe">`, `<input type="submit" value="Send">`, `<input value=Send type='button'>`,
		`{{"hello"}}`, `{{- "Hello" -}}`, "{{`hello`}}", `{{print "hello"}}`, `{{printf "%s of %s" .A .B}}`, `{{bdi "hello"}}`, `{{"hello" | html}}`, `{{if .A}}{{$x := "Send it"}}{{$x}}{{end}}`, `{{template "icon" "Good"}}`, `{{end}}Send`} {
		require.NotEmpty(t, wordsOfPage(planted), planted)
	}
	require.Empty(t, wordsOfPage(`<a class="btn" title="{{t "page.x"}}" placeholder="XXXX-XXXX">{{t "page.y" "count" 2}} · {{template "icon" "good"}}</a>`))
}

var (
	writes = regexp.MustCompile(`(?m)\b(?:textContent|innerText|innerHTML|outerHTML|title|alt|placeholder|ariaLabel|ariaDescription|value)\s*\+?=[^=].*$`)
	speaks = regexp.MustCompile(`\b(?:alert|confirm|prompt|createTextNode|insertAdjacent\w+|setAttribute|append|prepend|replaceWith|replaceChildren|write|setCustomValidity|showNotification|Notification)\s*\(`)
	given  = regexp.MustCompile(`= (?:\w+\.dataset\.\w+|otp\.code|count \+ end);`) // the last is a number
)

// wordsOfScript returns the places at which a script shows something that is not
// from an attribute of the page.
func wordsOfScript(script string) (words []string) {
	for _, line := range writes.FindAllString(script, -1) {
		if !given.MatchString(line) {
			words = append(words, line)
		}
	}
	return append(words, speaks.FindAllString(script, -1)...)
}

// The script shows only texts that the page gives it.
func TestScript_HasNoWords(t *testing.T) {
	script, err := os.ReadFile("twofa.js")
	require.NoError(t, err)
	require.Empty(t, wordsOfScript(string(script)))
	require.Contains(t, string(script), "textContent = said.dataset.said;", "the rule must apply to something")
	for _, planted := range []string{`e.textContent = 'Copied';`, "e.innerHTML = `<b>x</b>`;", `e.title += 'x';`, `alert('Saved')`, `e.setAttribute('aria-label', 'x')`, `e.append('x')`, `field.setCustomValidity('x')`, `e.ariaLabel = x;`} {
		require.NotEmpty(t, wordsOfScript(planted), planted)
	}
}

// sentence matches what a page could show. Texts for developers, in errors and in
// the log, begin with a lower-case letter, and Bearer is the name of a scheme.
var sentence = regexp.MustCompile(`^\s*\p{Lu}\p{L}*[ ,].*\p{L}{2,}`)

// wordsOfGo returns the literals of a Go file that read as sentences.
func wordsOfGo(t *testing.T, name string, source any) (words []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		if n, ok := n.(*ast.BasicLit); ok && n.Kind == token.STRING {
			if text, err := strconv.Unquote(n.Value); err == nil && sentence.MatchString(text) && !strings.HasPrefix(text, "Bearer ") {
				words = append(words, text)
			}
		}
		return true
	})
	return words
}

// No Go file gives a page a sentence of its own. The samples have names that users
// choose.
func TestSources_HaveNoWords(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || strings.HasSuffix(file, "samples.go") {
			continue
		}
		require.Empty(t, wordsOfGo(t, file, nil), file)
	}
	require.Equal(t, []string{"Try again"}, wordsOfGo(t, "planted.go", `package x; var _ = errors.New("not shown"); func f() { v.Title = "Try again"; panic("not shown") }`))
}
