package browser

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofa-go/twofa/internal/engines"
)

var firefoxPrograms = []string{"firefox-esr", "firefox"}

func needFirefox(t *testing.T) {
	t.Helper()
	engines.Tool(t, firefoxPrograms...)
}

// firefoxPreferences keep Firefox from asking the network and the user, and from
// slowing down tabs in the background.
const firefoxPreferences = `
user_pref("marionette.port", 0);
user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("browser.download.folderList", 2);
user_pref("browser.download.always_ask_before_handling_new_types", false);
user_pref("browser.newtabpage.enabled", false);
user_pref("browser.safebrowsing.downloads.enabled", false);
user_pref("browser.sessionstore.resume_from_crash", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.page", 0);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("dom.min_background_timeout_value", 4);
user_pref("messaging-system.rsexperimentloader.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("privacy.userContext.enabled", true);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
user_pref("toolkit.telemetry.server", "");
`

// marionette is the connection to a process of Firefox. Each command is about
// the window that was selected last, so a lock is held for the selection and the
// command.
type marionette struct {
	mu         sync.Mutex
	conn       net.Conn
	answers    *bufio.Reader
	last       int    // number of the newest command
	home       string // handle of the tab with which Firefox has started
	selected   string // handle of a tab
	containers int    // number of profiles opened so far

	downloads sync.Mutex // held during a download
}

// firefox starts the process that all tests share.
var firefox = sync.OnceValues(func() (*marionette, error) {
	path, err := lookPath(firefoxPrograms...)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(shared.dir, "firefox")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "user.js"), []byte(firefoxPreferences), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "--headless", "-marionette", "-remote-allow-system-access", "-no-remote", "-profile", dir)
	cmd.Env = append(os.Environ(), "HOME="+dir, "MOZ_CRASHREPORTER_DISABLE=1")
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	atEnd(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var port []byte
	err = eventually("Firefox to listen", func() (bool, error) {
		port, err = os.ReadFile(filepath.Join(dir, "MarionetteActivePort"))
		return len(port) > 0, nil
	})
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", string(port)))
	if err != nil {
		return nil, err
	}
	m := &marionette{conn: conn, answers: bufio.NewReader(conn)}
	if _, err := m.receive(); err != nil { // the greeting
		return nil, err
	}
	_, err = m.call("WebDriver:NewSession", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"pageLoadStrategy": "none"}}})
	if err != nil {
		return nil, err
	}
	handles, err := m.handles()
	if err != nil {
		return nil, err
	}
	m.home, m.selected = handles[0], handles[0]
	return m, nil
})

// call sends a command and returns its result. The caller must hold m.mu.
func (m *marionette) call(command string, params map[string]any) (json.RawMessage, error) {
	if params == nil {
		params = map[string]any{}
	}
	m.last++
	message, err := json.Marshal([]any{0, m.last, command, params})
	if err != nil {
		return nil, err
	}
	if err := m.conn.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(message), message); err != nil {
		return nil, err
	}
	answer, err := m.receive()
	if err != nil {
		return nil, err
	}
	var parts []json.RawMessage // 1, number of the command, error, result
	if err := json.Unmarshal(answer, &parts); err != nil {
		return nil, err
	}
	if len(parts) != 4 || string(parts[1]) != strconv.Itoa(m.last) {
		return nil, fmt.Errorf("Firefox answered command %d with %.80s", m.last, answer)
	}
	if string(parts[2]) != "null" {
		return nil, fmt.Errorf("%s: %.400s", command, parts[2])
	}
	return parts[3], nil
}

// receive reads one message: its length in decimal, a colon, and JSON.
func (m *marionette) receive() ([]byte, error) {
	length, err := m.answers.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil {
		return nil, err
	}
	message := make([]byte, n)
	_, err = io.ReadFull(m.answers, message)
	return message, err
}

// selectTab makes a tab the one that commands are about. The caller must hold m.mu.
func (m *marionette) selectTab(handle string) error {
	if m.selected == handle {
		return nil
	}
	_, err := m.call("WebDriver:SwitchToWindow", map[string]any{"handle": handle, "focus": true})
	if err == nil {
		m.selected = handle
	}
	return err
}

// value is like call for a command whose result is an object with a value.
func (m *marionette) value(command string, params map[string]any) (json.RawMessage, error) {
	answer, err := m.call(command, params)
	if err != nil {
		return nil, err
	}
	var result struct{ Value json.RawMessage }
	err = json.Unmarshal(answer, &result)
	return result.Value, err
}

// system runs the body of an asynchronous function with the rights of the
// browser itself. The caller must hold m.mu.
func (m *marionette) system(body string, args ...any) (result json.RawMessage, err error) {
	if _, err := m.call("Marionette:SetContext", map[string]any{"value": "chrome"}); err != nil {
		return nil, err
	}
	result, err = m.value("WebDriver:ExecuteScript", map[string]any{"args": append([]any{}, args...), "sandbox": "system", "newSandbox": false,
		"script": `return (async (...args) => {` + body + `})(...arguments)`})
	_, back := m.call("Marionette:SetContext", map[string]any{"value": "content"})
	return result, errors.Join(err, back)
}

// openFirefox opens a window with a container of its own, which shares no
// cookies and no storage with others.
func openFirefox(*testing.T) (window, error) {
	m, err := firefox()
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.containers++
	return m.openTab(m.containers, `
		const opened = window.openDialog(AppConstants.BROWSER_CHROME_URL, '_blank', 'chrome,all,dialog=no,width=1280,height=1000', 'about:blank');
		await new Promise((loaded) => opened.addEventListener('load', loaded, { once: true }));
		await opened.delayedStartupPromise;
		const first = opened.gBrowser.selectedTab;
		opened.gBrowser.selectedTab = opened.gBrowser.addTrustedTab('about:blank', { userContextId: args[0] });
		opened.gBrowser.removeTab(first);`)
}

// openTab runs a script of the browser that opens a tab in a container, and
// returns the tab. The caller must hold m.mu.
func (m *marionette) openTab(container int, script string) (window, error) {
	before, err := m.handles()
	if err != nil {
		return nil, err
	}
	if _, err := m.system(script, container); err != nil {
		return nil, err
	}
	after, err := m.handles()
	if err != nil {
		return nil, err
	}
	after = slices.DeleteFunc(after, func(h string) bool { return slices.Contains(before, h) })
	if len(after) != 1 {
		return nil, fmt.Errorf("Firefox opened %d tabs instead of one", len(after))
	}
	f := &firefoxWindow{m: m, handle: after[0], container: container}
	f.webDriver = webDriver{f.command}
	return f, nil
}

func (m *marionette) handles() (handles []string, err error) {
	answer, err := m.call("WebDriver:GetWindowHandles", nil)
	if err != nil {
		return nil, err
	}
	err = json.Unmarshal(answer, &handles)
	return handles, err
}

// firefoxWindow is a tab of Firefox.
type firefoxWindow struct {
	webDriver
	m         *marionette
	handle    string
	container int
}

// command sends a command about this tab.
func (f *firefoxWindow) command(name string, params map[string]any) (json.RawMessage, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.selectTab(f.handle); err != nil {
		return nil, err
	}
	return f.m.value(name, params)
}

// click presses the mouse on an element. The command ElementClick would wait for
// the next page, and so never end if a script of that page starts a download.
func (f *firefoxWindow) click(element string) error {
	if _, err := f.eval(`(` + element + `).scrollIntoView({ block: 'center', behavior: 'instant' })`); err != nil {
		return err
	}
	id, err := f.find(element)
	if err != nil {
		return err
	}
	_, err = f.command("WebDriver:PerformActions", map[string]any{"actions": []any{map[string]any{
		"type": "pointer", "id": "mouse", "parameters": map[string]any{"pointerType": "mouse"}, "actions": []any{
			map[string]any{"type": "pointerMove", "x": 0, "y": 0, "origin": map[string]any{webElement: id}},
			map[string]any{"type": "pointerDown", "button": 0},
			map[string]any{"type": "pointerUp", "button": 0},
		}}}})
	return err
}

func (f *firefoxWindow) newTab() (window, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.m.openTab(f.container, `
		const opened = [...Services.wm.getEnumerator('navigator:browser')].find((w) => w.gBrowser.selectedTab.userContextId === args[0]);
		opened.gBrowser.selectedTab = opened.gBrowser.addTrustedTab('about:blank', { userContextId: args[0] });`)
}

// download sets the folder for downloads. The setting is one of the whole
// browser, so other downloads wait.
func (f *firefoxWindow) download(press func() error) (string, error) {
	f.m.downloads.Lock()
	defer f.m.downloads.Unlock()
	dir, err := os.MkdirTemp(shared.dir, "download-")
	if err != nil {
		return "", err
	}
	if err := f.m.setString("browser.download.dir", dir); err != nil {
		return "", err
	}
	if err := press(); err != nil {
		return "", err
	}
	return downloaded(dir)
}

func (m *marionette) setString(preference, value string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, err := m.system(`Services.prefs.setStringPref(...args)`, preference, value)
	return err
}

// complaints returns what the console of the browser has about pages of the
// origin. It leaves out that Firefox ended the pagehide handler of a page, which
// only hides the page until pageshow loads it again.
func (f *firefoxWindow) complaints(origin string) (texts []string) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	answer, err := f.m.system(`return Services.console.getMessageArray().filter((m) => m instanceof Ci.nsIScriptError && m.sourceName.startsWith(args[0]) && !m.errorMessage.startsWith("Script terminated by timeout")).map((m) => m.message)`, origin)
	if err := errors.Join(err, json.Unmarshal(answer, &texts)); err != nil {
		return []string{err.Error()}
	}
	return texts
}

// close closes the tab and selects the window with which Firefox has started,
// because every command needs one that is open.
func (f *firefoxWindow) close() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.selectTab(f.handle) == nil {
		_, _ = f.m.call("WebDriver:CloseWindow", nil)
	}
	_ = f.m.selectTab(f.m.home)
}
