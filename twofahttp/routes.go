package twofahttp

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// route is one way into the handler.
type route struct {
	method, path string // the path below Prefix
	serve        func(*visit) error
}

// routeTable is everything the handler answers. What changes anything is a
// POST, and each POST passes the same checks before it is served.
func routeTable() []route {
	return []route{
		{"GET", "", (*visit).settings},
		{"GET", "challenge", (*visit).challenge},
		{"POST", "verify", (*visit).verify},
		{"POST", "send", (*visit).send},
		{"POST", "cancel", (*visit).cancel},
		{"GET", "status", (*visit).status},
		{"GET", "link", (*visit).link},
		{"POST", "link", (*visit).openLink},
		{"GET", "confirm", (*visit).stepUp},
		{"GET", "recovered", (*visit).recovered},
		{"GET", "setup", (*visit).setup},
		{"POST", "setup", (*visit).startSetup},
		{"POST", "setup/confirm", (*visit).confirmSetup},
		{"POST", "setup/saved", (*visit).savedCodes},
		{"GET", "setup/codes.txt", (*visit).downloadCodes},
		{"POST", "factors/rename", (*visit).renameFactor},
		{"POST", "factors/remove", (*visit).removeFactor},
		{"POST", "codes", (*visit).viewCodes},
		{"POST", "codes/new", (*visit).newCodes},
		{"POST", "browsers/forget", (*visit).forgetBrowser},
		{"POST", "browsers/forget-all", (*visit).forgetBrowsers},
		{"POST", "revoke", (*visit).revoke},
		{"POST", "signin", (*visit).signInAgain},
		{"GET", "style.css", (*visit).stylesheet},
		{"GET", "twofa.js", (*visit).script},
	}
}

func (v *visit) dispatch() error {
	setHeaders(v.w.Header())
	path, ok := strings.CutPrefix(v.r.URL.Path, v.web.cfg.Prefix)
	methods := v.web.routes[path]
	if !ok || methods == nil {
		return errNotFound
	}
	method := v.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	serve := methods[method]
	if serve == nil {
		return notAllowedMethod(methods)
	}
	if method == http.MethodPost {
		if err := v.readForm(); err != nil {
			return err
		}
	}
	return serve(v)
}

func notAllowedMethod(methods map[string]func(*visit) error) error {
	allow := slices.Collect(maps.Keys(methods))
	if slices.Contains(allow, http.MethodGet) {
		allow = append(allow, http.MethodHead)
	}
	slices.Sort(allow)
	return &httpError{status: http.StatusMethodNotAllowed, code: "method", title: "Method not allowed", allow: strings.Join(allow, ", ")}
}
