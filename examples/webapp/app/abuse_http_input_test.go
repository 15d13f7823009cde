package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/twofatest"
)

// Abuse cases of requests: their headers, fields, bodies and methods.

const (
	jsonType = "application/json"
	fromAway = "203.0.113.9" // an address without any attempts
	noCode   = "0000-0000-0000-0000-0000-0000"
	noToken  = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// object returns a JSON object of strings.
func object(fields ...string) string {
	in := map[string]string{}
	for field := range slices.Chunk(fields, 2) {
		in[field[0]] = field[1]
	}
	body, _ := json.Marshal(in) // cannot fail for strings
	return string(body)
}

// challenge returns the challenge of a program that has sent only the password.
func (s *site) challenge(email string) string {
	s.t.Helper()
	_, out := s.call("/api/login", "", "email", email, "password", app.DemoPassword)
	require.Equal(s.t, "challenge", out["next"], out)
	return out["challenge"].(string)
}

// An attacker who guesses cannot evade a limit with headers that name another
// address. The address of the connection counts and, for a code, the user.
func TestAbuse_C05_HeadersThatNameAnotherAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.half(jon)
	token := b.csrf("/2fa/challenge")
	fixed := func(body string) func() string { return func() string { return body } }
	s.advance(time.Minute) // restores the attempts that the enrollment took from the address
	for _, c := range []struct {
		name, path, kind string
		body             func() string
		after            int    // number of guesses after which it must be refused
		says             string // text of the refusal
		anywhere         bool   // whether other addresses are refused as well
	}{
		{"the account's codes", "/2fa/verify", formType, func() string { return form("csrf_token", token, "method", "totp", "code", s.wrongCode(jon)) }, 5, "", true},
		{"codes from one address", "/2fa/verify", formType, fixed(form("csrf_token", token, "method", "recovery", "code", noCode)), 300, "from your network", false}, // ten times as many as without the header,
		{"codes of programs", "/api/login/verify", jsonType, fixed(object("challenge", "x", "method", "email", "code", noToken)), 10, "", false},
		{"emails", "/forgot", formType, fixed(form("csrf_token", b.csrf("/login"), "email", ida)), 10, "", false}, // same limit as passwords
	} {
		t.Run(c.name, func(t *testing.T) {
			refused := func(i int) bool {
				ip := fmt.Sprintf("198.51.%d.%d", i/250, i%250)
				got := b.do("POST", c.path, c.body(), "Content-Type", c.kind, "X-Forwarded-For", ip, "X-Real-IP", ip,
					"Forwarded", "for="+ip, "True-Client-IP", ip, "CF-Connecting-IP", ip)
				return got.status == http.StatusTooManyRequests && strings.Contains(got.body, c.says)
			}
			tried := 0
			for tried <= c.after && !refused(tried) {
				tried++
			}
			require.LessOrEqual(t, tried, c.after, "the app trusted a header")
			b.address = fromAway
			defer func() { b.address = "" }()
			require.Equal(t, c.anywhere, refused(tried), "from another connection")
		})
	}
}

// another returns a code that differs from code.
func another(code string) string {
	last := len(code) - 1
	return code[:last] + string('0'+(code[last]-'0'+1)%10)
}

func TestAbuse_C12_ResendWhileLocked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.browser().enrollPhone(eva, "202 555 0101")
	b := s.browser()
	require.Equal(t, "/2fa/challenge", b.login(eva).location)
	s.advance(2 * time.Minute) // another text message is allowed by now
	wrong := another(s.textedCode("+12025550101"))
	for range 5 {
		require.Equal(t, http.StatusUnprocessableEntity, b.post("/2fa/challenge", "/2fa/verify", "method", "sms", "code", wrong).status)
		wrong = another(wrong)
	}
	pending, sent := s.challenge(eva), len(s.outbox())
	token := b.csrf("/2fa/challenge")
	for _, c := range []struct{ path, kind, body string }{
		{"/2fa/send", formType, form("csrf_token", token, "method", "sms")},
		{"/api/login/send", jsonType, object("challenge", pending, "method", "sms")},
	} {
		var answers []string
		for range 3 {
			got := b.do("POST", c.path, c.body, "Content-Type", c.kind)
			require.Equal(t, http.StatusTooManyRequests, got.status, c.path)
			answers = append(answers, got.body)
		}
		require.Equal(t, []string{answers[0], answers[0], answers[0]}, answers)
	}
	require.Len(t, s.outbox(), sent, "nothing is sent")
	s.advance(time.Minute)
	require.Equal(t, "/2fa/challenge", b.post("/2fa/challenge", "/2fa/send", "method", "sms").location)
	require.Len(t, s.outbox(), sent+1, "only the lock prevented it")
}

func TestAbuse_C16_GuessedLinkTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.browser()
	b.login(ada)
	_, old, _ := strings.Cut(s.mailedLink(ada), "token=")
	s.advance(11 * time.Minute)
	b.login(ada)
	link := s.mailedLink(ada)
	pending, before := s.challenge(ada), s.state()
	token := b.csrf(link)
	for _, c := range []struct {
		path, kind string
		body       func(guess string) string
	}{
		{"/2fa/link", formType, func(guess string) string { return form("csrf_token", token, "token", guess) }},
		{"/api/login/verify", jsonType, func(guess string) string {
			return object("challenge", pending, "method", "email", "code", guess)
		}},
	} {
		expired := b.do("POST", c.path, c.body(old), "Content-Type", c.kind)
		require.Equal(t, http.StatusUnprocessableEntity, expired.status, expired.body)
		limited := 0
		for range 40 {
			got := b.do("POST", c.path, c.body(noToken), "Content-Type", c.kind)
			if got.status == http.StatusTooManyRequests {
				limited++
				continue
			}
			require.Equal(t, expired.status, got.status)
			require.Equal(t, expired.body, got.body, "a guess and an expired link get the same response")
		}
		require.Positive(t, limited, "%s: the address is never limited", c.path)
	}
	require.Equal(t, before, s.state(), "the user is not affected")
	b.address = fromAway
	require.Equal(t, "/contacts", b.openLink(link).location)
}

// If a field has many values, none is tried, or only the first.
func TestAbuse_D03_ThousandValues(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.half(jon)
	code, before := s.code(jon), s.state()
	for _, body := range []string{
		b.verifyForm("totp", code) + strings.Repeat("&code=000000", 1000),
		b.verifyForm("totp", "000000") + strings.Repeat("&code="+code, 1000),
		b.verifyForm("totp", code) + "&method=recovery",
	} {
		require.Equal(t, http.StatusBadRequest, b.do("POST", "/2fa/verify", body, "Content-Type", formType).status)
	}
	require.Equal(t, before, s.state(), "no code was compared")
	require.Equal(t, "/contacts", b.post("/2fa/challenge", "/2fa/verify", "method", "totp", "code", code).location)

	b = s.browser()
	body := form("csrf_token", b.csrf("/login"), "email", ida, "password", "wrong") + strings.Repeat("&password="+app.DemoPassword, 1000)
	require.Equal(t, http.StatusUnauthorized, b.do("POST", "/login", body, "Content-Type", formType).status)
	require.Equal(t, 1, strings.Count(s.log.String(), "wrong password"))
	require.Equal(t, "/contacts", b.typePassword(ida).location, "only one attempt was counted")
}

func TestAbuse_D10_LargeBodies(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.half(jon)
	door := s.browser()
	password := form("csrf_token", door.csrf("/login"), "email", jon, "password", "wrong")
	before := s.state()
	huge, fields := strings.Repeat("1", 1<<20), ""
	for i := range 10_000 {
		fields += "&" + strconv.FormatInt(int64(i), 36) + "="
	}
	require.Less(t, len(fields), 60<<10, "below the limit of a body")
	for _, c := range []struct {
		name, path, kind, body string
		b                      *browser
		want                   int
	}{
		{"code", "/2fa/verify", formType, b.verifyForm("totp", huge), b, http.StatusRequestEntityTooLarge},
		{"link", "/2fa/link", formType, form("csrf_token", b.csrf("/2fa/challenge"), "token", huge), b, http.StatusRequestEntityTooLarge},
		{"fields", "/2fa/verify", formType, b.verifyForm("totp", "000000") + fields, b, http.StatusBadRequest},
		{"password", "/login", formType, password + huge, door, http.StatusBadRequest},
		{"padding before the password", "/login", formType, "x=" + huge + "&" + password, door, http.StatusBadRequest},
		{"fields of the product", "/login", formType, password + fields, door, http.StatusBadRequest},
		{"JSON value", "/api/login", jsonType, object("email", jon, "password", huge), door, http.StatusBadRequest},
		{"nested", "/api/login", jsonType, strings.Repeat("[", 1<<20), door, http.StatusBadRequest},
		{"nested in a field", "/api/login", jsonType, `{"email":"x","password":` + strings.Repeat("[", 1<<20), door, http.StatusBadRequest},
		{"code of a program", "/api/login/verify", jsonType, object("challenge", "x", "method", "totp", "code", huge), door, http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			took := time.Minute
			for try := 0; try < 3 && took >= 50*time.Millisecond; try++ { // other processes may slow one down
				got := c.b.do("POST", c.path, c.body, "Content-Type", c.kind)
				require.Equal(t, c.want, got.status)
				require.Less(t, len(got.body), 16<<10, "the response does not repeat the body")
				took = s.lastTook(t)
			}
			require.Less(t, took, 50*time.Millisecond)
		})
	}
	require.Equal(t, before, s.state())
	require.NotContains(t, s.log.String(), "wrong password", "no password was hashed")
}

var tookField = regexp.MustCompile(`msg=request .* took=(\S+)`)

// lastTook returns the duration of the last request from the log.
func (s *site) lastTook(t *testing.T) time.Duration {
	t.Helper()
	lines := tookField.FindAllStringSubmatch(s.log.String(), -1)
	took, err := time.ParseDuration(lines[len(lines)-1][1])
	require.NoError(t, err)
	return took
}

func TestAbuse_D11_MethodIsDecidedByTheServer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.half(jon)
	pending, code := s.challenge(jon), s.code(jon)
	before, signins, sent := s.state(), s.rows(`SELECT count(*) FROM signins`), len(s.outbox())
	for _, method := range []string{"unknown", "", "none", "sms", "email", "browser", "password", "TOTP", "totp ", "totp,recovery"} {
		for _, path := range []string{"/2fa/verify", "/2fa/send"} {
			got := b.post("/2fa/challenge", path, "method", method, "code", code)
			require.Contains(t, []int{400, 403, 404}, got.status, path+" "+method)
		}
		for _, path := range []string{"verify", "send"} {
			body := []string{"challenge", pending, "method", method, "code", code}
			if path == "send" {
				body = body[:4]
			}
			status, _ := s.call("/api/login/"+path, "", body...)
			require.Contains(t, []int{403, 404}, status, path+" "+method)
		}
		require.Contains(t, b.get("/2fa/challenge?"+form("method", method)).body, `name="method" value="totp"`, "the page offers an existing method")
	}
	require.Equal(t, before, s.state(), "no code was compared")
	require.Len(t, s.outbox(), sent, "nothing was sent")
	require.Equal(t, http.StatusUnprocessableEntity, b.post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", code).status)
	require.Equal(t, signins, s.rows(`SELECT count(*) FROM signins`))
	require.False(t, b.signedIn())
	require.Equal(t, "/contacts", b.post("/2fa/challenge", "/2fa/verify", "method", "totp", "code", code).location, "the code is still valid")
}

// Secrets in the query are neither used nor logged, and only the server's clock
// counts.
func TestAbuse_D12_D13_SecretsAndTimesOutsideTheForm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	codes := s.as(jon).enrollApp(jon)
	b := s.half(jon)
	before, signins := s.state(), s.rows(`SELECT count(*) FROM signins`)
	query := "?method=recovery&code=" + codes[0] + "&token=" + codes[0] + "&email=" + jon + "&password=" + app.DemoPassword
	for path, want := range map[string]int{
		"/2fa/verify": 405, "/2fa/setup/confirm": 405, "/api/login/verify": 405, "/api/login": 405, "/2fa/link": 200, "/login": 200,
	} {
		for _, method := range []string{"GET", "HEAD"} {
			require.Equal(t, want, b.do(method, path+query, "").status, method+" "+path)
		}
	}
	require.Equal(t, before, s.state())
	require.Equal(t, signins, s.rows(`SELECT count(*) FROM signins`))
	got := b.do("POST", "/2fa/verify"+query, form("csrf_token", b.csrf("/2fa/challenge"), "method", "recovery"), "Content-Type", formType)
	require.Equal(t, http.StatusUnprocessableEntity, got.status, "not even together with a form")
	for _, secret := range []string{codes[0], app.DemoPassword, "?method="} {
		require.NotContains(t, s.log.String(), secret)
	}

	code := s.code(jon)
	claim := func(code string, ago time.Duration) answer {
		then := s.clock().Add(-ago).UTC()
		stamp := strconv.FormatInt(then.Unix(), 10)
		fields := "&" + form("t", stamp, "timestamp", stamp, "time", then.Format(time.RFC3339))
		return b.do("POST", "/2fa/verify?"+fields, b.verifyForm("totp", code)+fields,
			"Content-Type", formType, "Date", then.Format(http.TimeFormat), "X-Timestamp", stamp)
	}
	for _, ago := range []time.Duration{time.Hour, -time.Hour} {
		other := twofatest.Code(t, s.uris[jon], s.clock().Add(-ago))
		require.Equal(t, http.StatusUnprocessableEntity, claim(other, ago).status, "a code for another hour is invalid")
	}
	require.Equal(t, "/contacts", claim(code, time.Hour).location, "the code for now is valid")
	got = s.half(jon).post("/2fa/challenge", "/2fa/verify", "method", "recovery", "code", codes[0])
	require.Equal(t, http.StatusSeeOther, got.status, "the code from the query is still valid")
}

func TestAbuse_D14_MethodOverrideAndContentType(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	b := s.as(ida)
	b.enrollApp(ida)
	b.stepUp(ida, "factors")
	b.stepUp(ida, "contacts.export") // so that only the method or the content type is wrong
	token := "Bearer " + s.token(ida, "")
	own, lib := b.csrf("/contacts"), b.csrf("/2fa/revoke")
	id, before := idAfter(b.get("/2fa/").body, "replaces="), s.contents()
	fields := func(csrf string) string { return form("csrf_token", csrf, "id", id, "name", "x", "_method", "POST") }
	for path, csrf := range map[string]string{
		"/2fa/factors/remove": lib, "/2fa/codes/new": lib, "/2fa/revoke": lib, "/2fa/browsers/forget-all": lib,
		"/contacts": own, "/contacts/brook-1/delete": own, "/contacts/export": own, "/settings/profile": own, "/logout": own,
		"/api/contacts/export": "", "/api/logout": "",
	} {
		for _, method := range []string{"GET", "PUT"} {
			got := b.do(method, path+"?"+fields(csrf), fields(csrf), "Content-Type", formType, "Authorization", token,
				"X-HTTP-Method-Override", "POST", "X-HTTP-Method", "POST", "X-Method-Override", "POST")
			if method == "GET" && (path == "/contacts" || path == "/contacts/brook-1/delete" || csrf == lib) {
				require.Contains(t, []int{http.StatusOK, http.StatusSeeOther, http.StatusNotFound}, got.status, "a page, which changes nothing: "+path)
				continue
			}
			require.Equal(t, http.StatusMethodNotAllowed, got.status, method+" "+path)
		}
		if csrf == "" {
			continue
		}
		got := b.do("POST", path+"?_method=delete", fields(csrf)+"&_method=delete") // no Content-Type
		require.Contains(t, []int{403, 415}, got.status, path)
		for kind, body := range map[string]string{
			"text/plain": fields(csrf), jsonType: object("csrf_token", csrf, "id", id, "name", "x"),
			"multipart/form-data; boundary=b": "--b\r\nContent-Disposition: form-data; name=\"csrf_token\"\r\n\r\n" + csrf + "\r\n--b--\r\n",
			formType + "2":                    fields(csrf),
		} {
			got := b.do("POST", path, body, "Content-Type", kind)
			require.Equal(t, map[string]int{lib: 415, own: 403}[csrf], got.status, kind+" "+path)
		}
	}
	for _, path := range []string{"/api/login", "/api/login/send", "/api/login/verify", "/api/step-up", "/api/step-up/verify"} {
		for _, kind := range []string{"text/plain", formType, "multipart/form-data", "application/jsonp"} {
			got := b.do("POST", path, object("action", "contacts.export"), "Content-Type", kind, "Authorization", token)
			require.Equal(t, http.StatusUnsupportedMediaType, got.status, kind+" "+path)
		}
		require.Equal(t, http.StatusUnsupportedMediaType, b.do("POST", path, object("action", "contacts.export"), "Authorization", token).status)
	}
	require.Equal(t, before, s.contents())
	require.True(t, b.signedIn())
}

// contents returns the rows of all tables except web_sessions, to compare.
func (s *site) contents() map[string][]string {
	s.t.Helper()
	all := map[string][]string{}
	for _, table := range []string{"accounts", "users", "members", "contacts", "links", "signins", "twofa_records", "twofa_events"} {
		rows, err := s.db.QueryContext(s.t.Context(), "SELECT * FROM "+table+" ORDER BY 1, 2")
		require.NoError(s.t, err)
		columns, err := rows.Columns()
		require.NoError(s.t, err)
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			require.NoError(s.t, rows.Scan(into...))
			all[table] = append(all[table], fmt.Sprint(values...))
		}
		require.NoError(s.t, rows.Err())
		require.NoError(s.t, rows.Close())
	}
	return all
}
