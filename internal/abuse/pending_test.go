package abuse

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// A copy of the session in another browser shows no key and no recovery codes
// of a pending enrollment, and cannot continue it.
func TestAbuse_F06_SessionInAnotherBrowserReadsNoEnrollment(t *testing.T) {
	for name, start := range map[string]func(p *person) error{
		"first authenticator": func(p *person) error { return failure(p.Enroll(t.Context(), p.caller(), twofa.EnrollRequest{})) },
		"another one": func(p *person) error {
			p.enroll()
			return failure(p.Enroll(t.Context(), p.caller(), twofa.EnrollRequest{Name: "tablet"}))
		},
		"recovery codes": func(p *person) error {
			p.enroll()
			return failure(p.RegenerateCodes(t.Context(), p.caller()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ada := w.person("ada")
			ada.begin()
			require.NoError(t, start(ada))
			require.Contains(t, w.types(), event.EnrollmentStarted)
			for _, browser := range []twofa.Secret{twofa.NewSecret("binding of eve"), {}} {
				eve := *ada
				eve.client.Browser = browser
				require.NoError(t, eve.Check(t.Context(), eve.caller()), "the copied session is valid")
				require.ErrorIs(t, failure(eve.PendingEnrollment(t.Context(), eve.caller())), twofa.ErrExpired)
				require.ErrorIs(t, failure(eve.SaveCodes(t.Context(), eve.caller())), twofa.ErrExpired)
				require.ErrorIs(t, eve.confirm("123456"), twofa.ErrExpired)
				f, err := eve.Factors(t.Context(), eve.caller())
				require.NoError(t, err)
				require.False(t, f.PendingEnrollment)
			}
			require.NoError(t, failure(ada.PendingEnrollment(t.Context(), ada.caller())))
		})
	}
}

// The user installs an app and copies ten codes by hand, and a step renews the
// time for the next one.
func TestAbuse_F07_EachStepRenewsAnEnrollment(t *testing.T) {
	t.Run("confirmed at 1:30, done at 10:30", func(t *testing.T) {
		ada := pendingPage(newWorld(t), false)
		ada.clock.Add(time.Minute)
		require.NoError(t, ada.confirm(ada.now()))
		ada.clock.Add(9 * time.Minute)
		require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
		require.Equal(t, twofa.NextDone, ada.login.Next)
	})
	for _, required := range []bool{false, true} {
		edit := func(c *twofa.Config) { c.Lifetimes.Session = 24 * time.Hour }
		if required {
			edit = requiring
		}
		t.Run("half an hour after the last step", func(t *testing.T) {
			for after, ok := range map[time.Duration]bool{30*time.Minute - time.Second: true, 30 * time.Minute: false} {
				w := newWorld(t, edit)
				ada := pendingPage(w, required)
				w.clock.Add(20 * time.Minute)
				require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
				require.Equal(t, twofa.NextEnroll, ada.login.Next)
				w.clock.Add(after)
				require.Equal(t, ok, ada.confirm(ada.now()) == nil, after)
			}
		})
		t.Run("hard end", func(t *testing.T) {
			w := newWorld(t, edit)
			ada := pendingPage(w, required)
			w.clock.Add(-30 * time.Second)
			for range 4 {
				w.clock.Add(29 * time.Minute)
				require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
			}
			w.clock.Add(4*time.Minute - time.Second)
			early := *ada
			require.NoError(t, early.took(early.SaveCodes(t.Context(), early.caller())), "one second before two hours")
			w.clock.Add(time.Second)
			require.Error(t, early.confirm(early.now()), "two hours after it was started")
			require.Error(t, ada.confirm(ada.now()), "whatever challenge is used")
		})
	}
	t.Run("a step under an older challenge of it works", func(t *testing.T) {
		w := newWorld(t, requiring)
		ada := pendingPage(w, true)
		older := ada.login
		require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
		require.NotEqual(t, older.Challenge.Reveal(), ada.login.Challenge.Reveal())
		ada.login = older
		require.NoError(t, ada.confirm(ada.now()))
		require.Equal(t, twofa.NextDone, ada.login.Next)
	})
	t.Run("configured", func(t *testing.T) {
		w := newWorld(t, func(c *twofa.Config) { c.Lifetimes.Enrollment = 10 * time.Minute })
		ada := pendingPage(w, false)
		e, err := ada.PendingEnrollment(t.Context(), ada.caller())
		require.NoError(t, err)
		require.Equal(t, w.clock.Now().Add(10*time.Minute-30*time.Second).Truncate(time.Second).UTC(), e.Expires)
		w.clock.Add(10 * time.Minute)
		require.ErrorIs(t, ada.confirm(ada.now()), twofa.ErrExpired)
	})
}

// Two entries of one user in an authenticator app look different, because apps
// that key entries by their label would overwrite the old one.
func TestAbuse_T01_LabelsOfOneUserDiffer(t *testing.T) {
	label := func(uri string) string {
		u, err := url.Parse(uri)
		require.NoError(t, err)
		return u.Path
	}
	w := newWorld(t)
	ada := w.enrolled("ada")
	labels := []string{label(ada.uri)}
	for _, e := range []twofa.EnrollRequest{{}, {Replaces: ada.factor(0)}, {Name: "tablet"}, {Name: "a:b"}} {
		w.clock.Add(time.Minute)
		next, err := ada.Enroll(t.Context(), ada.caller(), e)
		require.NoError(t, err)
		l := label(next.URI.Reveal())
		require.NotContains(t, labels, l)
		require.True(t, strings.HasPrefix(l, "/Acme:ada@example.com"), l)
		require.Equal(t, 1, strings.Count(l, ":"), "one colon, so that apps find the name of the account: %s", l)
		again, err := ada.PendingEnrollment(t.Context(), ada.caller())
		require.NoError(t, err)
		require.Equal(t, next.URI.Reveal(), again.URI.Reveal(), "it is the same when it is shown again")
		labels = append(labels, l)
	}
	require.Equal(t, "/Acme:ada@example.com", labels[0])
	require.Equal(t, "/Acme:ada@example.com (tablet)", labels[3])
}

// New recovery codes end what the old ones opened.
func TestAbuse_H13_NewCodesEndWhatTheOldOnesOpened(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	thief := ada.another()
	require.NoError(t, thief.verify(twofa.RecoveryCode, ada.codes[0]))
	require.NoError(t, failure(thief.Enroll(t.Context(), thief.caller(), twofa.EnrollRequest{})), "the owner could have lost the phone")
	w.clock.Add(time.Second)
	ada.renew()
	denied(t, failure(thief.Enroll(t.Context(), thief.caller(), twofa.EnrollRequest{})), twofa.ReasonMissing)
	require.ErrorIs(t, failure(thief.PendingEnrollment(t.Context(), thief.caller())), twofa.ErrExpired)

	w.clock.Add(time.Second)
	owner := ada.another() // who has lost the phone after that
	require.NoError(t, owner.verify(twofa.RecoveryCode, ada.codes[0]))
	require.NoError(t, failure(owner.Enroll(t.Context(), owner.caller(), twofa.EnrollRequest{})))
}

// An enrollment that a recovery code opened is no proof for an action, and the
// new factor is proven once more.
func TestAbuse_L08_EnrollmentByRecoveryCodeIsNoProof(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	thief := ada.another()
	require.NoError(t, thief.verify(twofa.RecoveryCode, ada.codes[0]))
	app := thief.setUp(twofa.EnrollRequest{})
	require.NoError(t, app.confirm(app.now()))
	require.Equal(t, twofa.NextDone, app.login.Next)
	denied(t, app.use("reports", ""), twofa.ReasonMissing)
	denied(t, app.Rename(t.Context(), app.caller(), app.factor(0), "mine"), twofa.ReasonMissing)
	require.NoError(t, app.stepUp("reports"))
	require.NoError(t, app.use("reports", ""))
}

// Nothing confirms a pending set of recovery codes.
func TestAbuse_F08_NothingConfirmsRecoveryCodes(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	_, err := ada.RegenerateCodes(t.Context(), ada.caller())
	require.NoError(t, err)
	stored := w.record("ada")
	for _, code := range []string{"", "not even a code", ada.now(), ada.codes[0]} {
		l, err := ada.Confirm(t.Context(), ada.caller(), code)
		require.ErrorIs(t, err, twofa.ErrNotAllowed, "%q", code)
		require.Zero(t, l)
	}
	require.Equal(t, stored, w.record("ada"))
}

// Malformed codes do not end an enrollment, and what confirmed it is not
// confirmed by something else.
func TestAbuse_C11_MalformedConfirmations(t *testing.T) {
	w := newWorld(t)
	ada := pendingPage(w, false)
	for range 20 {
		err := ada.confirm("12 34")
		require.ErrorIs(t, err, twofa.ErrMalformedCode)
		left, _ := twofa.AttemptsLeft(err)
		require.Equal(t, 5, left)
	}
	require.NoError(t, ada.confirm(ada.now()))
	stored := w.record("ada")
	require.ErrorIs(t, ada.confirm(ada.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
	require.Equal(t, stored, w.record("ada"))
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	require.Equal(t, twofa.NextDone, ada.login.Next)
}

// A new enrollment does not get the answer of the one before, although both are
// saved by the same form within ten seconds.
func TestAbuse_H03_NewCodesRightAfterAnEnrollment(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	for range 2 {
		e, err := ada.RegenerateCodes(t.Context(), ada.caller())
		require.NoError(t, err)
		old := ada.codes
		ada.keep(e)
		require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
		require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())), "sent twice")
		require.ErrorIs(t, ada.another().verify(twofa.RecoveryCode, old[0]), twofa.ErrInvalidCode)
		require.NoError(t, ada.another().verify(twofa.RecoveryCode, ada.codes[0]))
	}
}

// The last step of an enrollment is repeated: where, when, and after what.
func TestAbuse_F06_RepeatedLastStep(t *testing.T) {
	last := map[string]func(p *person, code string) error{
		"Confirm":   func(p *person, code string) error { return p.confirm(code) },
		"SaveCodes": func(p *person, _ string) error { return p.took(p.SaveCodes(p.t.Context(), p.caller())) },
	}
	type result int
	const (
		same result = iota
		refused
	)
	for step, do := range last {
		for _, required := range []bool{false, true} {
			for name, c := range map[string]struct {
				between func(w *world, done, form *person)
				want    result
			}{
				"at once":            {func(*world, *person, *person) {}, same},
				"after nine seconds": {func(w *world, _, _ *person) { w.clock.Add(9 * time.Second) }, same},
				"after ten seconds":  {func(w *world, _, _ *person) { w.clock.Add(10 * time.Second) }, refused},
				"on another server":  {func(w *world, _, form *person) { *form = *form.on(w.again()) }, same},
				"with the token that the browser was handed": {func(_ *world, done, form *person) {
					form.client.Browser = done.client.Browser
				}, same},
				"in another browser": {func(_ *world, _, form *person) { form.client.Browser = twofa.NewSecret("elsewhere") }, refused},
				"after SignedOut": {func(w *world, done, _ *person) {
					require.NoError(t, w.SignedOut(t.Context(), done.caller()))
				}, refused},
				"after Revoke": {func(w *world, _, _ *person) {
					require.NoError(t, w.User(twofa.AsHost("test"), "ada").Revoke(t.Context()))
				}, refused},
				"after CredentialsChanged by the user": {func(w *world, done, _ *person) {
					require.NoError(t, w.User(twofa.AsUser(done.caller(), ""), "ada").CredentialsChanged(t.Context()))
				}, refused},
				"after Reset": {func(w *world, _, _ *person) {
					require.NoError(t, w.User(twofa.AsHost("test"), "ada").Reset(t.Context(), twofa.ResetRequest{InPerson: true}))
				}, refused},
				"after Delete": {func(w *world, _, _ *person) {
					require.NoError(t, w.User(twofa.AsHost("test"), "ada").Delete(t.Context()))
				}, refused},
				"after Cancel": {func(w *world, _, form *person) {
					_ = w.Cancel(t.Context(), form.client, form.login.Challenge)
				}, map[bool]result{true: refused, false: same}[required]}, // otherwise there is no challenge to cancel
			} {
				kind := map[bool]string{true: " as required, ", false: ", "}[required]
				t.Run(step+kind+name, func(t *testing.T) {
					edit := func(*twofa.Config) {}
					if required {
						edit = requiring
					}
					w, store := newFault(t, edit)
					ada := pendingPage(w, required)
					for other := range last {
						if other != step {
							require.NoError(t, last[other](ada, ada.now()))
						}
					}
					code, form, swaps := ada.now(), *ada, 0
					store.Seen = func(string, twofa.Record) { swaps++ }
					require.NoError(t, do(ada, code))
					require.Equal(t, twofa.NextDone, ada.login.Next)
					require.Equal(t, 1, swaps)
					c.between(w, ada, &form)
					swaps = 0
					page := form
					err := do(&form, code)
					require.Zero(t, swaps)
					if c.want == refused {
						denied, expired := errors.AsType[*twofa.DeniedError](err)
						require.True(t, expired && denied != nil || errors.Is(err, twofa.ErrExpired), "%v", err)
						require.Equal(t, page.session.Reveal(), form.session.Reveal())
						return
					}
					require.NoError(t, err)
					require.Equal(t, ada.sessionID(), form.sessionID())
					require.Equal(t, ada.client.Browser.Reveal(), form.client.Browser.Reveal())
					require.NoError(t, form.Check(t.Context(), form.caller()))
					require.Equal(t, 1, w.count(event.Enrolled, ada.sessionID()))
				})
			}
		}
	}
}

// A confirmation counts even if the client hangs up.
func TestAbuse_R09_ConfirmationOfACancelledCallCounts(t *testing.T) {
	ada := pendingPage(newWorld(t), false)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		require.ErrorIs(t, failure(ada.Confirm(gone, ada.caller(), ada.wrongCode(twofa.TOTP))), twofa.ErrInvalidCode)
	}
	require.ErrorIs(t, ada.confirm(ada.now()), twofa.ErrExpired)
}
