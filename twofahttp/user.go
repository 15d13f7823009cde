package twofahttp

import (
	"context"
	"net/http"

	"github.com/twofa-go/twofa"
)

// User returns the user of a request that has passed [Server.Guard] or
// [Server.RequireAction], with the proofs that the session has given. It reads
// neither the store nor a cookie. Account is the account that was checked: the
// one from [Config.Account], if it is set. Serve the data of that account only.
//
// If the request has not passed a guard, User returns the zero SessionInfo and
// false. Nothing that a client sends changes that.
func User(r *http.Request) (twofa.SessionInfo, bool) {
	info, ok := r.Context().Value(userKey{}).(twofa.SessionInfo)
	return info, ok
}

type userKey struct{}

// withUser returns the request for a handler behind a guard. info describes the
// session that the guard has checked in an account.
func withUser(r *http.Request, info twofa.SessionInfo, account string) *http.Request {
	info.Account = account
	return r.WithContext(context.WithValue(r.Context(), userKey{}, info))
}
