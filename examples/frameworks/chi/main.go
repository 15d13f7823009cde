// Command chi shows a second factor in a program with chi and scs.
//
// Run it with "go run ." and open http://localhost:8080. The user is "demo", and the
// password "correct horse". Everything is lost when it exits.
package main

import (
	"io"
	"log"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/go-chi/chi/v5"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	twofascs "github.com/twofa-go/twofa/adapters/scs"
	"github.com/twofa-go/twofa/examples/frameworks/product"
	"github.com/twofa-go/twofa/twofahttp"
)

func main() {
	log.Print("open http://localhost:8080")
	log.Fatal(http.ListenAndServe("localhost:8080", newHandler(nil))) // over https everywhere else
}

// newHandler returns the whole program. now is nil, except in tests.
func newHandler(now func() time.Time) http.Handler {
	m := must(twofa.New(twofa.Config{
		Issuer:    "Example",
		Store:     memstore.New(),                                             // a product uses adapters/sqlstore
		Keys:      must(twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())), // and reads its keys from its secrets
		Directory: twofa.LookUp(product.User),
		Now:       now,
	}))
	manager := scs.New() // a product sets its Store
	manager.Cookie.Name = "__Host-session"
	sessions := twofascs.New(manager)
	web := must(twofahttp.New(twofahttp.Config{
		Manager:  m,
		Sessions: sessions,
		Actions:  map[string]twofahttp.Action{"export": {Title: "Export contacts", Page: "/"}},
		Now:      now,
	}))
	sessions.SecureCookies = web.SecureCookies
	return routes(web, sessions)
}

func routes(web *twofahttp.Server, sessions *twofascs.Sessions) http.Handler {
	r := chi.NewRouter()
	r.Use(http.NewCrossOriginProtection().Handler, sessions.LoadAndSave)
	r.Handle("/2fa/*", web.Handler()) // the pages of the second factor
	r.Get("/login", product.LoginPage)
	r.Post("/login", login(web))
	r.Post("/logout", logout(web))
	r.Group(func(r chi.Router) { // everything else
		r.Use(web.Guard)
		r.Get("/", home)
		r.With(web.GuardAction("export")).Post("/export", export)
	})
	return r
}

func login(web *twofahttp.Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user, ok := product.CheckPassword(r.PostFormValue("name"), r.PostFormValue("password"))
		if !ok {
			product.LoginPage(w, r)
			return
		}
		web.FirstFactor(w, r, twofa.FirstFactor{UserID: user.ID, By: twofa.ByPassword, SecurityStamp: user.SecurityStamp}, r.FormValue("next"))
	}
}

func logout(web *twofahttp.Server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := web.SignOut(w, r); err != nil {
			web.Error(w, r, err)
			return
		}
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	}
}

func home(w http.ResponseWriter, r *http.Request) {
	session, _ := twofahttp.User(r)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = io.WriteString(w, product.HomePage(session.User))
}

func export(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/csv")
	_, _ = io.WriteString(w, product.Contacts)
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
