package twofahttp

import (
	"cmp"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/policytext"
)

// A policy on its way through a form. The form has a text for each field. A text
// that the admin leaves as it is changes nothing, so a policy that the form cannot
// express, such as one with a grace of 36 hours, stays exactly as it was.

// policyField is a field of the form.
type policyField struct {
	name  string   // of the input
	of    []string // fields of twofa.Policy that it shows and sets
	show  func(twofa.Policy) string
	set   func(f policyInput, p *twofa.Policy, value string) bool // false if the value is not valid
	wrong string                                                  // code of the message about such a value
}

// policyInput is what the form depends on, apart from the policy.
type policyInput struct {
	now     time.Time
	methods []twofa.Method // methods that policies can accept here
	links   bool           // whether a link can be mailed before a required enrollment
	actions []string       // actions whose rules the form has
}

// policyFields lists the fields of the form except the rules of actions.
var policyFields = []policyField{
	{"require", []string{"Methods", "Fallback", "Required"}, requirementOf, policyInput.setRequirement, "invalid_requirement"},
	{"sso", []string{"ExemptSSO"}, showSSO, policyInput.setSSO, "invalid_sso"},
	{"deadline", []string{"Deadline"}, showDeadline, policyInput.setDeadline, "invalid_deadline"},
	{"grace", []string{"Grace"}, func(p twofa.Policy) string { return showDays(p.Grace) }, policyInput.setGrace, "invalid_grace"},
	{"remember", []string{"Remember"}, func(p twofa.Policy) string { return showDays(p.Remember) }, policyInput.setRemember, "invalid_remember"},
	{"turn_off", []string{"TurnOff"}, func(p twofa.Policy) string { return cmp.Or(string(p.TurnOff), "user") }, policyInput.setTurnOff, "invalid_turn_off"},
	{"weaken", []string{"Weaken"}, func(p twofa.Policy) string { return string(cmp.Or(p.Weaken, twofa.RoleOwner)) }, policyInput.setWeaken, "invalid_weaken"},
	{"reset_by", []string{"Reset"}, func(p twofa.Policy) string { return string(cmp.Or(p.Reset, twofa.RoleAdmin)) }, policyInput.setResetBy, "invalid_reset_by"},
}

// keptFields are the fields of twofa.Policy that the form neither shows nor sets,
// because only the host can know whether they are right.
var keptFields = []string{"EnrollWithoutLink"}

// requirementOf returns the name of a requirement: one of policytext.Requirements, or
// policytext.Custom for any other one, which can be kept, but not chosen.
func requirementOf(p twofa.Policy) string {
	return policytext.NameOf(p.Required, acceptedMethods(p), p.Fallback)
}

// acceptedMethods returns the methods that a policy accepts at login.
func acceptedMethods(p twofa.Policy) []twofa.Method {
	if len(p.Methods) == 0 {
		return []twofa.Method{twofa.TOTP}
	}
	return p.Methods
}

// sameMethods reports whether two lists have the same methods in any order.
func sameMethods(a, b []twofa.Method) bool { return includes(a, b) && includes(b, a) }

// includes reports whether a list has all of some methods.
func includes(list, some []twofa.Method) bool {
	return !slices.ContainsFunc(some, func(m twofa.Method) bool { return !slices.Contains(list, m) })
}

// offers reports whether the host can enforce a requirement.
func (f policyInput) offers(p twofa.Policy, r policytext.Requirement) bool {
	return includes(f.methods, methodsNamed(r.Methods)) && (!r.Required || f.links || p.EnrollWithoutLink)
}

func methodsNamed(names []string) (methods []twofa.Method) {
	for _, name := range names {
		methods = append(methods, twofa.Method(name))
	}
	return methods
}

func (f policyInput) setRequirement(p *twofa.Policy, value string) bool {
	i := slices.IndexFunc(policytext.Requirements, func(r policytext.Requirement) bool { return r.Name == value })
	if i < 0 || !f.offers(*p, policytext.Requirements[i]) {
		return false
	}
	p.Methods, p.Fallback, p.Required = methodsNamed(policytext.Requirements[i].Methods), nil, policytext.Requirements[i].Required
	return true
}

func showSSO(p twofa.Policy) string {
	if p.ExemptSSO {
		return "yes"
	}
	return ""
}

func (policyInput) setSSO(p *twofa.Policy, value string) bool {
	p.ExemptSSO = value == "yes"
	return value == "yes" || value == ""
}

// A deadline is a day. It ends with the last second of that day in UTC, so that
// the date which members are shown is the last one on which they can enroll.

func showDeadline(p twofa.Policy) string {
	if p.Deadline.IsZero() {
		return ""
	}
	return p.Deadline.UTC().Format(time.DateOnly)
}

func endOfDay(day time.Time) time.Time { return day.AddDate(0, 0, 1).Add(-time.Second) }

func (f policyInput) setDeadline(p *twofa.Policy, value string) bool {
	if value == "" {
		p.Deadline = time.Time{}
		return true
	}
	day, err := time.Parse(time.DateOnly, value)
	p.Deadline = endOfDay(day)
	return err == nil && p.Deadline.After(f.now) && !day.After(f.lastDeadline())
}

// lastDeadline is the last day that can be a deadline. A later one is a mistake.
func (f policyInput) lastDeadline() time.Time { return f.now.UTC().AddDate(5, 0, 0) }

const (
	day     = 24 * time.Hour
	maxDays = 90 // of a grace and of remembering
)

// showDays returns a duration in days. Only whole days can be typed.
func showDays(d time.Duration) string {
	return strconv.FormatFloat(d.Hours()/24, 'f', -1, 64)
}

func parseDays(value string) (time.Duration, bool) {
	n, err := strconv.Atoi(value)
	return time.Duration(n) * day, err == nil && n >= 0 && n <= maxDays
}

func (policyInput) setGrace(p *twofa.Policy, value string) (ok bool) {
	p.Grace, ok = parseDays(value)
	return ok
}

func (policyInput) setRemember(p *twofa.Policy, value string) (ok bool) {
	p.Remember, ok = parseDays(value)
	return ok
}

func (policyInput) setTurnOff(p *twofa.Policy, value string) bool {
	p.TurnOff = twofa.TurnOff(value)
	if value == "user" {
		p.TurnOff = twofa.TurnOffByUser
	}
	return value == "user" || value == string(twofa.TurnOffByAdmin) || value == string(twofa.TurnOffBySupport)
}

func (policyInput) setWeaken(p *twofa.Policy, value string) bool {
	p.Weaken = twofa.Role(value)
	return p.Weaken == twofa.RoleOwner || p.Weaken == twofa.RoleAdmin
}

func (policyInput) setResetBy(p *twofa.Policy, value string) bool {
	p.Reset = twofa.Role(value)
	return p.Reset == twofa.RoleAdmin || p.Reset == twofa.RoleOwner || p.Reset == twofa.RoleSupport
}

// Fields of the rule of an action, in front of its name.
const (
	agePrefix     = "age:"
	methodsPrefix = "methods:"
)

// ruleMethods are the methods that the form offers for an action. Without a list,
// a rule has the default of the library.
var ruleMethods = []struct {
	name    string
	methods []twofa.Method
}{
	{"default", nil},
	{"totp", []twofa.Method{twofa.TOTP}},
	{"sms", []twofa.Method{twofa.TOTP, twofa.SMS}},
	{"email", []twofa.Method{twofa.TOTP, twofa.EmailLink}},
}

// customMethods is the name of any other list. It can be kept, but not chosen.
const customMethods = "custom"

func showRuleMethods(p twofa.Policy, action string) string {
	methods := p.Actions[action].Methods
	for _, r := range ruleMethods {
		if (len(methods) == 0) == (len(r.methods) == 0) && sameMethods(methods, r.methods) {
			return r.name
		}
	}
	return customMethods
}

// offersRule reports whether an action can have a list of methods. Those of the
// actions of admins cannot be changed, and for ActionFactors a link is not enough.
func (f policyInput) offersRule(action string, methods []twofa.Method) bool {
	return !builtInActions[action].ofAdmin && !(action == twofa.ActionFactors && slices.Contains(methods, twofa.EmailLink)) && includes(f.methods, methods)
}

// showAge returns how old a proof may be, in minutes.
func showAge(p twofa.Policy, action string) string {
	return strconv.FormatFloat(p.Rule(action).MaxAge.Minutes(), 'f', -1, 64)
}

// maxAge returns the limit of the library for an action.
func maxAge(action string) time.Duration {
	if builtInActions[action].ofAdmin {
		return twofa.Policy{}.Rule(action).MaxAge
	}
	return time.Hour
}

// policyTexts returns the text of each field for a policy.
func (f policyInput) policyTexts(p twofa.Policy) url.Values {
	texts := url.Values{}
	for _, field := range policyFields {
		texts.Set(field.name, field.show(p))
	}
	for _, action := range f.actions {
		texts.Set(agePrefix+action, showAge(p, action))
		texts.Set(methodsPrefix+action, showRuleMethods(p, action))
	}
	return texts
}

// keep returns the policy that a form was filled with, as far as the form can set
// it. The browser sends that policy, so an admin can change anything in it. What the
// form cannot set is therefore that of the policy in force.
func (f policyInput) keep(inForce, filled twofa.Policy) twofa.Policy {
	p, _ := f.apply(inForce, f.policyTexts(filled))
	return p
}

// apply returns base with the fields that differ from its texts. It returns one
// error for each that is not valid, and leaves that field as it is.
func (f policyInput) apply(base twofa.Policy, form url.Values) (p twofa.Policy, wrong []error) {
	p = base
	p.Actions = maps.Clone(base.Actions)
	for _, field := range policyFields {
		changed, value := p, form.Get(field.name)
		switch {
		case value == field.show(base):
		case field.set(f, &changed, value):
			p = changed
		default:
			wrong = append(wrong, &httpError{code: field.wrong})
		}
	}
	for _, action := range f.actions {
		if !f.applyRule(base, &p, action, form) {
			wrong = append(wrong, &httpError{code: "invalid_rule", detail: action})
		}
	}
	return p, wrong
}

// applyRule sets the rule of an action. An action without a rule of its own gets
// one only if it differs from the default.
func (f policyInput) applyRule(base twofa.Policy, p *twofa.Policy, action string, form url.Values) bool {
	age, methods := form.Get(agePrefix+action), form.Get(methodsPrefix+action)
	newAge := age != showAge(base, action)
	newMethods := methods != showRuleMethods(base, action) && !builtInActions[action].ofAdmin
	if !newAge && !newMethods {
		return true
	}
	rule := twofa.ActionRule{MaxAge: base.Rule(action).MaxAge, Methods: slices.Clone(base.Actions[action].Methods)}
	if newAge {
		minutes, err := strconv.Atoi(age)
		rule.MaxAge = time.Duration(minutes) * time.Minute
		if err != nil || minutes < 0 || rule.MaxAge > maxAge(action) {
			return false
		}
	}
	if newMethods {
		i := slices.IndexFunc(ruleMethods, func(r struct {
			name    string
			methods []twofa.Method
		}) bool {
			return r.name == methods
		})
		if i < 0 || !f.offersRule(action, ruleMethods[i].methods) {
			return false
		}
		rule.Methods = slices.Clone(ruleMethods[i].methods)
	}
	if p.Actions == nil {
		p.Actions = map[string]twofa.ActionRule{}
	}
	p.Actions[action] = rule
	return true
}

// checkPolicyError turns an error of the Manager about a policy into one about a
// field, because the fields are valid one by one.
func checkPolicyError(err error) error {
	if !errors.Is(err, twofa.ErrInvalid) {
		return err
	}
	code := "invalid_requirement"
	if strings.Contains(err.Error(), "Policy.Actions") {
		code = "invalid_rule"
	}
	return errors.Join(&httpError{code: code}, err)
}

// policyActions returns the actions whose rules the form has: those of the host, and
// last those of the library whose rules can be changed.
func (s *Server) policyActions() (names []string) {
	for name := range s.cfg.Actions {
		if !isBuiltIn(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range slices.Sorted(maps.Keys(builtInActions)) {
		if !builtInActions[name].fixed {
			names = append(names, name)
		}
	}
	return names
}

func (s *Server) policyInput() policyInput {
	info := s.cfg.Manager.Info()
	return policyInput{now: s.cfg.Now(), methods: info.Methods, links: info.Link != "", actions: s.policyActions()}
}
