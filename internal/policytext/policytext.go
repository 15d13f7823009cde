// Package policytext describes the values of a policy, for the pages of admins and
// for mails to them.
package policytext

import (
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/locale"
)

// Requirement is the part of a policy that says which methods members must have.
type Requirement struct {
	Name     string
	Methods  []string
	Required bool
}

// Requirements are those of the presets of package twofa.
var Requirements = []Requirement{
	{"optional", []string{"totp"}, false},
	{"email", []string{"totp", "email"}, true},
	{"authenticator", []string{"totp"}, true},
	{"sms", []string{"totp", "sms"}, true},
}

// Custom is the name of any other requirement.
const Custom = "custom"

// NameOf returns the name of a requirement. The order of methods does not matter.
func NameOf[M ~string](required bool, methods, fallback []M) string {
	for _, r := range Requirements {
		if r.Required == required && len(fallback) == 0 && sameMethods(r.Methods, methods) {
			return r.Name
		}
	}
	return Custom
}

func sameMethods[M ~string](names []string, methods []M) bool {
	for _, m := range methods {
		if !slices.Contains(names, string(m)) {
			return false
		}
	}
	return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(methods, M(name)) })
}

// Label returns the name of a requirement in words, and describes a custom one.
func Label[M ~string](c *locale.Catalog, required bool, methods, fallback []M) string {
	if name := NameOf(required, methods, fallback); name != Custom {
		return c.Text("page.policy.require."+name, nil)
	}
	return Description(c, required, methods, fallback)
}

// Description describes a requirement by its methods.
func Description[M ~string](c *locale.Catalog, required bool, methods, fallback []M) string {
	id := "page.policy.custom.optional"
	if required {
		id = "page.policy.custom.required"
	}
	text := c.Text(id, locale.Args{"methods": Methods(c, methods)})
	if len(fallback) > 0 {
		text += " " + c.Text("page.policy.custom.fallback", locale.Args{"methods": Methods(c, fallback)})
	}
	return text
}

// Methods returns a list of methods.
func Methods[M ~string](c *locale.Catalog, methods []M) string {
	var names []string
	for _, m := range methods {
		names = append(names, c.Text("method."+string(m), nil))
	}
	return List(c, names)
}

// List returns texts as a list in a language.
func List(c *locale.Catalog, texts []string) string {
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	return c.Text("page.policy.list", locale.Args{"first": texts[0], "rest": List(c, texts[1:])})
}

// YesOrNo returns the word for a switch.
func YesOrNo(c *locale.Catalog, yes bool) string {
	if yes {
		return c.Text("page.policy.yes", nil)
	}
	return c.Text("page.policy.no", nil)
}

// Time returns an exact time in UTC. The zero time is none.
func Time(c *locale.Catalog, at time.Time) string {
	if at.IsZero() {
		return c.Text("page.policy.none", nil)
	}
	return c.DateTime(at.UTC())
}

// Days returns a duration in days. Zero is none.
func Days(c *locale.Catalog, d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return c.Text("page.policy.none", nil)
	case d%day == 0:
		return c.Text("page.policy.days", locale.Args{"count": int(d / day)})
	}
	return c.Duration(d)
}

// Age says how soon after a proof an action asks again.
func Age(c *locale.Catalog, age time.Duration) string {
	if age == 0 {
		return c.Text("page.policy.age.each", nil)
	}
	return c.Text("page.policy.age.after", locale.Args{"duration": c.Duration(age)})
}

// Rule returns the rule of an action. Without methods, it accepts those of a login
// except the email link.
func Rule[M ~string](c *locale.Catalog, age time.Duration, methods []M) string {
	words := Methods(c, methods)
	if len(methods) == 0 {
		words = c.Text("page.policy.rule.default", nil)
	}
	return c.Text("page.policy.rule", locale.Args{"methods": words, "age": Age(c, age)})
}
