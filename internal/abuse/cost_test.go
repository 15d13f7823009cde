package abuse

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// counting counts round trips to the store.
type counting struct {
	twofa.Store
	cost
}

type cost struct{ gets, swaps int }

func (s *counting) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	s.gets++
	return s.Store.Get(ctx, keys...)
}

func (s *counting) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	s.swaps++
	return s.Store.Swap(ctx, prev, next, events...)
}

// TestCost checks the number of round trips of each operation, for a user whose
// record exists.
func TestCost(t *testing.T) {
	signedIn := func(w *world) *person { return w.enrolled("ada") }
	asked := func(w *world) *person {
		p := w.enrolled("ada").browser("laptop")
		p.begin()
		return p
	}
	granted := func(maxAge bool) func(*world) *person {
		return func(w *world) *person {
			p := w.enrolled("ada")
			action := "contacts.export"
			if maxAge {
				action = twofa.ActionFactors
			}
			require.NoError(w.t, p.stepUp(action))
			return p
		}
	}
	with := func(p *person, m twofa.Method, code func() string) func(*testing.T) {
		return func(t *testing.T) { require.NoError(t, p.verify(m, code())) }
	}
	for _, c := range []struct {
		name   string
		edit   func(*twofa.Config)
		before func(*world) *person
		call   func(*testing.T, *person)
		want   cost
	}{
		{"login without a challenge", nil, func(w *world) *person { p := w.person("ada"); p.begin(); return p },
			func(t *testing.T, p *person) { require.Equal(t, twofa.NextDone, p.begin()) }, cost{1, 1}},
		{"login from a remembered browser", remembering, func(w *world) *person { _, p := w.remembered("ada"); return p },
			func(t *testing.T, p *person) { require.Equal(t, twofa.NextDone, p.begin()) }, cost{1, 1}},
		{"Begin that returns a challenge", nil, signedIn, func(_ *testing.T, p *person) { p.browser("laptop").begin() }, cost{1, 0}},
		{"Verify by authenticator", nil, asked, func(t *testing.T, p *person) { with(p, twofa.TOTP, p.code)(t) }, cost{1, 1}},
		{"Verify by recovery code", nil, asked,
			func(t *testing.T, p *person) { with(p, twofa.RecoveryCode, func() string { return p.codes[0] })(t) }, cost{1, 1}},
		{"Verify with a wrong code", nil, asked,
			func(t *testing.T, p *person) { require.Error(t, p.verify(twofa.TOTP, p.wrongCode(twofa.TOTP))) }, cost{1, 1}},
		{"Verify while locked", nil, func(w *world) *person {
			p := asked(w)
			for range 5 {
				_ = p.verify(twofa.TOTP, p.wrongCode(twofa.TOTP))
			}
			return p
		}, func(t *testing.T, p *person) { require.ErrorIs(t, p.verify(twofa.TOTP, p.now()), twofa.ErrLocked) }, cost{1, 0}},
		{"login by authenticator", nil, signedIn, func(t *testing.T, p *person) {
			p.begin()
			with(p, twofa.TOTP, p.code)(t)
		}, cost{2, 1}},
		{"login by link", byLink, func(w *world) *person { p := w.person("ada"); p.begin(); return p }, func(t *testing.T, p *person) {
			p.begin()
			require.NoError(t, p.send(twofa.EmailLink))
			with(p, twofa.EmailLink, p.token)(t)
		}, cost{4, 2}}, // Send reads again once the link was handed over
		{"login by text message, with the limit of the number", byText, func(w *world) *person { return w.withPhone("ada", adasPhone) }, func(t *testing.T, p *person) {
			p.begin()
			require.NoError(t, p.send(twofa.SMS))
			with(p, twofa.SMS, func() string { return p.out.TextCode(t, adasPhone) })(t)
		}, cost{5, 3}},
		{"Check", nil, signedIn, func(t *testing.T, p *person) { require.NoError(t, p.Check(t.Context(), p.caller())) }, cost{1, 0}},
		{"CheckAction", nil, granted(false), func(t *testing.T, p *person) {
			require.NoError(t, p.CheckAction(t.Context(), p.caller(), "contacts.export", ""))
		}, cost{1, 0}},
		{"UseAction for a single use", nil, granted(false), func(t *testing.T, p *person) {
			require.NoError(t, p.UseAction(t.Context(), p.caller(), "contacts.export", ""))
		}, cost{1, 1}},
		{"UseAction within MaxAge", nil, granted(true), func(t *testing.T, p *person) {
			require.NoError(t, p.UseAction(t.Context(), p.caller(), twofa.ActionFactors, ""))
		}, cost{1, 1}},
		{"StepUp and its proof", nil, signedIn, func(t *testing.T, p *person) { require.NoError(t, p.stepUp("contacts.export")) }, cost{2, 1}},
		{"Describe", nil, signedIn, func(t *testing.T, p *person) {
			_, err := p.DescribeSession(p.session)
			require.NoError(t, err)
		}, cost{0, 0}},
		{"settings page of a member of 200 accounts", nil, func(w *world) *person {
			w.setUser("ada", func(u *twofa.User) {
				u.Members = nil
				for i := range 200 {
					u.Members = append(u.Members, twofa.Member{Account: fmt.Sprint("account ", i)})
				}
			})
			require.NoError(w.t, w.Account(twofa.AsHost("test"), "account 199").SetPolicy(w.t.Context(), twofa.PolicyAuthenticator(), ""))
			p := w.person("ada")
			p.account = "account 0"
			require.Equal(w.t, twofa.NextDone, p.begin())
			return p.enroll()
		}, func(t *testing.T, p *person) {
			f, err := p.Factors(t.Context(), p.caller())
			require.NoError(t, err)
			require.False(t, f.List[0].Removable, "the last account requires a factor")
		}, cost{2, 0}}, // the user with the account of the request, then all other accounts
		{"SetPolicy as it is", nil, func(w *world) *person {
			require.NoError(w.t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(w.t.Context(), twofa.PolicyAuthenticator(), ""))
			return w.person("ada")
		}, func(t *testing.T, p *person) {
			require.NoError(t, p.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
		}, cost{1, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := &counting{}
			w := newWorld(t, func(cfg *twofa.Config) {
				if c.edit != nil {
					c.edit(cfg)
				}
				store.Store, cfg.Store = cfg.Store, store
			})
			p := c.before(w)
			store.cost = cost{}
			c.call(t, p)
			require.Equal(t, c.want, store.cost)
		})
	}
}

// An account's policy is read in the same round trip as the user.
func TestCost_PolicyNeedsNoRoundTrip(t *testing.T) {
	store := &counting{}
	w := newWorld(t, func(c *twofa.Config) { store.Store, c.Store = c.Store, store })
	require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.PolicyOptional(), ""))
	ada := w.enrolled("ada")
	ada.account = "acme"
	store.cost = cost{}
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
	require.Equal(t, cost{gets: 1}, store.cost)
}
