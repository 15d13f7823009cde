package browser

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// shared is what the tests of a run share.
var shared struct {
	dir string // deleted after the last test

	mu   sync.Mutex
	stop []func() // called after the last test, the newest first
}

// atEnd calls stop after the last test.
func atEnd(stop func()) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.stop = append(shared.stop, stop)
}

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "twofa-browser-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared.dir = dir
	defer func() {
		for _, stop := range slices.Backward(shared.stop) {
			stop()
		}
	}()
	return m.Run()
}

// buildExample builds the example once and returns the path of its program.
var buildExample = sync.OnceValues(func() (string, error) {
	path := filepath.Join(shared.dir, "webapp")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, ".")
	cmd.Dir = filepath.Join("..", "..", "examples", "webapp")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the example: %w\n%s", err, out)
	}
	return path, nil
})

// engine is a kind of browser that users have.
type engine struct {
	name string
	need func(t *testing.T)                 // ends a test on a machine that lacks the browser
	open func(t *testing.T) (window, error) // opens a tab in a new profile, which has no cookies yet
}

var (
	inChromium = &engine{"chromium", needChromium, openChromium}
	inFirefox  = &engine{"firefox", needFirefox, openFirefox}
	inWebKit   = &engine{"webkit", needWebKit, openWebKit}
)

// lookPath returns the path of the first of the programs that is installed.
func lookPath(programs ...string) (path string, err error) {
	for _, name := range programs {
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", err
}

var walks = flag.Bool("walks", false, "walk all scenarios of every user in Firefox and WebKit, instead of one")

// inEachBrowser runs a walk in Chromium, in Firefox and in WebKit, which is the
// engine of Safari.
func inEachBrowser(t *testing.T, walk func(t *testing.T, in *engine)) {
	t.Helper()
	in(t, walk, inChromium, inFirefox, inWebKit)
}

// inEachBrowserAtLength runs a walk in Chromium and, if all walks are asked for, in
// the others. They share most of what they do with a walk that always runs in all.
func inEachBrowserAtLength(t *testing.T, walk func(t *testing.T, in *engine)) {
	t.Helper()
	if *walks {
		inEachBrowser(t, walk)
		return
	}
	in(t, walk, inChromium)
}

func in(t *testing.T, walk func(t *testing.T, in *engine), engines ...*engine) {
	for _, in := range engines {
		t.Run(in.name, func(t *testing.T) {
			t.Parallel()
			in.need(t)
			walk(t, in)
		})
	}
}
