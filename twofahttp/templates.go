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
	text "text/template"
	"time"
)

//go:embed pages
var pagesFS embed.FS

//go:embed style.css
var styleCSS []byte

//go:embed twofa.js
var scriptJS []byte

// templates are the parsed pages and the text file with recovery codes.
type templates struct {
	pages map[string]*template.Template
	codes *text.Template
}

// parseTemplates parses each page together with the layout. If a file is in
// overrides, it replaces the built-in one.
func parseTemplates(overrides fs.FS) (t templates, err error) {
	files, err := readTemplates(overrides)
	if err != nil {
		return t, err
	}
	t.pages = map[string]*template.Template{}
	for _, page := range []string{"bounce", "challenge", "codes", "done", "link", "message", "nocodes", "recovered", "resubmit", "settings", "setup"} {
		t.pages[page] = template.New(page).Funcs(template.FuncMap{"date": formatDate})
		for _, name := range []string{"layout.html", "alert.html", "parts.html", page + ".html"} {
			if _, err := t.pages[page].Parse(files[name]); err != nil {
				return t, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	t.codes, err = text.New(codesFile).Funcs(text.FuncMap{"date": formatDate}).Parse(files[codesFile])
	if err != nil {
		return t, fmt.Errorf("%s: %w", codesFile, err)
	}
	if overrides == nil {
		return t, nil
	}
	return t, t.renderAll()
}

// readTemplates returns the built-in files by name, after replacing those that
// are in overrides. A file in overrides that replaces none is misspelled.
func readTemplates(overrides fs.FS) (map[string]string, error) {
	files, err := readFiles(pagesFS, "pages")
	if err != nil || overrides == nil {
		return files, err
	}
	replacements, err := readFiles(overrides, ".")
	for _, name := range slices.Sorted(maps.Keys(replacements)) {
		if _, ok := files[name]; !ok {
			return nil, fmt.Errorf("%s: must have the name of a page, see docs/pages.md", name)
		}
		files[name] = replacements[name]
	}
	return files, err
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

// renderAll renders each page once in each of its states.
func (t templates) renderAll() error {
	for page, states := range sampleData() {
		for _, data := range states {
			for _, a := range sampleAlerts() {
				if page == "message" && a == nil {
					continue // this page always has an alert
				}
				d := pageData{Issuer: "x", Base: "/2fa/", Home: "/", Login: "/login", CSRF: "x", Alert: a, Data: data}
				if err := t.execute(io.Discard, page, d); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func formatDate(t time.Time) string { return t.UTC().Format("2 January 2006") }
