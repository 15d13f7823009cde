package twofahttp_test

import (
	"html/template"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/twofahttp"
)

// english returns the text of an ID as pages show it.
func english(id string, pairs ...any) string {
	args := locale.Args{}
	for i := 0; i < len(pairs); i += 2 {
		args[pairs[i].(string)] = pairs[i+1]
	}
	return string(locale.English().HTML(id, args))
}

func withRemember(p twofa.Policy) twofa.Policy {
	p.Remember = 30 * 24 * time.Hour
	return p
}

// Each change has a page that says what it means. The page changes nothing, and
// its form does.
func TestChange_Pages(t *testing.T) {
	h := newHost(t, withRemember(twofa.PolicyOptional()))
	b := h.browser()
	b.enroll("ada")
	page := b.get("/2fa/").Body
	factor, browser := idPattern.FindStringSubmatch(page)[1], b.browserID()
	app, firefox := english("factor.totp"), "Firefox on Linux"
	for path, want := range map[string][]string{
		"factors/rename?id=" + factor:   {english("page.change.rename.title", "name", app), english("page.change.rename.button")},
		"factors/remove?id=" + factor:   {english("page.change.remove.title", "name", app), english("page.change.remove.last"), english("page.change.remove.codes.last"), english("page.change.remove.button.totp"), english("page.change.keep")},
		"browsers/forget?id=" + browser: {english("page.change.forget.title", "browser", firefox), english("page.change.forget.current"), english("page.change.forget.button")},
		"browsers/forget-all":           {english("page.change.forget_all.title"), english("page.change.forget_all.button")},
		"codes/new":                     {english("page.change.codes.title"), english("page.change.codes.old", "count", 10), english("page.change.codes.until"), english("page.change.codes.button")},
		"revoke":                        {english("page.change.out.title"), english("page.change.out.left"), english("page.change.out.button"), english("page.change.out.keep")},
	} {
		before := h.store.writes()
		a := b.get("/2fa/" + path)
		require.Equal(t, 200, a.StatusCode, path)
		for _, text := range want {
			require.Contains(t, a.Body, text, path)
		}
		action, _, _ := strings.Cut(path, "?")
		require.Contains(t, a.Body, `<form method="post" action="/2fa/`+action+`">`, path)
		require.Equal(t, before, h.store.writes(), path)
	}
	require.Equal(t, page, b.get("/2fa/").Body, "nothing has changed")
}

// A link to something that is gone leads to the settings, which say so.
func TestChange_Gone(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.enroll("ada")
	for _, path := range []string{"factors/rename", "factors/remove?id=gone", "browsers/forget?id=gone"} {
		page := b.get("/2fa/" + path)
		says(t, page, "not_enrolled", "")
		require.Contains(t, page.Body, english("page.settings.codes.title"), path)
	}
	other := h.browser()
	other.login("bob")
	says(t, other.get("/2fa/codes/new"), "not_enrolled", "")
}

// A factor that cannot be removed has no page for it.
func TestChange_NotRemovable(t *testing.T) {
	h := newHost(t, twofa.Policy{TurnOff: twofa.TurnOffByAdmin})
	b := h.browser()
	b.enroll("ada")
	page := b.get("/2fa/").Body
	require.Contains(t, page, english("page.settings.lead.admin"))
	require.NotContains(t, page, "factors/remove")
	says(t, b.get("/2fa/factors/remove?id="+idPattern.FindStringSubmatch(page)[1]), "not_allowed", "")
}

// The proof comes before the page of the change, and the user returns to it.
func TestChange_ProofComesFirst(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	phone, _ := b.enroll("ada")
	id := idPattern.FindStringSubmatch(b.get("/2fa/").Body)[1]
	for path, title := range map[string]string{
		"factors/rename?id=" + id: english("page.change.rename.title", "name", english("factor.totp")),
		"factors/remove?id=" + id: english("page.change.remove.title", "name", english("factor.totp")),
		"codes/new":               english("page.change.codes.title"),
	} {
		h.clock.pass(staleProof)
		a := b.get("/2fa/" + path)
		require.Equal(t, 303, a.StatusCode, path)
		require.Contains(t, a.Header.Get("Location"), "/2fa/confirm?", path)
		b.follow(a)
		require.Contains(t, b.prove(phone).Body, title, path)

		h.clock.pass(staleProof)
		action, query, _ := strings.Cut(path, "?")
		pairs := []string{"name", "x"}
		if query != "" {
			pairs = append(pairs, "id", id)
		}
		b.follow(b.post("/2fa/"+action, pairs...))
		require.Contains(t, b.prove(phone).Body, title, "the proof became too old on the page: "+path)
	}
}

// Single-use proofs are used up by the form, not by the page.
func TestChange_SingleUseProof(t *testing.T) {
	p := twofa.PolicyOptional()
	p.Actions = map[string]twofa.ActionRule{twofa.ActionFactors: {}}
	h := newHost(t, p)
	b := h.browser()
	phone, _ := b.enroll("ada")
	id := idPattern.FindStringSubmatch(b.get("/2fa/").Body)[1]
	h.clock.pass(time.Minute)
	b.follow(b.get("/2fa/factors/rename?id=" + id))
	b.prove(phone)
	require.Equal(t, 200, b.get("/2fa/factors/rename?id="+id).StatusCode, "the page can be loaded again")
	require.Contains(t, b.follow(b.post("/2fa/factors/rename", "id", id, "name", "Tablet")).Body, "<bdi>Tablet</bdi>")
	require.Equal(t, 303, b.get("/2fa/factors/rename?id="+id).StatusCode, "the form has used it up")
}

// What stays after a factor is removed, in words and in fact.
func TestChange_RemoveOneOfTwo(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.enroll("ada")
	first := idPattern.FindStringSubmatch(b.get("/2fa/").Body)[1]
	b.get("/2fa/setup?start=1&method=totp")
	tablet := h.scan(b.follow(b.post("/2fa/setup", "method", "totp", "name", "<i>Tablet")).Body)
	b.follow(b.post("/2fa/setup/confirm", "code", tablet.code()))
	page := b.get("/2fa/factors/remove?id=" + first).Body
	require.Contains(t, page, english("page.change.remove.left", "name", template.HTML("<bdi>&lt;i&gt;Tablet</bdi>")))
	require.Contains(t, page, english("page.change.remove.codes.left"))
	require.NotContains(t, page, english("page.change.remove.last"))
	require.NotContains(t, page, "<i>Tablet")
	page = b.follow(b.post("/2fa/factors/remove", "id", first)).Body
	require.Contains(t, page, english("message.removed.title"))
	require.Contains(t, page, onBadge)
	require.Contains(t, page, english("page.settings.codes.left", "count", 10, "total", 10))

	last := idPattern.FindStringSubmatch(page)[1]
	h.clock.pass(time.Minute)
	b.follow(b.get("/2fa/factors/remove?id=" + last))
	require.Contains(t, b.prove(tablet).Body, english("page.change.remove.last"))
	page = b.follow(b.post("/2fa/factors/remove", "id", last)).Body
	require.Contains(t, page, english("message.turned_off.title"))
	require.Contains(t, page, english("page.settings.lead.off"))
	require.NotContains(t, page, english("page.settings.codes.title"))
}

// An enrollment that is not finished is announced without being an error, and
// says what is missing.
func TestSettings_PendingEnrollment(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	b := h.browser()
	b.login("ada")
	require.NotContains(t, b.get("/2fa/").Body, `id="pending"`)
	phone := h.scan(b.follow(b.post("/2fa/setup", "method", "totp", "name", "Work phone")).Body)
	page := b.get("/2fa/").Body
	require.Contains(t, page, english("page.settings.pending.named", "name", template.HTML("<bdi>Work phone</bdi>")))
	require.Contains(t, page, english("page.settings.pending.text"))
	require.Contains(t, page, english("page.settings.lead.off"), "nothing has changed yet")
	require.Equal(t, 1, strings.Count(page, "btn-primary"))
	b.follow(b.post("/2fa/setup/confirm", "code", phone.code()))
	require.Contains(t, b.get("/2fa/").Body, english("page.settings.pending.save"))
	b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	b.follow(b.post("/2fa/codes/new"))
	page = b.get("/2fa/").Body
	require.Contains(t, page, english("page.settings.pending.codes.title"))
	require.Contains(t, page, english("page.settings.codes.left", "count", 10, "total", 10))
}

// No page of the settings has two primary buttons, and none has a form that
// deletes at the first click.
func TestSettings_NothingDestructiveAtOnce(t *testing.T) {
	h := newHost(t, withRemember(twofa.PolicyOptional()), func(c *twofa.Config, _ *twofahttp.Config) { c.Recovery.Viewable = true })
	b := h.browser()
	b.enroll("ada")
	page := b.get("/2fa/").Body
	require.NotContains(t, page, "btn-primary")
	for _, path := range []string{"factors/remove", "factors/rename", "browsers/forget", "browsers/forget-all", "codes/new", "revoke"} {
		require.NotContains(t, page, `action="/2fa/`+path, path)
	}
}
