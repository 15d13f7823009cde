package twofahttp

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	text "text/template"
	"text/template/parse"
	"time"
	"unicode"

	"github.com/twofa-go/twofa"
	names "github.com/twofa-go/twofa/internal/text"
	"github.com/twofa-go/twofa/locale"
)

//go:embed pages
var pagesFS embed.FS

//go:embed style.css
var styleCSS []byte

//go:embed twofa.js
var scriptJS []byte

// templates are the parsed pages and the text file with recovery codes, in one
// language.
type templates struct {
	language *locale.Catalog
	pages    map[string]*template.Template
	codes    *text.Template
}

// parseAll parses the pages once and returns them in each language. If a file is
// in overrides, it replaces the built-in one.
func parseAll(overrides fs.FS, languages []*locale.Catalog) (map[*locale.Catalog]templates, error) {
	files, replaced, err := readTemplates(overrides)
	if err != nil {
		return nil, err
	}
	first, err := parseTemplates(files, languages[0])
	if err != nil {
		return nil, err
	}
	all := map[*locale.Catalog]templates{first.language: first}
	for _, c := range languages[1:] {
		if all[c], err = first.in(c); err != nil {
			return nil, err
		}
	}
	if len(replaced) > 0 { // languages differ in their texts only
		err = first.renderAll(replaced)
	}
	return all, err
}

// in returns the templates in another language. It must be called before any of
// them is executed.
func (t templates) in(c *locale.Catalog) (templates, error) {
	other := templates{language: c, pages: map[string]*template.Template{}}
	for name, page := range t.pages {
		clone, err := page.Clone()
		if err != nil {
			return other, err
		}
		other.pages[name] = clone.Funcs(other.funcs())
	}
	codes, err := t.codes.Clone()
	if err == nil {
		other.codes = codes.Funcs(other.textFuncs())
	}
	return other, err
}

// parseTemplates parses each page together with the layout.
func parseTemplates(files map[string]string, c *locale.Catalog) (t templates, err error) {
	t = templates{language: c, pages: map[string]*template.Template{}}
	funcs := t.funcs()
	for _, page := range []string{"activity", "asked", "bounce", "case", "challenge", "change", "codes", "done", "due", "help", "history", "link", "lost", "member", "message", "nocodes", "policy", "preview", "recovered", "reset", "resubmit", "settings", "setup", "team"} {
		t.pages[page] = template.New(page).Funcs(funcs)
		for _, name := range []string{"layout.html", "alert.html", "parts.html", page + ".html"} {
			if _, err := t.pages[page].Parse(files[name]); err != nil {
				return t, fmt.Errorf("%s: %w", name, err)
			}
		}
		for _, frame := range []string{"header", "footer"} {
			if _, err := t.pages[page].New(frame).Parse(files[frame+".html"]); err != nil {
				return t, fmt.Errorf("%s.html: %w", frame, err)
			}
		}
		for _, part := range t.pages[page].Templates() {
			if err := t.checkTexts(part.Tree); err != nil {
				return t, fmt.Errorf("%s.html: %w", page, err)
			}
		}
	}
	t.codes, err = text.New(codesFile).Funcs(t.textFuncs()).Parse(files[codesFile])
	if err == nil {
		err = t.checkTexts(t.codes.Tree)
	}
	if err != nil {
		return t, fmt.Errorf("%s: %w", codesFile, err)
	}
	return t, nil
}

// funcs returns the functions that templates can call.
func (t templates) funcs() template.FuncMap {
	c := t.language
	return template.FuncMap{
		"t": t.text,
		"join": func(first, second template.HTML) template.HTML {
			return c.HTML("sentences", locale.Args{"first": first, "second": second})
		},
		"in":       c.In,
		"duration": c.Duration,
		"bdi":      func(value string) template.HTML { return isolated("<bdi>", value) },
		"ltr":      func(value string) template.HTML { return isolated(`<bdi dir="ltr">`, value) },
		"isolate":  t.isolate,
		"date":     func(at time.Time) string { return c.Date(at.UTC()) },
		"datetime": func(at time.Time) string { return c.DateTime(at.UTC()) },
		"device":   func(name string) string { return names.DeviceIn(c, name) },
		"said": func(e entry, issuer string) saidEntry {
			return saidEntry{e, saidParty{e.Who, issuer}, saidParty{e.Whom, issuer}}
		},
		"factor": t.factorName,
		"lang":   c.Tag,
		"dir":    t.direction,
	}
}

// textFuncs returns the functions that the text file can call.
func (t templates) textFuncs() text.FuncMap {
	return text.FuncMap{"t": t.plain, "date": t.language.Date}
}

// text returns a text of the catalog as HTML: {{t "id" "name" value …}}. Values
// are escaped. The value named "count" selects the plural form.
func (t templates) text(id string, args ...any) (template.HTML, error) {
	named, err := namedArgs(args)
	return t.language.HTML(id, named), err
}

// isolated returns a value that a user or the host has chosen as HTML whose
// direction does not depend on the text around it.
func isolated(start, value string) template.HTML {
	return template.HTML(start + template.HTMLEscapeString(value) + "</bdi>")
}

// isolate is like [isolated] for a text without tags, such as the title of a page.
// In a language that is written from left to right, a value that is too needs no
// such characters.
func (t templates) isolate(value string) string {
	isRTL := func(r rune) bool {
		return unicode.In(r, unicode.Adlam, unicode.Arabic, unicode.Hebrew, unicode.Nko, unicode.Syriac, unicode.Thaana)
	}
	if !t.language.RTL() && !strings.ContainsFunc(value, isRTL) {
		return value
	}
	const first, last = "\u2068", "\u2069" // FIRST STRONG ISOLATE, POP DIRECTIONAL ISOLATE
	return first + value + last
}

// plain is text for a file that is not HTML.
func (t templates) plain(id string, args ...any) (string, error) {
	named, err := namedArgs(args)
	return t.language.Text(id, named), err
}

func namedArgs(args []any) (locale.Args, error) {
	if len(args)%2 != 0 {
		return nil, fmt.Errorf("must have a value for each name, has %d values", len(args))
	}
	named := locale.Args{}
	for i := 0; i < len(args); i += 2 {
		name, ok := args[i].(string)
		if !ok {
			return nil, fmt.Errorf("the name of a value must be a string, is %v", args[i])
		}
		named[name] = args[i+1]
	}
	return named, nil
}

// factorName returns the name of a factor. One that the user has not named has
// the name of its method.
func (t templates) factorName(f twofa.Factor) string {
	if f.Named {
		return f.Name
	}
	return t.language.Text("factor."+string(f.Method), nil)
}

func (t templates) direction() string {
	if t.language.RTL() {
		return "rtl"
	}
	return "ltr"
}

// checkTexts returns an error if a template uses a text that no catalog has,
// also in a branch that no sample renders.
func (t templates) checkTexts(tree *parse.Tree) error {
	if tree == nil || tree.Root == nil {
		return nil
	}
	var unknown error
	var walk func(n parse.Node)
	list := func(n *parse.ListNode) {
		if n != nil {
			walk(n)
		}
	}
	walk = func(n parse.Node) {
		switch n := n.(type) {
		case *parse.ListNode:
			for _, child := range n.Nodes {
				walk(child)
			}
		case *parse.ActionNode:
			walk(n.Pipe)
		case *parse.IfNode:
			walk(n.Pipe)
			list(n.List)
			list(n.ElseList)
		case *parse.RangeNode:
			walk(n.Pipe)
			list(n.List)
			list(n.ElseList)
		case *parse.WithNode:
			walk(n.Pipe)
			list(n.List)
			list(n.ElseList)
		case *parse.PipeNode:
			for _, command := range n.Cmds {
				walk(command)
			}
		case *parse.CommandNode:
			for _, arg := range n.Args {
				walk(arg)
			}
			if len(n.Args) < 2 || n.Args[0].String() != "t" {
				return
			}
			if id, ok := n.Args[1].(*parse.StringNode); ok && !t.language.Has(id.Text) {
				unknown = fmt.Errorf("%q: must be the ID of a text, see locale/en.json", id.Text)
			}
		}
	}
	walk(tree.Root)
	return unknown
}

// readTemplates returns the built-in files by name, after replacing those that
// are in overrides, and the names of those. A file in overrides that replaces none
// is misspelled.
func readTemplates(overrides fs.FS) (files map[string]string, replaced []string, err error) {
	files, err = readFiles(pagesFS, "pages")
	if err != nil || overrides == nil {
		return files, nil, err
	}
	replacements, err := readFiles(overrides, ".")
	replaced = slices.Sorted(maps.Keys(replacements))
	for _, name := range replaced {
		if _, ok := files[name]; !ok {
			return nil, nil, fmt.Errorf("%s: must have the name of a page, see docs/pages.md", name)
		}
		files[name] = replacements[name]
	}
	return files, replaced, err
}

func readFiles(fsys fs.FS, dir string) (map[string]string, error) {
	files := map[string]string{}
	entries, err := fs.ReadDir(fsys, dir)
	for _, entry := range entries {
		content, err := fs.ReadFile(fsys, path.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		files[entry.Name()] = string(content)
	}
	return files, err
}

func (t templates) execute(w io.Writer, page string, d pageData) error {
	if page == codesFile {
		return t.codes.Execute(w, d.Data)
	}
	return t.pages[page].ExecuteTemplate(w, "layout", d)
}

// renderAll renders each page in each of its states, with one alert of each kind.
// Each other alert is rendered on one page only, because all pages show them in
// the same way. If no replaced file depends on the state of a page, such as a
// header, one state is enough.
func (t templates) renderAll(replaced []string) error {
	for page, states := range sampleData(t.language) {
		if !dependsOnState(page, replaced) {
			states = states[:1]
		}
		for i, data := range states {
			for _, a := range sampleAlerts(t.language) {
				if !shownWith(data, a) || (page != "challenge" || i > 0 || len(states) == 1) && !isTypical(data, a) {
					continue
				}
				d := pageData{Issuer: "x", Base: "/2fa/", Home: "/", Login: "/login", Logo: "/logo", Support: "/help", Events: true, CSRF: "x", Alert: a, Data: data}
				if err := t.execute(io.Discard, page, d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// dependsOnState reports whether one of the replaced files shows what differs
// between the states of a page.
func dependsOnState(page string, replaced []string) bool {
	return slices.ContainsFunc(replaced, func(name string) bool {
		return slices.Contains([]string{"layout.html", "alert.html", "parts.html", page, page + ".html"}, name)
	})
}

// isTypical reports whether the alert stands for all of its kind.
func isTypical(data any, a *alert) bool {
	if _, ok := data.(messageData); ok {
		return true
	}
	return a == nil || a.Code == "invalid_code" || a.Code == "renamed"
}

// shownWith reports whether a page with data can have an alert. A page about a
// message has no other one, and "message" always has it.
func shownWith(data any, a *alert) bool {
	switch d := data.(type) {
	case messageData:
		return a != nil && a.Title == d.Title && a.Text == d.Text
	case doneData:
		return a == nil || a.Title == d.Title
	}
	return true
}
