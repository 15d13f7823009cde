package app

import (
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// page handles one request. If it returns an error, fail writes the response.
type page func(http.ResponseWriter, *http.Request) error

// Route is one entry in the table of routes.
type Route struct {
	Method, Path string
	Needs        Role   // lowest role that may use the route, or Anyone
	Action       string // sensitive action that needs a fresh proof, if any
	do           page
}

// api reports whether a route belongs to the API: it reads and writes JSON and
// identifies its caller by a bearer token. It ignores cookies, so it needs no
// protection against forged requests (CSRF).
func (rt Route) api() bool { return strings.HasPrefix(rt.Path, "/api/") }

// maxBody returns the most bytes that a request may have.
func (rt Route) maxBody() int64 {
	if rt.Path == phonesPath {
		return maxUpload
	}
	return 64 << 10
}

// table returns every route.
func (a *App) table() []Route {
	routes := []Route{
		{"GET", "/{$}", Anyone, "", a.home},
		{"GET", "/static/{file}", Anyone, "", a.static},
		{"POST", "/language", Anyone, "", a.identify(a.chooseLanguage)},

		// Sign-in paths. Each ends in firstFactorDone.
		{"GET", "/login", Anyone, "", a.identify(a.loginPage)},
		{"POST", "/login", Anyone, "", a.identify(a.login)},
		{"GET", "/forgot", Anyone, "", a.forgotPage},
		{"POST", "/forgot", Anyone, "", a.forgot},
		{"GET", "/reset/{token}", Anyone, "", a.resetPage},
		{"POST", "/reset/{token}", Anyone, "", a.reset},
		{"GET", "/invite/{token}", Anyone, "", a.invitePage},
		{"POST", "/invite/{token}", Anyone, "", a.acceptInvite},
		{"POST", "/api/login", Anyone, "", a.apiLogin},
		{"POST", "/api/login/send", Anyone, "", a.apiSend},
		{"POST", "/api/login/verify", Anyone, "", a.apiVerify},
		{"", "/2fa/", Anyone, "", a.secondFactor}, // every method, because its handler checks the method itself
		{"POST", "/logout", Anyone, "", a.identify(a.logout)},

		{"POST", "/switch", Anyone, "", a.identify(a.switchAccount)}, // a member of another account is checked there,
		{"GET", "/contacts", Member, "", a.contactsPage},
		{"POST", "/contacts", Member, "", a.addContact},
		{"GET", "/contacts/{id}/delete", Admin, "", a.confirmDelete},
		{"POST", "/contacts/{id}/delete", Admin, "", a.deleteContact},
		{"POST", "/contacts/export", Member, actionExport, a.exportContacts},

		{"GET", "/members", Member, "", a.membersPage},
		{"POST", "/members/invite", Admin, "", a.invite},
		{"GET", phonesPath, Admin, "", a.phonesPage},
		{"POST", phonesPath, Admin, "", a.assignPhones},
		{"GET", "/members/leave", Member, "", a.confirmLeave},
		{"POST", "/members/leave", Member, actionLeave, a.leave},
		{"GET", "/members/{id}/manage", Admin, "", a.memberPage},
		{"GET", "/members/{id}/role", Admin, "", a.confirmRole},
		{"POST", "/members/{id}/role", Admin, "", a.changeRole},
		{"GET", "/members/{id}/remove", Admin, "", a.confirmRemove},
		{"POST", "/members/{id}/remove", Admin, actionRemove, a.removeMember},
		{"GET", "/members/{id}/deactivate", Admin, "", a.confirmDeactivate},
		{"POST", "/members/{id}/deactivate", Admin, "", a.deactivate},
		{"POST", "/members/{id}/reactivate", Admin, "", a.reactivate},

		{"GET", "/settings", Member, "", a.settingsPage},
		{"POST", "/settings/profile", Member, "", a.changeProfile},
		{"POST", "/settings/password", Member, "", a.inPerson(a.changePassword)},
		{"POST", "/settings/sessions/{id}/revoke", Member, "", a.revokeSession},
		{"POST", "/settings/sessions/revoke-others", Member, "", a.revokeOthers},

		{"GET", "/api/me", Member, "", a.apiMe},
		{"GET", "/api/contacts", Member, "", a.apiContacts},
		{"POST", "/api/step-up", Member, "", a.apiStepUp},
		{"POST", "/api/step-up/verify", Member, "", a.apiStepUpVerify},
		{"POST", "/api/contacts/export", Member, actionExport, a.exportContacts},
		{"POST", "/api/logout", Member, "", a.apiLogout},
	}
	if a.demo {
		routes = append(routes, []Route{
			{"GET", "/sso", Anyone, "", a.identify(a.ssoPage)},
			{"POST", "/sso", Anyone, "", a.startSSO},
			{"GET", ssoCallback, Anyone, "", a.finishSSO},
			{"GET", "/dev/idp/{id}", Anyone, "", a.onThisMachine(a.idpPage)},
			{"POST", "/dev/idp/{id}", Anyone, "", a.onThisMachine(a.idp)},
			{"GET", "/dev/outbox", Anyone, "", a.onThisMachine(a.identify(a.outboxPage))},
			{"GET", "/dev/support", Anyone, "", a.onThisMachine(a.identify(a.supportPage))},
			{"POST", "/dev/support", Anyone, "", a.onThisMachine(a.identify(a.support))},
			{"GET", "/dev/outbox.json", Anyone, "", a.onThisMachine(a.outboxJSON)},
		}...)
	}
	return routes
}

// Routes returns every route, for tests that check them all.
func (a *App) Routes() []Route { return slices.Clone(a.routes) }

// serve returns the handler: the routes, and around them the middleware for
// every response.
func (a *App) serve() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range a.routes {
		mux.Handle(strings.TrimSpace(rt.Method+" "+rt.Path), a.mount(rt))
	}
	lost := a.mount(Route{Path: "none", do: a.identify(func(http.ResponseWriter, *http.Request) error { return errNotFound })})
	return a.headers(http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if known(mux, r) {
			mux.ServeHTTP(w, r)
		} else {
			lost.ServeHTTP(w, r)
		}
	})))
}

// known reports whether a route has the path of a request, perhaps with another
// method, which the mux answers itself.
func known(mux *http.ServeMux, r *http.Request) bool {
	for _, method := range []string{r.Method, http.MethodGet, http.MethodPost} {
		if _, pattern := mux.Handler(&http.Request{Method: method, Host: r.Host, URL: r.URL}); pattern != "" {
			return true
		}
	}
	return false
}

// secondFactor serves the pages of package twofahttp, where users give and
// manage a second factor.
func (a *App) secondFactor(w http.ResponseWriter, r *http.Request) error {
	return a.identify(func(w http.ResponseWriter, r *http.Request) error {
		a.web.Handler().ServeHTTP(w, r)
		return nil
	})(w, r)
}

// mount wraps a route in the checks that its entry in the table requires.
func (a *App) mount(rt Route) http.Handler {
	do := rt.do
	if rt.Action != "" {
		do = a.sensitive(rt.Action, do)
	}
	if rt.Needs != Anyone {
		do = a.guard(rt.Needs, do)
	}
	if rt.Method == http.MethodPost && !rt.api() {
		do = a.checkForm(do)
	}
	if !rt.api() && rt.Path != "/static/{file}" {
		do = a.session(rt.Method == http.MethodPost || rt.Path == ssoCallback, do)
	}
	return a.logged(rt, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rt.api() { // whatever a client sends, the API uses bearer tokens only
			r = r.Clone(r.Context())
			r.Header.Del("Cookie")
		}
		r.Body = http.MaxBytesReader(w, r.Body, rt.maxBody())
		if err := do(w, r); err != nil {
			a.fail(w, r, err)
		}
	}))
}

// logged logs each request. It logs the route's pattern and not the path,
// because some paths contain a token.
func (a *App) logged(rt Route, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, rec := time.Now(), &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				panic(p) // on purpose, to abort a response
			} else if p != nil {
				a.log.ErrorContext(r.Context(), "panic", "panic", p, "stack", string(debug.Stack()))
				if rec.status == 0 {
					http.Error(rec, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
				}
			}
			a.log.InfoContext(r.Context(), "request", "method", r.Method, "route", rt.Path,
				"status", rec.status, "ip", clientIP(r), "took", time.Since(start).Round(time.Microsecond))
		}()
		next.ServeHTTP(rec, r)
	})
}

// recorder records the status of a response.
type recorder struct {
	http.ResponseWriter
	status int
}

func (rec *recorder) WriteHeader(status int) {
	if rec.status == 0 {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(b []byte) (int, error) {
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	return rec.ResponseWriter.Write(b)
}

func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

// headers sets the headers of every response, including those of the mux
// itself.
func (a *App) headers(next http.Handler) http.Handler {
	const csp = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; " +
		"base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// With no-referrer, browsers would send "Origin: null" with our own
		// forms, and the check of the origin would be lost. With both values,
		// no other origin receives a referrer.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if a.base.Scheme == "https" {
			h.Set("Strict-Transport-Security", "max-age=63072000")
		}
		next.ServeHTTP(w, r)
	})
}
