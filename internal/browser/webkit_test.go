package browser

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twofa-go/twofa/internal/engines"
)

// miniBrowsers are the places of the program that shows a page with WebKit. It
// comes with the engine and is not in PATH.
const miniBrowsers = "/usr/lib/*/webkit2gtk-4.*/MiniBrowser"

func needWebKit(t *testing.T) {
	t.Helper()
	engines.Tool(t, "WebKitWebDriver")
	engines.Tool(t, "Xvfb")
	findMiniBrowser(t)
}

func findMiniBrowser(t *testing.T) (path string) {
	t.Helper()
	paths, _ := filepath.Glob(miniBrowsers)
	if len(paths) == 0 {
		engines.Require(t, "MiniBrowser of WebKitGTK", "there is no "+miniBrowsers)
	}
	return paths[len(paths)-1]
}

// display starts an X server without a screen, which all tests share.
var display = sync.OnceValues(func() (string, error) {
	path, err := lookPath("Xvfb")
	if err != nil {
		return "", err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	cmd := exec.Command(path, "-displayfd", "3", "-screen", "0", "1280x2400x24", "-nolisten", "tcp", "-noreset")
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	_ = w.Close()
	if err != nil {
		return "", err
	}
	atEnd(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	number, err := bufio.NewReader(r).ReadString('\n')
	return ":" + strings.TrimSpace(number), err
})

// webkitBrowser is a process of WebKitWebDriver with its browser. One process
// has one session, so each user has a process.
type webkitBrowser struct {
	url      string // of the session
	dir      string
	cmd      *exec.Cmd
	ended    chan struct{}
	console  lockedBuffer
	selected string // handle of a tab
}

// webkitWindow is a tab of WebKit.
type webkitWindow struct {
	webDriver
	*webkitBrowser
	handle string
	first  bool // tab of the browser; the browser ends with it
}

func openWebKit(t *testing.T) (window, error) {
	t.Helper()
	miniBrowser := findMiniBrowser(t)
	b, err := startWebKit(t)
	if err != nil {
		return nil, err
	}
	value, err := b.request(http.MethodPost, "/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"pageLoadStrategy": "none", "webkitgtk:browserOptions": map[string]any{"binary": miniBrowser,
			"args": []string{"--automation", "--enable-write-console-messages-to-stdout=true"}}}}})
	if err != nil {
		b.stop()
		return nil, err
	}
	var session struct{ SessionID string }
	if err := json.Unmarshal(value, &session); err != nil {
		b.stop()
		return nil, err
	}
	b.url += "/session/" + session.SessionID
	return b.window(true)
}

// startWebKit starts a driver.
func startWebKit(t *testing.T) (*webkitBrowser, error) {
	t.Helper()
	screen, err := display()
	if err != nil {
		return nil, err
	}
	path, err := lookPath("WebKitWebDriver")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	b := &webkitBrowser{url: "http://127.0.0.1:" + port, dir: t.TempDir(), ended: make(chan struct{})}
	b.cmd = exec.Command(path, "--host=127.0.0.1", "--port="+port)
	b.cmd.Env = append(os.Environ(), "DISPLAY="+screen, "GDK_BACKEND=x11", "HOME="+b.dir, "XDG_CONFIG_HOME="+b.dir, "XDG_DATA_HOME="+b.dir, "XDG_CACHE_HOME="+b.dir,
		"NO_AT_BRIDGE=1", "GTK_A11Y=none",
		"WEBKIT_DISABLE_COMPOSITING_MODE=1") // compositing takes a third of the processor time on a machine without a GPU
	b.cmd.Stdout, b.cmd.Stderr = &b.console, &b.console
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // stop ends the browser too
	if err := os.MkdirAll(filepath.Join(b.dir, "downloads"), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(b.dir, "user-dirs.dirs"), []byte(`XDG_DOWNLOAD_DIR="$HOME/downloads"`+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(b.ended)
		_ = b.cmd.Wait()
	}()
	err = eventually("WebKitWebDriver to listen", func() (bool, error) {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
	if err != nil {
		b.stop()
	}
	return b, err
}

// stop ends the driver and its browser.
func (b *webkitBrowser) stop() {
	_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	<-b.ended
}

// request sends a command to the driver and returns its value.
func (b *webkitBrowser) request(method, path string, params map[string]any) (json.RawMessage, error) {
	return b.requestWithin(patience, method, path, params)
}

// read is like request for commands that only read, or that may be run again.
// The driver never answers a command if the page goes away or has nothing to
// paint, so read asks again.
func (b *webkitBrowser) read(method, path string, params map[string]any) (value json.RawMessage, err error) {
	for limit := patience / 16; limit <= patience; limit *= 2 {
		value, err = b.requestWithin(limit, method, path, params)
		if !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	return value, err
}

func (b *webkitBrowser) requestWithin(limit time.Duration, method, path string, params map[string]any) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var body io.Reader
	if method == http.MethodPost {
		content, err := json.Marshal(params)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(content)
	}
	r, err := http.NewRequestWithContext(ctx, method, b.url+path, body)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var result struct{ Value json.RawMessage }
	if err := json.NewDecoder(answer.Body).Decode(&result); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %.400s", method, path, result.Value)
	}
	return result.Value, nil
}

// window returns the tab that the driver has selected.
func (b *webkitBrowser) window(first bool) (window, error) {
	value, err := b.request(http.MethodGet, "/window", nil)
	if err != nil {
		return nil, err
	}
	w := &webkitWindow{webkitBrowser: b, first: first}
	w.webDriver = webDriver{w.command}
	if err := json.Unmarshal(value, &w.handle); err != nil {
		return nil, err
	}
	b.selected = w.handle
	_, err = b.request(http.MethodPost, "/window/rect", map[string]any{"x": 0, "y": 0, "width": 1280, "height": 1200})
	return w, err
}

// newTab opens a window, because WebKit paints no tab in the background.
func (w *webkitWindow) newTab() (window, error) {
	value, err := w.request(http.MethodPost, "/window/new", map[string]any{"type": "window"})
	if err != nil {
		return nil, err
	}
	var created struct{ Handle string }
	if err := json.Unmarshal(value, &created); err != nil {
		return nil, err
	}
	if err := w.selectTab(created.Handle); err != nil {
		return nil, err
	}
	return w.window(false)
}

func (b *webkitBrowser) selectTab(handle string) error {
	if b.selected == handle {
		return nil
	}
	_, err := b.request(http.MethodPost, "/window", map[string]any{"handle": handle})
	if err == nil {
		b.selected = handle
	}
	return err
}

// command sends a command about this tab.
func (w *webkitWindow) command(name string, params map[string]any) (json.RawMessage, error) {
	if err := w.selectTab(w.handle); err != nil {
		return nil, err
	}
	id, _ := params["id"].(string)
	switch name {
	case "WebDriver:Navigate":
		return w.request(http.MethodPost, "/url", params)
	case "WebDriver:ExecuteScript":
		return w.read(http.MethodPost, "/execute/sync", params)
	case "WebDriver:ElementClick":
		return w.request(http.MethodPost, "/element/"+id+"/click", params)
	case "WebDriver:ElementSendKeys":
		return w.request(http.MethodPost, "/element/"+id+"/value", params)
	case "WebDriver:TakeScreenshot": // of the viewport, even if an element is named
		return w.read(http.MethodGet, "/screenshot", nil)
	}
	return nil, errors.New("unknown command " + name)
}

func (w *webkitWindow) download(press func() error) (string, error) {
	dir := filepath.Join(w.dir, "downloads")
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	if err := press(); err != nil {
		return "", err
	}
	return downloaded(dir)
}

// complaints returns the errors and warnings that the browser has written to its console.
func (w *webkitWindow) complaints(string) []string {
	return slices.DeleteFunc(strings.Split(w.console.String(), "\n"), func(line string) bool {
		return !strings.HasPrefix(line, "CONSOLE ") || !strings.Contains(line, " ERROR ") && !strings.Contains(line, " WARN ")
	})
}

func (w *webkitWindow) close() {
	if w.first {
		_, _ = w.request(http.MethodDelete, "", nil)
		w.stop()
	}
}

// lockedBuffer collects the output of a process that is running.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
