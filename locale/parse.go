package locale

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

//go:embed en.json
var files embed.FS

// english is parsed at its first use. A test parses it, too.
var english = sync.OnceValue(func() *Catalog {
	c, err := parseFile(files, "en.json", nil)
	if err != nil {
		panic(err)
	}
	return c
})

// English returns the English catalog.
func English() *Catalog { return english() }

// Parse reads one language from each file of the form "pt-BR.json" in files. If
// a language is in base, its file replaces single texts of it. Otherwise it is a
// new language. Parse returns the languages of base, in their order, and then
// the new ones. It does not change those of base.
//
// A file is one JSON object. Its keys are the IDs of the English file, with a
// suffix for each plural form that the language has: "_zero", "_one", "_two",
// "_few", "_many" and "_other". Its values are texts with the placeholders of the
// English text, such as {{issuer}}, in any order. The only tag is <b>. A text
// that is missing or empty is replaced by that of another language of the
// result, if the tag has a region, and otherwise by the English one. A text of
// the host's own pages has an ID that starts with "host." and must be in en.json.
//
// The error lists all mistakes of all files.
func Parse(files fs.FS, base ...*Catalog) ([]*Catalog, error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("locale: no file with a name such as de.json")
	}
	// English first, because it has the placeholders of all
	if i := slices.Index(names, "en.json"); i >= 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, "en.json")
	}
	all := slices.Clone(base)
	var problems []error
	for _, name := range names {
		reference := English()
		if i := indexOf(all, language.English); i >= 0 {
			reference = all[i]
		}
		c, err := parseFile(files, name, reference)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		switch i := indexOf(all, c.tag); {
		case i >= 0:
			all[i] = all[i].with(c.texts)
		case c.tag == language.English:
			all = append(all, English().with(c.texts))
		default:
			all = append(all, c)
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("locale:\n%w", errors.Join(problems...))
	}
	return link(all), nil
}

func indexOf(all []*Catalog, tag language.Tag) int {
	return slices.IndexFunc(all, func(c *Catalog) bool { return c.tag == tag })
}

// with returns a copy of the catalog in which these texts replace others.
func (c *Catalog) with(texts map[string]*message) *Catalog {
	all := maps.Clone(c.texts)
	maps.Copy(all, texts)
	return &Catalog{tag: c.tag, texts: all, fallback: c.fallback}
}

// link returns copies that fall back to each other: to the next language in the
// chain of parents (de for de-CH), and at last to English.
func link(all []*Catalog) []*Catalog {
	copies := make([]*Catalog, len(all))
	for i, c := range all {
		copies[i] = c.with(nil)
	}
	for _, c := range copies {
		if c.tag == language.English {
			continue
		}
		if c.fallback == nil {
			c.fallback = English()
		}
		if i := indexOf(copies, language.English); i >= 0 {
			c.fallback = copies[i]
		}
		for tag := c.tag.Parent(); tag != language.Und; tag = tag.Parent() {
			if i := indexOf(copies, tag); i >= 0 {
				c.fallback = copies[i]
				break
			}
		}
	}
	return copies
}

// parseFile reads one file. English is nil while the English file of this
// package is read, which defines the IDs and their placeholders.
func parseFile(files fs.FS, name string, english *Catalog) (*Catalog, error) {
	tag, err := language.Parse(strings.TrimSuffix(path.Base(name), ".json"))
	if err != nil {
		return nil, fmt.Errorf("%s: the name is not a BCP 47 tag: %w", name, err)
	}
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	p := &parser{name: name, tag: tag, english: english, texts: map[string]*message{}, counts: counts(tag)}
	if err := p.read(data); err != nil {
		p.report("invalid JSON: %v", err)
	}
	for _, id := range slices.Sorted(maps.Keys(p.texts)) {
		p.check(id, p.texts[id])
	}
	return &Catalog{tag: tag, texts: p.texts}, errors.Join(p.problems...)
}

// counts returns for how many numbers a language uses each plural form.
func counts(tag language.Tag) map[plural.Form]int {
	n := map[plural.Form]int{category(tag, 1_000_000): 1}
	for i := range 1000 {
		n[category(tag, i)]++
	}
	return n
}

// parser reads the texts of a file and collects its problems.
type parser struct {
	name     string
	tag      language.Tag
	english  *Catalog
	texts    map[string]*message
	counts   map[plural.Form]int
	problems []error
}

func (p *parser) report(format string, args ...any) {
	p.problems = append(p.problems, fmt.Errorf(p.name+": "+format, args...))
}

// read reads the object with a decoder, because Unmarshal accepts keys that
// occur twice.
func (p *parser) read(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("it is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("it must be one object")
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return err
		}
		id := key.(string) // the decoder accepts no other key
		if seen[id] {
			p.report("%q occurs twice", id)
		}
		seen[id] = true
		if raw, ok := value.(string); ok {
			p.add(id, raw)
		} else {
			p.report("%q: must be a string; IDs contain dots, so objects are not nested", id)
		}
	}
	if _, err := d.Token(); err != nil {
		return errors.New("the object has no end")
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

// suffixes are the suffixes of the plural forms.
var suffixes = []string{plural.Other: "_other", plural.Zero: "_zero", plural.One: "_one", plural.Two: "_two", plural.Few: "_few", plural.Many: "_many"}

// add adds the text of one key. An empty one counts as missing, as in the files
// of translation tools.
func (p *parser) add(key, raw string) {
	if strings.TrimSpace(raw) == "" {
		return
	}
	id, category, isPlural := key, 0, false
	if i := strings.LastIndexByte(key, '_'); i >= 0 {
		if c := slices.Index(suffixes, key[i:]); c >= 0 {
			id, category, isPlural = key[:i], c, true
		}
	}
	f, err := compile(raw)
	if err != nil {
		p.report("%q: %w", key, err)
		return
	}
	m := p.texts[id]
	if m == nil {
		m = &message{lang: p.tag, plural: isPlural}
		p.texts[id] = m
	}
	if m.plural != isPlural {
		p.report("%q: occurs with and without a plural form", id)
		return
	}
	m.forms[category] = f
}

// special matches a placeholder or a tag.
var special = regexp.MustCompile(`\{\{([a-z][a-z0-9_]*)\}\}|</?b>`)

// compile cuts a text at its placeholders and tags.
func compile(raw string) (*form, error) {
	if strings.ContainsFunc(raw, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
		return nil, errors.New("must not contain control characters")
	}
	f := &form{raw: raw}
	tag, at := "</b>", 0
	for _, found := range append(special.FindAllStringSubmatchIndex(raw, -1), []int{len(raw), len(raw), -1, -1}) {
		literal, s := raw[at:found[0]], raw[found[0]:found[1]]
		at = found[1]
		switch {
		case strings.ContainsAny(literal, "<>"):
			return nil, errors.New("must not contain <, > or tags other than <b>")
		case strings.Contains(literal, "{{"), strings.Contains(literal, "}}"):
			return nil, errors.New("has a malformed placeholder; write {{name}}")
		case found[2] < 0 && s == tag, s == "" && tag == "<b>":
			return nil, errors.New("must have <b> and </b> in pairs")
		}
		if literal != "" {
			f.parts = append(f.parts, part{plain: literal, html: template.HTMLEscapeString(literal)})
		}
		if found[2] >= 0 {
			f.parts = append(f.parts, part{name: raw[found[2]:found[3]]})
		} else if s != "" {
			f.parts, tag = append(f.parts, part{html: s}), s
		}
	}
	return f, nil
}

// check compares a text with the English one.
func (p *parser) check(id string, m *message) {
	want := m
	if p.english != nil {
		want = p.english.find(id)
		if p.tag == language.English && strings.HasPrefix(id, "host.") {
			want = m
		}
	}
	switch {
	case want == nil:
		p.report("%q: unknown ID", id)
		return
	case want.plural && !m.plural:
		p.report("%q: must have a text for each plural form, such as %q", id, id+"_other")
		return
	case m.plural && !want.plural:
		p.report("%q: must have no plural forms", id)
		return
	}
	names := want.placeholders()
	for category, f := range m.forms {
		key, used := id, p.counts[plural.Form(category)]
		if m.plural {
			key += suffixes[category]
		}
		switch {
		case f != nil:
			p.compare(key, f.placeholders(), names, m.plural && used <= 1) // such as "one" in English
		case m.plural && used > 0:
			p.report("%q: is missing, but this language has that plural form", key)
		}
	}
}

// compare reports the placeholders that are missing or unknown. A plural form
// that one number has may contain the number as a word.
func (p *parser) compare(key string, have, want map[string]bool, withoutCount bool) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !have[name] && (name != "count" || !withoutCount) {
			p.report("%q: lacks the placeholder {{%s}}", key, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if !want[name] {
			p.report("%q: has an unknown placeholder {{%s}}", key, name)
		}
	}
}

// placeholders returns the placeholders of all forms.
func (m *message) placeholders() map[string]bool {
	all := map[string]bool{}
	for _, f := range m.forms {
		if f != nil {
			maps.Copy(all, f.placeholders())
		}
	}
	return all
}

// placeholders returns the placeholders of a form. Of the two ways to write an
// hour, one counts as the other.
func (f *form) placeholders() map[string]bool {
	names := map[string]bool{}
	for _, p := range f.parts {
		switch p.name {
		case "", "half":
		case "hour12":
			names["hour"] = true
		default:
			names[p.name] = true
		}
	}
	return names
}
