// Command fiber shows a second factor in a program with fiber and scs.
//
// Run it with "go run ." and open http://localhost:8080. The user is "demo", and the
// password "correct horse". Everything is lost when it exits.
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/adaptor"

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
	app := fiber.New() // everything that needs a complete login
	app.Get("/", func(c *fiber.Ctx) error {
		c.Set("Cache-Control", "no-store")
		return c.Type("html").SendString(product.HomePage(c.Get(userHeader)))
	})
	app.Post("/export", func(c *fiber.Ctx) error {
		return c.Type("csv").SendString(product.Contacts)
	})

	mux := http.NewServeMux()
	mux.Handle("/2fa/", web.Handler()) // the pages of the second factor
	mux.HandleFunc("GET /login", product.LoginPage)
	mux.Handle("POST /login", login(web))
	mux.Handle("POST /logout", logout(web))
	mux.Handle("POST /export", web.Guard(web.RequireAction("export", toFiber(app))))
	mux.Handle("/", web.Guard(toFiber(app)))
	return http.NewCrossOriginProtection().Handler(sessions.LoadAndSave(mux))
}

const userHeader = "X-Signed-In-User"

// toFiber passes a request on to fiber, with the user in a header, because fiber
// drops the context. It replaces a header of this name that a client has sent.
func toFiber(app *fiber.App) http.Handler {
	next := adaptor.FiberApp(app)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := twofahttp.User(r)
		r.Header.Set(userHeader, session.User)
		next(w, r)
	})
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

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
