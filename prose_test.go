package twofa_test

import (
	"fmt"
	goparser "go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// prose is how we write: expressions that make a native reader stop, what to
// write instead, and an example of each.
var prose = []struct {
	name    string
	pattern *regexp.Regexp
	instead string
	bad     []string
	good    string
}{
	{
		"a clause that begins with a bare who or whose",
		regexp.MustCompile(`(?:^|[.;:,(] |\b(?:and|or|but|for|of|from|by|to|that|than|then|if|as|with) )[Ww]ho(?:se)? (?:\w+ )?(?:has|have|had|is|are|was|can|may|must|does|do|knows|asks|wants|sets|loses|lost|comes|came|gets|holds|took|takes|needs|uses|opens|reads|has|signs|guesses)\b`),
		"give it a noun: a user who, an attacker who",
		[]string{"Who has the password cannot lock the owner out.", "It is refused for whose factor is gone."},
		"An attacker who has the password cannot lock the owner out.",
	},
	{
		"a clause that begins with a bare what",
		regexp.MustCompile(`(?:^|[.;:] |, so )[Ww]hat (?:was|is|has|had|does|can|must|may|could|would|the|a|it|there|this|they|we|comes|came|belongs|counts|stands)\b`),
		"name the thing: the message, the code, everything that",
		[]string{"What could not be handed over is worth nothing."},
		"A message that could not be handed over is not valid.",
	},
	{
		"where for if or when",
		regexp.MustCompile(`(?:^|[.;:] |\()Where (?:a|an|it|the|that|there|this|one|no|nobody|none|nothing|both|they|we|you|yours)\b|\b(?:also|but|only|except|even|not|else|and|or) where\b|, where (?:there|that|it|this|one|none|nobody|waiting) (?:is|are|was|has|can|may|helps)\b`),
		"if for a condition, when for a time, where for a place",
		[]string{"Where it is off, codes are removed.", "This holds also where no factor is enrolled.", "It is asked, where there is one."},
		"If it is off, codes are removed from the place where they are stored.",
	},
	{
		"beside for except or next to",
		regexp.MustCompile(`\b[Bb]eside\b`),
		"except, in addition to, next to",
		[]string{"It ends everything beside one session."},
		"It ends everything except one session.",
	},
	{
		"but for meaning except for",
		regexp.MustCompile(`\bbut for\b`),
		"except",
		[]string{"A change affects new authenticators, but for Strict."},
		"A change affects new authenticators, except Strict.",
	},
	{
		"stands in, stands behind and other things that stand",
		regexp.MustCompile(`\b(?:stands?|stood) (?:in|at|on|before|behind|beside|over|there|first|apart|alone)\b`),
		"is, replaces, applies to, must come before",
		[]string{"A recovery code stands in for any factor."},
		"A recovery code replaces any factor.",
	},
	{
		"is to be",
		regexp.MustCompile(`\b(?:is|are|was|were) to be\b`),
		"must be, will be",
		[]string{"It is to be called after a change."},
		"It must be called after a change.",
	},
	{
		"anew",
		regexp.MustCompile(`\banew\b`),
		"again",
		[]string{"Set it up anew."},
		"Enroll it again.",
	},
	{
		"is none",
		regexp.MustCompile(`\b(?:is|are|was|were) none\b`),
		"is not a, is no",
		[]string{"A remembered browser is none."},
		"A remembered browser is not one. If there is none, the result is empty.",
	},
	{
		"all the same, shall, no more",
		regexp.MustCompile(`\ball the same\b|\bshall\b|\bnot any ?more\b|\bany more\b`),
		"even so, must, no longer",
		[]string{"It is asked all the same."},
		"It is asked even so.",
	},
	{
		"two semicolons or two colons in a sentence",
		regexp.MustCompile(`;\s[^.!?]*;\s|:\s[^.!?]*:\s`),
		"one statement a sentence",
		[]string{"It reads; it decides; it writes.", "One rule: two parts: three words."},
		"It reads and decides. Then it writes.",
	},
}

func TestGuard_ProseExamples(t *testing.T) {
	for _, p := range prose {
		for _, bad := range p.bad {
			require.Regexp(t, p.pattern, bad, p.name)
		}
		for _, other := range prose {
			require.NotRegexp(t, other.pattern, usual.ReplaceAllString(p.good, "X"), "%s, as an example of %s", other.name, p.name)
		}
	}
}

// Comments and Markdown are in plain English: of the expressions above at most
// one in 1,000 words, or two in a package of under 2,000 words.
func TestGuard_Prose(t *testing.T) {
	sentences := map[string][]string{}
	require.NoError(t, filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules" || d.Name() == "out") {
			return filepath.SkipDir
		}
		switch filepath.Ext(path) {
		case ".go":
			sentences[filepath.Dir(path)] = append(sentences[filepath.Dir(path)], goSentences(t, path)...)
		case ".md":
			sentences["Markdown in "+filepath.Dir(path)] = append(sentences["Markdown in "+filepath.Dir(path)], markdownSentences(t, path)...)
		}
		return nil
	}))
	for place, list := range sentences {
		words, hits := 0, []string{}
		for _, sentence := range list {
			words += len(strings.Fields(sentence))
			if strings.HasSuffix(sentence, "?") {
				continue
			}
			for _, p := range prose {
				if p.pattern.MatchString(sentence) {
					hits = append(hits, fmt.Sprintf("%q\n\t%s; write %s", sentence, p.name, p.instead))
				}
			}
		}
		slices.Sort(hits)
		t.Logf("%s: %d in %d words", place, len(hits), words)
		if len(hits) > max(2, words/1000) {
			t.Errorf("%s: %d in %d words:\n%s", place, len(hits), words, strings.Join(hits, "\n"))
		}
	}
}

// goSentences returns the sentences in the comments of a Go file, without
// directives, code and the output of examples.
func goSentences(t *testing.T, path string) (sentences []string) {
	t.Helper()
	file, err := goparser.ParseFile(token.NewFileSet(), path, nil, goparser.ParseComments|goparser.SkipObjectResolution)
	require.NoError(t, err)
	for _, group := range file.Comments {
		if text := group.Text(); !strings.HasPrefix(text, "Output:") && !strings.HasPrefix(text, "Unordered output:") {
			sentences = append(sentences, split(text)...)
		}
	}
	return sentences
}

// markdownSentences returns the sentences of a Markdown file, without headings,
// code and links. Each cell of a table is read alone.
func markdownSentences(t *testing.T, path string) (sentences []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var kept []string
	code := false
	for line := range strings.Lines(string(text)) {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "```"):
			code = !code
		case code, strings.HasPrefix(trimmed, "#"):
			kept = append(kept, "\n")
		case strings.HasPrefix(trimmed, "|"):
			kept = append(kept, strings.ReplaceAll(trimmed, "|", "\n\n"))
		case strings.HasPrefix(trimmed, "-"), strings.HasPrefix(trimmed, "*"):
			kept = append(kept, "\n\n"+strings.TrimLeft(trimmed, "-* "))
		default:
			kept = append(kept, trimmed)
		}
	}
	return split(strings.Join(kept, "\n"))
}

var (
	usual     = regexp.MustCompile(`[Tt]here\s+(?:is|are|was|were)\s+none`)
	codeSpan  = regexp.MustCompile("`[^`]*`")
	linkSpan  = regexp.MustCompile(`\]\([^)]*\)|https?://\S+`)
	paragraph = regexp.MustCompile(`\n\s*\n|\n\t[^\n]*`)
	stop      = regexp.MustCompile(`([.!?])["')]?\s`)
)

// split cuts text into sentences.
func split(text string) (sentences []string) {
	text = linkSpan.ReplaceAllString(codeSpan.ReplaceAllString(usual.ReplaceAllString(text, "X"), "X"), "")
	for _, p := range paragraph.Split(text, -1) {
		p = strings.Join(strings.Fields(strings.NewReplacer("[", "", "]", "", "*", "").Replace(p)), " ")
		for _, sentence := range strings.Split(stop.ReplaceAllString(p, "$1\n"), "\n") {
			if sentence != "" {
				sentences = append(sentences, sentence)
			}
		}
	}
	return sentences
}
