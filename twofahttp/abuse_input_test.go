package twofahttp_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

func TestAbuse_D02_JSONBodies(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, _, _ := h.pending("ada")
	before := h.store.writes()
	for _, body := range []string{`{"code":123456}`, `{"code":null}`, `{"code":["000000","000001"]}`, `{"code":{"$gt":""}}`, `{}`, `{"code":"1","code":"2"}`} {
		require.Equal(t, http.StatusUnsupportedMediaType, b.raw("/2fa/verify", "application/json", body).StatusCode, body)
	}
	require.Equal(t, before, h.store.writes(), "no code was checked")
}

func TestAbuse_D03_ThousandCodesInOneRequest(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	right := phone.next()
	body := "csrf_token=" + b.csrf + "&method=totp"
	for i := range 1000 {
		body += "&code=" + strconv.Itoa(100000+i)
	}
	before := h.store.writes()
	require.Equal(t, 400, b.raw("/2fa/verify", formType, body+"&code="+right).StatusCode)
	require.Equal(t, 400, b.raw("/2fa/verify", formType, "csrf_token="+b.csrf+"&method=totp&method=totp&code="+right).StatusCode)
	require.Equal(t, before, h.store.writes())
	require.Equal(t, 303, b.post("/2fa/verify", "method", "totp", "code", right).StatusCode, "one value is accepted")
}

func TestAbuse_D10_LargeBodies(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, _, _ := h.pending("ada")
	require.Equal(t, 413, b.post("/2fa/verify", "method", "totp", "code", strings.Repeat("1", 1<<20)).StatusCode)
	fields := "csrf_token=" + b.csrf
	for i := range 7000 {
		fields += "&f" + strconv.Itoa(i) + "="
	}
	require.Less(t, len(fields), 64<<10)
	require.Equal(t, 400, b.raw("/2fa/verify", formType, fields).StatusCode)
	require.Equal(t, 415, b.raw("/2fa/verify", "application/json", strings.Repeat("[", 1<<20)).StatusCode)
}

func TestAbuse_D11_ServerDecidesMethod(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	for _, method := range []string{"recovery", "unknown", "", "none", "sms", "email", "browser", "TOTP"} {
		answer := b.post("/2fa/verify", "method", method, "code", phone.next())
		require.GreaterOrEqual(t, answer.StatusCode, 400, method)
		require.False(t, b.signedIn(), method)
	}
}

func TestAbuse_D12_CodeInQuery(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	code := phone.next()
	answer := b.get("/2fa/verify?method=totp&code=" + code)
	require.Equal(t, 405, answer.StatusCode)
	require.Equal(t, "POST", answer.Header.Get("Allow"))
	require.Equal(t, 422, b.post("/2fa/verify?method=totp&code="+code, "method", "totp").StatusCode, "the query is ignored even if there is a form")
	require.NotContains(t, h.logs.String(), code)
	require.False(t, b.signedIn())
}

func TestAbuse_D13_TimeFromClient(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	h.clock.pass(-time.Hour)
	old, then := phone.code(), h.clock.now()
	h.clock.pass(time.Hour)
	b.header.Set("Date", then.Format(http.TimeFormat))
	stamp := strconv.FormatInt(then.Unix(), 10)
	require.Equal(t, 422, b.post("/2fa/verify", "method", "totp", "code", old, "t", stamp, "timestamp", stamp).StatusCode)
}

func TestAbuse_D14_OtherContentTypesAndMethods(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	form := url.Values{"csrf_token": {b.csrf}, "method": {"totp"}, "code": {phone.next()}}.Encode()
	for _, kind := range []string{"", "text/plain", "multipart/form-data; boundary=x", "application/json", "application/x-www-form-urlencoded2"} {
		require.Equal(t, 415, b.raw("/2fa/verify", kind, form).StatusCode, kind)
	}
	b.header.Set("X-HTTP-Method-Override", "POST")
	require.Equal(t, 405, b.get("/2fa/verify?"+form).StatusCode)
	require.Equal(t, 405, b.do(b.request("PUT", "/2fa/verify", form)).StatusCode)
	require.False(t, b.signedIn())
}

func TestAbuse_D15_HeadersBypassNothing(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, _, _ := h.pending("ada")
	for name, value := range map[string]string{"User-Agent": "GoogleHC/1.0", "X-Requested-With": "XMLHttpRequest", "X-Debug": "1",
		"X-Original-Url": "/2fa/style.css", "X-Rewrite-Url": "/login", "X-Forwarded-Prefix": "/2fa/", "Sec-Fetch-Mode": "no-cors"} {
		b.header = http.Header{name: {value}}
		require.False(t, b.signedIn(), name)
	}
	b.header = http.Header{}
	r := b.request("GET", "/contacts", "")
	r.Host = "localhost"
	require.Equal(t, 303, b.do(r).StatusCode)
}

func TestAbuse_C05_RotatedForwardedFor(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b, phone, _ := h.pending("ada")
	b.header.Set("X-Real-Ip", "198.51.100.1")
	status := 0
	for i, wrong := range phone.wrongs(7) {
		b.header.Set("X-Forwarded-For", "198.51.100."+strconv.Itoa(i))
		b.header.Set("Forwarded", "for=198.51.100."+strconv.Itoa(i))
		b.header.Set("True-Client-Ip", "198.51.100."+strconv.Itoa(i))
		status = b.post("/2fa/verify", "method", "totp", "code", wrong).StatusCode
	}
	require.Equal(t, 429, status, "the limit for the account holds")
	for i := range 310 { // recovery codes are locked separately; the wide limit for the address stops all guesses
		b.header.Set("X-Forwarded-For", "198.51."+strconv.Itoa(i/250)+"."+strconv.Itoa(i%250))
		page := b.post("/2fa/verify", "method", "recovery", "code", "0000")
		if strings.Contains(page.Body, "Too many attempts from your network") {
			require.Equal(t, 429, page.StatusCode)
			require.NotEmpty(t, page.Header.Get("Retry-After"))
			return
		}
	}
	require.Fail(t, "the address was never limited")
}

func TestAbuse_C12_ResendWhileLocked(t *testing.T) {
	h := newHost(t, twofa.PolicySMS(), noMail)
	b := h.browser()
	b.login("ada")
	b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41791234567"))
	b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	b.follow(b.post("/2fa/setup/confirm", "code", h.outbox.code()))
	h.clock.pass(2 * time.Hour)
	c := h.browser()
	c.login("ada")
	for range 5 {
		c.post("/2fa/verify", "method", "sms", "code", "x00000")
	}
	n := h.outbox.sentTexts()
	var bodies []string
	for range 3 {
		page := c.post("/2fa/send", "method", "sms")
		require.Equal(t, 429, page.StatusCode)
		bodies = append(bodies, page.Body)
	}
	require.Equal(t, n, h.outbox.sentTexts(), "no text message is sent")
	require.Equal(t, bodies[0], bodies[2])
}

func TestAbuse_C16_GuessedLinkTokens(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.login("ada")
	guess := b.post("/2fa/link", "token", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	require.Equal(t, 422, guess.StatusCode)
	before := h.store.writes()
	limited := 0
	for range 40 {
		if a := b.post("/2fa/link", "token", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"); a.StatusCode == 429 {
			limited++
		} else {
			require.Equal(t, guess.Body, a.Body)
		}
	}
	require.Positive(t, limited)
	require.Equal(t, before, h.store.writes(), "the user's counters are unchanged")
	h.clock.pass(time.Minute)
	require.Equal(t, 303, b.post("/2fa/link", "token", tokenOf(h.outbox.link())).StatusCode)

	c := h.browser()
	c.login("bob")
	token := tokenOf(h.outbox.link())
	c.post("/2fa/link", "token", "no")
	h.clock.pass(time.Minute)
	c.post("/2fa/send", "method", "email") // invalidates the first link
	require.Equal(t, 422, c.post("/2fa/link", "token", token).StatusCode)
	require.Equal(t, stripToken(guess.Body), stripToken(c.post("/2fa/link", "token", token).Body), "an invalidated link looks like a wrong one")
}

func stripToken(body string) string { return tokenPattern.ReplaceAllString(body, "") }
