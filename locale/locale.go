// Package locale contains the sentences that users read, by stable IDs, in one
// [Catalog] per language. English is part of this package. Each other language
// is a package of its own, such as locale/de, so a program contains only the
// languages that it imports.
//
//	cfg.Languages = []*locale.Catalog{locale.English(), de.Catalog(), ja.Catalog()}
//
// [Parse] reads further languages, and replaces single sentences, from JSON
// files of the host. Their format is version 4 of i18next's, which translation
// tools read and write.
package locale

import (
	"encoding/json"
	"html/template"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// Args are the values of the placeholders of a text, by name. A value must be a
// string, or an int. The int named "count" selects the plural form.
type Args map[string]any

// Catalog contains the texts of one language. It never changes and is safe for
// concurrent use. English and the packages of languages return one, and [Parse]
// makes them.
type Catalog struct {
	tag      language.Tag
	texts    map[string]*message
	fallback *Catalog // has the texts that are missing here; nil for English
}

// Tag returns the BCP 47 tag of the language, such as "pt-BR". It is suitable
// for the attribute lang and the header Content-Language.
func (c *Catalog) Tag() string { return c.tag.String() }

// RTL reports whether the language is written from right to left.
func (c *Catalog) RTL() bool {
	script, _ := c.tag.Script()
	switch script.String() {
	case "Adlm", "Arab", "Hebr", "Mand", "Nkoo", "Rohg", "Samr", "Syrc", "Thaa":
		return true
	}
	return false
}

// Text returns a text with the values of its placeholders, as plain text. If the
// language lacks it, Text returns that of the next one in the chain: the
// language without its region if there is one, then English. An unknown ID is
// returned as it is.
func (c *Catalog) Text(id string, args Args) string {
	m := c.find(id)
	if m == nil {
		return id
	}
	return m.form(args).plain(args)
}

// HTML is like [Catalog.Text] but returns HTML. Everything in args is escaped,
// except values of type [template.HTML]. The only tag in a text is <b>.
func (c *Catalog) HTML(id string, args Args) template.HTML {
	m := c.find(id)
	if m == nil {
		return template.HTML(template.HTMLEscapeString(id))
	}
	return template.HTML(m.form(args).html(args))
}

// Has reports whether there is a text with this ID, in this language or as its
// English text.
func (c *Catalog) Has(id string) bool { return c.find(id) != nil }

// Missing returns the IDs of the texts that are English because the language
// lacks them, sorted.
func (c *Catalog) Missing() []string {
	if sameLanguage(c.tag, language.English) {
		return nil
	}
	return slices.DeleteFunc(c.ids(), func(id string) bool { return !sameLanguage(c.find(id).lang, language.English) })
}

// MarshalJSON returns the file of the language, with texts of other languages
// for those that it lacks. A program in the browser can load it with i18next.
func (c *Catalog) MarshalJSON() ([]byte, error) {
	file := map[string]string{}
	for _, id := range c.ids() {
		m := c.find(id)
		for category, f := range m.forms {
			switch {
			case f != nil && m.plural:
				file[id+suffixes[category]] = f.raw
			case f != nil:
				file[id] = f.raw
			}
		}
	}
	return json.Marshal(file)
}

// ids returns the IDs of all texts, sorted.
func (c *Catalog) ids() []string {
	for c.fallback != nil {
		c = c.fallback
	}
	return slices.Sorted(maps.Keys(c.texts))
}

func sameLanguage(a, b language.Tag) bool {
	x, _ := a.Base()
	y, _ := b.Base()
	return x == y
}

func (c *Catalog) find(id string) *message {
	for ; c != nil; c = c.fallback {
		if m := c.texts[id]; m != nil {
			return m
		}
	}
	return nil
}

// Date returns a day, as in "2 January 2006", in the zone of t.
func (c *Catalog) Date(t time.Time) string {
	day := strconv.Itoa(t.Day())
	if t.Day() == 1 {
		day = c.Text("date.first", nil) // an ordinal in French
	}
	return c.Text("date.day", Args{"day": day, "month": c.Text("date.month."+strconv.Itoa(int(t.Month())), nil), "year": t.Year()})
}

// DateTime returns a day and time, as in "2 January 2006, 15:04 UTC", in the zone
// of t.
func (c *Catalog) DateTime(t time.Time) string {
	half, hour12 := "date.am", t.Hour()
	if hour12 >= 12 {
		half, hour12 = "date.pm", hour12-12
	}
	if hour12 == 0 {
		hour12 = 12
	}
	zone := t.Format("MST")
	if strings.ContainsAny(zone, "+-") {
		zone = "UTC" + zone // it has no abbreviation
	}
	clock := c.Text("date.time", Args{"hour": t.Format("15"), "hour12": hour12, "minute": t.Format("04"), "half": c.Text(half, nil)})
	return c.Text("date.full", Args{"date": c.Date(t), "time": clock, "zone": zone})
}

// In returns a time to wait, as in "in 5 minutes", rounded up to seconds,
// minutes or hours.
func (c *Catalog) In(d time.Duration) string { return c.units("in.", d) }

// Duration returns a duration, as in "5 minutes", rounded up to seconds, minutes
// or hours.
func (c *Catalog) Duration(d time.Duration) string { return c.units("duration.", d) }

func (c *Catalog) units(prefix string, d time.Duration) string {
	id, unit := "seconds", time.Second
	switch {
	case d > 100*time.Minute:
		id, unit = "hours", time.Hour
	case d >= time.Minute:
		id, unit = "minutes", time.Minute
	}
	return c.Text(prefix+id, Args{"count": int((d + unit - 1) / unit)})
}

// Matcher finds the language for a user. Create one with [NewMatcher]. It is
// safe for concurrent use.
type Matcher struct {
	have []*Catalog
	m    language.Matcher
}

// NewMatcher returns a Matcher over these languages. If none matches, the result
// is the first one. If there are none, it is English.
func NewMatcher(have ...*Catalog) *Matcher {
	if len(have) == 0 {
		have = []*Catalog{English()}
	}
	tags := make([]language.Tag, len(have))
	for i, c := range have {
		tags[i] = c.tag
	}
	return &Matcher{slices.Clone(have), language.NewMatcher(tags)}
}

// Match returns the language that fits best, by BCP 47. Each of want is a tag
// or the value of an Accept-Language header. The first one that fits any
// language decides. One that is empty, malformed or longer than 500 bytes is
// skipped, because the header comes from a client.
func (m *Matcher) Match(want ...string) *Catalog {
	for _, w := range want {
		if w == "" || len(w) > 500 {
			continue
		}
		tags, _, err := language.ParseAcceptLanguage(w)
		if err != nil {
			continue
		}
		if _, i, confidence := m.m.Match(tags...); confidence > language.No {
			return m.have[i]
		}
	}
	return m.have[0]
}

// message is one text of a language, in its plural forms.
type message struct {
	lang   language.Tag
	plural bool
	forms  [plural.Many + 1]*form // by plural.Form; only plural.Other unless plural
}

// form returns the form for args["count"].
func (m *message) form(args Args) *form {
	if m.plural {
		n, _ := args["count"].(int)
		if f := m.forms[category(m.lang, n)]; f != nil {
			return f
		}
	}
	return m.forms[plural.Other]
}

// category returns the plural form of a language for a number.
func category(lang language.Tag, n int) plural.Form {
	const large = 10_000_000 // larger numbers have the forms of their remainder
	return plural.Cardinal.MatchPlural(lang, max(n%large, -(n%large)), 0, 0, 0, 0)
}

// form is a text in one plural form, cut at its placeholders.
type form struct {
	raw   string
	parts []part
}

// part is a placeholder, or text between placeholders.
type part struct{ name, plain, html string }

func (f *form) plain(args Args) string {
	if len(f.parts) == 1 && f.parts[0].name == "" {
		return f.parts[0].plain // nothing to copy
	}
	var b strings.Builder
	b.Grow(2 * len(f.raw))
	for _, p := range f.parts {
		if p.name == "" {
			b.WriteString(p.plain)
		} else {
			writeArg(&b, p.name, args[p.name])
		}
	}
	return b.String()
}

func (f *form) html(args Args) string {
	var b, arg strings.Builder
	for _, p := range f.parts {
		if p.name == "" {
			b.WriteString(p.html)
			continue
		}
		if safe, ok := args[p.name].(template.HTML); ok {
			b.WriteString(string(safe))
			continue
		}
		arg.Reset()
		writeArg(&arg, p.name, args[p.name])
		b.WriteString(template.HTMLEscapeString(arg.String()))
	}
	return b.String()
}

// writeArg writes the value of a placeholder. One without a value stays, so that
// a test can find the mistake.
func writeArg(b *strings.Builder, name string, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("{{" + name + "}}")
	case string:
		b.WriteString(v)
	case int:
		var digits [20]byte
		b.Write(strconv.AppendInt(digits[:0], int64(v), 10))
	default:
		b.WriteString(reflect.ValueOf(v).String()) // a string of a named type
	}
}
