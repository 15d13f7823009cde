package twofahttp_test

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// desk is a host with actions that are sent again after the proof.
type desk struct {
	*host
	mu       sync.Mutex
	received []string // URL and body of each form that reached its handler
	parse    bool     // whether a middleware parses the form first
	consume  bool     // whether a middleware reads the body
	account  string   // account of each request; empty: that of the session
}

var deskPolicy = twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, Fallback: []twofa.Method{twofa.SMS}, Actions: map[string]twofa.ActionRule{"lasting": {MaxAge: 5 * time.Minute}, "any": {Methods: []twofa.Method{twofa.TOTP, twofa.SMS, twofa.RecoveryCode}},
	"mailed": {Methods: []twofa.Method{twofa.EmailLink}}}}

func newDesk(t *testing.T, tune ...func(*twofa.Config, *twofahttp.Config)) *desk {
	t.Helper()
	d := &desk{}
	d.host = newHost(t, deskPolicy, append([]func(*twofa.Config, *twofahttp.Config){func(_ *twofa.Config, c *twofahttp.Config) {
		for _, name := range []string{"once", "lasting", "any", "mailed"} {
			c.Actions[name] = twofahttp.Action{Title: "Send " + name, Page: "/contacts", Resubmit: true}
		}
		c.Account = func(*http.Request) string { d.mu.Lock(); defer d.mu.Unlock(); return d.account }
	}}, tune...)...)
	record := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		if r.PostForm != nil {
			body = []byte(r.PostForm.Encode())
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.received = append(d.received, r.URL.RequestURI()+" "+string(body))
		_, _ = io.WriteString(w, "done")
	})
	mux := http.NewServeMux()
	for _, name := range []string{"once", "lasting", "any", "mailed", "contacts.export"} {
		mux.Handle("/do/"+name, d.web.RequireAction(name, record))
	}
	mux.Handle("/below/", http.StripPrefix("/below", d.web.RequireAction("once", record)))
	mux.HandleFunc("/list/{id}", func(w http.ResponseWriter, r *http.Request) {
		if err := d.m.UseAction(r.Context(), d.web.Caller(r), "once", r.PathValue("id")); err != nil {
			d.web.Error(w, r, err)
			return
		}
		record(w, r)
	})
	inner := d.srv.Config.Handler
	d.srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, own := mux.Handler(r)
		if own == "" {
			inner.ServeHTTP(w, r)
			return
		}
		if d.consume {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		if d.parse {
			_ = r.ParseMultipartForm(1 << 20)
		}
		mux.ServeHTTP(w, r)
	})
	return d
}

func (d *desk) switchTo(account string) { d.mu.Lock(); defer d.mu.Unlock(); d.account = account }

func (d *desk) forms() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string{}, d.received...)
}

// user returns the browser of a user whose proof of the login counts no longer.
func (d *desk) user(name string) (*browser, app) {
	b := d.browser()
	phone, _ := b.enroll(name)
	d.clock.pass(staleProof)
	return b, phone
}

var (
	heldPattern   = regexp.MustCompile(`name="held" value="([^"]+)"`)
	formPattern   = regexp.MustCompile(`(?s)<form method="post" action="([^"]+)" class="stack" data-submit data-once>(.*?)</form>`)
	hiddenPattern = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// heldOn returns the held form on a page, or an empty string.
func heldOn(page string) string {
	if m := heldPattern.FindStringSubmatch(page); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

// tab is one page of a browser that carries a held form.
type tab struct {
	b    *browser
	page answer
}

// send posts a form of the host, as a page of the host does.
func (b *browser) send(path, body string) tab {
	b.h.Helper()
	return tab{b, b.do(b.request("POST", path, body))}
}

func (t tab) held() string { return heldOn(t.page.Body) }

// post sends a form of the page, with the held form.
func (t tab) post(path string, pairs ...string) tab {
	t.b.h.Helper()
	token := tokenPattern.FindStringSubmatch(t.page.Body)
	require.NotNil(t.b.h, token, t.page.Body)
	form := url.Values{"csrf_token": {token[1]}, "held": {t.held()}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return tab{t.b, t.b.do(t.b.request("POST", path, form.Encode()))}
}

// twice sends the same form twice with the same cookies, as by a double click.
// The browser keeps those of the second answer.
func (t tab) twice(send func(tab) tab) [2]tab {
	u, err := url.Parse(t.b.h.srv.URL)
	require.NoError(t.b.h, err)
	first := t
	first.b = t.b.h.browser()
	for _, c := range t.b.jar.Cookies(u) {
		first.b.setCookie(c.Name, c.Value)
	}
	return [2]tab{send(first), send(t)}
}

func (t tab) prove(code string) tab {
	t.b.h.Helper()
	return t.post("/2fa/verify", "method", "totp", "code", code)
}

// submit sends the form of the page that follows the proof, as a browser does.
func (t tab) submit() answer {
	t.b.h.Helper()
	m := formPattern.FindStringSubmatch(t.page.Body)
	require.NotNil(t.b.h, m, "no form to send: %s", t.page.Body)
	var body []string
	for _, field := range hiddenPattern.FindAllStringSubmatch(m[2], -1) {
		value := strings.ReplaceAll(strings.ReplaceAll(html.UnescapeString(field[2]), "\r\n", "\n"), "\n", "\r\n")
		body = append(body, url.QueryEscape(html.UnescapeString(field[1]))+"="+url.QueryEscape(value))
	}
	return t.b.do(t.b.request("POST", html.UnescapeString(m[1]), strings.Join(body, "&")))
}

// lost requires that a page does not send the form but asks for the button.
func (t tab) lost(what ...any) {
	t.b.h.Helper()
	page := t.b.follow(t.page)
	require.NotContains(t.b.h, page.Body, "data-submit", what...)
}

func TestResubmit_OnePress(t *testing.T) {
	const body = "note=two%0D%0Alines&note=again&empty=&quote=%22%3C%26%27&b=%E2%82%AC"
	d := newDesk(t)
	b, phone := d.user("ada")
	page := b.send("/do/once?list=7&q=a%26b", body)
	require.Equal(t, 401, page.page.StatusCode, "nothing was done")
	require.Contains(t, page.page.Body, "You asked for: <b><bdi>Send once</bdi></b>")
	require.NotContains(t, page.page.Body, "again.", "the button need not be pressed again")
	require.Empty(t, page.page.Header.Get("Location"))
	require.Empty(t, d.forms())
	wrong := page.prove(phone.wrong())
	require.Equal(t, 422, wrong.page.StatusCode)
	require.NotEmpty(t, wrong.held(), "a wrong code does not lose the form")
	after := wrong.prove(phone.next())
	require.Equal(t, 200, after.page.StatusCode)
	require.Contains(t, after.page.Body, `<button class="btn btn-primary"><span>Continue: <bdi>Send once</bdi></span></button>`)
	require.Equal(t, "strict-origin", after.page.Header.Get("Referrer-Policy"))
	require.NotContains(t, after.page.Body, `name="csrf_token"`, "the token of these pages is not for the host")
	require.Equal(t, "done", after.submit().Body)
	require.Equal(t, []string{"/do/once?list=7&q=a%26b " + body}, d.forms())
}

func TestResubmit_EmptyForm(t *testing.T) {
	d := newDesk(t)
	b, phone := d.user("ada")
	require.Equal(t, "done", b.send("/do/once", "").prove(phone.next()).submit().Body)
	require.Equal(t, []string{"/do/once "}, d.forms())
}

// What is in the form stands in no URL, cookie or log.
func TestAbuse_L11_HeldFormIsSecret(t *testing.T) {
	d := newDesk(t)
	b, phone := d.user("ada")
	page := b.send("/do/once", "password=hunter2")
	require.NotContains(t, page.page.Body, "hunter2")
	after := page.prove(phone.next())
	for _, a := range []answer{page.page, after.page} {
		headers := strings.Builder{}
		require.NoError(t, a.Header.Write(&headers))
		require.NotContains(t, headers.String(), "hunter2")
		require.NotContains(t, headers.String(), page.held())
	}
	require.Equal(t, "done", after.submit().Body)
	require.Equal(t, 409, after.submit().StatusCode)
	require.NotContains(t, d.logs.String(), "hunter2")
	require.NotContains(t, d.logs.String(), page.held())
}

func TestAbuse_L13_SecondArrivalIsAlreadyDone(t *testing.T) {
	d := newDesk(t)
	for _, action := range []string{"once", "lasting"} {
		t.Run(action, func(t *testing.T) {
			b, phone := d.user(action + ".user")
			before := len(d.forms())
			page := b.send("/do/"+action, "x=1")
			after := page.prove(phone.next())
			results := make(chan answer, 4)
			for range cap(results) {
				go func() { results <- after.submit() }()
			}
			done := 0
			for range cap(results) {
				a := <-results
				if a.Body == "done" {
					done++
					continue
				}
				require.Equal(t, 409, a.StatusCode)
				require.Contains(t, a.Body, "This is already done")
				require.Contains(t, a.Body, `href="/contacts"`)
			}
			require.Equal(t, 1, done)
			require.Len(t, d.forms(), before+1)
			r := b.request("POST", "/do/"+action, "x=1")
			r.Header.Set("Accept", "application/json")
			again := b.do(r)
			require.Equal(t, 409, again.StatusCode)
			require.Equal(t, "already_done", problemCode(t, again))
			require.NotContains(t, again.Body, `"page"`)
			other := b.send("/do/"+action, "x=2")
			if action == "lasting" {
				require.Equal(t, "done", other.page.Body, "another form is not a repetition")
			} else {
				require.NotEmpty(t, other.held(), "another form is not a repetition")
			}
			d.clock.pass(10 * time.Second)
			later := b.send("/do/"+action, "x=1")
			require.Equal(t, action == "lasting", later.page.Body == "done")
		})
	}
}

// Browsers send each line break as CR LF, whatever a script has sent before.
func TestAbuse_L13_LineBreaksDoNotHideARepetition(t *testing.T) {
	d := newDesk(t)
	b, phone := d.user("ada")
	after := b.send("/do/lasting", "x=a%0Ab").prove(phone.next())
	require.Equal(t, "done", after.submit().Body)
	require.Equal(t, 409, after.submit().StatusCode)
	require.Equal(t, []string{"/do/lasting x=a%0D%0Ab"}, d.forms())
}

// A form sent again and again before the code starts one step-up.
func TestResubmit_ButtonPressedTwice(t *testing.T) {
	d := newDesk(t)
	b, _ := d.user("ada")
	b.get("/2fa/") // the outbox has the mails of the enrollment
	before := d.outbox.links()
	for _, page := range (tab{b: b}).twice(func(page tab) tab { return page.b.send("/do/mailed", "x=1") }) {
		require.Contains(t, page.page.Body, "We emailed a link to")
		require.NotEmpty(t, page.held())
	}
	require.Equal(t, before+1, d.outbox.links())
}

// The page that waits for an email link sends the form when the link is opened.
func TestResubmit_EmailLink(t *testing.T) {
	d := newDesk(t)
	b, _ := d.user("ada")
	page := b.send("/do/mailed", "x=1")
	require.Contains(t, page.page.Body, "data-continue")
	waiting := page.post("/2fa/challenge")
	require.Contains(t, waiting.page.Body, "We emailed a link to", "the link is not opened yet")
	soon := waiting.post("/2fa/send", "method", "email")
	require.Equal(t, 429, soon.page.StatusCode)
	require.NotEmpty(t, soon.held())
	d.clock.pass(time.Minute)
	again := soon.post("/2fa/send", "method", "email")
	require.Contains(t, again.page.Body, "We emailed a link to")

	link, err := url.Parse(d.outbox.link())
	require.NoError(t, err)
	b.get(link.RequestURI())
	opened := b.post("/2fa/link", "token", link.Query().Get("token"))
	require.Equal(t, "/contacts", opened.Header.Get("Location"), "the tab of the mail has no form")
	require.Contains(t, b.api("GET", "/2fa/status").Body, "done")
	after := again.post("/2fa/challenge")
	require.Equal(t, "done", after.submit().Body)
	require.Equal(t, 409, again.post("/2fa/challenge").page.StatusCode)
	d.clock.pass(10 * time.Second)
	require.Equal(t, 410, again.post("/2fa/challenge").page.StatusCode)
	require.Len(t, d.forms(), 1)
}

func TestResubmit_AnotherMethod(t *testing.T) {
	d := newDesk(t)
	b := d.browser()
	_, codes := b.enroll("ada")
	d.clock.pass(staleProof)
	page := b.send("/do/any", "x=1")
	require.Contains(t, page.page.Body, `name="method" value="recovery"><button>`)
	other := page.post("/2fa/challenge", "method", "recovery")
	require.Contains(t, other.page.Body, "Recovery code")
	after := other.post("/2fa/verify", "method", "recovery", "code", codes[0])
	require.Equal(t, "done", after.submit().Body)
}

// Sending a text message, twice, keeps the form.
func TestResubmit_TextMessage(t *testing.T) {
	d := newDesk(t)
	b, phone := d.user("ada")
	b.follow(b.get("/2fa/confirm?action=factors&next=/2fa/setup?start=1"))
	b.prove(phone)
	b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567"))
	b.follow(b.post("/2fa/setup/confirm", "code", d.outbox.code()))
	d.clock.pass(staleProof)
	page := b.send("/do/any", "x=1").post("/2fa/challenge", "method", "sms")
	require.Contains(t, page.page.Body, "Text me a code")
	before := d.outbox.sentTexts()
	for _, texted := range page.twice(func(page tab) tab { return page.post("/2fa/send", "method", "sms") }) {
		require.Equal(t, 200, texted.page.StatusCode, "the button was pressed twice")
		require.Contains(t, texted.page.Body, "We texted a code")
	}
	require.Equal(t, before+1, d.outbox.sentTexts())
	repeated := page.post("/2fa/send", "method", "sms")
	require.Equal(t, 429, repeated.page.StatusCode, "the user went back and pressed it again")
	require.Contains(t, repeated.page.Body, "We texted a code")
	code := d.outbox.code()
	require.Equal(t, "done", repeated.post("/2fa/verify", "method", "sms", "code", code).submit().Body)
}

func TestResubmit_TwoTabs(t *testing.T) {
	d := newDesk(t)
	b, phone := d.user("ada")
	first, second := b.send("/do/once", "x=1"), b.send("/do/once", "x=2")
	firstDone := first.prove(phone.next())
	secondDone := second.prove(phone.next())
	require.Equal(t, "done", firstDone.submit().Body)
	require.NotEqual(t, "done", secondDone.submit().Body, "of two proofs for one action, one is left")
	require.Equal(t, []string{"/do/once x=1"}, d.forms())

	third, fourth := b.send("/do/once", "x=3"), b.send("/do/any", "x=4")
	require.Contains(t, third.prove(phone.wrong()).page.Body, "Send once")
	require.Equal(t, "done", fourth.prove(phone.next()).submit().Body)
	require.Equal(t, "done", third.prove(phone.next()).submit().Body)
	require.Equal(t, []string{"/do/once x=1", "/do/any x=4", "/do/once x=3"}, d.forms())

	fifth, sixth := b.send("/do/once", "x=5"), b.send("/do/any", "x=6")
	require.Equal(t, "/", fifth.post("/2fa/cancel").page.Header.Get("Location"))
	require.Equal(t, "done", sixth.prove(phone.next()).submit().Body, "the other tab goes on")
}

// A handler finds the body as it was sent, whoever has read it before.
func TestResubmit_BodyIsUntouched(t *testing.T) {
	for name, parse := range map[string]bool{"raw": false, "parsed by a middleware": true} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.parse = parse
			b, phone := d.user("ada")
			b.follow(b.get("/2fa/confirm?action=once&next=/contacts"))
			b.prove(phone)
			require.Equal(t, "done", b.send("/do/once", "a=1&b=%20").page.Body)
			body := map[bool]string{false: "a=1&b=%20", true: "a=1&b=+"}[parse]
			require.Equal(t, []string{"/do/once " + body}, d.forms())
			page := b.send("/do/once", "b=2&a=%C3%A9")
			require.Equal(t, "done", page.prove(phone.next()).submit().Body)
			require.Equal(t, "/do/once "+map[bool]string{false: "b=2&a=%C3%A9", true: "a=%C3%A9&b=2"}[parse], d.forms()[1])
		})
	}
	t.Run("large, of another type", func(t *testing.T) {
		d := newDesk(t)
		b, phone := d.user("ada")
		for kind, body := range map[string]string{formType: "x=" + strings.Repeat("y", 100<<10), "application/json": `{"x":1}`, "text/plain": "x=1", "": "x"} {
			b.follow(b.get("/2fa/confirm?action=once&next=/contacts"))
			b.prove(phone)
			require.Equal(t, "done", b.raw("/do/once", kind, body).Body)
			received := d.forms()
			require.Equal(t, "/do/once "+body, received[len(received)-1])
		}
	})
}

// The user presses the button again, and nothing is sent, if the form cannot be
// kept.
func TestAbuse_L11_FormsThatAreNotHeld(t *testing.T) {
	multipart := "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--b--\r\n"
	for name, c := range map[string]struct {
		body   string
		change func(*desk, *http.Request)
	}{
		"another site":           {"x=1", func(_ *desk, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }},
		"another subdomain":      {"x=1", func(_ *desk, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }},
		"an address typed in":    {"x=1", func(_ *desk, r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }},
		"no proof of the origin": {"x=1", func(_ *desk, r *http.Request) { r.Header.Del("Sec-Fetch-Site") }},
		"no origin":              {"x=1", func(_ *desk, r *http.Request) { r.Header.Del("Sec-Fetch-Site"); r.Header.Set("Origin", "null") }},
		"another origin": {"x=1", func(_ *desk, r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "https://evil.example")
		}},
		"one byte more than 16 KB": {"x=" + strings.Repeat("y", 16<<10-1), nil},
		"files":                    {multipart, func(_ *desk, r *http.Request) { r.Header.Set("Content-Type", "multipart/form-data; boundary=b") }},
		"files, parsed before": {multipart, func(d *desk, r *http.Request) {
			d.parse = true
			r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		}},
		"JSON":                {`{"x":1}`, func(_ *desk, r *http.Request) { r.Header.Set("Content-Type", "application/json") }},
		"no media type":       {"x=1", func(_ *desk, r *http.Request) { r.Header.Del("Content-Type") }},
		"another charset":     {"x=1", func(_ *desk, r *http.Request) { r.Header.Set("Content-Type", formType+"; charset=iso-8859-1") }},
		"unknown length":      {"x=1", func(_ *desk, r *http.Request) { r.ContentLength = -1; r.Body = io.NopCloser(strings.NewReader("x=1")) }},
		"read by others":      {"x=1", func(d *desk, _ *http.Request) { d.consume = true }},
		"read, then parsed":   {"x=1", func(d *desk, _ *http.Request) { d.consume, d.parse = true, true }},
		"not UTF-8":           {"x=%FF", nil},
		"a NUL":               {"x=%00", nil},
		"no name":             {"=1", nil},
		"the charset field":   {"_charset_=x", nil},
		"a broken escape":     {"x=%zz", nil},
		"a semicolon":         {"x=1;y=2", nil},
		"too many fields":     {strings.Repeat("x=&", 1001), nil},
		"PUT":                 {"x=1", func(_ *desk, r *http.Request) { r.Method = "PUT" }},
		"DELETE":              {"x=1", func(_ *desk, r *http.Request) { r.Method = "DELETE" }},
		"GET":                 {"", func(_ *desk, r *http.Request) { r.Method = "GET" }},
		"an action without":   {"x=1", func(_ *desk, r *http.Request) { r.URL.Path = "/do/contacts.export" }},
		"a path that was cut": {"x=1", func(_ *desk, r *http.Request) { r.URL.Path = "/below/do/once" }},
		"htmx":                {"x=1", func(_ *desk, r *http.Request) { r.Header.Set("HX-Request", "true") }},
		"a script":            {"x=1", func(_ *desk, r *http.Request) { r.Header.Set("Sec-Fetch-Mode", "cors") }},
		"a program":           {"x=1", func(_ *desk, r *http.Request) { r.Header.Set("Accept", "application/json") }},
		"an origin over http": {"x=1", func(_ *desk, r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "http://"+r.URL.Host)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			b, phone := d.user("ada")
			r := b.request("POST", "/do/once", c.body)
			if c.change != nil {
				c.change(d, r)
			}
			a := b.do(r)
			require.Empty(t, heldOn(a.Body))
			require.Empty(t, d.forms())
			if a.StatusCode != http.StatusSeeOther {
				require.Contains(t, []int{401, 403}, a.StatusCode)
				return
			}
			require.Contains(t, b.follow(a).Body, "Confirm it’s you")
			back := b.post("/2fa/verify", "method", "totp", "code", phone.next())
			require.Contains(t, []string{"/contacts", "/do/once"}, back.Header.Get("Location"))
			require.Empty(t, d.forms())
		})
	}
}

// A proof of the origin by the header Origin, of a browser without Fetch Metadata.
func TestResubmit_ProofOfOrigin(t *testing.T) {
	d := newDesk(t)
	b, phone := d.user("ada")
	r := b.request("POST", "/do/once", "x=1")
	r.Header.Del("Sec-Fetch-Site")
	r.Header.Set("Origin", d.srv.URL)
	page := tab{b, b.do(r)}
	require.Equal(t, "done", page.prove(phone.next()).submit().Body)
}

// A trusted origin may use a proof, but its forms are never kept.
func TestAbuse_L11_TrustedOriginIsNotEnough(t *testing.T) {
	d := newDesk(t, func(_ *twofa.Config, c *twofahttp.Config) { c.TrustedOrigins = []string{"https://other.example.com"} })
	b, phone := d.user("ada")
	post := func() answer {
		r := b.request("POST", "/do/once", "x=1")
		r.Header.Set("Sec-Fetch-Site", "same-site")
		r.Header.Set("Origin", "https://other.example.com")
		return b.do(r)
	}
	page := b.follow(post())
	require.Contains(t, page.Body, "Confirm it’s you")
	require.Empty(t, heldOn(page.Body))
	tab{b, page}.prove(phone.next()).lost()
	require.Empty(t, d.forms())
	require.Equal(t, "done", post().Body)
}

// Behind a proxy that removes a sub-path, the form goes to the public address.
func TestResubmit_BasePath(t *testing.T) {
	for by := range below {
		t.Run(by, func(t *testing.T) {
			h := newHostBelow(t, by, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
				c.Actions["contacts.export"] = twofahttp.Action{Title: "Export contacts", Page: "/contacts", Resubmit: true}
			})
			w := walk{h.browser(), t}
			w.open("/app/login")
			w.send("/app/login", "user", "ada")
			phone, _ := w.enroll()
			h.clock.pass(staleProof)
			page := w.browser.send("/app/contacts/export", "x=1")
			addresses(t, page.page)
			after := page.post("/app/2fa/verify", "method", "totp", "code", phone.next())
			addresses(t, after.page)
			require.Equal(t, secretExport, after.submit().Body)
			again := after.submit()
			require.Equal(t, 409, again.StatusCode)
			addresses(t, again)
		})
	}
}

// A held form of another tab, browser, session, account or user is never sent.
func TestAbuse_L11_ForeignFormsAreNotSent(t *testing.T) {
	other := func(change func(*desk, tab, app) tab) func(*testing.T) {
		return func(t *testing.T) {
			d := newDesk(t)
			b, phone := d.user("ada")
			page := change(d, b.send("/do/once", "x=1"), phone)
			if page.b == b {
				b.follow(b.get("/2fa/confirm?action=once&next=/contacts"))
			}
			code := phone.next()
			page.prove(code).lost()
			page.post("/2fa/challenge").lost()
			require.Empty(t, d.forms())
		}
	}
	replace := func(from tab, text string) tab {
		from.page.Body = strings.ReplaceAll(from.page.Body, from.held(), text)
		return from
	}
	t.Run("tampered", other(func(_ *desk, page tab, _ app) tab {
		text := []byte(page.held())
		text[len(text)/2] = 'A' + (text[len(text)/2]+1)%26
		return replace(page, string(text))
	}))
	t.Run("garbage", other(func(_ *desk, page tab, _ app) tab { return replace(page, "<script>alert(1)</script>") }))
	t.Run("expired", other(func(d *desk, page tab, _ app) tab { d.clock.pass(11 * time.Minute); return page }))
	t.Run("of a browser with another cookie", other(func(d *desk, page tab, _ app) tab {
		theirs, _ := d.user("bob")
		return replace(page, theirs.send("/do/once", "x=2").held())
	}))
	t.Run("of another session of the same browser", other(func(d *desk, page tab, phone app) tab {
		page.b.post("/2fa/cancel")
		require.NoError(t, d.m.User(twofa.AsHost("test"), "ada").Revoke(t.Context()))
		page.b.enter("ada", phone)
		d.clock.pass(staleProof - 10*time.Minute)
		return page
	}))
	t.Run("of another account", other(func(d *desk, page tab, _ app) tab { d.switchTo("beta"); return page }))
}

// The step-up of one account does not send its form in another one.
func TestAbuse_L11_AccountIsSwitchedBeforeTheCode(t *testing.T) {
	d := newDesk(t)
	b := d.browser()
	phone, _ := b.enroll("ada", "account", "acme")
	d.clock.pass(staleProof)
	d.switchTo("acme")
	page := b.send("/do/once", "x=1")
	require.NotEmpty(t, page.held())
	d.switchTo("beta")
	code := phone.next()
	after := page.prove(code)
	require.Contains(t, after.page.Body, "We couldn’t keep what you sent")
	require.Contains(t, after.page.Body, `href="/contacts"`)
	after.lost()
	require.NotEqual(t, "done", b.send("/do/once", "x=1").page.Body, "the proof is not for this account")
	d.switchTo("acme")
	require.Equal(t, "done", b.send("/do/once", "x=1").page.Body, "the button is pressed again, and no code is asked for")
}

// If the form was changed on the way, the proof counts, and the button is pressed
// again.
func TestResubmit_LostFormSaysWhichButton(t *testing.T) {
	d := newDesk(t)
	b, phone := d.user("ada")
	page := b.send("/do/once", "x=1")
	page.page.Body = strings.ReplaceAll(page.page.Body, page.held(), page.held()+"A")
	after := page.prove(phone.next())
	require.Contains(t, after.page.Body, "select <b><bdi>Send once</bdi></b> again")
	require.Equal(t, "done", b.send("/do/once", "x=1").page.Body)

	d.clock.pass(staleProof)
	before := b.follow(b.get("/2fa/confirm?action=once&next=/contacts"))
	require.Contains(t, before.Body, "then select <b><bdi>Send once</bdi></b> again.")
}

// A handler that calls the Manager itself gets the same, also for one resource.
func TestResubmit_HandlerWithResource(t *testing.T) {
	d := newDesk(t)
	b, phone := d.user("ada")
	page := b.send("/list/7", "x=1")
	require.NotEmpty(t, page.held())
	after := page.prove(phone.next())
	require.NotEmpty(t, b.send("/list/8", "x=1").held())
	require.Empty(t, d.forms(), "the proof is for one resource")
	require.Equal(t, "done", after.submit().Body)
	require.Equal(t, 409, after.submit().StatusCode)
	require.Equal(t, []string{"/list/7 x=1"}, d.forms())
}

// In the settings, no button is pressed twice, even if no action is listed.
func TestResubmit_Settings(t *testing.T) {
	h := newHost(t, twofa.Policy{}, noMail)
	b := h.browser()
	phone, codes := b.enroll("ada")
	b.get("/2fa/")
	require.Contains(t, b.follow(b.post("/2fa/codes/new")).Body, "data-codes", "the code of the enrollment counts")
	h.clock.pass(staleProof)
	b.get("/2fa/")
	page := tab{b, b.post("/2fa/codes/new")}
	require.Contains(t, page.page.Body, "Confirm it’s you")
	after := page.prove(phone.next())
	fresh := codesOn(b.follow(after.submit()).Body)
	require.NotEmpty(t, fresh)
	require.NotEqual(t, codes, fresh)
}

// Before the first enrollment after a reset, the link is no proof for the rule of
// the action. The waiting page goes on even so.
func TestResubmit_LinkBeforeEnrollment(t *testing.T) {
	d := newDesk(t)
	b, _ := d.user("ada")
	require.NoError(t, d.m.User(twofa.AsHost("a test"), "ada").Reset(t.Context(), twofa.ResetRequest{}))
	b.login("ada")
	b.get("/2fa/setup?start=1")
	page := tab{b, b.post("/2fa/setup", "method", "totp")}
	require.Contains(t, page.page.Body, "We emailed a link to")
	link, err := url.Parse(d.outbox.link())
	require.NoError(t, err)
	b.get(link.RequestURI())
	b.post("/2fa/link", "token", link.Query().Get("token"))
	require.Contains(t, b.follow(page.post("/2fa/challenge").submit()).Body, "data:image/svg")
}

// After a reload of the page that sends the form, it is told what it did.
func TestAbuse_L13_CodeSentTwiceSendsTheFormOnce(t *testing.T) {
	d := newDesk(t)
	b, phone := d.user("ada")
	page, code := b.send("/do/once", "x=1"), phone.next()
	after := page.twice(func(page tab) tab { return page.prove(code) })
	require.Equal(t, "done", after[1].submit().Body)
	require.Equal(t, 409, after[0].submit().StatusCode)
	require.Equal(t, 409, page.prove(code).submit().StatusCode)
	d.clock.pass(10 * time.Second)
	page.prove(code).lost()
	require.Len(t, d.forms(), 1)
}
