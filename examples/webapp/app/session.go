package app

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Keys of the values in a web session.
const (
	keySignin = "signin" // ID of the row in signins
	keyCSRF   = "csrf"
	keyFlash  = "flash"  // message for the next page
	keyReturn = "return" // page to return to after the login
	keySSO    = "sso"    // state of a visit to the identity provider
)

// signinLifetime is the time after which a sign-in ends, even if it is in use.
// A web session lives longer.
const signinLifetime = 12 * time.Hour

// visitor is the signed-in user of a request, read from the database for each
// request.
type visitor struct {
	Signin  string
	Proven  twofa.Session
	User    user
	Account account
	Role    Role
}

type visitorKey struct{}

// visitorOf returns the visitor that identify has found, or nil.
func visitorOf(r *http.Request) *visitor {
	v, _ := r.Context().Value(visitorKey{}).(*visitor)
	return v
}

// findVisitor returns the visitor of a request with their current role, or
// sql.ErrNoRows if there is none. A user who was removed from the account or
// deactivated a moment ago is no visitor. The API reads only bearer tokens, and pages
// read only cookies.
func (a *App) findVisitor(r *http.Request) (*visitor, error) {
	column, value := "id", ""
	if wantsJSON(r) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			return nil, sql.ErrNoRows
		}
		column, value = "bearer", hashToken(token)
	} else if value = a.sessions.GetString(r.Context(), keySignin); value == "" {
		return nil, sql.ErrNoRows
	}
	now := a.now()
	var v visitor
	var proven string
	var seen int64
	err := a.db.QueryRowContext(r.Context(), `SELECT s.id, s.twofa, s.seen,
			a.id, a.name, a.sso, m.role, `+userColumns+`
		FROM signins s JOIN users u ON u.id = s.user_id JOIN accounts a ON a.id = s.account_id
			JOIN members m ON m.user_id = s.user_id AND m.account_id = s.account_id
		WHERE s.`+column+` = $1 AND s.expires > $2 AND u.disabled = 0`, value, now.Unix()).
		Scan(append([]any{&v.Signin, &proven, &seen, &v.Account.ID, &v.Account.Name, &v.Account.SSO, &v.Role}, v.User.fields()...)...)
	if err != nil {
		return nil, err
	}
	v.Proven = twofa.ParseSession(proven)
	if now.Unix()-seen >= 60 { // at most one write a minute
		_, err = a.db.ExecContext(r.Context(), `UPDATE signins SET seen = $1 WHERE id = $2`, now.Unix(), v.Signin)
	}
	return &v, err
}

// newSignin stores a sign-in after nothing is left to prove. bearer is the hash
// of a program's token, or NULL for a browser. A user who is already signed in
// stays in the current account, because the upgraded session has the account
// that it was last issued for, and the user may have switched since.
func (a *App) newSignin(r *http.Request, proven twofa.Session, bearer sql.NullString) (id string, err error) {
	d, err := a.twofa.DescribeSession(proven)
	if err != nil {
		return "", err
	}
	account := d.Account
	if v := visitorOf(r); v != nil && v.User.ID == d.User {
		account = v.Account.ID
	}
	id, now := rand.Text(), a.now()
	_, err = a.db.ExecContext(r.Context(), `INSERT INTO signins (id, bearer, user_id, account_id, twofa, door, ip, agent, created, seen, expires)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)`,
		id, bearer, d.User, account, proven.Reveal(), describe(d), clientIP(r), userAgent(r), now.Unix(), now.Add(signinLifetime).Unix())
	return id, err
}

// forgetBrowser ends the sign-in of this browser, if there is one, and starts
// an empty web session with a new ID.
func (a *App) forgetBrowser(ctx context.Context) error {
	if id := a.sessions.GetString(ctx, keySignin); id != "" {
		if _, err := a.db.ExecContext(ctx, `DELETE FROM signins WHERE id = $1`, id); err != nil {
			return err
		}
	}
	if err := a.sessions.RenewToken(ctx); err != nil {
		return err
	}
	return a.sessions.Clear(ctx)
}

// csrf returns the token that every form of this web session contains.
func (a *App) csrf(ctx context.Context) string {
	token := a.sessions.GetString(ctx, keyCSRF)
	if token == "" {
		token = rand.Text()
		a.sessions.Put(ctx, keyCSRF, token)
	}
	return token
}

// checkForm refuses a form without the token of this web session. It
// complements http.CrossOriginProtection, which accepts requests that name no
// origin.
func (a *App) checkForm(next page) page {
	return func(w http.ResponseWriter, r *http.Request) error {
		want := a.sessions.GetString(r.Context(), keyCSRF)
		err := r.ParseForm()
		if err == nil && r.URL.Path == phonesPath { // the only form with a file
			err = r.ParseMultipartForm(maxUpload)
		}
		if err != nil && !errors.Is(err, http.ErrNotMultipart) {
			return &httpError{http.StatusBadRequest, "This form could not be read."}
		}
		got := r.PostFormValue("csrf_token")
		if want == "" || subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
			return &httpError{http.StatusForbidden, "This form has expired. Go back, reload the page and try again."}
		}
		return next(w, r)
	}
}

func (a *App) flash(r *http.Request, text string) { a.sessions.Put(r.Context(), keyFlash, text) }

// clientIP returns the address of the connection. A product behind a proxy must
// read the header that its own proxy sets instead, and no other header, because
// clients can forge the others.
func clientIP(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// userAgent returns the User-Agent for the list of sessions.
func userAgent(r *http.Request) string {
	return fmt.Sprintf("%.200s", strings.ToValidUTF8(r.UserAgent(), ""))
}
