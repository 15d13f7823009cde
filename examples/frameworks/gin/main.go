// Command gin shows a second factor in a program with gin and scs.
//
// Run it with "go run ." and open http://localhost:8080. The user is "demo", and the
// password "correct horse". Everything is lost when it exits.
package main

import (
	"log"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gin-gonic/gin"

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
	router := gin.New()
	router.Any("/2fa/*page", gin.WrapH(web.Handler())) // the pages of the second factor
	router.GET("/login", gin.WrapF(product.LoginPage))
	router.POST("/login", gin.WrapF(login(web)))
	router.POST("/logout", gin.WrapF(logout(web)))

	guarded := router.Group("/", guard(web.Guard)) // everything else
	guarded.GET("/", func(c *gin.Context) {
		session, _ := twofahttp.User(c.Request)
		c.Header("Cache-Control", "no-store")
		c.Data(http.StatusOK, "text/html; charset=utf-8", []byte(product.HomePage(session.User)))
	})
	guarded.POST("/export", guard(web.GuardAction("export")), func(c *gin.Context) {
		c.Data(http.StatusOK, "text/csv", []byte(product.Contacts))
	})
	// LoadAndSave must wrap the whole router, because it stores the session before
	// the response of a gin handler is sent.
	return http.NewCrossOriginProtection().Handler(sessions.LoadAndSave(router))
}

// guard turns a guard into a gin middleware. It is for guards only, which write
// nothing if the request may pass.
func guard(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed, c.Request = true, r // r is for twofahttp.User
		})).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
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
