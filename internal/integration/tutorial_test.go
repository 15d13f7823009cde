package integration

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/twofa-go/twofa/internal/engines"
	"github.com/twofa-go/twofa/twofatest"
)

// TestTutorial does what docs/tutorial.md says: it writes each file, runs each
// command, and uses the product after each step as the reader does. It adds only
// lines to go.mod, with the versions of this module.
func TestTutorial(t *testing.T) {
	page, err := os.ReadFile("../../docs/tutorial.md")
	require.NoError(t, err)
	servers, steps, ok := strings.Cut(string(page), "\n## Step 1")
	require.True(t, ok)
	w := newTutorial(t, servers)
	after := []func(){w.password, w.secondFactor, w.freshCode, w.frame}
	for _, block := range fences(steps) {
		switch block.language {
		case "sh":
			if w.run(block.text) {
				require.NotEmpty(t, after, "the tutorial starts the product more often than this test uses it")
				after[0]()
				after = after[1:]
				w.stop()
			}
		case "diff":
			w.change(block.file, block.text)
		default:
			w.write(block.file, block.text)
		}
	}
	require.Empty(t, after)
	w.command(`test -z "$(gofmt -l .)"`)
}

// fence is a code block. Its file is the last one that was named before it, alone
// in a line.
type fence struct{ language, file, text string }

func fences(markdown string) (list []fence) {
	file, name := "", regexp.MustCompile("^`([a-z_]+(?:/[a-z_]+)?\\.[a-z]+)`\n$")
	var open *fence
	for line := range strings.Lines(markdown) {
		switch language, isFence := strings.CutPrefix(line, "```"); {
		case isFence && open == nil:
			open = &fence{language: strings.TrimSpace(language), file: file}
		case isFence:
			list, open = append(list, *open), nil
		case open != nil:
			open.text += line
		case name.MatchString(line):
			file = name.FindStringSubmatch(line)[1]
		}
	}
	return list
}

// tutorial is a reader with a shell, a mailbox and a browser.
type tutorial struct {
	t     *testing.T
	dir   string
	env   []string
	serve *exec.Cmd // the product, while it runs
	url   string
	mail  *smtpServer
	http  *http.Client
	at    *url.URL   // page that the browser shows
	page  *html.Node // content of that page
	phone authenticator
}

const (
	tutorialMail     = "ada@example.com"
	tutorialPassword = "a long enough password"
)

func newTutorial(t *testing.T, servers string) *tutorial {
	t.Helper()
	for _, name := range []string{"DATABASE_URL", "SMTP_ADDR"} {
		require.Contains(t, servers, "\nexport "+name+"=")
	}
	engines.Tool(t, "bash")
	free, err := net.Listen("tcp", "localhost:0")
	require.NoError(t, err)
	addr := fmt.Sprintf("localhost:%d", free.Addr().(*net.TCPAddr).Port)
	require.NoError(t, free.Close())
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	w := &tutorial{t: t, dir: t.TempDir(), url: "http://" + addr, http: &http.Client{Jar: jar}}
	w.mail = startSMTP(t, func(s *smtp.Server) { s.TLSConfig = nil })
	w.mail.anyone = true
	w.env = append(os.Environ(), "GOWORK=off", "GOPROXY=off", "GOFLAGS=-buildvcs=false", "BASE_URL=", "ADDR="+addr, "MAIL_FROM="+smtpFrom,
		"DATABASE_URL="+engines.PostgreSQL(t), fmt.Sprintf("SMTP_ADDR=localhost:%d", w.mail.addr.Port))
	t.Cleanup(w.stop)
	return w
}

// run runs commands, and reports whether the last one starts the product.
func (w *tutorial) run(commands string) (serves bool) {
	w.t.Helper()
	last := commands[strings.LastIndex(strings.TrimSpace(commands), "\n")+1:]
	if last != "go run .\n" && last != "./payouts\n" {
		w.command(commands)
		return false
	}
	w.command(strings.TrimSuffix(commands, last))
	w.serve = exec.Command("bash", "-c", "exec "+last)
	w.serve.Dir, w.serve.Env = w.dir, w.env
	w.serve.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // to stop the child of "go run"
	out, err := w.serve.StderrPipe()
	require.NoError(w.t, err)
	require.NoError(w.t, w.serve.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		w.t.Log(lines.Text())
		if strings.HasSuffix(lines.Text(), " open "+w.url) {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return true
		}
	}
	require.FailNow(w.t, "the product did not start")
	return false
}

func (w *tutorial) stop() {
	if w.serve != nil {
		_ = syscall.Kill(-w.serve.Process.Pid, syscall.SIGKILL)
		_ = w.serve.Wait()
		w.serve = nil
	}
}

// command runs commands to their end, and keeps the folder and the variables that
// they set.
func (w *tutorial) command(commands string) {
	w.t.Helper()
	if strings.Contains(commands, "go mod tidy") {
		w.requireVersions()
	}
	const mark = "\x00after\x00"
	cmd := exec.CommandContext(w.t.Context(), "bash", "-euo", "pipefail", "-c", commands+"\nprintf '\\0after\\0'; env -0")
	cmd.Dir, cmd.Env = w.dir, w.env
	out, err := cmd.CombinedOutput()
	printed, env, _ := strings.Cut(string(out), mark)
	w.t.Logf("%s%s", commands, printed)
	require.NoError(w.t, err)
	w.env = strings.Split(strings.TrimSuffix(env, "\x00"), "\x00")
	for _, v := range w.env {
		if dir, ok := strings.CutPrefix(v, "PWD="); ok {
			w.dir = dir
		}
	}
}

func (w *tutorial) read(file string) string {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, file))
	require.NoError(w.t, err)
	return string(text)
}

func (w *tutorial) write(file, text string) {
	w.t.Helper()
	require.NotEmpty(w.t, file)
	require.NoError(w.t, os.WriteFile(filepath.Join(w.dir, file), []byte(text), 0o644))
}

// change replaces the lines of a block without a plus by those without a minus.
func (w *tutorial) change(file, diff string) {
	w.t.Helper()
	var before, after strings.Builder
	for line := range strings.Lines(diff) {
		switch line[0] {
		case '-':
			before.WriteString(line[1:])
		case '+':
			after.WriteString(line[1:])
		default:
			before.WriteString(line[1:])
			after.WriteString(line[1:])
		}
	}
	text := w.read(file)
	require.Equal(w.t, 1, strings.Count(text, before.String()), "%s must have these lines once:\n%s", file, before.String())
	w.write(file, strings.Replace(text, before.String(), after.String(), 1))
}

// requireVersions makes the product use this repository and the versions of
// other modules that its tests use, because no test uses the network.
func (w *tutorial) requireVersions() {
	w.t.Helper()
	mod, err := os.ReadFile("go.mod")
	require.NoError(w.t, err)
	_, requirements, ok := strings.Cut(string(mod), "\nrequire (")
	require.True(w.t, ok)
	root, err := filepath.Abs("../..")
	require.NoError(w.t, err)
	product, _, _ := strings.Cut(w.read("go.mod"), "\nrequire")
	w.write("go.mod", product+"\nrequire ("+strings.ReplaceAll(requirements, "=> ../..", "=> "+root))
	sums, err := os.ReadFile("go.sum")
	require.NoError(w.t, err)
	w.write("go.sum", string(sums))
}

// password is step 1: the password alone signs a user in.
func (w *tutorial) password() {
	w.open("/")
	w.press("Register", "email", tutorialMail, "password", "short")
	w.reads("15 to 72 characters")
	w.press("Register", "email", tutorialMail, "password", tutorialPassword)
	w.reads("Your payouts", tutorialMail)
	w.press("Save", "iban", "DE02 1203 0000 0000 2020 51")
	w.reads("DE02 1203 0000 0000 2020 51")
	w.press("Sign out")
	w.press("Sign in", "email", tutorialMail, "password", "another password")
	w.reads("The address or the password is wrong.")
	w.press("Sign in", "email", tutorialMail, "password", tutorialPassword)
	w.reads("Your payouts")
}

// secondFactor is step 2: the session of before counts for nothing, the user
// must enroll an app after a mailed link, and the next login asks for a code.
func (w *tutorial) secondFactor() {
	w.open("/")
	w.press("Sign in", "email", tutorialMail, "password", tutorialPassword)
	w.readsNot("Your payouts")
	mails := w.mail.Taken()
	require.NotEmpty(w.t, mails)
	require.Equal(w.t, tutorialMail, mails[len(mails)-1].To)
	link := regexp.MustCompile(regexp.QuoteMeta(w.url) + `/2fa/link\S+`).FindString(mails[len(mails)-1].Text.Reveal())
	w.open(strings.TrimPrefix(link, w.url))
	w.press("Sign in")
	w.press("Set up authenticator app")
	w.reads("Save your recovery codes")
	w.press("Next", "saved", "yes")
	w.phone.uri = w.linkTo("otpauth:")
	w.press("Confirm", "code", w.phone.code(w.t))
	w.reads("Two-factor authentication is on")
	w.open("/")
	w.reads("Your payouts", tutorialMail)

	w.press("Sign out")
	w.open("/")
	w.press("Sign in", "email", tutorialMail, "password", tutorialPassword)
	w.readsNot("Your payouts")
	w.press("Continue", "code", w.phone.code(w.t))
	w.reads("Your payouts")
}

// freshCode is step 3: the session remains, and a change needs a code.
func (w *tutorial) freshCode() {
	const iban = "FR76 3000 6000 0112 3456 7890 189"
	w.open("/")
	w.reads("Your payouts")
	w.press("Save", "iban", iban)
	w.reads("Change your bank account")
	w.press("Continue", "code", w.phone.code(w.t))
	w.press("Continue: Change your bank account")
	w.reads("Your payouts", iban)
}

// frame is step 4: the header of the product is on all pages.
func (w *tutorial) frame() {
	for _, path := range []string{"/", "/2fa/"} {
		w.open(path)
		w.reads("Security Sign out")
	}
	w.reads("Recovery codes")
	w.open("/2fa/style.css")
	w.reads("--brand: #7a3e9d")
	w.open("/")
	w.press("Sign out")
	w.open("/2fa/help")
	w.reads("Payouts")
	w.readsNot("Sign out")
}

// linkTo returns the address of the only link that begins with prefix.
func (w *tutorial) linkTo(prefix string) (href string) {
	w.t.Helper()
	for n := range w.page.Descendants() {
		if strings.HasPrefix(attr(n, "href"), prefix) {
			require.Empty(w.t, href)
			href = attr(n, "href")
		}
	}
	require.NotEmpty(w.t, href, "%s shows:\n%s", w.at, textOf(w.page))
	return href
}

// open opens a page.
func (w *tutorial) open(path string) {
	w.t.Helper()
	to, err := url.Parse(w.url)
	require.NoError(w.t, err)
	to, err = to.Parse(path)
	require.NoError(w.t, err)
	w.send("GET", to, nil)
}

// press fills in the form that has a button with this name, and sends it.
func (w *tutorial) press(name string, fields ...string) {
	w.t.Helper()
	for form := range w.page.Descendants() {
		if form.Data != "form" {
			continue
		}
		values, action, found := url.Values{}, attr(form, "action"), false
		for n := range form.Descendants() {
			if n.Data == "input" {
				values.Set(attr(n, "name"), attr(n, "value"))
			}
			if n.Data == "button" && strings.TrimSpace(textOf(n)) == name {
				found = true
				if to := attr(n, "formaction"); to != "" {
					action = to
				}
			}
		}
		if found {
			for i := 0; i < len(fields); i += 2 {
				require.Contains(w.t, values, fields[i])
				values.Set(fields[i], fields[i+1])
			}
			to, err := w.at.Parse(action)
			require.NoError(w.t, err)
			w.send("POST", to, values)
			return
		}
	}
	require.FailNow(w.t, "no button "+name, "%s shows:\n%s", w.at, textOf(w.page))
}

func (w *tutorial) send(method string, to *url.URL, form url.Values) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, to.String(), strings.NewReader(form.Encode()))
	require.NoError(w.t, err)
	r.Header.Set("Accept", "text/html")
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	answer, err := w.http.Do(r)
	require.NoError(w.t, err)
	defer answer.Body.Close()
	w.at = answer.Request.URL
	w.page, err = html.Parse(answer.Body)
	require.NoError(w.t, err)
}

func (w *tutorial) reads(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		require.Contains(w.t, textOf(w.page), text, w.at.String())
	}
}

func (w *tutorial) readsNot(text string) {
	w.t.Helper()
	require.NotContains(w.t, textOf(w.page), text, w.at.String())
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// textOf returns what a page shows, and the values of its fields.
func textOf(n *html.Node) string {
	var b strings.Builder
	for n := range n.Descendants() {
		switch {
		case n.Type == html.TextNode:
			b.WriteString(n.Data)
		case n.Data == "input" && attr(n, "type") != "hidden":
			b.WriteString(" " + attr(n, "value") + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// authenticator is an app in which no code is used twice.
type authenticator struct {
	uri  string
	last int64 // period of the last code
}

// code returns a code that the server accepts now: it accepts those of the
// period before and after, too. If three were used, code waits for the next
// period.
func (p *authenticator) code(t *testing.T) string {
	const period = 30
	now := time.Now()
	first := now.Unix()/period - 1
	if period-now.Unix()%period < 5 {
		first++ // the one before could expire before it arrives
	}
	p.last = max(p.last+1, first)
	at := time.Unix(p.last*period, 0)
	<-time.After(time.Until(at.Add(-period * time.Second)))
	return twofatest.Code(t, p.uri, at)
}
