package app

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/twofa-go/twofa/twofahttp"
)

//go:embed views/*.html
var viewFiles embed.FS

//go:embed static
var staticFiles embed.FS

// view is the data of a page. Its layout is nil if the page must work without
// the web session.
type view struct {
	*layout
	Title     string
	URL       string // address at which the browser can load the page again
	Flash     string
	Recovered bool // whether the visitor signed in with a recovery code
	Banners   []twofahttp.Banner
	Data      any
}

func parsePages() (map[string]*template.Template, error) {
	base, err := template.New("layout.html").Funcs(template.FuncMap{
		"date":  func(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") },
		"lines": func(s string) []string { return strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n") },
		"link":  func(s string) bool { return strings.HasPrefix(s, "https://") || strings.HasPrefix(s, "http://") },
	}).ParseFS(viewFiles, "views/layout.html")
	if err != nil {
		return nil, err
	}
	if base, err = base.ParseFS(frameFiles, "frame/*.html"); err != nil {
		return nil, err
	}
	files, err := viewFiles.ReadDir("views")
	if err != nil {
		return nil, err
	}
	pages := make(map[string]*template.Template)
	for _, f := range files {
		page, err := template.Must(base.Clone()).ParseFS(viewFiles, "views/"+f.Name())
		if err != nil {
			return nil, err
		}
		pages[strings.TrimSuffix(f.Name(), ".html")] = page
	}
	return pages, nil
}

// render writes a page inside the layout, with the name and accounts of its
// visitor.
func (a *App) render(w http.ResponseWriter, r *http.Request, status int, page, title string, data any) error {
	l, err := a.newLayout(r)
	if err != nil {
		return err
	}
	l.CSRF = a.csrf(r.Context())
	var banners []twofahttp.Banner
	if l.Me != nil {
		banners = a.web.Banners(r)
	}
	return a.write(w, status, page, view{
		layout: l, Title: title, URL: pageURL(r), Flash: a.sessions.PopString(r.Context(), keyFlash),
		Recovered: l.Me != nil && recovered(r), Banners: banners, Data: data,
	})
}

// write writes a page. If its template fails, it writes nothing.
func (a *App) write(w http.ResponseWriter, status int, page string, v view) error {
	var body bytes.Buffer
	if err := a.pages[page].Execute(&body, v); err != nil {
		return fmt.Errorf("%w: page %s: %w", errInternal, page, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
	return nil
}

func (a *App) static(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "public, max-age=300")
	http.ServeFileFS(w, r, staticFiles, "static/"+r.PathValue("file"))
	return nil
}

// wantsJSON reports whether a request is for the API.
func wantsJSON(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

func writeJSON(w http.ResponseWriter, status int, v any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// initials returns the letters for the round picture of a user or contact.
func initials(name string) string {
	var out strings.Builder
	for i, word := range strings.Fields(name) {
		if i < 2 {
			fmt.Fprintf(&out, "%c", []rune(word)[0])
		}
	}
	return strings.ToUpper(out.String())
}

// Initials returns the letters for the user's round picture.
func (u user) Initials() string { return initials(u.Name) }

// Initials returns the letters for the contact's round picture.
func (c contact) Initials() string { return initials(c.Name) }
