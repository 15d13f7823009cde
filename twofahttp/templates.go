package twofahttp

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	text "text/template"
	"time"
)

//go:embed pages
var pagesFS embed.FS

//go:embed style.css
var styleCSS []byte

//go:embed twofa.js
var scriptJS []byte

// parsePages reads each page together with the layout, the host's files first.
func parsePages(overrides fs.FS) (map[string]*template.Template, *text.Template, error) {
	pages := map[string]*template.Template{}
	if overrides != nil {
		if err := checkTemplateNames(overrides); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range []string{"challenge", "codes", "link", "message", "recovered", "settings", "setup"} {
		t := template.New(name).Funcs(template.FuncMap{"date": formatDate})
		for _, file := range []string{"layout.html", "alert.html", "parts.html", name + ".html"} {
			page, err := readPage(overrides, file)
			if err != nil {
				return nil, nil, fmt.Errorf("Config.Templates: %w", err)
			}
			if _, err := t.Parse(string(page)); err != nil {
				return nil, nil, fmt.Errorf("Config.Templates: %s: %w", file, err)
			}
		}
		pages[name] = t
	}
	file, err := readPage(overrides, "codes.txt")
	if err != nil {
		return nil, nil, fmt.Errorf("Config.Templates: %w", err)
	}
	codes, err := text.New("codes.txt").Funcs(text.FuncMap{"date": formatDate}).Parse(string(file))
	if err != nil {
		return nil, nil, fmt.Errorf("Config.Templates: codes.txt: %w", err)
	}
	if overrides == nil {
		return pages, codes, nil
	}
	return pages, codes, renderAll(pages, codes)
}

func readPage(overrides fs.FS, file string) ([]byte, error) {
	if overrides != nil {
		if page, err := fs.ReadFile(overrides, file); !errors.Is(err, fs.ErrNotExist) {
			return page, err
		}
	}
	return fs.ReadFile(pagesFS, "pages/"+file)
}

// checkTemplateNames reports a file that takes no page's place: its name is misspelt.
func checkTemplateNames(overrides fs.FS) error {
	files, err := fs.ReadDir(overrides, ".")
	if err != nil {
		return fmt.Errorf("Config.Templates: %w", err)
	}
	for _, file := range files {
		if _, err := fs.Stat(pagesFS, "pages/"+file.Name()); err != nil {
			return fmt.Errorf("Config.Templates: %s takes the place of no page; see docs/pages.md", file.Name())
		}
	}
	return nil
}

// renderAll renders everything once.
func renderAll(pages map[string]*template.Template, codes *text.Template) error {
	alerts := []*alert{nil, {Code: "invalid_code", Counted: true}, {Code: "invalid_code", Clock: wait{Minutes: 2}, Behind: true}}
	for i, code := range alertCodes {
		alerts = append(alerts, &alert{Code: code, Good: i%2 == 0, Counted: true, Left: i % 3, Wait: wait{Hours: i % 2, Minutes: i % 3, Seconds: i}})
	}
	for name, states := range sampleData() {
		for _, data := range states {
			for _, a := range alerts {
				if _, needs := data.(messageData); needs && a == nil {
					continue // it always has one
				}
				p := pageData{Issuer: "x", Base: "/2fa/", Home: "/", Login: "/login", CSRF: "x", Alert: a, Data: data}
				if err := pages[name].ExecuteTemplate(io.Discard, "layout", p); err != nil {
					return fmt.Errorf("Config.Templates: %w", err)
				}
			}
		}
	}
	for _, data := range sampleData()["codes"] {
		if err := codes.Execute(io.Discard, data); err != nil {
			return fmt.Errorf("Config.Templates: %w", err)
		}
	}
	return nil
}

func formatDate(t time.Time) string { return t.UTC().Format("2 January 2006") }
