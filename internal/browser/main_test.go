package browser

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/internal/engines"
)

// shared is shared by all tests of a run, because it takes seconds to create:
// the program of the example, and one browser process. In that browser, each
// test gets profiles of its own.
var shared struct {
	dir          string
	build        sync.Once
	built        error
	start        sync.Once
	chromium     context.Context
	stopChromium func()
	started      error
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "twofa-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared.dir = dir
	shared.stopChromium = func() {}
	defer func() { shared.stopChromium() }()
	return m.Run()
}

// webapp builds the example once and returns the path of its program.
func webapp(t *testing.T) string {
	t.Helper()
	path := filepath.Join(shared.dir, "webapp")
	shared.build.Do(func() {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".")
		cmd.Dir = filepath.Join("..", "..", "examples", "webapp")
		if out, err := cmd.CombinedOutput(); err != nil {
			shared.built = fmt.Errorf("build the example: %w\n%s", err, out)
		}
	})
	require.NoError(t, shared.built)
	return path
}

// chromium starts the browser once and returns its context. It prefers the
// headless shell: the same engine as Chromium, but without the browser's
// interface, which Chromium renders for each profile even in headless mode and
// which takes half of the processor time.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := engines.Tool(t, "chromium-headless-shell", "chromium")
	shared.start.Do(func() {
		options := []chromedp.ExecAllocatorOption{
			chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(shared.dir, "profile")),
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
		shared.chromium, shared.stopChromium = ctx, func() { stop(); stopAllocator() }
		shared.started = chromedp.Do(ctx)
	})
	require.NoError(t, shared.started)
	return shared.chromium
}
