// Command basic is a login with a second factor in front of a net/http
// application. Run it with "go run ./examples/basic" and open
// http://localhost:8080, or the -addr you give. Any name signs in; all is gone
// when it ends.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"html"
	"log"
	"log/slog"
	"net/http"
	"sync"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofahttp"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`host:port` to listen on; cookies come back from https and http://localhost only")
	flag.Parse()
	keys, err := twofa.ParseKeys(twofa.GenerateKeys().Reveal()) // a product reads them from its secrets
	check(err)
	user := func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id, Name: id}, nil }
	m, err := twofa.New(twofa.Config{Issuer: "Basic", Store: memstore.New(), Keys: keys, User: user})
	check(err)
	web, err := twofahttp.New(twofahttp.Config{
		Manager: m, Sessions: &sessions{}, Issuer: "Basic", Logger: slog.Default(),
		Actions: map[string]twofahttp.Action{"export": {Title: "Export", Page: "/"}},
	})
	check(err)

	// In front of the guard: the pages of the second factor, and the login.
	http.Handle("/2fa/", web.Handler())
	http.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) {
		page(w, `<h1>Sign in</h1><form method="post"><input name="user" placeholder="any name" required autofocus>
			<input type="hidden" name="next" value="`+html.EscapeString(r.FormValue("next"))+`"><button>Sign in</button></form>`)
	})
	http.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// A product checks the password here.
		web.FirstFactor(w, r, twofa.FirstFactor{UserID: r.PostFormValue("user"), By: twofa.ByPassword}, r.PostFormValue("next"))
	})
	// Everything else is behind it.
	http.Handle("/", web.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, _ := m.Describe(web.Caller(r).Session)
		page(w, `<h1>Hello `+html.EscapeString(d.User)+`</h1><p><a href="/2fa/">Two-factor authentication</a></p>
			<form method="post" action="/export"><button>Export (asks for a fresh code)</button></form>`)
	})))
	// RequireAction asks for all that Guard does, and for a fresh code.
	http.Handle("POST /export", web.RequireAction("export", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		page(w, `<h1>Exported</h1><p>The next time needs another code. <a href="/">Back</a></p>`)
	})))
	log.Print("open http://" + *addr)
	check(http.ListenAndServe(*addr, nil))
}

// sessions is what a product has already: a cookie names a session.
type sessions struct{ byID sync.Map }

const cookie = "__Host-session"

func (s *sessions) Session(r *http.Request) twofa.Session {
	if c, err := r.Cookie(cookie); err == nil {
		if session, ok := s.byID.Load(c.Value); ok {
			return session.(twofa.Session)
		}
	}
	return twofa.Session{}
}

func (s *sessions) SignIn(w http.ResponseWriter, r *http.Request, session twofa.Session) error {
	id := rand.Text() // a new one each time
	s.byID.Store(id, session)
	s.set(w, r, id, 0)
	return nil
}

func (s *sessions) SignOut(w http.ResponseWriter, r *http.Request) error {
	s.set(w, r, "", -1)
	return nil
}

// set ends the session there was and names another.
func (s *sessions) set(w http.ResponseWriter, r *http.Request, id string, maxAge int) {
	if c, err := r.Cookie(cookie); err == nil {
		s.byID.Delete(c.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: id, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func page(w http.ResponseWriter, body string) {
	_, _ = fmt.Fprint(w, `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Basic</title>`, body)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
