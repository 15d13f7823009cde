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

const page = `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Basic</title>`

func main() {
	addr := flag.String("addr", "localhost:8080", "`host:port` to listen on; cookies come back from https and http://localhost only")
	flag.Parse()
	keys := must(twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())) // a product reads them from its secrets
	user := func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id, Name: id}, nil }
	m := must(twofa.New(twofa.Config{Issuer: "Basic", Store: memstore.New(), Keys: keys, User: user}))
	web := must(twofahttp.New(twofahttp.Config{Manager: m, Sessions: &sessions{}, Issuer: "Basic", Logger: slog.Default()}))

	// In front of the guard: the pages of the second factor, and the login.
	http.Handle("/2fa/", web.Handler())
	http.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, page, `<form method="post"><input name="user" placeholder="any name" required autofocus><button>Sign in</button></form>`)
	})
	http.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// A product checks the password here. The form keeps the page's query, and with it the way back.
		web.FirstFactor(w, r, twofa.FirstFactor{UserID: r.PostFormValue("user"), By: twofa.ByPassword}, r.FormValue("next"))
	})
	// Everything else is behind it.
	http.Handle("/", web.Guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, _ := m.DescribeSession(web.Caller(r).Session)
		fmt.Fprintf(w, `%s<h1>Hello %s</h1><a href="/2fa/">Two-factor authentication</a>`, page, html.EscapeString(d.User))
	})))
	log.Print("open http://" + *addr)
	log.Fatal(http.ListenAndServe(*addr, http.NewCrossOriginProtection().Handler(http.DefaultServeMux))) // no other site logs anybody in
}

// sessions is what a product has already: a cookie names a session.
type sessions struct{ byID sync.Map }

func (s *sessions) Session(r *http.Request) twofa.Session {
	kept, _ := s.byID.Load(id(r))
	session, _ := kept.(twofa.Session)
	return session
}

func (s *sessions) SignIn(w http.ResponseWriter, r *http.Request, session twofa.Session) error {
	c := &http.Cookie{Name: "__Host-session", Value: rand.Text(), Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	s.byID.Delete(id(r))
	s.byID.Store(c.Value, session) // under a new id each time
	http.SetCookie(w, c)
	return nil
}

func (s *sessions) SignOut(_ http.ResponseWriter, r *http.Request) error {
	s.byID.Delete(id(r)) // the cookie names nothing from now on
	return nil
}

func id(r *http.Request) string {
	if c, err := r.Cookie("__Host-session"); err == nil {
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
