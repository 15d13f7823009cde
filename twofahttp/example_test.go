package twofahttp_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofahttp"
)

// An application with its own login page, the pages of this package, and a guard
// in front of everything else.
func Example() {
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id, Name: id}, nil }),
		Policy:    twofa.Policy{Required: true, EnrollWithoutLink: true},
	})
	if err != nil {
		panic(err)
	}
	web, err := twofahttp.New(twofahttp.Config{
		Manager: m, Sessions: &sessions{byID: map[string]string{}},
		Actions: map[string]twofahttp.Action{"contacts.export": {Title: "Export contacts", Page: "/contacts"}},
	})
	if err != nil {
		panic(err)
	}
	app := http.NewServeMux()
	app.HandleFunc("GET /contacts", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "contacts") })
	app.Handle("POST /contacts/export", web.RequireAction("contacts.export",
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "name,phone") })))

	mux := http.NewServeMux()
	mux.Handle("/2fa/", web.Handler())
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// The password has been verified.
		web.FirstFactor(w, r, twofa.FirstFactor{UserID: r.PostFormValue("user"), By: twofa.ByPassword}, r.PostFormValue("next"))
	})
	mux.Handle("/", web.Guard(app))

	form := url.Values{"user": {"ada"}, "next": {"/contacts"}}
	r := httptest.NewRequest("POST", "https://app.example.com/login", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Location"))

	api := httptest.NewRecorder()
	mux.ServeHTTP(api, httptest.NewRequest("GET", "https://app.example.com/contacts", nil))
	fmt.Print(api.Code, " ", api.Body)
	// Output:
	// 303 /2fa/setup?cookies=set
	// 401 {"code":"signed_out","detail":"You are not signed in, or your session has ended. Nothing was changed.","page":"/login","status":401,"title":"Sign in first","type":"about:blank"}
}

// A handler can require a proof for one resource. If the proof is missing, Error
// answers the request.
func ExampleServer_Error() {
	var m *twofa.Manager
	var web *twofahttp.Server
	http.HandleFunc("POST /contacts/{id}/delete", func(w http.ResponseWriter, r *http.Request) {
		if err := m.UseAction(r.Context(), web.Caller(r), "contacts.delete", r.PathValue("id")); err != nil {
			web.Error(w, r, err)
			return
		}
		// Delete it.
	})
}
