package browser

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

// patience is the time that one action may take on a busy machine.
const patience = 30 * time.Second

var pictures = flag.Bool("pictures", false, "write a picture of each page that a test opens to the folder out")

// window is one tab of a browser that a driver controls from outside. The
// string element is a JavaScript expression whose value is the element.
type window interface {
	open(url string) error                   // starts to open a page
	eval(js string) (json.RawMessage, error) // returns the value of an expression, even if the page must not run scripts
	click(element string) error
	send(element, text string) error        // types into an element
	picture(element string) ([]byte, error) // returns a PNG file of an element, or of the whole page if the element is empty
	download(press func() error) (content string, err error)
	newTab() (window, error)           // opens another tab in the same profile
	complaints(origin string) []string // returns the errors and warnings that the browser reported for pages of an origin
	close()
}

// tab is one tab of a browser. Its methods do what a user does: open, press,
// type, read. If the browser reports an error or a warning, the test fails.
type tab struct {
	*site
	window window
}

// self lets functions take a tab of any browser.
func (b *tab) self() *tab { return b }

type anyTab interface{ self() *tab }

// person opens a tab in a new browser profile, which has no cookies yet.
func (s *site) person(t *testing.T) *tab {
	t.Helper()
	w, err := s.in.open(t)
	require.NoError(t, err)
	return s.show(t, w)
}

// newTab opens another tab in the same browser profile.
func (b *tab) newTab() *tab {
	b.t.Helper()
	w, err := b.window.newTab()
	b.must(err)
	return b.show(b.t, w)
}

func (s *site) show(t *testing.T, w window) *tab {
	t.Cleanup(func() {
		complaints := w.complaints(s.url)
		w.close()
		require.Empty(t, complaints, "the browser must report no error or warning")
	})
	return &tab{s, w}
}

// must requires that an action had no error. The message includes the text of the page.
func (b *tab) must(err error) {
	b.t.Helper()
	if err != nil {
		where, _ := b.window.eval(`location.href + '\n' + document.body.innerText`)
		require.NoError(b.t, err, "on %s", where)
	}
}

// eval evaluates JavaScript, even if the page itself must not run any.
func eval[T any](in anyTab, js string) (v T) {
	b := in.self()
	b.t.Helper()
	value, err := b.window.eval(js)
	b.must(err)
	b.must(json.Unmarshal(value, &v))
	return v
}

// goTo opens a path of the site, or a URL.
func (b *tab) goTo(path string) {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.url + path
	}
	b.leave(func() error { return b.window.open(path) })
}

// at requires that the tab shows a path, with any query.
func (b *tab) at(path string) {
	b.t.Helper()
	require.Equal(b.t, path, eval[string](b, `location.pathname`), b.text())
}

// text returns the visible text of the page.
func (b *tab) text() string {
	b.t.Helper()
	return eval[string](b, `document.body.innerText`)
}

// reads requires that the page shows a text.
func (b *tab) reads(text string) {
	b.t.Helper()
	require.Contains(b.t, b.text(), text)
}

// readsNot requires that the page does not show a text.
func (b *tab) readsNot(text string) {
	b.t.Helper()
	require.NotContains(b.t, b.text(), text)
}

// until waits until an expression is true, on this page or on the next one, and
// the page is loaded.
func (b *tab) until(js string) {
	b.t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(patience); ; <-poll.C {
		value, err := b.window.eval(`document.readyState === 'complete' && !!(` + js + `)`) // between two pages there is nothing to evaluate it in
		if err == nil && string(value) == "true" {
			return
		}
		if time.Now().After(end) {
			b.must(err)
			b.t.Fatalf("%s was not true within %s on\n%s", js, patience, b.text())
		}
	}
}

// named finds a visible button, link, summary or label by its text, or by the
// name that a screen reader announces.
func named(name string) string {
	return `[...document.querySelectorAll('button, a, summary, label')].find((e) => e.checkVisibility() &&
		(e.getAttribute('aria-label') ?? e.innerText).trim() === ` + strconv.Quote(name) + `)`
}

// field finds a visible form field by its label.
func field(label string) string {
	return `[...document.querySelectorAll('input, select, textarea')].find((e) => e.checkVisibility() &&
		[...e.labels].some((l) => l.innerText.trim().startsWith(` + strconv.Quote(label) + `)))`
}

// press presses a button or link that leads to another page, and waits for that page.
func (b *tab) press(name string) {
	b.t.Helper()
	b.pressOn(named(name))
}

// pressOn presses an element that leads to another page, and waits for that page.
func (b *tab) pressOn(element string) {
	b.t.Helper()
	b.until(element)
	b.leave(func() error { return b.window.click(element) })
}

// leave does something that leads to another page, and waits for that page.
func (b *tab) leave(do func() error) {
	b.t.Helper()
	eval[bool](b, `document.documentElement.toggleAttribute('data-left', true)`)
	b.must(do())
	b.until(`document.readyState === 'complete' && !document.documentElement.hasAttribute('data-left')`)
	if *pictures {
		b.picture(fmt.Sprintf("%s-%03d", strings.ReplaceAll(b.t.Name(), "/", "-"), b.pages.Add(1)))
	}
}

// click presses something that does not lead to another page.
func (b *tab) click(name string) {
	b.t.Helper()
	b.clickOn(named(name))
}

// clickOn clicks an element that does not lead to another page.
func (b *tab) clickOn(element string) {
	b.t.Helper()
	b.until(element)
	b.must(b.window.click(element))
}

// offers reports whether something with this name is visible and can be pressed.
func (b *tab) offers(name string) bool {
	b.t.Helper()
	return eval[bool](b, `!!`+named(name))
}

// disabled reports whether a button is disabled.
func (b *tab) disabled(name string) bool {
	b.t.Helper()
	return eval[bool](b, named(name)+`.disabled`)
}

// fill replaces the content of a field by typing text.
func (b *tab) fill(label, text string) {
	b.t.Helper()
	b.until(field(label))
	eval[string](b, field(label)+`.value = ''`)
	b.must(b.window.send(field(label), text))
}

// choose selects an option by its value.
func (b *tab) choose(label, value string) {
	b.t.Helper()
	eval[bool](b, `((select) => { select.value = `+strconv.Quote(value)+`; return select.dispatchEvent(new Event('change', { bubbles: true })) })(`+field(label)+`)`)
}

// codes returns the recovery codes on the page.
func (b *tab) codes() []string {
	b.t.Helper()
	return eval[[]string](b, `[...document.querySelectorAll('[data-codes] code')].map((e) => e.innerText)`)
}

// download presses a button or link that downloads a file, and returns the content of the file.
func (b *tab) download(name string) (file string) {
	b.t.Helper()
	b.until(named(name))
	file, err := b.window.download(func() error { return b.window.click(named(name)) })
	b.must(err)
	return file
}

// savedCodes downloads the recovery codes and returns those in the file.
func (b *tab) savedCodes() []string {
	b.t.Helper()
	codes := regexp.MustCompile(`(?m)^([0-9A-Z]{4}-){5}[0-9A-Z]{4}$`).FindAllString(b.download("Download"), -1)
	require.Equal(b.t, b.codes(), codes, "the file must contain the codes on the page")
	return codes
}

// element returns a picture of one element, for a camera to read.
func (b *tab) element(css string) (png []byte) {
	b.t.Helper()
	png, err := b.window.picture(`document.querySelector(` + strconv.Quote(css) + `)`)
	b.must(err)
	return png
}

// whole returns a picture of the page from top to bottom.
func (b *tab) whole() (png []byte) {
	b.t.Helper()
	png, err := b.window.picture("")
	b.must(err)
	return png
}

// picture writes a picture of the whole page to the folder out.
func (b *tab) picture(name string) {
	b.t.Helper()
	b.keep(name, b.whole())
}

// keep writes a PNG file to the folder out, for people to review.
func (b *tab) keep(name string, picture []byte) {
	b.t.Helper()
	file := filepath.Join("out", name+".png")
	b.must(os.MkdirAll(filepath.Dir(file), 0o755))
	b.must(os.WriteFile(file, picture, 0o644))
}

// logIn signs in with the demo password.
func (b *tab) logIn(email string) {
	b.t.Helper()
	b.goTo("/login")
	b.signIn(email)
}

// signIn fills in the login page, which the tab shows already.
func (b *tab) signIn(email string) {
	b.t.Helper()
	b.fill("Email", email)
	b.fill("Password", app.DemoPassword)
	b.press("Sign in")
}
