// Command nocookies shows a second factor in an API without cookies, for a mobile app
// or a program. The client keeps three texts: one that it has made up at its first
// start, a challenge and a session. It sends them with each call. A gRPC service looks
// the same.
//
// Run it with "go run .". The user is "demo", and the password "correct horse":
//
//	curl localhost:8080/login -d '{"name": "demo", "password": "correct horse", "browser": "…"}'
package main

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/examples/frameworks/product"
)

func main() {
	log.Print("listening on http://localhost:8080")
	log.Fatal(http.ListenAndServe("localhost:8080", newHandler(nil))) // over https everywhere else
}

// newHandler returns the whole program. now is nil, except in tests.
func newHandler(now func() time.Time) http.Handler {
	m, err := twofa.New(twofa.Config{
		Issuer:    "Example",
		Store:     memstore.New(), // a product uses adapters/sqlstore
		Keys:      must(twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())),
		Directory: twofa.LookUp(product.User),
		Now:       now,
	})
	return routes(must(m, err))
}

// call is what a client sends.
type call struct {
	Browser   string `json:"browser"` // at least 16 random bytes as text, made up by the client
	Challenge string `json:"challenge"`
	Session   string `json:"session"`
	Name      string `json:"name"`
	Password  string `json:"password"`
	Code      string `json:"code"`
	Recovery  bool   `json:"recovery"` // whether Code is a recovery code
}

// reply is what a client gets. It keeps each of the first three that is not empty.
type reply struct {
	Browser   string         `json:"browser,omitempty"`
	Challenge string         `json:"challenge,omitempty"`
	Session   string         `json:"session,omitempty"`
	Next      twofa.Next     `json:"next,omitempty"`
	Methods   []twofa.Method `json:"methods,omitempty"`
	URI       string         `json:"uri,omitempty"` // for an authenticator app
	Codes     []string       `json:"codes,omitempty"`
	Contacts  string         `json:"contacts,omitempty"`
	Error     string         `json:"error,omitempty"`
}

func routes(m *twofa.Manager) http.Handler {
	mux := http.NewServeMux()
	handle := func(path string, do func(context.Context, twofa.Caller, call) (reply, error)) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			var in call
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&in); err != nil {
				answer(w, http.StatusBadRequest, reply{Error: "not JSON"})
				return
			}
			ip, _, _ := net.SplitHostPort(r.RemoteAddr)
			out, err := do(r.Context(), twofa.Caller{
				Session:   twofa.ParseSession(in.Session),
				Challenge: twofa.ParseChallenge(in.Challenge),
				Client:    twofa.Client{IP: ip, UserAgent: r.UserAgent(), Browser: twofa.NewSecret(in.Browser)},
			}, in)
			if err != nil {
				log.Print(err)
				out = problem(err)
			}
			answer(w, statusOf(err), out)
		})
	}
	handle("/login", func(ctx context.Context, c twofa.Caller, in call) (reply, error) {
		user, ok := product.CheckPassword(in.Name, in.Password)
		if !ok || len(in.Browser) < 16 {
			return reply{}, errLogin
		}
		return replyOf(m.Begin(ctx, twofa.FirstFactor{UserID: user.ID, By: twofa.ByPassword, SecurityStamp: user.SecurityStamp, Client: c.Client, Session: c.Session}))
	})
	handle("/verify", func(ctx context.Context, c twofa.Caller, in call) (reply, error) {
		proof := twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(in.Code)}
		if in.Recovery {
			proof.Method = twofa.RecoveryCode
		}
		return replyOf(m.Verify(ctx, c, c.Challenge, proof))
	})
	handle("/stepup", func(ctx context.Context, c twofa.Caller, _ call) (reply, error) {
		return replyOf(m.StepUp(ctx, c, "export", ""))
	})
	handle("/export", func(ctx context.Context, c twofa.Caller, _ call) (reply, error) {
		return reply{Contacts: product.Contacts}, m.UseAction(ctx, c, "export", "")
	})
	handle("/enroll", func(ctx context.Context, c twofa.Caller, _ call) (reply, error) {
		e, err := m.Enroll(ctx, c, twofa.EnrollRequest{Method: twofa.TOTP})
		out := reply{URI: e.URI.Reveal(), Challenge: e.Challenge.Reveal()}
		for _, code := range e.Codes {
			out.Codes = append(out.Codes, code.Reveal())
		}
		return out, err
	})
	handle("/confirm", func(ctx context.Context, c twofa.Caller, in call) (reply, error) {
		return replyOf(m.Confirm(ctx, c, in.Code))
	})
	handle("/saved", func(ctx context.Context, c twofa.Caller, _ call) (reply, error) {
		return replyOf(m.SaveCodes(ctx, c)) // the user has saved the recovery codes
	})
	handle("/me", func(ctx context.Context, c twofa.Caller, _ call) (reply, error) {
		return reply{}, m.Check(ctx, c)
	})
	handle("/logout", func(ctx context.Context, c twofa.Caller, _ call) (reply, error) {
		return reply{}, m.SignedOut(ctx, c) // and the client deletes its session
	})
	return mux
}

func replyOf(result twofa.Result, err error) (reply, error) {
	return reply{Next: result.Next, Methods: result.Methods, Browser: result.Browser.Reveal(),
		Challenge: result.Challenge.Reveal(), Session: result.Session.Reveal()}, err
}

var errLogin = errors.New("wrong name or password")

// statusOf has the statuses of docs/frameworks.md.
func statusOf(err error) int {
	_, denied := errors.AsType[*twofa.DeniedError](err)
	switch {
	case err == nil:
		return http.StatusOK
	case denied, errors.Is(err, errLogin):
		return http.StatusUnauthorized
	case errors.Is(err, twofa.ErrInvalidCode), errors.Is(err, twofa.ErrInvalid):
		return http.StatusUnprocessableEntity
	case errors.Is(err, twofa.ErrLocked):
		return http.StatusTooManyRequests
	case errors.Is(err, twofa.ErrExpired):
		return http.StatusGone
	case errors.Is(err, twofa.ErrNotAllowed):
		return http.StatusForbidden
	case errors.Is(err, twofa.ErrNotEnrolled):
		return http.StatusNotFound
	}
	return http.StatusServiceUnavailable
}

// problem says which error it is. Everything else about it is for the log.
func problem(err error) reply {
	if denied, ok := errors.AsType[*twofa.DeniedError](err); ok {
		return reply{Error: string(denied.Reason)}
	}
	return reply{Error: http.StatusText(statusOf(err))}
}

func answer(w http.ResponseWriter, status int, out reply) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
