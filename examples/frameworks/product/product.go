// Package product is everything in the programs of this folder that a product has
// before it uses twofa: users, passwords and pages.
package product

import (
	"context"
	"crypto/subtle"
	"html"
	"io"
	"net/http"

	"github.com/twofa-go/twofa"
)

// The only user, and the password.
const (
	Name     = "demo"
	Password = "correct horse"
)

// CheckPassword returns the user who has signed in. A product compares a slow hash,
// and limits attempts.
func CheckPassword(name, password string) (twofa.User, bool) {
	if subtle.ConstantTimeCompare([]byte(password), []byte(Password)) != 1 {
		return twofa.User{}, false
	}
	u, err := User(context.Background(), name)
	return u, err == nil
}

// User is the directory. SecurityStamp must change with the password.
func User(_ context.Context, id string) (twofa.User, error) {
	if id != Name {
		return twofa.User{}, twofa.ErrNoUser
	}
	return twofa.User{ID: id, Name: id, SecurityStamp: "1"}, nil
}

const head = `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>Example</title>`

// LoginPage is the login page. Its form posts to its own address, so "next" is still
// in the query.
func LoginPage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, head+`<form method="post"><input name="name" required> <input name="password" type="password" required> <button>Sign in</button></form>`)
}

// HomePage is the page of a user who is signed in.
func HomePage(user string) string {
	return head + `<h1>Hello ` + html.EscapeString(user) + `</h1><a href="/2fa/">Two-factor authentication</a>
<form method="post" action="/export"><button>Export contacts</button></form>
<form method="post" action="/logout"><button>Sign out</button></form>`
}

// Contacts is the file that is exported.
const Contacts = "name,email\n"
