package twofahttp_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

func mailsCodes(c *twofa.Config, _ *twofahttp.Config) { c.Mail.CodeBesideLink = true }

// mailedCode returns the code in the newest mail, or an empty string.
func (h *host) mailedCode() string {
	h.outbox.mu.Lock()
	defer h.outbox.mu.Unlock()
	return regexp.MustCompile(`(?m)^\d{6}$`).FindString(h.outbox.mails[len(h.outbox.mails)-1].Text.Reveal())
}

func TestMailCode_IsTypedInTheFirstBrowser(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink(), mailsCodes)
	b, phone := h.browser(), h.browser()
	b.login("ada")
	page := b.get("/2fa/challenge").Body
	require.Contains(t, page, english("page.challenge.code.digits", "digits", 6)+"</label>")
	require.Contains(t, page, `inputmode="numeric" autocomplete="one-time-code"`)
	require.NotContains(t, page, "data-webotp", "which is for text messages")
	require.Contains(t, page, "data-poll", "the page still waits for the link")
	require.NotContains(t, page, h.mailedCode())
	require.Contains(t, phone.get(h.mailed()).Body, english("page.link.elsewhere.code"))
	require.Equal(t, 303, b.post("/2fa/verify", "method", "email", "code", h.mailedCode()).StatusCode)
	require.True(t, b.signedIn())
	require.False(t, phone.signedIn())
}

func TestAbuse_I22_PageWhileMailedCodesAreLocked(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink(), mailsCodes)
	b := h.browser()
	b.login("ada")
	wrong := func(n int) string { return []string{"000001", "000002", "000003", "000004", "000005", "000006"}[n] }
	for i := range 5 {
		page := b.post("/2fa/verify", "method", "email", "code", wrong(i))
		require.Equal(t, 422, page.StatusCode)
		if i < 4 {
			require.Contains(t, page.Body, english("message.invalid_code.email.text"))
			require.Contains(t, page.Body, `aria-invalid="true"`)
			continue
		}
		require.Contains(t, page.Body, english("message.locked.email.title"))
		require.Contains(t, page.Body, "We accept codes from an email again in 1 minute.")
		require.NotContains(t, page.Body, `name="code"`)
		require.Contains(t, page.Body, "data-poll", "the link still works")
	}
	page := b.post("/2fa/verify", "method", "email", "code", wrong(5))
	require.Equal(t, 429, page.StatusCode)
	require.Contains(t, page.Body, "We accept codes from an email again in 1 minute.")
	require.Contains(t, page.Body, "data-poll")
	require.NotContains(t, b.get("/2fa/challenge").Body, `name="code"`)

	h.clock.pass(time.Minute)
	b.post("/2fa/verify", "method", "email", "code", wrong(5)) // locks codes for two minutes
	require.Equal(t, 303, b.post("/2fa/send", "method", "email").StatusCode)
	require.Empty(t, h.mailedCode())
	require.NotContains(t, b.get("/2fa/challenge").Body, `name="code"`)
	require.Equal(t, 303, b.post("/2fa/link", "token", tokenOf(h.mailed())).StatusCode)
	require.True(t, b.signedIn())
}

func TestAbuse_I28_PageOfAServerWithoutMailedCodes(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink())
	b := h.browser()
	b.login("ada")
	require.Empty(t, h.mailedCode())
	require.NotContains(t, b.get("/2fa/challenge").Body, `name="code"`)
	require.NotContains(t, h.browser().get(h.mailed()).Body, english("page.link.elsewhere.code"))
	before := h.store.writes()
	require.Equal(t, 422, b.post("/2fa/verify", "method", "email", "code", "123456").StatusCode)
	require.Equal(t, before, h.store.writes())
	require.False(t, b.signedIn())
	require.Equal(t, 303, b.post("/2fa/link", "token", tokenOf(h.mailed())).StatusCode)
}

// A client that is no browser gets problem documents with the same codes as for
// other methods.
func TestMailCode_JSON(t *testing.T) {
	h := newHost(t, twofa.PolicyEmailLink(), mailsCodes)
	b := h.browser()
	b.login("ada")
	right := h.mailedCode()
	send := func(code string) answer {
		r := b.request("POST", "/2fa/verify", url.Values{"csrf_token": {b.csrf}, "method": {"email"}, "code": {code}}.Encode())
		r.Header.Set("Accept", "application/json")
		return b.do(r)
	}
	for _, c := range [][2]string{{"000001", "invalid_code"}, {"1", "malformed_code"}} {
		code, want := c[0], c[1]
		problem := send(code)
		require.Equal(t, 422, problem.StatusCode)
		require.Contains(t, problem.Body, `"code":"`+want+`"`)
		require.Equal(t, want == "invalid_code", strings.Contains(problem.Body, `"attempts_left":4`))
	}
	require.Equal(t, 303, send(right).StatusCode)
	require.True(t, b.signedIn())
}
