package browser

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

// patience is how long anything on a page may take on a busy machine.
const patience = 30 * time.Second

// tab is one tab of a browser, and what a person does in it: open, press, type,
// read. Whatever the browser complains about meanwhile fails the test.
type tab struct {
	*site
	ctx context.Context

	mu         sync.Mutex
	complaints []log.Entry
	refused    []string // documents that were answered with an error, on purpose
}

// browser is a tab of a browser that has never been here: its cookies are its own.
func (s *site) browser(t *testing.T) *tab {
	t.Helper()
	return s.open(t, chromium(t), chromedp.WithNewBrowserContext())
}

// tab is another tab of the same browser.
func (b *tab) tab() *tab {
	b.t.Helper()
	return b.site.open(b.t, b.ctx)
}

func (s *site) open(t *testing.T, parent context.Context, options ...chromedp.ContextOption) *tab {
	t.Helper()
	b := &tab{site: s}
	ctx, closeTab := chromedp.NewContext(parent, append(options, chromedp.WithListener(b.listen))...)
	b.ctx = ctx
	t.Cleanup(func() {
		closeTab()
		require.Empty(t, b.complained(), "the browser complained")
	})
	require.NoError(t, chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900)))
	return b
}

func (b *tab) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			b.complaints = append(b.complaints, *e.Entry)
		}
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, log.Entry{Text: e.ExceptionDetails.Text, URL: e.ExceptionDetails.URL})
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, log.Entry{Text: fmt.Sprintf("console.%s", e.Type)})
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument && e.Response.Status >= 400 {
			b.refused = append(b.refused, e.Response.URL)
		}
	}
}

// complained returns what the browser had to say: exceptions, violations of the
// content security policy, resources that are missing. That a page itself came
// with an error status is no complaint: those are the pages that say so.
func (b *tab) complained() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	texts := []string{}
	for _, c := range b.complaints {
		if c.Source != log.EntrySourceNetwork || !slices.Contains(b.refused, c.URL) {
			texts = append(texts, strings.TrimSpace(c.Text+" "+c.URL))
		}
	}
	return texts
}

// forgive forgets what the browser complained about so far.
func (b *tab) forgive() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = nil
}

// do runs actions, and tells what the page showed if one of them fails.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	get(b, chromedp.Steps(actions...))
}

// get runs an action that returns something.
func get[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, action)
	if err != nil {
		where, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`location.href + '\n' + document.body.innerText`))
		require.NoError(b.t, err, "on %s", where)
	}
	return v
}

// eval evaluates JavaScript, which works also where the page may run none.
func eval[T any](b *tab, js string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
}

// goTo opens a path of the site, or an address.
func (b *tab) goTo(path string) {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.url + path
	}
	b.do(chromedp.Navigate(path))
}

// at requires that the tab has come to a path; the query does not matter.
func (b *tab) at(path string) {
	b.t.Helper()
	require.Equal(b.t, path, eval[string](b, `location.pathname`), b.text())
}

// text is what stands on the page.
func (b *tab) text() string {
	b.t.Helper()
	return eval[string](b, `document.body.innerText`)
}

// reads requires that a text stands on the page.
func (b *tab) reads(text string) {
	b.t.Helper()
	require.Contains(b.t, b.text(), text)
}

func (b *tab) readsNot(text string) {
	b.t.Helper()
	require.NotContains(b.t, b.text(), text)
}

// until waits for something to be true on a page, this one or the next.
func (b *tab) until(js string) {
	b.t.Helper()
	b.do(chromedp.WaitReady(chromedp.JSPath(`(` + js + `) ? document.body : null`)))
}

// named finds what can be pressed by the words on it, or those that a screen
// reader says, as a person would: among what is visible.
func named(name string) chromedp.JSPath {
	return chromedp.JSPath(`[...document.querySelectorAll('button, a, summary, label')].find((e) => e.checkVisibility() &&
		(e.getAttribute('aria-label') ?? e.innerText).trim() === ` + strconv.Quote(name) + `)`)
}

// field finds a field by its label.
func field(label string) chromedp.JSPath {
	return chromedp.JSPath(`[...document.querySelectorAll('input, select')].find((e) => e.checkVisibility() &&
		[...e.labels].some((l) => l.innerText.trim().startsWith(` + strconv.Quote(label) + `)))`)
}

// press presses a button or link that leads to another page, and waits for it.
func (b *tab) press(name string) {
	b.t.Helper()
	b.leave(chromedp.Click(named(name)))
}

// leave does what leads to another page, and waits for it.
func (b *tab) leave(how ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	get(b, func(ctx context.Context, _ *chromedp.Target) (*network.Response, error) {
		return chromedp.RunResponse(ctx, how...)
	})
}

// click presses what leads nowhere else.
func (b *tab) click(name string) {
	b.t.Helper()
	b.do(chromedp.Click(named(name)))
}

// offers reports whether there is something visible to press.
func (b *tab) offers(name string) bool {
	b.t.Helper()
	return eval[bool](b, `!!`+string(named(name)))
}

// disabled reports whether a button is.
func (b *tab) disabled(name string) bool {
	b.t.Helper()
	return eval[bool](b, string(named(name))+`.disabled`)
}

// fill types into a field what it is to hold.
func (b *tab) fill(label, text string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(field(label)), chromedp.Evaluate[chromedp.Void](`(`+string(field(label))+`).select()`), chromedp.SendKeys(field(label), text))
}

// codes are the recovery codes on the page.
func (b *tab) codes() []string {
	b.t.Helper()
	return eval[[]string](b, `[...document.querySelectorAll('[data-codes] code')].map((e) => e.innerText)`)
}

// download presses what gives a file, and returns the file.
func (b *tab) download(name string) (file string) {
	b.t.Helper()
	dir := b.t.TempDir()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	started := chromedp.BrowserEvents(ctx, browser.DownloadWillBegin)
	progress := chromedp.BrowserEvents(ctx, browser.DownloadProgress)
	_, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
		DownloadPath: dir, EventsEnabled: new(true),
	})
	require.NoError(b.t, err)
	b.click(name)
	id := ""
	for e, err := range started {
		require.NoError(b.t, err, "%q started no download", name)
		if string(e.FrameID) == string(chromedp.FromContext(b.ctx).Target.TargetID) {
			id = e.GUID
			break
		}
	}
	for e, err := range progress {
		require.NoError(b.t, err, "%q gave no file", name)
		if e.GUID != id {
			continue // a download of a test that runs at the same time
		}
		require.NotEqual(b.t, browser.DownloadProgressStateCanceled, e.State)
		if e.State == browser.DownloadProgressStateCompleted {
			content, err := os.ReadFile(filepath.Join(dir, e.GUID))
			require.NoError(b.t, err)
			return string(content)
		}
	}
	b.t.Fatalf("%q gave no file", name)
	return ""
}

// savedCodes downloads the recovery codes, and reads them from the file.
func (b *tab) savedCodes() []string {
	b.t.Helper()
	codes := regexp.MustCompile(`(?m)^([0-9A-Z]{4}-){5}[0-9A-Z]{4}$`).FindAllString(b.download("Download"), -1)
	require.Equal(b.t, b.codes(), codes, "the file holds what the page shows")
	return codes
}

// allowClipboard lets the page write to the clipboard, as a person's click
// does, and the test read it.
func (b *tab) allowClipboard() {
	b.t.Helper()
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(b.ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted,
			BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
		})
		require.NoError(b.t, err)
	}
}

// forbidScript makes it a browser that runs none.
func (b *tab) forbidScript() {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(b.t, err)
}

// countPrints counts what goes to the printer, for want of one.
func (b *tab) countPrints() {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `window.prints = 0; window.print = () => { window.prints++; };`})
	require.NoError(b.t, err)
}

// prefer sets what the page is told that the person prefers.
func (b *tab) prefer(media, scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media,
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	require.NoError(b.t, err)
}

// element is a picture of one element, as a camera would see it.
func (b *tab) element(css string, scale float64) (png []byte) {
	b.t.Helper()
	return get(b, chromedp.ScreenshotScale(chromedp.CSS(css), scale))
}

// whole is a picture of the page from top to bottom.
func (b *tab) whole() (png []byte) {
	b.t.Helper()
	return get(b, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		m, err := cdp.Call(ctx, t, page.GetLayoutMetrics, cdp.Empty{})
		if err != nil {
			return nil, err
		}
		shot, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: new(true), OptimizeForSpeed: new(true),
			Clip: &page.Viewport{Width: float64(m.CSSLayoutViewport.ClientWidth), Height: m.CSSContentSize.Height, Scale: 1}})
		return shot.Data, err
	})
}

// logIn types the password.
func (b *tab) logIn(email string) {
	b.t.Helper()
	b.goTo("/login")
	b.fill("E-mail", email)
	b.fill("Password", app.DemoPassword)
	b.press("Sign in")
}
