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

// patience is the time that one action may take on a busy machine.
const patience = 30 * time.Second

// tab is one tab of a browser. Its methods do what a user does: open, press,
// type, read. If the browser reports an error or a warning, the test fails.
type tab struct {
	*site
	ctx context.Context

	mu         sync.Mutex
	complaints []log.Entry
	refused    []string // URLs of documents that were answered with an error status
}

// browser opens a tab in a new browser profile, which has no cookies yet.
func (s *site) browser(t *testing.T) *tab {
	t.Helper()
	return s.open(t, chromium(t), chromedp.WithNewBrowserContext())
}

// tab opens another tab in the same browser profile.
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
		require.Empty(t, b.complained(), "the browser must report no error or warning")
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

// complained returns the errors and warnings that the browser reported:
// exceptions, violations of the content security policy, missing resources. A
// page that itself has an error status is not counted, because the product
// answers with error pages on purpose.
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

// forgive drops the errors and warnings reported so far.
func (b *tab) forgive() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.complaints = nil
}

// do runs actions. If one of them fails, the message includes the text of the page.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	get(b, chromedp.Steps(actions...))
}

// get runs an action that returns a value.
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

// eval evaluates JavaScript, even if the page itself must not run any.
func eval[T any](b *tab, js string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
}

// goTo opens a path of the site, or a URL.
func (b *tab) goTo(path string) {
	b.t.Helper()
	if strings.HasPrefix(path, "/") {
		path = b.url + path
	}
	b.do(chromedp.Navigate(path))
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

// until waits until an expression is true, on this page or on the next one.
func (b *tab) until(js string) {
	b.t.Helper()
	b.do(chromedp.WaitReady(chromedp.JSPath(`(` + js + `) ? document.body : null`)))
}

// named finds a visible button, link, summary or label by its text, or by the
// name that a screen reader announces.
func named(name string) chromedp.JSPath {
	return chromedp.JSPath(`[...document.querySelectorAll('button, a, summary, label')].find((e) => e.checkVisibility() &&
		(e.getAttribute('aria-label') ?? e.innerText).trim() === ` + strconv.Quote(name) + `)`)
}

// field finds a visible form field by its label.
func field(label string) chromedp.JSPath {
	return chromedp.JSPath(`[...document.querySelectorAll('input, select')].find((e) => e.checkVisibility() &&
		[...e.labels].some((l) => l.innerText.trim().startsWith(` + strconv.Quote(label) + `)))`)
}

// press presses a button or link that leads to another page, and waits for that page.
func (b *tab) press(name string) {
	b.t.Helper()
	b.leave(chromedp.Click(named(name)))
}

// leave runs actions that lead to another page, and waits for that page.
func (b *tab) leave(how ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	get(b, func(ctx context.Context, _ *chromedp.Target) (*network.Response, error) {
		return chromedp.RunResponse(ctx, how...)
	})
}

// click presses something that does not lead to another page.
func (b *tab) click(name string) {
	b.t.Helper()
	b.do(chromedp.Click(named(name)))
}

// offers reports whether something with this name is visible and can be pressed.
func (b *tab) offers(name string) bool {
	b.t.Helper()
	return eval[bool](b, `!!`+string(named(name)))
}

// disabled reports whether a button is disabled.
func (b *tab) disabled(name string) bool {
	b.t.Helper()
	return eval[bool](b, string(named(name))+`.disabled`)
}

// fill replaces the content of a field by typing text.
func (b *tab) fill(label, text string) {
	b.t.Helper()
	b.do(chromedp.WaitVisible(field(label)), chromedp.Evaluate[chromedp.Void](`(`+string(field(label))+`).select()`), chromedp.SendKeys(field(label), text))
}

// codes returns the recovery codes on the page.
func (b *tab) codes() []string {
	b.t.Helper()
	return eval[[]string](b, `[...document.querySelectorAll('[data-codes] code')].map((e) => e.innerText)`)
}

// download presses a button or link that downloads a file, and returns the content of the file.
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
		require.NoError(b.t, err, "%q must start a download", name)
		if string(e.FrameID) == string(chromedp.FromContext(b.ctx).Target.TargetID) {
			id = e.GUID
			break
		}
	}
	for e, err := range progress {
		require.NoError(b.t, err, "%q must download a file", name)
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
	b.t.Fatalf("%q downloaded no file", name)
	return ""
}

// savedCodes downloads the recovery codes and returns those in the file.
func (b *tab) savedCodes() []string {
	b.t.Helper()
	codes := regexp.MustCompile(`(?m)^([0-9A-Z]{4}-){5}[0-9A-Z]{4}$`).FindAllString(b.download("Download"), -1)
	require.Equal(b.t, b.codes(), codes, "the file must contain the codes on the page")
	return codes
}

// allowClipboard allows the page to write to the clipboard, as a click of a
// user does, and the test to read it.
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

// forbidScript turns off JavaScript in this tab.
func (b *tab) forbidScript() {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(b.t, err)
}

// countPrints replaces window.print by a counter, because there is no printer.
func (b *tab) countPrints() {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `window.prints = 0; window.print = () => { window.prints++; };`})
	require.NoError(b.t, err)
}

// prefer sets the media type and the color scheme that the page sees, and asks it for reduced motion.
func (b *tab) prefer(media, scheme string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media,
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	require.NoError(b.t, err)
}

// element returns a picture of one element, for a camera to read.
func (b *tab) element(css string, scale float64) (png []byte) {
	b.t.Helper()
	return get(b, chromedp.ScreenshotScale(chromedp.CSS(css), scale))
}

// whole returns a picture of the page from top to bottom.
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

// logIn signs in with the demo password.
func (b *tab) logIn(email string) {
	b.t.Helper()
	b.goTo("/login")
	b.fill("E-mail", email)
	b.fill("Password", app.DemoPassword)
	b.press("Sign in")
}
