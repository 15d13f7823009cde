package twofahttp_test

import (
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// A policy is saved only as it was previewed: by this session, in this browser and
// account, in the last 30 minutes.
func TestAbuse_M05_PolicyIsSavedFromItsPreviewOnly(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, phone := h.admin("olga")
	preview := b.preview("remember", "10")
	form := formOn(t, preview.Body, "/2fa/policy", `name="reason"`)
	sealed := form.Get("previewed")
	require.NotEmpty(t, sealed)

	other, _ := h.admin("adam")
	foreign := formOn(t, other.preview("remember", "33").Body, "/2fa/policy", `name="reason"`).Get("previewed")
	again := h.browser()
	again.login("olga", "account", "acme")
	again.prove(phone)
	require.NotContains(t, again.get("/2fa/policy").Body, english("page.policy.first.title"))
	secondSession := formOn(t, again.preview("remember", "34").Body, "/2fa/policy", `name="reason"`).Get("previewed")

	before := h.store.writes()
	tampered := sealed[:len(sealed)-5] + map[bool]string{true: "A", false: "B"}[sealed[len(sealed)-5] == 'B'] + sealed[len(sealed)-4:]
	for name, text := range map[string]string{"none": "", "the policy itself": form.Get("base"), "tampered": tampered, "cut": sealed[:len(sealed)-1], "foreign": foreign, "of another session": secondSession,
		"a challenge": b.cookie("__Host-twofa-browser")} {
		a := b.submit("/2fa/policy", form, "previewed", text)
		says(t, a, "preview_again", "")
		require.Contains(t, a.Body, `required value="10"`, "%s: the values are kept", name)
	}
	require.Equal(t, 409, b.submit("/2fa/policy", form, "previewed", "-").StatusCode)
	require.Equal(t, before, h.store.writes())
	require.True(t, h.inForce().Default)

	// The fields of the form decide nothing.
	require.Equal(t, 303, b.submit("/2fa/policy", form, "base", `{"remember":7776000}`, "remember", "90", "version", "x").StatusCode)
	require.Equal(t, 10*aDay, h.inForce().Policy.Remember)
}

func TestAbuse_M05_OldPreviewIsRefused(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, phone := h.admin("olga")
	preview := b.preview("remember", "10")
	h.clock.pass(30*time.Minute + time.Second)
	says(t, b.save(preview), "preview_again", "")
	require.True(t, h.inForce().Default)
	preview = b.preview("remember", "10")
	h.clock.pass(29 * time.Minute)
	require.Equal(t, 401, b.save(preview).StatusCode, "in time, but the proof is old")
	b.prove(phone)
	require.Equal(t, 303, b.save(preview).StatusCode)

	edit := formOn(t, preview.Body, "/2fa/policy/preview", `name="edit"`)
	h.clock.pass(2 * time.Minute)
	says(t, b.submit("/2fa/policy/preview", edit), "preview_again", "")
}

// A preview is worth nothing after the session has ended, or in another account.
func TestAbuse_M05_E14_PreviewEndsWithTheSession(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks, func(_ *twofa.Config, wc *twofahttp.Config) {
		wc.Account = accountOfQuery
	})
	b, _ := h.admin("olga")
	preview := b.preview("remember", "10")
	form := formOn(t, preview.Body, "/2fa/policy", `name="reason"`)
	require.Equal(t, 403, b.submit("/2fa/policy?account=beta", form).StatusCode, "olga is an owner of beta, too, but the form names acme")
	require.Equal(t, 403, b.submit("/2fa/policy/preview?account=beta", formOn(t, preview.Body, "/2fa/policy/preview", `name="edit"`)).StatusCode)
	form.Del("account")
	require.Equal(t, 409, b.submit("/2fa/policy?account=beta", form).StatusCode, "nor is the preview of beta")
	info, err := h.m.Account(twofa.AsHost("test"), "beta").Policy(t.Context())
	require.NoError(t, err)
	require.True(t, info.Default)

	b.follow(b.post("/2fa/revoke"))
	a := b.submit("/2fa/policy", form)
	require.NotEqual(t, 303, a.StatusCode, a.Header.Get("Location"))
	require.True(t, h.inForce().Default)
}

// The right code ends in the saved policy: the form waits for it.
func TestPolicy_StepUpEndsInTheSavedPolicy(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, phone := h.admin("olga")
	h.clock.pass(6 * time.Minute)
	a := b.save(b.preview("remember", "10"), "reason", "laptops")
	require.Equal(t, 401, a.StatusCode)
	require.Contains(t, a.Body, english("page.challenge.title.action"))
	require.True(t, h.inForce().Default)
	held := formOn(t, a.Body, "/2fa/verify", "held")
	page := b.submit("/2fa/verify", held, "code", phone.next())
	require.Contains(t, page.Body, english("page.resubmit.title"))
	saved := b.follow(b.submit("/2fa/policy", formOn(t, page.Body, "/2fa/policy", "previewed")))
	says(t, saved, "policy_saved", "")
	require.Equal(t, 10*aDay, h.inForce().Policy.Remember)
}

// A change that the admin has not seen is never overwritten. The page says who
// made it and previews the admin's own values again.
func TestAbuse_M11_StaleVersionLeadsToANewPreview(t *testing.T) {
	h := hostWithTeam(t, twofa.Policy{Weaken: twofa.RoleAdmin}, clerks)
	olga, _ := h.admin("olga")
	adam, _ := h.admin("adam")
	page := olga.get("/2fa/policy")
	form := formOn(t, page.Body, "/2fa/policy/preview", `name="version"`)
	preview := olga.submit("/2fa/policy/preview", form, "remember", "10")
	require.Equal(t, 303, adam.save(adam.preview("grace", "7")).StatusCode)

	stale := olga.save(preview, "reason", "as agreed")
	says(t, stale, "policy_changed", "")
	require.Contains(t, stale.Body, "<bdi>adam@example.com</bdi>")
	require.Contains(t, stale.Body, english("page.preview.before", "value", english("page.policy.days", "count", 7)), "saving would take that back")
	require.Contains(t, stale.Body, english("page.policy.days", "count", 10), "own value")
	require.Contains(t, stale.Body, `value="as agreed"`)
	require.Equal(t, 7*aDay, h.inForce().Policy.Grace)

	// A form that was opened before is stale as well, and keeps what was typed.
	stale = olga.submit("/2fa/policy/preview", form, "remember", "11")
	says(t, stale, "policy_changed", "")
	require.Contains(t, stale.Body, "<bdi>adam@example.com</bdi>")
	require.Contains(t, stale.Body, `required value="11"`)
	both := olga.submit("/2fa/policy/preview", form, "grace", "-3")
	require.Equal(t, 409, both.StatusCode)
	require.Contains(t, both.Body, english("message.policy_changed.title"))
	require.Contains(t, both.Body, english("message.invalid_grace.text"), "a mistake is shown as well")
	require.Contains(t, both.Body, "<bdi>adam@example.com</bdi>")
	preview = olga.submit("/2fa/policy/preview", formOn(t, stale.Body, "/2fa/policy/preview", `name="version"`))
	require.Equal(t, 303, olga.save(preview).StatusCode)
	require.Equal(t, 11*aDay, h.inForce().Policy.Remember)
	require.Zero(t, h.inForce().Policy.Grace, "as the preview said")
}

// An admin is told that only an owner can make the policy weaker, before and after
// trying.
func TestAbuse_M11_WeakerPolicyNeedsAnOwner(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	adam, _ := h.admin("adam")
	preview := adam.preview("remember", "10")
	require.Contains(t, preview.Body, english("page.preview.weaker"))
	require.Contains(t, preview.Body, english("page.preview.owner"))
	refused := adam.save(preview)
	says(t, refused, "weaker_policy", "")
	require.Contains(t, refused.Body, `href="/2fa/policy"`)
	require.True(t, h.inForce().Default)

	preview = adam.preview("turn_off", "admin")
	require.Contains(t, preview.Body, english("page.preview.stricter"))
	require.NotContains(t, preview.Body, english("page.preview.owner"))
	require.Equal(t, 303, adam.save(preview).StatusCode)
	require.Equal(t, twofa.TurnOffByAdmin, h.inForce().Policy.TurnOff)

	// A demotion between the page and the button counts.
	preview = adam.preview("turn_off", "support")
	for i := range clerks {
		if clerks[i].id == "adam" {
			clerks[i].role = twofa.RoleMember
			defer func() { clerks[i].role = twofa.RoleAdmin }()
		}
	}
	says(t, adam.save(preview), "role_too_low", "")
}

func TestPolicy_Reason(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("olga")
	preview := b.preview("remember", "10")
	for name, reason := range map[string]string{"control": "a\u0007b", "line break": "a\nb", "bidi": "a\u202eb", "long": strings.Repeat("x", 161), "not UTF-8": "a\xff", "bytes": strings.Repeat("😀", 130)} {
		a := b.save(preview, "reason", reason)
		require.Equal(t, 422, a.StatusCode, name)
		require.Contains(t, a.Body, english("message.invalid_reason.text"), name)
		require.Contains(t, a.Body, `aria-describedby="reason-hint alert"`, name)
	}
	require.True(t, h.inForce().Default)
	require.Equal(t, 303, b.save(preview, "reason", strings.Repeat("ä", 160)).StatusCode)
}

// The reset of a member is an action of the library like the others: it has a title
// in each language, which the host can replace, and it is not on the policy form,
// because no rule can change it. Cancel leads back to the page of the member.
func TestPolicy_ResetIsBuiltIn(t *testing.T) {
	titled := func(_ *twofa.Config, wc *twofahttp.Config) {
		wc.Actions[twofa.ActionReset] = twofahttp.Action{Title: "Help a colleague", Page: "/help"}
	}
	for title, tune := range map[string]func(*twofa.Config, *twofahttp.Config){english("action.reset"): func(*twofa.Config, *twofahttp.Config) {}, "Help a colleague": titled} {
		h := hostWithTeam(t, twofa.PolicyOptional(), clerks, tune)
		b, _ := h.admin("adam")
		page := b.get("/2fa/policy")
		require.Equal(t, 200, page.StatusCode)
		require.NotContains(t, page.Body, `"age:reset"`)
		require.Contains(t, page.Body, `"age:policy"`)
		fields := h.web.PolicyTexts(twofa.Policy{Actions: map[string]twofa.ActionRule{twofa.ActionReset: {}}})
		require.NotContains(t, fields, "methods:reset")
		require.Empty(t, h.web.DifferenceTexts(twofa.Policy{}, twofa.Policy{Actions: map[string]twofa.ActionRule{twofa.ActionReset: {Methods: []twofa.Method{twofa.TOTP}}}}))
		h.clock.pass(6 * time.Minute)
		challenge := b.follow(b.get("/2fa/confirm?action=reset&next=/2fa/team/member%3Fid%3Dmia"))
		require.Contains(t, challenge.Body, title)
		require.Equal(t, "/2fa/team/member?id=mia", b.post("/2fa/cancel").Header.Get("Location"))
	}
}

// A request looks at 1,000 members, and the next one goes on.
func TestPreview_ManyMembers(t *testing.T) {
	members := []clerk{{"olga", twofa.RoleOwner}}
	for i := range 2400 {
		members = append(members, clerk{fmt.Sprintf("user%04d", i), ""})
	}
	h := hostWithTeam(t, twofa.PolicyOptional(), members)
	b, _ := h.admin("olga")
	page := b.preview("require", "authenticator")
	require.Contains(t, page.Body, english("page.preview.looked.some", "count", 1000))
	require.Contains(t, page.Body, "<b>999</b>", "all except olga must enroll at once")
	optional := b.preview("remember", "10")
	require.Contains(t, optional.Body, english("page.preview.looked.some", "count", 1000))
	require.NotContains(t, optional.Body, english("page.preview.now.none"), "nobody knows yet")
	for range 2 {
		optional = b.submit("/2fa/policy/preview", formOn(t, optional.Body, "/2fa/policy/preview", `name="counts"`))
	}
	require.Contains(t, optional.Body, english("page.preview.looked.all", "count", 2401))
	require.Contains(t, optional.Body, english("page.preview.now.none"))
	next := formOn(t, page.Body, "/2fa/policy/preview", `name="counts"`)
	for _, counts := range []string{"", "1000", "1000.1.0.999.0.0.0", "-1.1.0.999.0.0.0.0", "1000.1.0.998.0.0.0.0", "1000.1.0.999.0.0.9.1", "x.1.0.999.0.0.0.0"} {
		require.Equal(t, 400, b.submit("/2fa/policy/preview", next, "counts", counts).StatusCode, counts)
	}
	page = b.submit("/2fa/policy/preview", next)
	require.Contains(t, page.Body, english("page.preview.looked.some", "count", 2000))
	require.Contains(t, page.Body, "<b>1999</b>")
	require.NotContains(t, page.Body, "user0001@")
	page = b.submit("/2fa/policy/preview", formOn(t, page.Body, "/2fa/policy/preview", `name="counts"`))
	require.Contains(t, page.Body, english("page.preview.looked.all", "count", 2401))
	require.Contains(t, page.Body, "<b>2400</b>")

	require.NoError(t, h.m.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.Policy{TurnOff: twofa.TurnOffByAdmin}, ""))
	stale := b.submit("/2fa/policy/preview", next)
	says(t, stale, "policy_changed", "")
	require.Contains(t, stale.Body, english("page.preview.looked.some", "count", 1000), "counts from the start, because other members may be affected")
	says(t, b.save(page), "policy_changed", "")
	require.Equal(t, 303, b.submit("/2fa/policy", formOn(t, stale.Body, "/2fa/policy", `name="reason"`)).StatusCode)
	require.True(t, h.inForce().Policy.Required)
}

// A list of the host that fails, or returns too many, is refused.
func TestPreview_ListFails(t *testing.T) {
	var answer func(twofahttp.TeamQuery) (twofahttp.TeamPage, error)
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks, func(_ *twofa.Config, wc *twofahttp.Config) {
		wc.Team = teamOf(&answer)
	})
	b, _ := h.admin("olga")
	answer = func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
		return twofahttp.TeamPage{}, fmt.Errorf("hunter2")
	}
	page := b.preview("remember", "10")
	says(t, page, "members_unavailable", "")
	require.NotContains(t, page.Body, "hunter2")
	answer = func(q twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
		return twofahttp.TeamPage{Members: make([]twofahttp.TeamMember, q.Limit+1)}, nil
	}
	says(t, b.preview("remember", "10"), "members_unavailable", "")
	calls := 0
	answer = func(q twofahttp.TeamQuery) (twofahttp.TeamPage, error) { // never ends, and names others twice
		calls++
		return twofahttp.TeamPage{Members: []twofahttp.TeamMember{{ID: "olga"}, {ID: "mia", Name: "a\u202eb\nc", Email: "x\ny@example.com"}, {ID: "stranger", Email: "stranger@example.com"}}, Next: fmt.Sprint(calls)}, nil
	}
	page = b.preview("require", "authenticator")
	require.Contains(t, page.Body, english("page.preview.looked.some", "count", 2), "the directory does not confirm the stranger")
	require.NotContains(t, page.Body, "stranger@")
	require.Contains(t, page.Body, "<bdi>abc</bdi>")
	require.Contains(t, page.Body, ">xy@example.com</textarea>")
	require.LessOrEqual(t, calls, 50)
}

// What the preview says about members is what happens to them.
func TestPreview_GroupsOfMembers(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("olga")
	h.browser().enroll("mia", "account", "acme")
	page := b.preview("require", "email")
	require.Contains(t, page.Body, english("page.preview.other")+`</h3>`)
	require.Contains(t, page.Body, `<b>3</b><div class="tight"><h3>`+english("page.preview.other"), "adam, max and moe are asked for a link")
	require.Contains(t, page.Body, `<b>2</b><div class="tight"><h3>`+english("page.preview.unchanged"))
	h.clock.pass(20 * aDay)
	b2 := h.browser()
	b2.login("adam", "account", "acme")
	page = b2.preview("require", "authenticator", "grace", "14")
	require.Contains(t, page.Body, english("page.preview.later.by", "date", "4 April 2026"), "counts from now on")
	page = b2.preview("require", "authenticator")
	require.Contains(t, page.Body, `<li class="is-counted"><b>3</b>`)
	require.Contains(t, page.Body, english("page.preview.now.text", "issuer", template.HTML("<bdi>Acme</bdi>")))
}

// JSON gets the code of the first mistake, and no page.
func TestPolicy_JSON(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("olga")
	form := formOn(t, b.get("/2fa/policy").Body, "/2fa/policy/preview", `name="version"`)
	b.header.Set("Accept", "application/json")
	a := b.submit("/2fa/policy/preview", form, "grace", "-3")
	var p struct{ Code string }
	require.NoError(t, json.Unmarshal([]byte(a.Body), &p))
	require.Equal(t, "invalid_grace", p.Code)
	require.Equal(t, 422, a.StatusCode)
}
