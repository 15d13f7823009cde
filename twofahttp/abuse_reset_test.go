package twofahttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/twofahttp"
)

// ward is an office that counts the events of each type.
type ward struct {
	*office
	mu     sync.Mutex
	events map[string]int
}

func newWard(t *testing.T) *ward {
	t.Helper()
	w := &ward{events: map[string]int{}}
	w.office = newOffice(t, twofa.PolicyOptional(), func(c *twofa.Config, _ *twofahttp.Config) {
		c.OnEvent = func(_ context.Context, e twofa.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events[e.Type]++
		}
	})
	return w
}

func (w *ward) count(typ string) int { w.mu.Lock(); defer w.mu.Unlock(); return w.events[typ] }

// reset sends the form of the page about a reset.
func (b *browser) reset(id string, pairs ...string) answer {
	b.h.Helper()
	return b.post("/2fa/team/reset", append([]string{"id", id, "reason", "asked in the office"}, pairs...)...)
}

// resets resets a member, with a fresh code.
func (b *browser) resets(id string, phone app) answer {
	b.h.Helper()
	waiting := tab{b, b.reset(id)}
	require.Equal(b.h, 401, waiting.page.StatusCode, waiting.page.Body)
	require.Contains(b.h, waiting.page.Body, english("action.reset"))
	return b.follow(waiting.prove(phone.next()).submit())
}

// lockOut enters wrong codes for a user in an unknown browser.
func (h *host) lockOut(user string, phone app) {
	h.Helper()
	attacker := h.browser()
	attacker.login(user, "account", "acme")
	for _, code := range phone.wrongs(5) {
		require.NotEqual(h, 303, attacker.post("/2fa/verify", "method", "totp", "code", code).StatusCode)
	}
}

// A request of another site, without a token or by GET resets and unlocks nobody.
func TestAbuse_N08_ResetFromAnotherSite(t *testing.T) {
	w := newWard(t)
	b, _ := w.in("adam")
	mia, phone := w.in("mia")
	w.lockOut("mia", phone)
	b.get("/2fa/team/member?id=mia")
	other := mia.get("/2fa/revoke")
	require.Equal(t, 200, other.StatusCode)
	written := w.store.writes()
	for path, form := range map[string]url.Values{
		"/2fa/team/reset":  {"id": {"mia"}, "reason": {"x"}},
		"/2fa/team/unlock": {"id": {"mia"}, "reason": {"x"}, "method": {"totp"}},
	} {
		send := func(token string, edit func(*http.Request)) answer {
			form.Set("csrf_token", token)
			r := b.request("POST", path, form.Encode())
			edit(r)
			return b.do(r)
		}
		require.Equal(t, 403, send(b.csrf, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }).StatusCode, path)
		require.Equal(t, 403, send(b.csrf, func(r *http.Request) {
			r.Header.Del("Sec-Fetch-Site")
			r.Header.Set("Origin", "https://evil.example")
		}).StatusCode, path)
		require.Equal(t, 403, send("", func(r *http.Request) { r.Header.Del("Sec-Fetch-Site") }).StatusCode, path)
		require.Equal(t, 403, send(mia.csrf, func(*http.Request) {}).StatusCode, "%s with the token of another session", path)
		require.Equal(t, 415, send(b.csrf, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }).StatusCode, path)
		for _, method := range []string{"PUT", "PATCH", "DELETE"} {
			require.Equal(t, 405, send(b.csrf, func(r *http.Request) { r.Method = method }).StatusCode, method+path)
		}
	}
	query := "?" + url.Values{"csrf_token": {b.csrf}, "id": {"mia"}, "reason": {"x"}, "method": {"totp"}}.Encode()
	require.Equal(t, 405, b.get("/2fa/team/unlock"+query).StatusCode)
	require.Equal(t, 200, b.get("/2fa/team/reset"+query).StatusCode, "the page with the button")
	require.Equal(t, 200, b.do(b.request("HEAD", "/2fa/team/reset"+query, "")).StatusCode)
	require.Equal(t, written, w.store.writes())
	require.True(t, mia.signedIn())
	require.True(t, w.status("mia").Factors[0].Locked)
}

// What an API key of an owner can send has no session, and so resets nobody.
func TestAbuse_N10_APIKeyOfAnOwner(t *testing.T) {
	w := newWard(t)
	owner, _ := w.in("olga")
	mia, _ := w.in("mia")
	key := w.browser()
	key.header.Set("X-Account", "acme")
	key.header.Set("Authorization", "Bearer key-of-olga")
	written := w.store.writes()
	for name, token := range map[string]string{"none": "", "of the owner's session": owner.csrf} {
		r := key.request("POST", "/2fa/team/reset", url.Values{"csrf_token": {token}, "id": {"mia"}, "reason": {"x"}}.Encode())
		r.Header.Set("Accept", "application/json")
		r.Header.Del("Sec-Fetch-Site")
		require.Equal(t, 403, key.do(r).StatusCode, name)
	}
	key.get("/2fa/revoke")
	a := key.post("/2fa/team/reset", "id", "mia", "reason", "x")
	require.Contains(t, []int{303, 401, 403}, a.StatusCode)
	require.Equal(t, 401, key.api("GET", "/2fa/team/reset?id=mia").StatusCode)
	require.Equal(t, written, w.store.writes())
	require.True(t, mia.signedIn())
}

// Each role resets only those below it. The page of each member says why not, and
// whom to ask instead, and has no button then.
func TestAbuse_N01_WhoResetsWhom(t *testing.T) {
	w := newWard(t)
	adam, adams := w.in("adam")
	olga, olgas := w.in("olga")
	for _, user := range []string{"anna", "mia", "max"} {
		w.in(user)
	}
	w.clock.pass(time.Hour)
	for _, c := range []struct {
		b            *browser
		phone        app
		member, code string
		page         string
	}{
		{adam, adams, "adam", "not_yourself", "page.reset.self"},
		{adam, adams, "anna", "role_too_low", "page.reset.role"},
		{adam, adams, "olga", "role_too_low", "page.reset.support"}, // nobody's role is higher
		{olga, olgas, "olga", "not_yourself", "page.reset.self"},
		{adam, adams, "mia", "", "page.reset.open"},
		{olga, olgas, "anna", "", "page.reset.open"},
	} {
		page := c.b.get("/2fa/team/member?id=" + c.member).Body
		confirm := c.b.get("/2fa/team/reset?id=" + c.member)
		require.Equal(t, 200, confirm.StatusCode)
		require.Contains(t, page, english(c.page), c.member)
		require.Equal(t, c.code == "", strings.Contains(page, `href="/2fa/team/reset?id=`), c.member)
		require.Equal(t, c.code == "", strings.Contains(confirm.Body, `action="/2fa/team/reset"`), c.member)
		if c.code == "" {
			require.Contains(t, c.b.resets(c.member, c.phone).Body, english("message.member_reset.title"), c.member)
			continue
		}
		require.Contains(t, confirm.Body, english(c.page), c.member)
		written := w.store.writes()
		says(t, c.b.reset(c.member), c.code, "")
		require.Equal(t, written, w.store.writes())
	}
	require.Equal(t, 2, w.count(event.Reset))

	// The role is asked for when the form arrives, and so is the policy.
	adam.get("/2fa/team/reset?id=max")
	w.become("adam", twofa.RoleMember)
	says(t, adam.reset("max"), "role_too_low", "")
	w.become("adam", twofa.RoleAdmin)
	for reset, says := range map[twofa.Role]string{twofa.RoleOwner: "page.reset.role", twofa.RoleSupport: "page.reset.support"} {
		p := twofa.PolicyOptional()
		p.Reset = reset
		w.require(p)
		page := adam.get("/2fa/team/member?id=max").Body
		require.Contains(t, page, english(says))
		require.NotContains(t, page, `href="/2fa/team/reset`)
		require.Equal(t, 403, adam.reset("max").StatusCode)
	}
	require.Equal(t, 2, w.count(event.Reset))
}

// An admin who was reset sees no page of the team for a day.
func TestAbuse_N01_N07_ResetAdminSeesNoTeam(t *testing.T) {
	w := newWard(t)
	olga, phone := w.in("olga")
	w.in("adam")
	w.in("mia")
	olga.resets("adam", phone)
	adam := w.browser()
	adam.login("adam", "account", "acme")
	adam.get("/2fa/setup?start=1")
	adam.post("/2fa/setup", "method", "totp") // a link comes first
	link, err := url.Parse(w.outbox.link())
	require.NoError(t, err)
	adam.get(link.RequestURI())
	adam.follow(adam.post("/2fa/link", "token", link.Query().Get("token")))
	own := w.scan(adam.follow(adam.post("/2fa/setup", "method", "totp")).Body)
	adam.follow(adam.post("/2fa/setup/confirm", "code", own.code()))
	adam.follow(adam.post("/2fa/setup/saved", "saved", "yes"))
	require.True(t, adam.signedIn())
	for _, path := range []string{"/2fa/team", "/2fa/team/member?id=mia", "/2fa/team/reset?id=mia"} {
		page := adam.get(path)
		says(t, page, "reset_recently", "")
		require.NotContains(t, page.Body, "Mia")
	}
	says(t, adam.reset("mia"), "reset_recently", "")
	w.clock.pass(24 * time.Hour)
	adam = w.browser()
	adam.login("adam", "account", "acme")
	adam.prove(own)
	require.Contains(t, adam.get("/2fa/team/member?id=mia").Body, english("page.reset.open"))
}

// Who belongs to another account as well, or cannot be mailed, is for support. The
// page leads there, and does not say why.
func TestAbuse_N02_OnlySupport(t *testing.T) {
	w := newWard(t)
	b, _ := w.in("adam")
	mia, phone := w.in("mia")
	w.lockOut("mia", phone)
	require.Contains(t, b.get("/2fa/team/member?id=mia").Body, english("page.member.unlock.totp"))
	w.join("mia", "beta", "")
	written := w.store.writes()
	for _, path := range []string{"/2fa/team/member?id=mia", "/2fa/team/reset?id=mia"} {
		page := b.get(path)
		require.Equal(t, 200, page.StatusCode)
		require.Contains(t, page.Body, english("page.reset.support"))
		require.NotContains(t, page.Body, "beta")
		require.NotContains(t, page.Body, `action="/2fa/team/reset"`)
		require.NotContains(t, page.Body, `action="/2fa/team/unlock"`)
	}
	says(t, b.reset("mia"), "only_support_resets", "")
	says(t, b.unlock("mia"), "only_support_unlocks", "")
	var answers []string
	for _, id := range []string{"bert", "nobody", "", strings.Repeat("x", 300), "a\u202eb"} {
		answers = append(answers, fmt.Sprint(b.get("/2fa/team/reset?id="+url.QueryEscape(id)).StatusCode, b.reset(id).StatusCode, b.unlock(id).StatusCode))
	}
	require.Equal(t, []string{"404 404 404"}, slices.Compact(answers))
	require.Equal(t, written, w.store.writes())
	require.True(t, mia.signedIn())
}

// unlock sends the form that unlocks the authenticator of a member.
func (b *browser) unlock(id string, pairs ...string) answer {
	b.h.Helper()
	return b.post("/2fa/team/unlock", append([]string{"id", id, "method", "totp", "reason", "has the phone"}, pairs...)...)
}

// A reset needs a fresh proof of its own, which another act does not give. A
// program is told what is missing, and a form that is canceled resets nobody.
func TestAbuse_N03_ResetNeedsAFreshProof(t *testing.T) {
	w := newWard(t)
	b, phone := w.in("adam")
	mia, _ := w.in("mia")
	w.in("max")
	require.Equal(t, 303, b.extend("mia", "2026-03-09", "on leave").StatusCode, "the proof of the enrollment counts for that")
	r := b.request("POST", "/2fa/team/reset", url.Values{"csrf_token": {b.csrf}, "id": {"mia"}, "reason": {"x"}}.Encode())
	r.Header.Set("Accept", "application/json")
	a := b.do(r)
	require.Equal(t, 401, a.StatusCode)
	require.Equal(t, "proof_missing", problemCode(t, a))
	require.Contains(t, a.Body, `"action":"reset"`)

	waiting := tab{b, b.reset("mia")}
	require.Equal(t, "/2fa/team/reset?id=mia", waiting.post("/2fa/cancel").page.Header.Get("Location"))
	wrong := tab{b, b.reset("mia")}.prove(phone.wrong())
	require.Equal(t, 422, wrong.page.StatusCode)
	require.NotEmpty(t, wrong.held(), "a wrong code does not lose the form")
	require.True(t, mia.signedIn())
	require.Zero(t, w.count(event.Reset))

	done := wrong.prove(phone.next())
	first := done.submit()
	require.Equal(t, "/2fa/team/member?id=mia", first.Header.Get("Location"))
	require.NotEqual(t, 303, done.submit().StatusCode, "the same form again")
	require.Equal(t, 401, b.reset("max").StatusCode, "the proof is used up")
	require.Equal(t, 1, w.count(event.Reset))
	events, err := w.store.Events(t.Context(), twofa.EventQuery{User: "mia", Limit: 1})
	require.NoError(t, err)
	require.Equal(t, []string{event.Reset, "asked in the office", "adam", "admin"}, []string{events.Events[0].Type, events.Events[0].Reason, events.Events[0].Actor.ID, events.Events[0].Actor.Role})
}

// After a reset nothing of the member works, and no answer to the admin has
// anything with which to sign in as the member.
func TestAbuse_N04_N05_AfterTheReset(t *testing.T) {
	w := newWard(t)
	b, phone := w.in("adam")
	mia := w.browser()
	own, codes := mia.enroll("mia", "account", "acme")
	half := w.browser()
	half.login("mia", "account", "acme")
	mails := len(w.outbox.mails)
	page := b.resets("mia", phone)
	require.Contains(t, page.Body, english("message.member_reset.title"))
	for _, body := range []string{page.Body, b.get("/2fa/team/reset?id=mia").Body, b.get("/2fa/team/member?id=mia").Body} {
		for _, secret := range append(slices.Clone(codes), own.key, "otpauth", "/2fa/link", "token=") {
			require.NotContains(t, body, secret)
		}
	}
	require.Contains(t, page.Body, english("page.reset.none"))
	for _, mail := range w.outbox.mails[mails:] {
		require.NotContains(t, mail.Text.Reveal(), "/2fa/link", mail.To)
	}

	require.False(t, mia.signedIn())
	require.Equal(t, 410, half.post("/2fa/verify", "method", "totp", "code", own.next()).StatusCode, "a challenge from before")
	for method, code := range map[string]string{"totp": own.next(), "recovery": codes[0]} {
		again := w.browser()
		login := again.login("mia", "account", "acme")
		require.NotContains(t, login.Body, english("page.challenge.totp", "issuer", templateBDI("Acme")), method)
		require.NotEqual(t, 303, again.post("/2fa/verify", "method", method, "code", code).StatusCode, method)
	}
}

// One admin cannot reset many members in a minute, because each reset takes a code
// of its own and there is a new code only every 30 seconds.
func TestAbuse_N09_TwoHundredResetsInAMinute(t *testing.T) {
	w := newWard(t)
	w.hire(200)
	b, phone := w.in("adam")
	w.clock.pass(time.Hour)
	b.get("/2fa/team")
	for i := range 200 {
		w.clock.pass(300 * time.Millisecond)
		waiting := tab{b, b.reset(fmt.Sprintf("member-%05d", i))}
		if waiting.page.StatusCode != 401 || waiting.held() == "" {
			continue
		}
		if proven := waiting.prove(phone.code()); strings.Contains(proven.page.Body, "data-submit") {
			proven.submit()
		}
	}
	require.Positive(t, w.count(event.Reset))
	require.LessOrEqual(t, w.count(event.Reset), 3)
}
