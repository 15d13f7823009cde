package twofahttp_test

import (
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

const aDay = 24 * time.Hour

// customPolicies are policies that no preset describes, or with values that the
// form cannot express.
var customPolicies = map[string]twofa.Policy{
	"fallback":           {Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, Fallback: []twofa.Method{twofa.SMS}, Required: true, ExemptSSO: true},
	"optional SMS":       {Methods: []twofa.Method{twofa.SMS, twofa.TOTP}},
	"all methods":        {Methods: []twofa.Method{twofa.TOTP, twofa.SMS, twofa.EmailLink}, Required: true},
	"without a link":     {Required: true, EnrollWithoutLink: true},
	"hours of grace":     {Required: true, Grace: 36*time.Hour + 7*time.Second},
	"noon":               {Required: true, Deadline: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)},
	"past":               {Required: true, Deadline: time.Date(2020, 5, 1, 0, 0, 0, 0, time.UTC)},
	"zone":               {Required: true, Deadline: time.Date(2026, 5, 1, 1, 0, 0, 0, time.FixedZone("x", 7200))},
	"a second":           {Remember: aDay + time.Second},
	"owner by name":      {Weaken: twofa.RoleOwner, TurnOff: twofa.TurnOffBySupport},
	"rule of its own":    {Actions: map[string]twofa.ActionRule{"contacts.export": {MaxAge: 90 * time.Second, Methods: []twofa.Method{twofa.TOTP, twofa.RecoveryCode}}}},
	"rule of no page":    {Actions: map[string]twofa.ActionRule{"unlisted": {MaxAge: time.Minute}}},
	"rules of built-ins": {Actions: map[string]twofa.ActionRule{twofa.ActionFactors: {}, twofa.ActionPolicy: {MaxAge: 30 * time.Second}}},
}

func presets() map[string]twofa.Policy {
	return map[string]twofa.Policy{"zero": {}, "optional": twofa.PolicyOptional(), "authenticator": twofa.PolicyAuthenticator(), "email": twofa.PolicyEmailLink(), "sms": twofa.PolicySMS()}
}

// A form that is sent as it was filled leaves every policy as it is.
func TestPolicyForm_RoundTrip(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	all := presets()
	for name, p := range customPolicies {
		all[name] = p
	}
	for name, p := range all {
		same, wrong := h.web.ApplyPolicy(p, h.web.PolicyTexts(p))
		require.Empty(t, wrong, name)
		require.Equal(t, p, same, name)
		require.Empty(t, h.web.DifferenceTexts(p, same), name)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		p := randomPolicy(r)
		same, wrong := h.web.ApplyPolicy(p, h.web.PolicyTexts(p))
		require.Empty(t, wrong)
		require.Equal(t, p, same)
	}
}

func randomPolicy(r *rand.Rand) (p twofa.Policy) {
	methods := func(list ...twofa.Method) (some []twofa.Method) {
		for _, m := range list {
			if r.IntN(2) == 0 {
				some = append(some, m)
			}
		}
		return some
	}
	p = twofa.Policy{Methods: methods(twofa.SMS, twofa.TOTP, twofa.EmailLink), Fallback: methods(twofa.SMS), Required: r.IntN(2) == 0, EnrollWithoutLink: r.IntN(2) == 0, ExemptSSO: r.IntN(2) == 0,
		Grace: time.Duration(r.IntN(90*86400)) * time.Second, Remember: time.Duration(r.IntN(90)) * aDay,
		TurnOff: []twofa.TurnOff{"", twofa.TurnOffByAdmin, twofa.TurnOffBySupport}[r.IntN(3)], Weaken: []twofa.Role{"", twofa.RoleAdmin, twofa.RoleOwner}[r.IntN(3)], Reset: []twofa.Role{"", twofa.RoleOwner, twofa.RoleSupport}[r.IntN(3)]}
	if r.IntN(2) == 0 {
		p.Deadline = time.Unix(r.Int64N(1<<32), 0)
	}
	for _, action := range []string{"contacts.export", "unlisted", twofa.ActionFactors, twofa.ActionPolicy} {
		if r.IntN(2) == 0 {
			continue
		}
		if p.Actions == nil {
			p.Actions = map[string]twofa.ActionRule{}
		}
		p.Actions[action] = twofa.ActionRule{MaxAge: time.Duration(r.IntN(3600)) * time.Second, Methods: methods(twofa.TOTP, twofa.SMS, twofa.RecoveryCode)}
	}
	return p
}

// Choosing a preset on the form sets what that preset requires, and nothing else.
func TestPolicyForm_Presets(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	for from, base := range presets() {
		for name, want := range map[string]twofa.Policy{"optional": twofa.PolicyOptional(), "authenticator": twofa.PolicyAuthenticator(), "email": twofa.PolicyEmailLink(), "sms": twofa.PolicySMS()} {
			form := h.web.PolicyTexts(base)
			form.Set("require", name)
			p, wrong := h.web.ApplyPolicy(base, form)
			require.Empty(t, wrong)
			require.Equal(t, want.Required, p.Required, "%s to %s", from, name)
			require.Equal(t, name, h.web.PolicyTexts(p).Get("require"), "%s to %s", from, name)
			p.Methods, p.Required, p.Fallback = base.Methods, base.Required, base.Fallback
			require.Equal(t, base, p, "%s to %s", from, name)
		}
	}
}

// Changing one field keeps everything else of a policy that no preset describes.
func TestPolicyForm_CustomIsKept(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	for name, base := range customPolicies {
		form := h.web.PolicyTexts(base)
		form.Set("remember", "12")
		form.Set("age:contacts.export", "5")
		p, wrong := h.web.ApplyPolicy(base, form)
		require.Empty(t, wrong, name)
		require.Equal(t, 12*aDay, p.Remember, name)
		require.Equal(t, 5*time.Minute, p.Actions["contacts.export"].MaxAge, name)
		require.Equal(t, base.Actions["contacts.export"].Methods, p.Actions["contacts.export"].Methods, name)
		require.Equal(t, base.Actions["unlisted"], p.Actions["unlisted"], name)
		p.Remember, p.Actions = base.Remember, base.Actions
		require.Equal(t, base, p, name)
	}
	require.Zero(t, customPolicies["rule of its own"].Remember, "the policy that the form was filled with is not changed")
	require.Equal(t, 90*time.Second, customPolicies["rule of its own"].Actions["contacts.export"].MaxAge)
}

// What the form cannot set is that of the policy in force, whatever policy the
// browser says the form was filled with. What it can set is kept.
func TestPolicyForm_CannotSetKeptFields(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("olga")
	before := twofa.PolicyAuthenticator()
	h.setPolicy(before)
	const authenticator = `{"methods":["totp"],"required":true,"exempt_sso":true,"turn_off":"admin"`
	for name, c := range map[string]struct {
		base string
		code string // of the answer; empty if the policy is saved
		want func(*twofa.Policy)
	}{
		"kept field":               {authenticator + `,"enroll_without_link":true}`, "", nil},
		"action that is not on it": {authenticator + `,"actions":{"unlisted":{"max_age":3600,"methods":["email"]}}}`, "", nil},
		"requirement":              {`{"methods":["totp","sms"],"fallback":["sms"],"required":true,"exempt_sso":true,"turn_off":"admin"}`, "invalid_requirement", nil},
		"methods of an action":     {authenticator + `,"actions":{"contacts.export":{"methods":["recovery"]}}}`, "invalid_rule", nil},
		"part of a day":            {authenticator + `,"grace":7000000}`, "invalid_grace", nil},
		"a draft of the form": {`{"methods":["totp","email"],"required":true,"turn_off":"support","weaken":"admin","grace":864000,"actions":{"contacts.export":{"max_age":300,"methods":["totp"]}}}`, "", func(p *twofa.Policy) {
			p.Methods, p.ExemptSSO, p.TurnOff, p.Weaken, p.Grace = []twofa.Method{twofa.TOTP, twofa.EmailLink}, false, twofa.TurnOffBySupport, twofa.RoleAdmin, 10*aDay
			p.Actions = map[string]twofa.ActionRule{"contacts.export": {MaxAge: 5 * time.Minute, Methods: []twofa.Method{twofa.TOTP}}}
		}},
	} {
		var posted twofa.Policy
		require.NoError(t, json.Unmarshal([]byte(c.base), &posted), name)
		pairs := []string{"base", c.base}
		for field, values := range h.web.PolicyTexts(posted) {
			pairs = append(pairs, field, values[0])
		}
		answer := b.preview(append(pairs, "remember", "12")...)
		if c.code != "" {
			says(t, answer, c.code, "")
			continue
		}
		want := before
		if want.Remember = 12 * aDay; c.want != nil {
			c.want(&want)
		}
		require.Equal(t, 303, b.save(answer).StatusCode, name)
		require.Equal(t, want, h.inForce().Policy, name)
		h.setPolicy(before)
	}
}

// If somebody else changes a field that the form cannot set, a preview or a form from
// before does not take it back.
func TestPolicyForm_StaleDraftKeepsFieldsOfTheHost(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("olga")
	h.setPolicy(twofa.Policy{Required: true, EnrollWithoutLink: true, Actions: map[string]twofa.ActionRule{"unlisted": {MaxAge: time.Hour}, "contacts.export": {MaxAge: 90 * time.Second}}})
	form := formOn(t, b.get("/2fa/policy").Body, "/2fa/policy/preview", `name="version"`)
	preview := b.preview("remember", "10")
	h.setPolicy(twofa.Policy{Required: true, Actions: map[string]twofa.ActionRule{"contacts.export": {MaxAge: 2 * time.Minute}}})
	want := h.inForce().Policy
	want.Remember = 10 * aDay

	stale := b.submit("/2fa/policy/preview", form, "remember", "11")
	says(t, stale, "policy_changed", "")
	require.Equal(t, "2", formOn(t, stale.Body, "/2fa/policy/preview", `name="version"`).Get("age:contacts.export"), "the browser must not choose an age")
	stale = b.save(preview)
	says(t, stale, "policy_changed", "")
	require.NotContains(t, stale.Body, english("page.policy.unlinked"))
	require.NotContains(t, stale.Body, "unlisted")
	require.Equal(t, 303, b.submit("/2fa/policy", formOn(t, stale.Body, "/2fa/policy", `name="reason"`)).StatusCode)
	require.Equal(t, want, h.inForce().Policy)
}

// A deadline that JSON cannot express is a form that no browser sends.
func TestPolicyForm_DeadlineOutOfRange(t *testing.T) {
	h := hostWithTeam(t, twofa.PolicyOptional(), clerks)
	b, _ := h.admin("olga")
	for _, deadline := range []string{"9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00"} {
		a := b.preview("base", `{"required":true,"deadline":"`+deadline+`"}`)
		require.Equal(t, 400, a.StatusCode, deadline)
		a = b.submit("/2fa/policy", formOn(t, b.preview("remember", "10").Body, "/2fa/policy", `name="reason"`), "previewed", "x", "base", `{"deadline":"`+deadline+`"}`)
		require.Less(t, a.StatusCode, 500, deadline)
	}
	require.True(t, h.inForce().Default)
}

// A requirement that no preset has can be kept, but not chosen.
func TestPolicyForm_CustomCannotBeChosen(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	form := h.web.PolicyTexts(twofa.PolicyOptional())
	form.Set("require", "custom")
	_, wrong := h.web.ApplyPolicy(twofa.PolicyOptional(), form)
	require.Len(t, wrong, 1)
}

// Each field of a policy is on the form, or is kept on purpose, and a change of it
// is shown before it is saved. A field that is added to Policy or ActionRule fails
// here until the form knows it.
func TestPolicyForm_KnowsEveryField(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	base := twofa.Policy{Required: true, Methods: []twofa.Method{twofa.TOTP, twofa.SMS}}
	changes := map[string]func(*twofa.Policy){
		"Methods":           func(p *twofa.Policy) { p.Methods = []twofa.Method{twofa.TOTP} },
		"Fallback":          func(p *twofa.Policy) { p.Fallback = []twofa.Method{twofa.SMS} },
		"Required":          func(p *twofa.Policy) { p.Required = false },
		"Deadline":          func(p *twofa.Policy) { p.Deadline = time.Unix(1, 0) },
		"Grace":             func(p *twofa.Policy) { p.Grace = aDay },
		"EnrollWithoutLink": func(p *twofa.Policy) { p.EnrollWithoutLink = true },
		"ExemptSSO":         func(p *twofa.Policy) { p.ExemptSSO = true },
		"Remember":          func(p *twofa.Policy) { p.Remember = aDay },
		"TurnOff":           func(p *twofa.Policy) { p.TurnOff = twofa.TurnOffByAdmin },
		"Reset":             func(p *twofa.Policy) { p.Reset = twofa.RoleSupport },
		"Weaken":            func(p *twofa.Policy) { p.Weaken = twofa.RoleAdmin },
		"Actions":           func(p *twofa.Policy) { p.Actions = map[string]twofa.ActionRule{"x": {MaxAge: time.Minute}} },
	}
	rules := map[string]twofa.ActionRule{"MaxAge": {MaxAge: time.Minute}, "Methods": {Methods: []twofa.Method{twofa.TOTP}}}
	set, kept := twofahttp.PolicyFields()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[twofa.Policy]()) {
		require.Contains(t, changes, f.Name, "Policy.%s is new: put it on the form of the page \"policy\", and here", f.Name)
		p := base
		changes[f.Name](&p)
		require.Len(t, h.web.DifferenceTexts(base, p), 1, "a change of Policy.%s is not shown", f.Name)
		inForm := slices.Contains(set, f.Name) || f.Name == "Actions"
		require.NotEqual(t, slices.Contains(kept, f.Name), inForm, "Policy.%s must be on the form or kept", f.Name)
		if !inForm {
			same, _ := h.web.ApplyPolicy(p, h.web.PolicyTexts(base))
			require.Equal(t, reflect.ValueOf(p).FieldByName(f.Name).Interface(), reflect.ValueOf(same).FieldByName(f.Name).Interface(), "Policy.%s is not kept", f.Name)
			continue
		}
		require.NotEqual(t, h.web.PolicyTexts(base).Encode(), h.web.PolicyTexts(withExport(p)).Encode(), "Policy.%s is not on the form", f.Name)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[twofa.ActionRule]()) {
		require.Contains(t, rules, f.Name, "ActionRule.%s is new", f.Name)
		p := base
		p.Actions = map[string]twofa.ActionRule{"contacts.export": rules[f.Name]}
		require.NotEqual(t, h.web.PolicyTexts(base), h.web.PolicyTexts(p), "ActionRule.%s is not on the form", f.Name)
		require.Len(t, h.web.DifferenceTexts(base, p), 1, "a change of ActionRule.%s is not shown", f.Name)
	}
}

// withExport gives a rule of the action "x" to one that the form has.
func withExport(p twofa.Policy) twofa.Policy {
	if r, ok := p.Actions["x"]; ok {
		p.Actions = map[string]twofa.ActionRule{"contacts.export": r}
	}
	return p
}

// FuzzParseCounts checks that accepted numbers of a preview are possible, and are
// written as they were read.
func FuzzParseCounts(f *testing.F) {
	for _, text := range []string{"", "0.0.0.0.0.0.0.0", "5.1.1.1.1.1.7.9", "1000.1.0.999.0.0.0.0", "-1.0.0.0.0.0.0.0", "1.1.0.0.0.0.9.1", "x", "1.1.0.0.0.0.0.0.0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		again, looked, ok := twofahttp.ParseCounts(text)
		if !ok {
			return
		}
		require.GreaterOrEqual(t, looked, 0)
		same, _, ok := twofahttp.ParseCounts(again)
		require.True(t, ok, again)
		require.Equal(t, again, same)
	})
}
