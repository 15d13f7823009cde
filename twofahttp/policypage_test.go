package twofahttp_test

import (
	"cmp"
	"context"
	"html"
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/twofahttp"
)

// clerk is a member of account acme.
type clerk struct {
	id   string
	role twofa.Role
}

var clerks = []clerk{{"olga", twofa.RoleOwner}, {"adam", twofa.RoleAdmin}, {"mia", ""}, {"max", ""}, {"moe", ""}}

// hostWithTeam is a host with the pages of admins. All members joined when the
// clock of the host started.
func hostWithTeam(t *testing.T, policy twofa.Policy, members []clerk, tune ...func(*twofa.Config, *twofahttp.Config)) *host {
	joined := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	find := func(_ context.Context, id string) (twofa.User, error) {
		u := twofa.User{ID: id, Name: id + "@example.com", Emails: []string{id + "@example.com"}, Members: []twofa.Member{{Account: "beta", Role: twofa.RoleOwner}}}
		if i := slices.IndexFunc(members, func(c clerk) bool { return c.id == id }); i >= 0 {
			u.Members = append(u.Members, twofa.Member{Account: "acme", Role: members[i].role, Since: joined})
		}
		return u, nil
	}
	list := func(_ context.Context, q twofahttp.TeamQuery) (page twofahttp.TeamPage, err error) {
		from, _ := strconv.Atoi(q.After)
		to := min(from+q.Limit, len(members))
		for _, c := range members[from:to] {
			page.Members = append(page.Members, twofahttp.TeamMember{ID: c.id, Name: strings.ToUpper(c.id), Email: c.id + "@example.com"})
		}
		if to < len(members) {
			page.Next = strconv.Itoa(to)
		}
		return page, nil
	}
	return newHost(t, policy, append([]func(*twofa.Config, *twofahttp.Config){func(mc *twofa.Config, wc *twofahttp.Config) {
		mc.Directory, wc.Team = twofa.LookUp(find), list
	}}, tune...)...)
}

// admin returns a browser in which a member of acme has enrolled an authenticator.
func (h *host) admin(user string) (*browser, app) {
	b := h.browser()
	phone, _ := b.enroll(user, "account", "acme")
	return b, phone
}

var (
	inputPattern  = regexp.MustCompile(`<input [^>]*>`)
	attrPattern   = regexp.MustCompile(`\b(name|value|type)="([^"]*)"`)
	selectPattern = regexp.MustCompile(`(?s)<select [^>]*name="([^"]+)"[^>]*>(.*?)</select>`)
	chosenPattern = regexp.MustCompile(`<option value="([^"]*)" selected>`)
)

// formOn returns the fields of the form with an action, as a browser would send
// them. If a page has several, it is the one that contains marker.
func formOn(t *testing.T, page, action, marker string) url.Values {
	t.Helper()
	form := url.Values{}
	for _, part := range strings.Split(page, `<form method="post" action="`+action+`"`)[1:] {
		body, _, _ := strings.Cut(part, "</form>")
		if !strings.Contains(body, marker) {
			continue
		}
		for _, input := range inputPattern.FindAllString(body, -1) {
			attr := map[string]string{}
			for _, m := range attrPattern.FindAllStringSubmatch(input, -1) {
				attr[m[1]] = html.UnescapeString(m[2])
			}
			if (attr["type"] == "radio" || attr["type"] == "checkbox") && !strings.Contains(input, " checked") {
				continue
			}
			form.Set(attr["name"], attr["value"])
		}
		for _, m := range selectPattern.FindAllStringSubmatch(body, -1) {
			chosen := chosenPattern.FindStringSubmatch(m[2])
			require.NotNil(t, chosen, "nothing is selected in %s", m[1])
			form.Set(html.UnescapeString(m[1]), html.UnescapeString(chosen[1]))
		}
		return form
	}
	require.Fail(t, "no such form", "%s with %s in %s", action, marker, page)
	return nil
}

// submit sends a form of the last page, after changing fields. A value "-" removes
// the field.
func (b *browser) submit(path string, form url.Values, pairs ...string) answer {
	form = cloned(form)
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "-" {
			form.Del(pairs[i])
		}
	}
	return b.do(b.request("POST", path, form.Encode()))
}

func cloned(form url.Values) url.Values {
	c := url.Values{}
	for name, values := range form {
		c[name] = slices.Clone(values)
	}
	return c
}

// preview changes fields of the policy and returns the preview.
func (b *browser) preview(pairs ...string) answer {
	b.h.Helper()
	page := b.get("/2fa/policy")
	require.Equal(b.h, 200, page.StatusCode, page.Body)
	return b.submit("/2fa/policy/preview", formOn(b.h.T, page.Body, "/2fa/policy/preview", `name="version"`), pairs...)
}

// save presses the button of a preview.
func (b *browser) save(preview answer, pairs ...string) answer {
	b.h.Helper()
	require.Equal(b.h, 200, preview.StatusCode, preview.Body)
	return b.submit("/2fa/policy", formOn(b.h.T, preview.Body, "/2fa/policy", `name="reason"`), pairs...)
}

func (h *host) inForce() twofa.PolicyInfo {
	h.Helper()
	info, err := h.m.Account(twofa.AsHost("test"), "acme").Policy(h.Context())
	require.NoError(h, err)
	return info
}

// setPolicy sets the policy of acme as the host.
func (h *host) setPolicy(p twofa.Policy) {
	h.Helper()
	require.NoError(h, h.m.Account(twofa.AsHost("test"), "acme").SetPolicy(h.Context(), p, h.inForce().Version))
}

// The page shows the policy in force, who set it and when, and the preview shows
// each difference and each member. Neither writes anything.
func TestPolicy_PreviewAndSave(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("olga")
	page := b.get("/2fa/policy")
	require.Contains(t, page.Body, english("page.policy.by.default", "issuer", template.HTML("<bdi>Acme</bdi>")))
	require.Contains(t, page.Body, `value="optional" required checked`)
	require.NotContains(t, page.Body, english("page.policy.first.title"))

	before := h.store.writes()
	preview := b.preview("require", "authenticator", "grace", "14", "deadline", "2026-03-20", "age:contacts.export", "15")
	require.Equal(t, before, h.store.writes(), "a preview writes nothing")
	require.True(t, h.inForce().Default)
	for _, text := range []string{english("page.preview.both"), // the rule of the export is weaker
		english("page.preview.owner"), english("page.preview.looked.all", "count", 5),
		english("page.policy.require.title"), english("page.policy.require.authenticator"), english("page.preview.before", "value", english("page.policy.require.optional")),
		"20 March 2026, 23:59 UTC", english("page.policy.days", "count", 14), "Export contacts",
		english("page.preview.later.by", "date", "20 March 2026"), english("page.preview.now.none"),
		"adam@example.com\nmia@example.com\nmax@example.com\nmoe@example.com</textarea>"} {
		require.Contains(t, preview.Body, text)
	}
	require.NotContains(t, preview.Body, "olga@example.com")
	require.Contains(t, preview.Body, "<li>"+html.EscapeString(english("policy.weaker.rule.age", "actions", "Export contacts", "after", english("page.policy.age.after", "duration", "15 minutes"), "before", english("page.policy.age.each")))+"</li>",
		"in which way it is weaker")

	a := b.save(preview, "reason", "new customers")
	require.Equal(t, "/2fa/policy", a.Header.Get("Location"))
	saved := b.follow(a)
	says(t, saved, "policy_saved", "")
	require.NotContains(t, saved.Body, "Nothing is saved yet")
	require.Contains(t, saved.Body, english("page.policy.by.user", "name", template.HTML("<bdi>olga@example.com</bdi>"), "date", "1 March 2026"))
	info := h.inForce()
	require.Equal(t, twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Required: true, Grace: 14 * aDay, Deadline: time.Date(2026, 3, 20, 23, 59, 59, 0, time.UTC),
		Actions: map[string]twofa.ActionRule{"contacts.export": {MaxAge: 15 * time.Minute}}}, info.Policy)
	events, err := h.store.Events(t.Context(), twofa.EventQuery{Account: "acme", Types: []string{event.Policy}, Limit: 9})
	require.NoError(t, err)
	require.Len(t, events.Events, 1)
	require.Equal(t, "new customers", events.Events[0].Reason)
}

// Members and users of other accounts see nothing of it, and without Config.Team
// the pages do not exist.
func TestAbuse_M05_PagesOfThePolicyAreForAdmins(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("mia")
	for _, a := range []answer{b.get("/2fa/policy"), b.post("/2fa/policy/preview", "default", "yes"), b.post("/2fa/policy", "previewed", "x")} {
		says(t, a, "role_too_low", "")
		require.NotContains(t, a.Body, "example.com")
	}
	ben := h.browser()
	ben.enroll("ben", "account", "beta")
	require.NotContains(t, ben.get("/2fa/policy").Body, "olga", "the account of the session decides")
	stranger := h.browser()
	require.Equal(t, "/login?next=%2F2fa%2Fpolicy", stranger.get("/2fa/policy").Header.Get("Location"))

	without := newHost(t, twofa.PolicyOptional())
	c := without.browser()
	c.enroll("olga")
	require.Equal(t, 404, c.get("/2fa/policy").StatusCode)
	require.Equal(t, 404, c.post("/2fa/policy/preview").StatusCode)
	require.Equal(t, 404, c.post("/2fa/policy").StatusCode)
	require.Equal(t, 303, c.get("/2fa/due").StatusCode, "belongs to all hosts")
}

// A mistake is reported at its field. Nothing is saved, and the rest of the form
// stays as the admin typed it.
func TestPolicy_Mistakes(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("olga")
	for _, c := range []struct{ field, value, code string }{
		{"require", "nobody", "invalid_requirement"}, {"require", "-", "invalid_requirement"}, {"require", "custom", "invalid_requirement"},
		{"sso", "perhaps", "invalid_sso"},
		{"deadline", "2026-02-28", "invalid_deadline"}, {"deadline", "2031-03-02", "invalid_deadline"}, {"deadline", "99999-01-01", "invalid_deadline"}, {"deadline", "soon", "invalid_deadline"}, {"deadline", "2026-02-30", "invalid_deadline"},
		{"grace", "-3", "invalid_grace"}, {"grace", "91", "invalid_grace"}, {"grace", "1.5", "invalid_grace"}, {"grace", "", "invalid_grace"}, {"grace", "99999999999999999999", "invalid_grace"},
		{"remember", "-1", "invalid_remember"}, {"remember", "x", "invalid_remember"},
		{"turn_off", "nobody", "invalid_turn_off"}, {"reset_by", "member", "invalid_reset_by"}, {"reset_by", "", "invalid_reset_by"}, {"weaken", "member", "invalid_weaken"}, {"weaken", "", "invalid_weaken"},
		{"age:contacts.export", "61", "invalid_rule"}, {"age:contacts.export", "-1", "invalid_rule"}, {"age:policy", "15", "invalid_rule"},
		{"methods:contacts.export", "recovery", "invalid_rule"}, {"methods:factors", "email", "invalid_rule"},
	} {
		a := b.preview(c.field, c.value, "remember", map[bool]string{true: c.value, false: "77"}[c.field == "remember"])
		require.Equal(t, 422, a.StatusCode, "%s %s", c.field, c.value)
		require.Contains(t, a.Body, english("message."+c.code+".title"), "%s %s", c.field, c.value)
		require.Contains(t, a.Body, english("message."+c.code+".text", "issuer", "Acme"), "%s %s", c.field, c.value)
		if c.field != "remember" {
			require.Contains(t, a.Body, `value="77"`, "what else was typed: %s %s", c.field, c.value)
		}
		if slices.Contains([]string{"deadline", "grace", "remember"}, c.field) {
			require.Contains(t, a.Body, `value="`+c.value+`" aria-describedby`, "the value itself")
			require.Contains(t, a.Body, `wrong-`+c.field+`" aria-invalid="true"`)
		}
	}
	a := b.preview("grace", "-3", "deadline", "2020-01-01", "age:contacts.export", "61")
	for _, link := range []string{`href="#grace"`, `href="#deadline"`, `href="#rule0"`} {
		require.Contains(t, a.Body, link, "all mistakes at once")
	}
	require.Equal(t, 400, b.preview("base", "{").StatusCode)
	require.Equal(t, 400, b.preview("base", `{"new_restriction":true}`).StatusCode, "a field of a newer release")
	require.True(t, h.inForce().Default)
}

// The host can enforce only that for which it can send messages.
func TestPolicy_OffersWhatTheHostCanEnforce(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks, func(mc *twofa.Config, _ *twofahttp.Config) {
		mc.Mail, mc.SMS = twofa.MailConfig{}, twofa.SMSConfig{}
	})
	b, _ := h.admin("olga")
	page := b.get("/2fa/policy").Body
	for _, name := range []string{"email", "authenticator", "sms"} {
		require.NotContains(t, page, `name="require" value="`+name+`"`)
		require.Equal(t, 422, b.preview("require", name).StatusCode)
	}
	require.NotContains(t, page, `<option value="sms"`)
	require.Equal(t, 422, b.preview("methods:contacts.export", "email").StatusCode)
	invalid := b.preview("base", `{"methods":["totp"],"required":true}`, "require", "authenticator")
	says(t, invalid, "invalid_requirement", "")
}

// A policy that no preset describes is shown in words and kept.
func TestPolicy_Custom(t *testing.T) {
	custom := twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, Fallback: []twofa.Method{twofa.SMS}, Required: true, Weaken: twofa.RoleAdmin, Deadline: time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)}
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("olga")
	require.NoError(t, h.m.Account(twofa.AsStaff("s1", "contract"), "acme").SetPolicy(t.Context(), custom, "default"))
	page := b.get("/2fa/policy").Body
	require.Contains(t, page, english("page.policy.by.staff", "issuer", template.HTML("<bdi>Acme</bdi>"), "date", "1 March 2026"))
	require.Contains(t, page, english("page.policy.custom.required", "methods", "authenticator app, text message"))
	require.Contains(t, page, english("page.policy.custom.fallback", "methods", "text message"))
	require.Contains(t, page, english("page.policy.deadline.exact", "time", "1 January 2027, 12:00 UTC"))
	preview := b.preview("remember", "10")
	require.NotContains(t, preview.Body, english("page.policy.require.title"), "only the difference")
	require.Equal(t, 303, b.save(preview).StatusCode)
	want := custom
	want.Remember = 10 * aDay
	require.Equal(t, want, h.inForce().Policy)

	// Back to editing keeps it as well.
	preview = b.preview("remember", "20")
	edit := b.submit("/2fa/policy/preview", formOn(t, preview.Body, "/2fa/policy/preview", `name="edit"`))
	require.Contains(t, edit.Body, `value="custom" required checked`)
	require.Contains(t, edit.Body, `name="remember" type="number" inputmode="numeric" min="0" max="90" step="any" required value="20"`)
}

// The way back to the default of the product leads through the same preview.
func TestPolicy_Default(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("olga")
	require.NotContains(t, b.get("/2fa/policy").Body, english("page.policy.unset.title"))
	b.save(b.preview("remember", "10"))
	page := b.get("/2fa/policy")
	require.Contains(t, page.Body, english("page.policy.unset.title"))
	preview := b.submit("/2fa/policy/preview", formOn(t, page.Body, "/2fa/policy/preview", `name="default"`))
	require.Contains(t, preview.Body, english("page.preview.default", "issuer", template.HTML("<bdi>Acme</bdi>")))
	require.Contains(t, preview.Body, english("page.preview.before", "value", english("page.policy.days", "count", 10)))
	require.False(t, h.inForce().Default)
	require.Equal(t, 303, b.save(preview, "reason", "too strict").StatusCode)
	require.True(t, h.inForce().Default)

	nothing := b.preview()
	require.Contains(t, nothing.Body, english("page.preview.same"), "it pins the default")
	b.save(nothing)
	require.False(t, h.inForce().Default)
	nothing = b.preview()
	require.Contains(t, nothing.Body, english("page.preview.nothing"))
	require.NotContains(t, nothing.Body, `name="reason"`, "nothing to save")
}

// What differs is shown and can be saved, even if it reads alike in words.
func TestPreview_ComparesValues(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("olga")
	rule := func(age time.Duration, methods ...twofa.Method) twofa.Policy {
		return twofa.Policy{Actions: map[string]twofa.ActionRule{"contacts.export": {MaxAge: age, Methods: methods}}}
	}
	h.setPolicy(twofa.Policy{})
	preview := b.preview("methods:contacts.export", "totp")
	require.Contains(t, preview.Body, english("page.policy.rule", "age", english("page.policy.age.each"), "methods", "authenticator app")+`<span class="before">`)
	require.Contains(t, preview.Body, english("page.policy.rule", "age", english("page.policy.age.each"), "methods", english("page.policy.rule.default")))
	require.Equal(t, 303, b.save(preview).StatusCode)
	require.Equal(t, rule(0, twofa.TOTP), twofa.Policy{Actions: h.inForce().Policy.Actions})

	h.setPolicy(rule(59*time.Minute + 30*time.Second))
	preview = b.preview("age:contacts.export", "60")
	require.Contains(t, preview.Body, "Export contacts")
	require.Equal(t, 303, b.save(preview).StatusCode)

	noon := time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		before, after twofa.Policy
		count         int
	}{
		"minutes that round alike": {rule(89 * time.Second), rule(2 * time.Minute), 1},
		"hours that round alike":   {twofa.Policy{Grace: 36*time.Hour - time.Second}, twofa.Policy{Grace: 36 * time.Hour}, 1},
		"remembered alike":         {twofa.Policy{Remember: 36*time.Hour - time.Second}, twofa.Policy{Remember: 36 * time.Hour}, 1},
		"seconds of a deadline":    {twofa.Policy{Deadline: noon}, twofa.Policy{Deadline: noon.Add(time.Second)}, 1},
		"another zone":             {twofa.Policy{Deadline: noon}, twofa.Policy{Deadline: noon.In(time.FixedZone("x", 3600))}, 0},
		"defaults written out":     {twofa.Policy{}, twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Weaken: twofa.RoleOwner}, 0},
		"another order":            {twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}}, twofa.Policy{Methods: []twofa.Method{twofa.SMS, twofa.TOTP}}, 0},
		"a rule like none":         {twofa.Policy{}, rule(0), 0},
		"rule of the library":      {twofa.Policy{}, twofa.Policy{Actions: map[string]twofa.ActionRule{twofa.ActionPolicy: {MaxAge: 5 * time.Minute, Methods: []twofa.Method{twofa.TOTP}}}}, 0},
	} {
		differences := h.web.DifferenceTexts(c.before, c.after)
		require.Len(t, differences, c.count, name)
		for _, d := range differences {
			require.NotEqual(t, d[1], d[2], name)
		}
	}
}

// An admin without an authenticator is told so before anything else, and cannot
// save.
func TestAbuse_M06_AdminsEnrollBeforeTheySave(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b := h.browser()
	b.login("olga", "account", "acme")
	page := b.get("/2fa/policy")
	require.Contains(t, page.Body, english("page.policy.first.title"))
	require.Contains(t, page.Body, `href="/2fa/setup?start=1&amp;method=totp&amp;next=%2f2fa%2fpolicy"`)
	preview := b.preview("require", "authenticator", "deadline", "2026-04-01")
	refused := b.save(preview)
	require.Equal(t, http.StatusForbidden, refused.StatusCode)
	require.Contains(t, refused.Body, english("message.mfa_enrollment_required.title"))
	require.Contains(t, refused.Body, "setup?start=1&amp;next=%2f2fa%2fpolicy")
	require.True(t, h.inForce().Default)

	b.get("/2fa/setup?start=1")
	phone := h.scan(b.follow(b.post("/2fa/setup", "method", "totp")).Body)
	b.follow(b.post("/2fa/setup/confirm", "code", phone.code()))
	b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.NotContains(t, b.get("/2fa/policy").Body, english("page.policy.first.title"))
	require.Equal(t, 303, b.save(b.preview("require", "authenticator")).StatusCode)
	require.True(t, h.inForce().Policy.Required)
}

// listing is a directory that knows the admins of acme.
type listing struct{ twofa.Directory }

func (listing) Admins(context.Context, string) ([]string, error) {
	return []string{"olga", "adam"}, nil
}

// The preview says what a weaker policy admits, and both pages say who is mailed. The
// other admins are, if the directory knows them and the policy gets weaker.
func TestPreview_SaysWhatBecomesWeakerAndWhoIsMailed(t *testing.T) {
	known := func(mc *twofa.Config, _ *twofahttp.Config) { mc.Directory = listing{mc.Directory} }
	for _, mailed := range []bool{false, true} {
		tune := []func(*twofa.Config, *twofahttp.Config){}
		if mailed {
			tune = append(tune, known)
		}
		h := hostWithTeam(t, twofa.PolicyOptional(), clerks, tune...)
		b, _ := h.admin("olga")
		h.setPolicy(twofa.PolicyEmailLink())
		page := b.get("/2fa/policy")
		require.Contains(t, page.Body, english("page.policy.mails"))
		require.Equal(t, mailed, strings.Contains(page.Body, english("page.policy.mails.admins")))

		stricter := b.preview("turn_off", "support")
		require.Contains(t, stricter.Body, english("page.policy.mails"))
		require.NotContains(t, stricter.Body, english("page.preview.admits"))
		require.NotContains(t, stricter.Body, english("page.preview.mails"))

		weaker := b.preview("require", "authenticator", "deadline", "2026-03-20")
		require.Contains(t, weaker.Body, english("page.preview.admits"))
		require.Contains(t, weaker.Body, "<li>Until 20 March 2026, 23:59 UTC, members without any method can sign in with only their password. Before, they needed an email link.</li>")
		require.Equal(t, mailed, strings.Contains(weaker.Body, english("page.preview.mails")))
		mails := len(h.outbox.mails)
		require.Equal(t, 303, b.save(weaker).StatusCode)
		told := []string{}
		for _, m := range h.outbox.mails[mails:] {
			told = append(told, m.To)
		}
		if mailed {
			require.Equal(t, []string{"adam@example.com"}, told, "no member, and not the one who did it")
		} else {
			require.Empty(t, told)
		}
	}
}

// The samples show real words in every field.
func TestPolicy_SamplesHaveRealWords(t *testing.T) {
	handler, _ := samples(t)
	for _, page := range []string{"policy-01", "policy-02", "preview-01", "preview-02", "preview-04", "preview-06", "team-01"} {
		body := serve(handler, "/samples/en/"+page)
		require.NotRegexp(t, `>\s*[xyz]\s*<`, body, page)
		require.NotRegexp(t, `>x |“x”| x<`, body, page)
	}
	require.Contains(t, serve(handler, "/samples/en/policy-01"), english("page.policy.require.authenticator.hint"))
	require.Contains(t, serve(handler, "/samples/en/preview-02"), english("policy.weaker.sso"))
	require.NotContains(t, serve(handler, "/samples/de/policy-01"), english("page.policy.require.authenticator.hint"), "in the language of the page")
}

func serve(handler http.Handler, path string) string {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Body.String()
}

// accountOfQuery returns the account that a request names, or acme.
func accountOfQuery(r *http.Request) string { return cmp.Or(r.URL.Query().Get("account"), "acme") }

// teamOf returns a list that can be replaced.
func teamOf(answer *func(twofahttp.TeamQuery) (twofahttp.TeamPage, error)) func(context.Context, twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
	return func(_ context.Context, q twofahttp.TeamQuery) (twofahttp.TeamPage, error) { return (*answer)(q) }
}
