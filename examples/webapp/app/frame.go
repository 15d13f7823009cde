package app

import (
	"context"
	"embed"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/twofahttp"
)

// The header and the footer are the same around the pages of the product and
// those of package twofahttp.

//go:embed frame
var frameFiles embed.FS

// frame returns header.html and footer.html, for twofahttp.Config.Templates.
func frame() fs.FS {
	files, err := fs.Sub(frameFiles, "frame")
	if err != nil {
		panic(err) // the name of the folder is invalid
	}
	return files
}

// stylesheet is that of package twofahttp, and after it the product's colors
// and the style of its header and footer.
func stylesheet() []byte {
	css := twofahttp.DefaultStylesheet()
	for _, name := range []string{"static/brand.css", "static/frame.css"} {
		file, err := staticFiles.ReadFile(name)
		if err != nil {
			panic(err) // the file is embedded
		}
		css = append(css, file...)
	}
	return css
}

// layout is the data of the header and the footer.
type layout struct {
	Area      string // entry of the navigation that the page belongs to
	CSRF      string // of the web session; if empty, the footer has no switch of the language
	Demo      bool
	Me        *visitor // nil if the visitor is not signed in
	Accounts  []member // memberships of Me
	Language  string   // of the pages of the second factor
	Languages []language
}

// Layout returns l, so that templates find it as .Layout in the data of the
// product's own pages, too.
func (l *layout) Layout() *layout { return l }

// newLayout returns the layout for a request whose web session is loaded.
func (a *App) newLayout(r *http.Request) (*layout, error) {
	l := &layout{Area: areaOf(r.URL.Path), CSRF: a.sessions.GetString(r.Context(), keyCSRF), Demo: a.demo, Me: visitorOf(r),
		Language: locale.NewMatcher(catalogs()...).Match(languageOf(r)).Tag(), Languages: languages}
	if l.Me == nil {
		return l, nil
	}
	var err error
	l.Accounts, err = a.db.membershipsOf(r.Context(), l.Me.User.ID)
	return l, err
}

// layoutData is for twofahttp.Config.LayoutData. If the memberships cannot be
// read, the menu does not offer to switch the account. A page that the guard
// answers with must not set a cookie, so it begins no web session.
func (a *App) layoutData(r *http.Request) any {
	l, err := a.newLayout(r)
	if err != nil {
		a.log.ErrorContext(context.WithoutCancel(r.Context()), "memberships not read", "error", err)
	}
	if l.CSRF == "" && r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/2fa/") {
		l.CSRF = a.csrf(r.Context())
	}
	return l
}

// areaOf returns the entry of the navigation that a path belongs to. The pages of
// the second factor are part of the settings, except those for admins.
func areaOf(path string) string {
	for _, page := range []string{"/2fa/team", "/2fa/policy"} {
		if strings.HasPrefix(path, page) {
			return "/members"
		}
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if first == "2fa" {
		first = "settings"
	}
	return "/" + first
}

// pageURL returns the address at which a browser can load a page again: its
// own or, if the page answers a form, that of the form.
func pageURL(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return twofahttp.SafeRedirect(r.URL.RequestURI(), "/")
	}
	if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host {
		return twofahttp.SafeRedirect(from.RequestURI(), "/")
	}
	return "/"
}
