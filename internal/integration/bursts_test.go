package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofatest"
)

// host is a product that runs on two servers with one database.
type host struct {
	t       *testing.T
	clock   *twofatest.Clock
	servers []*twofa.Manager
}

func newHost(t *testing.T, d database) *host {
	h := &host{t: t, clock: twofatest.NewClock(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))}
	d.migrate(t)
	for _, store := range []twofa.Store{d.store(t), d.store(t)} {
		m, err := twofa.New(twofa.Config{Issuer: "Acme", Store: store, Keys: twofatest.KeyRing(t, "burst"), Now: h.clock.Now,
			Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
				return twofa.User{ID: id, Name: id + "@example.com"}, nil
			})})
		require.NoError(t, err)
		h.servers = append(h.servers, m)
	}
	return h
}

// enroll enrolls an authenticator app for ada.
func (h *host) enroll() (uri string, codes []twofa.Secret) {
	m, ctx := h.servers[0], h.t.Context()
	login, err := m.Begin(ctx, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
	require.NoError(h.t, err)
	caller := twofa.Caller{Session: login.Session}
	e, err := m.Enroll(ctx, caller, twofa.EnrollRequest{})
	require.NoError(h.t, err)
	_, err = m.Confirm(ctx, caller, twofatest.Code(h.t, e.URI.Reveal(), h.clock.Now()))
	require.NoError(h.t, err)
	_, err = m.SaveCodes(ctx, caller)
	require.NoError(h.t, err)
	h.clock.Add(time.Minute)
	return e.URI.Reveal(), e.Codes
}

func (h *host) begin() twofa.Challenge {
	login, err := h.servers[0].Begin(h.t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
	require.NoError(h.t, err)
	return login.Challenge
}

// burst verifies n proofs concurrently, distributed over the servers, and
// counts the right and the wrong ones.
func (h *host) burst(n int, challenge func() twofa.Challenge, proof func(i int) twofa.Proof) (right, wrong int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	start := make(chan struct{})
	for i := range n {
		m, ch := h.servers[i%len(h.servers)], challenge()
		wg.Go(func() {
			<-start
			_, err := m.Verify(h.t.Context(), twofa.Caller{}, ch, proof(i))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				right++
			case errors.Is(err, twofa.ErrInvalidCode):
				wrong++
			}
		})
	}
	close(start)
	wg.Wait()
	return right, wrong
}

func TestAbuse_B01_OneCodeConcurrently(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		h := newHost(t, d)
		uri, _ := h.enroll()
		code := twofatest.Code(t, uri, h.clock.Now())
		right, wrong := h.burst(100, h.begin, func(int) twofa.Proof { return twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)} })
		require.Equal(t, 1, right)
		require.LessOrEqual(t, wrong, 5+4)
	})
}

func TestAbuse_B03_OneRecoveryCodeConcurrently(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		h := newHost(t, d)
		_, codes := h.enroll()
		right, _ := h.burst(100, h.begin, func(int) twofa.Proof {
			return twofa.Proof{Method: twofa.RecoveryCode, Code: codes[0]}
		})
		require.Equal(t, 1, right)
	})
}

// In one login, success and the lock both end the guessing, so at most five
// guesses are compared.
func TestAbuse_B06_FiftyConcurrentGuesses(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		h := newHost(t, d)
		uri, _ := h.enroll()
		ch := h.begin()
		right, wrong := h.burst(50, func() twofa.Challenge { return ch }, h.guesses(uri))
		require.LessOrEqual(t, right, 1)
		require.LessOrEqual(t, right+wrong, 5)
	})
}

// In many logins, a success resets the counter, so at most four wrong guesses
// come before it and five after it.
func TestAbuse_B07_FiftyGuessesInFiftyLogins(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		h := newHost(t, d)
		uri, _ := h.enroll()
		right, wrong := h.burst(50, h.begin, h.guesses(uri))
		require.LessOrEqual(t, right, 1)
		require.LessOrEqual(t, wrong, 5+4*right)
	})
}

// guesses returns 49 wrong codes and, as the last, the right one.
func (h *host) guesses(uri string) func(int) twofa.Proof {
	now := h.clock.Now()
	right := twofatest.Code(h.t, uri, now)
	codes := []string{right}
	accepted := []string{right, twofatest.Code(h.t, uri, now.Add(-30*time.Second)), twofatest.Code(h.t, uri, now.Add(30*time.Second))}
	for n := 0; len(codes) < 50; n++ {
		if code := fmt.Sprintf("%06d", n); !slices.Contains(accepted, code) {
			codes = append(codes, code)
		}
	}
	slices.Reverse(codes)
	return func(i int) twofa.Proof { return twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(codes[i])} }
}
