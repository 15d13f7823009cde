// Command basic shows how to add a second factor to the login of a net/http
// application, in one file. For a product with accounts, a database, mail and
// an API, see examples/webapp.
//
// Run it with "go run ./examples/basic" and open http://localhost:8080. Any name
// signs in. Everything is lost when it exits.
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

const page = `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Basic</title>`

func main() {
	addr := flag.String("addr", "localhost:8080", "`host:port` to listen on; except at localhost, browsers keep the cookies only over https")
	flag.Parse()
	keys := must(twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())) // a product reads them from its secret manager
	user := func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id, Name: id}, nil }
	m := must(twofa.New(twofa.Config{Issuer: "Basic", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(user)}))
	sessions := &sessions{}
	web := must(twofahttp.New(twofahttp.Config{Manager: m, Sessions: sessions, Logger: slog.Default()}))
	sessions.secure = web.SecureCookies

	// Without the guard: the pages of the second factor, and the login.
	http.Handle("/2fa/", web.Handler())
	http.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, page, `<form method="post"><input name="user" placeholder="any name" required autofocus><button>Sign in</button></form>`)
	})
	http.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// A product checks the password here. The form posts to the page's own
		// URL, so "next" is still in its query.
		web.FirstFactor(w, r, twofa.FirstFactor{UserID: r.PostFormValue("user"), By: twofa.ByPassword}, r.FormValue("next"))
	})
	// Behind the guard: everything else.
	http.Handle("/", web.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		session, _ := twofahttp.User(r)
		fmt.Fprintf(w, `%s<h1>Hello %s</h1><a href="/2fa/">Two-factor authentication</a>`, page, html.EscapeString(session.User))
	})))
	log.Print("open http://" + *addr + "; any name signs in")
	log.Fatal(http.ListenAndServe(*addr, http.NewCrossOriginProtection().Handler(http.DefaultServeMux))) // so that no other site can sign a user in
}

// sessions are the sessions of a product: a cookie contains the ID of a
// session.
type sessions struct {
	byID   sync.Map
	secure func(*http.Request) bool // whether the browser keeps Secure cookies
}

func (s *sessions) Session(r *http.Request) twofa.Session {
	kept, _ := s.byID.Load(s.id(r))
	session, _ := kept.(twofa.Session)
	return session
}

func (s *sessions) SignIn(w http.ResponseWriter, r *http.Request, session twofa.Session) error {
	c := s.cookie(r)
	c.Value = rand.Text()
	s.byID.Delete(s.id(r))
	s.byID.Store(c.Value, session) // under a new ID each time, against session fixation
	http.SetCookie(w, c)
	return nil
}

func (s *sessions) SignOut(w http.ResponseWriter, r *http.Request) error {
	s.byID.Delete(s.id(r))
	c := s.cookie(r)
	c.MaxAge = -1
	http.SetCookie(w, c) // a browser that keeps pages for the Back button drops them
	return nil
}

func (s *sessions) cookie(r *http.Request) *http.Cookie {
	if !s.secure(r) { // Safari drops Secure cookies at http://localhost
		return &http.Cookie{Name: "session", Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
	}
	return &http.Cookie{Name: "__Host-session", Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

func (s *sessions) id(r *http.Request) string {
	if c, err := r.Cookie(s.cookie(r).Name); err == nil {
		return c.Value
	}
	return ""
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
