package main

import (
	"context"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofatest"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// host is a product that uses the library.
type host struct {
	*twofa.Manager
	t     *tb
	clock *twofatest.Clock
}

// newHost creates a host. It sends nothing.
func newHost(t *tb, store twofa.Store, edit ...func(*twofa.Config)) *host {
	h := &host{t: t, clock: twofatest.NewClock(start)}
	cfg := twofa.Config{
		Issuer: "Acme", Store: store, Keys: twofatest.KeyRing(t, "bench"), Now: h.clock.Now,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
			return twofa.User{ID: id, Name: id, Emails: []string{id + "@example.com"}, SecurityStamp: "1",
				Members: []twofa.Member{{Account: "acme"}}}, nil
		}),
	}
	for _, f := range edit {
		f(&cfg)
	}
	m, err := twofa.New(cfg)
	t.must(err)
	h.Manager = m
	return h
}

// user has an authenticator, recovery codes and one known browser, as most
// users do.
type user struct {
	*host
	id      string
	uri     string
	client  twofa.Client
	session twofa.Session
}

func (h *host) user(id string) *user {
	return &user{host: h, id: id, client: twofa.Client{IP: "192.0.2.7", UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
		RequestID: "8f14e45fceea167a", Browser: twofa.NewSecret("binding of " + id)}}
}

// enroll returns a user who has just enrolled an authenticator.
func (h *host) enroll(ctx context.Context, id string) *user {
	u := h.user(id)
	e := u.pending(ctx)
	u.uri = e.URI.Reveal()
	login, err := u.Confirm(ctx, u.caller(), twofatest.Code(h.t, u.uri, h.clock.Now()))
	h.t.must(err)
	if !e.Saved {
		login, err = u.SaveCodes(ctx, u.caller())
		h.t.must(err)
	}
	u.session, u.client.Browser = login.Session, login.Browser
	return u
}

func (u *user) begin(ctx context.Context) twofa.Result {
	login, err := u.Begin(ctx, twofa.FirstFactor{UserID: u.id, Account: "acme", By: twofa.ByPassword, Client: u.client})
	u.t.must(err)
	return login
}

func (u *user) caller() twofa.Caller {
	return twofa.Caller{Session: u.session, Account: "acme", Client: u.client}
}

// pending signs the user in for the first time and starts the enrollment of an
// authenticator.
func (u *user) pending(ctx context.Context) twofa.Enrollment {
	u.session = u.begin(ctx).Session
	e, err := u.Enroll(ctx, u.caller(), twofa.EnrollRequest{})
	u.t.must(err)
	return e
}

// attempt is a login that waits for a proof.
type attempt struct {
	user      *user
	challenge twofa.Challenge
	proof     twofa.Proof
}

// gap lies between two logins, so that what the first one used up has expired.
const gap = time.Hour

// attempts begins n logins, a gap apart, of the users in turn. It then moves the
// clock back. If code is empty, the proofs are right codes of the authenticator.
func (h *host) attempts(ctx context.Context, n int, users []*user, m twofa.Method, code string) []attempt {
	list := make([]attempt, n)
	for i := range list {
		u := users[i%len(users)]
		h.clock.Add(gap)
		p := twofa.Proof{Method: m, Code: twofa.NewSecret(code)}
		if code == "" {
			p.Code = twofa.NewSecret(twofatest.Code(h.t, u.uri, h.clock.Now()))
		}
		list[i] = attempt{u, u.begin(ctx).Challenge, p}
	}
	h.clock.Add(-gap * time.Duration(n))
	return list
}

// verify answers a challenge at the time it was issued for.
func (h *host) verify(ctx context.Context, a attempt) error {
	h.clock.Add(gap)
	_, err := h.Verify(ctx, twofa.Caller{Client: a.user.client}, a.challenge, a.proof)
	return err
}
