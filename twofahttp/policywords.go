package twofahttp

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
)

// difference is a field in which two policies differ, in words.
type difference struct{ Title, Before, After string }

// policyWord is a field of a policy in words. Together, they show each field of
// twofa.Policy except Actions.
type policyWord struct {
	title string // ID of its title
	text  func(*locale.Catalog, twofa.Policy) string
	exact func(twofa.Policy) string // the value itself; two policies differ in the field if it differs
}

var policyWords = []policyWord{
	{"page.policy.require.title", requirementText, exactRequirement},
	{"page.policy.sso", func(c *locale.Catalog, p twofa.Policy) string { return yesOrNo(c, p.ExemptSSO) }, exactField("sso")},
	{"page.policy.deadline", deadlineWords, exactDeadline},
	{"page.policy.grace", func(c *locale.Catalog, p twofa.Policy) string { return daysWords(c, p.Grace) }, func(p twofa.Policy) string { return p.Grace.String() }},
	{"page.policy.unlinked", func(c *locale.Catalog, p twofa.Policy) string { return yesOrNo(c, p.EnrollWithoutLink) }, func(p twofa.Policy) string { return strconv.FormatBool(p.EnrollWithoutLink) }},
	{"page.policy.remember", func(c *locale.Catalog, p twofa.Policy) string { return daysWords(c, p.Remember) }, func(p twofa.Policy) string { return p.Remember.String() }},
	{"page.policy.off", func(c *locale.Catalog, p twofa.Policy) string {
		return selectedLabel(turnOffOptions(c, policyFieldText("turn_off", p)))
	}, exactField("turn_off")},
	{"page.policy.weaken", func(c *locale.Catalog, p twofa.Policy) string {
		return selectedLabel(weakenOptions(c, policyFieldText("weaken", p)))
	}, exactField("weaken")},
	{"page.policy.reset_by", func(c *locale.Catalog, p twofa.Policy) string {
		return selectedLabel(resetByOptions(c, policyFieldText("reset_by", p)))
	}, exactField("reset_by")},
}

// differences returns the fields in which two policies differ. Words may be rounded,
// so the values decide.
func (x *exchange) differences(before, after twofa.Policy) (list []difference) {
	c := x.locale()
	for _, w := range policyWords {
		if old, now := w.exact(before), w.exact(after); old != now {
			list = append(list, differenceOf(c.Text(w.title, nil), w.text(c, before), old, w.text(c, after), now))
		}
	}
	names := maps.Clone(before.Actions)
	if names == nil {
		names = map[string]twofa.ActionRule{}
	}
	maps.Copy(names, after.Actions)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old, now := writtenRule(before, name), writtenRule(after, name)
		if old.MaxAge != now.MaxAge || !sameMethods(old.Methods, now.Methods) {
			title := cmp.Or(x.actionTitle(name), name)
			list = append(list, differenceOf(title, ruleWords(c, old), old.MaxAge.String(), ruleWords(c, now), now.MaxAge.String()))
		}
	}
	return list
}

// differenceOf returns a difference in words. If the words are equal because they
// are rounded, it adds the values.
func differenceOf(title, before, exactBefore, after, exactAfter string) difference {
	if before == after {
		before, after = before+" ("+exactBefore+")", after+" ("+exactAfter+")"
	}
	return difference{title, before, after}
}

// exactField returns a function that returns the text of a field of the form, which
// is exact for all fields but times.
func exactField(name string) func(twofa.Policy) string {
	return func(p twofa.Policy) string { return policyFieldText(name, p) }
}

// exactRequirement returns a requirement, in which the order of methods does not
// matter.
func exactRequirement(p twofa.Policy) string {
	sorted := func(methods []twofa.Method) []twofa.Method {
		return slices.Compact(slices.Sorted(slices.Values(methods)))
	}
	return fmt.Sprint(p.Required, sorted(acceptedMethods(p)), sorted(p.Fallback))
}

func exactDeadline(p twofa.Policy) string {
	if p.Deadline.IsZero() {
		return ""
	}
	return p.Deadline.UTC().Format(time.RFC3339)
}

// writtenRule returns the rule of an action. Its methods are empty if they depend on
// those that the policy accepts at login.
func writtenRule(p twofa.Policy, action string) twofa.ActionRule {
	r := p.Rule(action)
	if len(p.Actions[action].Methods) == 0 && !isBuiltIn(action) {
		r.Methods = nil
	}
	return r
}

func policyFieldText(name string, p twofa.Policy) string {
	i := slices.IndexFunc(policyFields, func(f policyField) bool { return f.name == name })
	return policyFields[i].show(p)
}

func selectedLabel(list []option) string {
	i := slices.IndexFunc(list, func(o option) bool { return o.Selected })
	return list[i].Label
}

// requirementText names a requirement of a preset, and describes any other.
func requirementText(c *locale.Catalog, p twofa.Policy) string {
	if texts, ok := requirementTexts[requirementOf(p)]; ok {
		return c.Text(texts[0], nil)
	}
	return requirementWords(c, p)
}

// requirementWords describes a requirement that no preset has.
func requirementWords(c *locale.Catalog, p twofa.Policy) string {
	id := "page.policy.custom.optional"
	if p.Required {
		id = "page.policy.custom.required"
	}
	text := c.Text(id, locale.Args{"methods": methodWords(c, acceptedMethods(p))})
	if len(p.Fallback) > 0 {
		text += " " + c.Text("page.policy.custom.fallback", locale.Args{"methods": methodWords(c, p.Fallback)})
	}
	return text
}

func methodWords(c *locale.Catalog, methods []twofa.Method) string {
	var names []string
	for _, m := range methods {
		names = append(names, c.Text("method."+string(m), nil))
	}
	return joined(c, names)
}

func yesOrNo(c *locale.Catalog, yes bool) string {
	if yes {
		return c.Text("page.policy.yes", nil)
	}
	return c.Text("page.policy.no", nil)
}

func deadlineWords(c *locale.Catalog, p twofa.Policy) string {
	if p.Deadline.IsZero() {
		return c.Text("page.policy.none", nil)
	}
	return c.DateTime(p.Deadline.UTC())
}

func daysWords(c *locale.Catalog, d time.Duration) string {
	switch {
	case d == 0:
		return c.Text("page.policy.none", nil)
	case d%day == 0:
		return c.Text("page.policy.days", locale.Args{"count": int(d / day)})
	}
	return c.Duration(d)
}

func ageWords(c *locale.Catalog, age time.Duration) string {
	if age == 0 {
		return c.Text("page.policy.age.each", nil)
	}
	return c.Text("page.policy.age.after", locale.Args{"duration": c.Duration(age)})
}

func ruleWords(c *locale.Catalog, r twofa.ActionRule) string {
	methods := methodWords(c, r.Methods)
	if len(r.Methods) == 0 {
		methods = c.Text("page.policy.rule.default", nil)
	}
	return c.Text("page.policy.rule", locale.Args{"methods": methods, "age": ageWords(c, r.MaxAge)})
}
