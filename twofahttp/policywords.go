package twofahttp

import (
	"maps"
	"slices"
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
}

var policyWords = []policyWord{
	{"page.policy.require.title", requirementText},
	{"page.policy.sso", func(c *locale.Catalog, p twofa.Policy) string { return yesOrNo(c, p.ExemptSSO) }},
	{"page.policy.deadline", deadlineWords},
	{"page.policy.grace", func(c *locale.Catalog, p twofa.Policy) string { return daysWords(c, p.Grace) }},
	{"page.policy.unlinked", func(c *locale.Catalog, p twofa.Policy) string { return yesOrNo(c, p.EnrollWithoutLink) }},
	{"page.policy.remember", func(c *locale.Catalog, p twofa.Policy) string { return daysWords(c, p.Remember) }},
	{"page.policy.off", func(c *locale.Catalog, p twofa.Policy) string {
		return selectedLabel(turnOffOptions(c, policyFieldText("turn_off", p)))
	}},
	{"page.policy.weaken", func(c *locale.Catalog, p twofa.Policy) string {
		return selectedLabel(weakenOptions(c, policyFieldText("weaken", p)))
	}},
}

// differences returns the fields in which two policies differ.
func (x *exchange) differences(before, after twofa.Policy) (list []difference) {
	c := x.locale()
	add := func(title, old, new string) {
		if old != new {
			list = append(list, difference{title, old, new})
		}
	}
	for _, w := range policyWords {
		add(c.Text(w.title, nil), w.text(c, before), w.text(c, after))
	}
	names := maps.Clone(before.Actions)
	if names == nil {
		names = map[string]twofa.ActionRule{}
	}
	maps.Copy(names, after.Actions)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		title := x.actionTitle(name)
		if title == "" {
			title = name
		}
		add(title, ruleWords(c, before.Rule(name)), ruleWords(c, after.Rule(name)))
	}
	return list
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
	methods := p.Methods
	if len(methods) == 0 {
		methods = []twofa.Method{twofa.TOTP}
	}
	id := "page.policy.custom.optional"
	if p.Required {
		id = "page.policy.custom.required"
	}
	text := c.Text(id, locale.Args{"methods": methodWords(c, methods)})
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
	return c.Text("page.policy.rule", locale.Args{"methods": methodWords(c, r.Methods), "age": ageWords(c, r.MaxAge)})
}
