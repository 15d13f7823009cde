package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/internal/engines"
)

// chromiumPrograms names the browser. The headless shell comes first: it is the
// same engine as Chromium, but without the browser's interface, which Chromium
// renders for each profile even in headless mode and which takes half of the
// processor time.
var chromiumPrograms = []string{"chromium-headless-shell", "chromium"}

func needChromium(t *testing.T) {
	t.Helper()
	engines.Tool(t, chromiumPrograms...)
}

// chromium starts the process that all tests share.
var chromium = sync.OnceValues(func() (context.Context, error) {
	path, err := lookPath(chromiumPrograms...)
	if err != nil {
		return nil, err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(shared.dir, "chromium")),
		chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		// Do not slow down a tab in the background, such as the page that waits for an email link.
		chromedp.Flag("disable-background-timer-throttling", true), chromedp.Flag("disable-renderer-backgrounding", true),
		chromedp.Flag("force-color-profile", "srgb"),
	}
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses to run as root with a sandbox
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	atEnd(func() { stop(); stopAllocator() })
	return ctx, chromedp.Do(ctx)
})

// chromiumWindow is a tab of Chromium, controlled with the DevTools protocol.
type chromiumWindow struct {
	ctx context.Context
	end func()

	mu      sync.Mutex
	entries []log.Entry
	refused []string // URLs of documents that were answered with an error status
}

// chromiumTab is a tab that has what only the DevTools protocol offers.
type chromiumTab struct {
	*tab
	chromium *chromiumWindow
	looks    int // calls of look
}

// browser opens a tab in a new profile of Chromium.
func (s *site) browser(t *testing.T) *chromiumTab {
	t.Helper()
	b := s.person(t)
	return &chromiumTab{tab: b, chromium: b.window.(*chromiumWindow)}
}

func openChromium(*testing.T) (window, error) {
	parent, err := chromium()
	if err != nil {
		return nil, err
	}
	w, err := newChromiumWindow(parent, chromedp.WithNewBrowserContext())
	if err != nil {
		return nil, err
	}
	// The page may write to the clipboard, as a click of a user allows, and the test may read it.
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(w.ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted,
			BrowserContextID: chromedp.FromContext(w.ctx).BrowserContextID,
		})
		if err != nil {
			return nil, err
		}
	}
	return w, nil
}

func newChromiumWindow(parent context.Context, options ...chromedp.ContextOption) (*chromiumWindow, error) {
	w := &chromiumWindow{}
	w.ctx, w.end = chromedp.NewContext(parent, append(options, chromedp.WithListener(w.listen))...)
	return w, chromedp.Do(w.ctx, chromedp.EmulateViewport(1280, 900))
}

func (w *chromiumWindow) newTab() (window, error) { return newChromiumWindow(w.ctx) }

func (w *chromiumWindow) close() { w.end() }

func (w *chromiumWindow) listen(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			w.entries = append(w.entries, *e.Entry)
		}
	case *runtime.EventExceptionThrown:
		w.entries = append(w.entries, log.Entry{Text: e.ExceptionDetails.Text, URL: e.ExceptionDetails.URL})
	case *runtime.EventConsoleAPICalled:
		w.entries = append(w.entries, log.Entry{Text: fmt.Sprintf("console.%s", e.Type)})
	case *network.EventResponseReceived:
		if e.Type == network.ResourceTypeDocument && e.Response.Status >= 400 {
			w.refused = append(w.refused, e.Response.URL)
		}
	}
}

// complaints returns exceptions, violations of the content security policy, and
// missing resources. A page that itself has an error status is not counted,
// because the product answers with error pages on purpose.
func (w *chromiumWindow) complaints(string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	texts := []string{}
	for _, e := range w.entries {
		if e.Source != log.EntrySourceNetwork || !slices.Contains(w.refused, e.URL) {
			texts = append(texts, strings.TrimSpace(e.Text+" "+e.URL))
		}
	}
	return texts
}

// forgive drops the errors and warnings reported so far.
func (w *chromiumWindow) forgive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.entries = nil
}

// run runs an action, which must end within patience.
func run[T any](w *chromiumWindow, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, action)
}

func (w *chromiumWindow) open(url string) error {
	_, err := run(w, chromedp.Navigate(url))
	return err
}

func (w *chromiumWindow) eval(js string) (json.RawMessage, error) {
	return run(w, chromedp.Evaluate[[]byte](`(`+js+`) ?? null`, chromedp.EvalAwaitPromise))
}

func (w *chromiumWindow) click(element string) error {
	_, err := run(w, chromedp.Click(chromedp.JSPath(element)))
	return err
}

func (w *chromiumWindow) send(element, text string) error {
	_, err := run(w, chromedp.SendKeys(chromedp.JSPath(element), text))
	return err
}

func (w *chromiumWindow) picture(element string) ([]byte, error) {
	if element != "" {
		return run(w, chromedp.ScreenshotScale(chromedp.JSPath(element), 2)) // as sharp as a camera
	}
	return run(w, func(ctx context.Context, t *chromedp.Target) ([]byte, error) {
		m, err := cdp.Call(ctx, t, page.GetLayoutMetrics, cdp.Empty{})
		if err != nil {
			return nil, err
		}
		shot, err := cdp.Call(ctx, t, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: new(true), OptimizeForSpeed: new(true),
			Clip: &page.Viewport{Width: float64(m.CSSLayoutViewport.ClientWidth), Height: m.CSSContentSize.Height, Scale: 1}})
		return shot.Data, err
	})
}

func (w *chromiumWindow) download(press func() error) (string, error) {
	dir, err := os.MkdirTemp(shared.dir, "download-")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	started := chromedp.BrowserEvents(ctx, browser.DownloadWillBegin)
	progress := chromedp.BrowserEvents(ctx, browser.DownloadProgress)
	_, err = chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, BrowserContextID: chromedp.FromContext(w.ctx).BrowserContextID,
		DownloadPath: dir, EventsEnabled: new(true),
	})
	if err != nil {
		return "", err
	}
	if err := press(); err != nil {
		return "", err
	}
	id := ""
	for e, err := range started {
		if err != nil {
			return "", fmt.Errorf("no download started: %w", err)
		}
		if string(e.FrameID) == string(chromedp.FromContext(w.ctx).Target.TargetID) {
			id = e.GUID
			break
		}
	}
	for e, err := range progress {
		switch {
		case err != nil:
			return "", fmt.Errorf("the download did not end: %w", err)
		case e.GUID != id: // a download of a test that runs at the same time
		case e.State == browser.DownloadProgressStateCanceled:
			return "", errors.New("the download was canceled")
		case e.State == browser.DownloadProgressStateCompleted:
			content, err := os.ReadFile(filepath.Join(dir, e.GUID))
			return string(content), err
		}
	}
	return "", errors.New("nothing was downloaded")
}

// do runs actions of the DevTools protocol.
func (b *chromiumTab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	_, err := run(b.chromium, chromedp.Steps(actions...))
	b.must(err)
}

// forbidScript turns off JavaScript in this tab.
func (b *chromiumTab) forbidScript() {
	b.t.Helper()
	b.allowScript(false)
}

// allowScript says whether the pages that this tab opens run scripts.
func (b *chromiumTab) allowScript(allowed bool) {
	b.t.Helper()
	_, err := chromedp.Call(b.chromium.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !allowed})
	require.NoError(b.t, err)
}

// countPrints replaces window.print by a counter, because there is no printer.
func (b *chromiumTab) countPrints() {
	b.t.Helper()
	_, err := chromedp.Call(b.chromium.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `window.prints = 0; window.print = () => { window.prints++; };`})
	require.NoError(b.t, err)
}

// prefer sets the media type and the color scheme that the page sees, and asks it for reduced motion.
func (b *chromiumTab) prefer(media, scheme string) {
	b.t.Helper()
	b.emulateMedia(media, map[string]string{"prefers-color-scheme": scheme})
}

// emulateMedia sets the media type and the preferences that the page sees, and
// asks it for reduced motion.
func (b *chromiumTab) emulateMedia(media string, preferences map[string]string) {
	b.t.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: "reduce"}}
	for name, value := range preferences {
		features = append(features, &emulation.MediaFeature{Name: name, Value: value})
	}
	_, err := chromedp.Call(b.chromium.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: media, Features: features})
	require.NoError(b.t, err)
}
