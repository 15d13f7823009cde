package abuse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/harness"
)

// fault describes how one call to a store fails.
type fault struct {
	name    string
	written bool // a Swap takes effect nevertheless
	lasting bool // the store fails until it is repaired
	cancel  bool // the caller's context ends during the call
	err     error
}

var errDown = errors.New("connection lost")

var storeFaults = []fault{
	{name: "not written, error", err: errDown},
	{name: "written, error", written: true, err: errDown},
	{name: "not written, then away", lasting: true, err: errDown},
	{name: "written, then away", written: true, lasting: true, err: errDown},
	{name: "caller gone, not written", cancel: true, err: context.Canceled},
	{name: "caller gone, written", written: true, cancel: true, err: context.Canceled},
	{name: "deadline, not written, then away", lasting: true, err: context.DeadlineExceeded},
	// A store that repeats a command by itself may return this error, against
	// its contract.
	{name: "conflict though written", written: true, err: twofa.ErrConflict},
}

// failing is a store that fails at one call, counted from the call of arm.
type failing struct {
	twofa.Store
	fault  *fault
	at     int
	calls  int
	swap   bool // the call that failed was a Swap
	cancel context.CancelFunc
}

func (s *failing) arm(f *fault, at int) { s.fault, s.at, s.calls, s.swap = f, at, 0, false }

func (s *failing) fails() bool {
	s.calls++
	hit := s.fault != nil && (s.calls == s.at || s.fault.lasting && s.calls > s.at)
	if hit && s.fault.cancel {
		s.cancel()
	}
	return hit
}

func (s *failing) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	if s.fails() && !errors.Is(s.fault.err, twofa.ErrConflict) {
		return nil, s.fault.err
	}
	return s.Store.Get(ctx, keys...)
}

func (s *failing) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	if !s.fails() {
		return s.Store.Swap(ctx, prev, next, events...)
	}
	s.swap = s.swap || s.calls == s.at
	if s.fault.written && s.calls == s.at {
		if err := s.Store.Swap(context.WithoutCancel(ctx), prev, next, events...); err != nil {
			return err
		}
	}
	return s.fault.err
}

// leaving is a testing.TB whose context can end during the test.
type leaving struct {
	testing.TB
	ctx context.Context
}

func (l *leaving) Context() context.Context { return l.ctx }

// holder is a user with everything that was ever shown to her.
type holder struct {
	*person
	uris  []string
	codes []string
	proof twofa.Proof // the last code that was tried at a login
}

// enter gives the first factor.
func (h *holder) enter() error {
	return h.took(h.Begin(h.t.Context(), twofa.FirstFactor{UserID: h.id, By: twofa.ByPassword, Client: h.client}))
}

// prove sends a message if the method needs one, and gives the proof.
func (h *holder) prove(m twofa.Method) error {
	if m == twofa.EmailLink || m == twofa.SMS {
		if err := h.send(m); err != nil {
			return err
		}
	}
	h.proof = twofa.Proof{Method: m}
	switch m {
	case twofa.EmailLink:
		h.proof.Code = twofa.NewSecret(h.token())
	case twofa.SMS:
		h.proof.Code = twofa.NewSecret(h.out.TextCode(h.t, adasPhone))
	case twofa.RecoveryCode:
		h.proof.Code, h.codes = twofa.NewSecret(h.codes[0]), h.codes[1:]
	default:
		h.proof.Code = twofa.NewSecret(h.code())
	}
	return h.verify(m, h.proof.Code.Reveal())
}

// signIn signs in by a method and then opens a guarded page.
func (h *holder) signIn(m twofa.Method) error {
	err := h.enter()
	if err == nil && h.login.Next == twofa.NextChallenge {
		err = h.prove(m)
	}
	if err != nil || h.login.Next == twofa.NextEnroll {
		return err
	}
	return h.Check(h.t.Context(), h.caller())
}

// signInSomehow tries everything that the user has, in a new browser.
func (h *holder) signInSomehow() {
	h.t.Helper()
	h.person = h.browser("again")
	require.NoError(h.t, h.enter())
	if h.login.Next != twofa.NextChallenge {
		return
	}
	for _, m := range h.login.Methods {
		for _, uri := range append(h.uris, "") {
			h.uri = uri
			if (m == twofa.TOTP) != (uri == "") && (m != twofa.RecoveryCode || len(h.codes) > 0) && h.prove(m) == nil {
				return
			}
		}
	}
	require.Fail(h.t, "she is locked out", "methods %v", h.login.Methods)
}

// shown records what an enrollment shows.
func (h *holder) shown(e twofa.Enrollment, err error) error {
	if err != nil {
		return err
	}
	if !e.URI.IsZero() {
		h.uri = e.URI.Reveal()
		h.uris = append(h.uris, h.uri)
	}
	if !e.Challenge.IsZero() {
		h.login.Challenge = e.Challenge
	}
	for _, c := range e.Codes {
		h.codes = append(h.codes, c.Reveal())
	}
	return nil
}

func (h *holder) confirm(code string) error {
	return h.took(h.Confirm(h.t.Context(), h.caller(), code))
}

func (h *holder) saveCodes() error { return h.took(h.SaveCodes(h.t.Context(), h.caller())) }

func (h *holder) setUp(e twofa.EnrollRequest) error {
	return h.shown(h.Enroll(h.t.Context(), h.caller(), e))
}

// steps runs functions in order until one fails.
func steps(list ...func() error) error {
	for _, step := range list {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (h *holder) settings() twofa.Factors {
	h.t.Helper()
	f, err := h.Factors(h.t.Context(), h.caller())
	require.NoError(h.t, err)
	return f
}

// with calls do with the ID of the user's factor.
func (h *holder) with(do func(id string) error) func() error {
	return func() error {
		f, err := h.Factors(h.t.Context(), h.caller())
		if err != nil {
			return err
		}
		return do(f.List[0].ID)
	}
}

// flow is an operation of a user. The store works during before, fails at one
// call during do, and works again during done, which reports whether the change
// was made.
type flow struct {
	name   string
	edit   func(*twofa.Config)
	before func(*holder)
	do     func(*holder) error
	done   func(*holder) bool // if nil, the session is the only result
	once   bool               // do ends in a proof that must not work again
}

func enrolledBefore(h *holder) {
	require.NoError(h.t, steps(h.enter, func() error { return h.setUp(twofa.EnrollRequest{}) },
		func() error { return h.confirm(h.code()) }, h.saveCodes))
}

func phoneBefore(h *holder) {
	h.person = h.world.withPhone("ada", adasPhone)
	h.codes = h.person.codes
}

// rememberedBefore continues in a remembered browser.
func rememberedBefore(h *holder) {
	enrolledBefore(h)
	h.person = h.browser("laptop").remember()
}

// fresh gives a proof for an action if there is none yet.
func (h *holder) fresh(action string) func() error {
	return func() error {
		err := h.took(h.StepUp(h.t.Context(), h.caller(), action, ""))
		if err != nil || h.login.Next == twofa.NextDone {
			return err
		}
		return h.prove(h.login.Methods[0])
	}
}

var flows = []flow{
	{name: "first login ever", do: func(h *holder) error { return h.signIn("") }},
	{
		name: "enrollment, code first", before: func(h *holder) { require.NoError(h.t, h.enter()) },
		do: func(h *holder) error {
			return steps(func() error { return h.setUp(twofa.EnrollRequest{}) }, func() error { return h.confirm(h.code()) }, h.saveCodes,
				func() error { return h.Check(h.t.Context(), h.caller()) })
		},
		done: func(h *holder) bool { return len(h.settings().List) == 1 },
	},
	{
		name: "required enrollment, codes first", edit: func(c *twofa.Config) { c.Policy = twofa.PolicyAuthenticator() },
		do: func(h *holder) error {
			return steps(h.enter, func() error { return h.prove(twofa.EmailLink) }, func() error { return h.setUp(twofa.EnrollRequest{}) },
				h.saveCodes, func() error { return h.confirm(h.code()) }, func() error { return h.Check(h.t.Context(), h.caller()) })
		},
		done: func(h *holder) bool { return len(h.settings().List) == 1 },
	},
	{
		name: "enrollment of a phone", edit: byText,
		do: func(h *holder) error {
			return steps(h.enter, func() error { return h.setUp(twofa.EnrollRequest{Method: twofa.SMS, Phone: adasPhone}) },
				func() error { return h.confirm(h.out.TextCode(h.t, adasPhone)) }, h.saveCodes)
		},
		done: func(h *holder) bool { return len(h.settings().List) == 1 },
	},
	{name: "login by authenticator", before: enrolledBefore, once: true, do: func(h *holder) error { return h.signIn(twofa.TOTP) }},
	{name: "login by recovery code", before: enrolledBefore, once: true, do: func(h *holder) error { return h.signIn(twofa.RecoveryCode) }},
	{name: "login by link", edit: byLink, once: true, do: func(h *holder) error { return h.signIn(twofa.EmailLink) }},
	{name: "login by text", edit: byText, before: phoneBefore, once: true, do: func(h *holder) error { return h.signIn(twofa.SMS) }},
	{name: "login from a remembered browser", edit: remembering, before: rememberedBefore, do: func(h *holder) error { return h.signIn(twofa.TOTP) }},
	{
		name: "cancelled login", before: enrolledBefore,
		do: func(h *holder) error {
			return steps(h.enter, func() error { return h.Cancel(h.t.Context(), h.client, h.login.Challenge) })
		},
	},
	{
		name: "new recovery codes", before: enrolledBefore,
		do: func(h *holder) error {
			return steps(h.fresh(twofa.ActionFactors), func() error { return h.shown(h.RegenerateCodes(h.t.Context(), h.caller())) }, h.saveCodes)
		},
		done: func(h *holder) bool { return h.settings().CodesGenerated.After(harness.Start.Add(20 * time.Second)) },
	},
	{
		name: "another authenticator in its place", before: enrolledBefore,
		do: func(h *holder) error {
			return steps(h.fresh(twofa.ActionFactors),
				h.with(func(id string) error { return h.setUp(twofa.EnrollRequest{Name: "new", Replaces: id}) }),
				func() error { return h.confirm(h.code()) })
		},
		done: func(h *holder) bool { l := h.settings().List; return len(l) == 1 && l[0].Name == "new" },
	},
	{
		name: "turning it off", before: enrolledBefore,
		do: func(h *holder) error {
			return steps(h.fresh(twofa.ActionFactors), h.with(func(id string) error { return h.Remove(h.t.Context(), h.caller(), id) }))
		},
		done: func(h *holder) bool { f := h.settings(); return len(f.List) == 0 && f.CodesTotal == 0 },
	},
	{
		name: "another name", before: enrolledBefore,
		do: func(h *holder) error {
			return steps(h.fresh(twofa.ActionFactors), h.with(func(id string) error { return h.Rename(h.t.Context(), h.caller(), id, "new") }))
		},
		done: func(h *holder) bool { return h.settings().List[0].Name == "new" },
	},
	{
		name: "sensitive action", before: enrolledBefore, once: true,
		do: func(h *holder) error {
			return steps(h.fresh("export"), func() error { return h.UseAction(h.t.Context(), h.caller(), "export", "") })
		},
	},
	{
		name: "forgetting browsers", edit: remembering, before: rememberedBefore,
		do: func(h *holder) error {
			err := h.ForgetBrowsers(h.t.Context(), h.caller())
			if errors.Is(err, twofa.ErrNotEnrolled) {
				return nil // no factor is left
			}
			return err
		},
		done: func(h *holder) bool {
			list, err := h.Browsers(h.t.Context(), h.caller())
			require.NoError(h.t, err)
			return !slices.ContainsFunc(list, func(b twofa.Browser) bool { return b.Remembered })
		},
	},
	{name: "signing out everywhere", before: enrolledBefore, do: func(h *holder) error {
		return h.User(twofa.AsHost("test"), h.id).Revoke(h.t.Context())
	}},
	{name: "changed password", before: enrolledBefore, do: func(h *holder) error {
		return steps(func() error { return h.User(twofa.AsUser(h.caller(), ""), h.id).CredentialsChanged(h.t.Context()) },
			func() error { return h.Check(h.t.Context(), h.caller()) })
	}},
	{
		name: "policy", before: enrolledBefore,
		do: func(h *holder) error {
			return h.Account(twofa.AsHost("test"), "acme").SetPolicy(h.t.Context(), twofa.PolicyAuthenticator(), "")
		},
		done: func(h *holder) bool {
			info, err := h.Account(twofa.AsHost("test"), "acme").Policy(h.t.Context())
			require.NoError(h.t, err)
			return info.Policy.Required
		},
	},
	{
		name: "erasing", before: enrolledBefore,
		do:   func(h *holder) error { return h.User(twofa.AsHost("test"), h.id).Delete(h.t.Context()) },
		done: func(h *holder) bool { return h.browser("desk").begin() == twofa.NextDone },
	},
}

// TestFaults lets every store call of every flow fail, one at a time, in every
// way. In every case, a reported change is stored, nothing is half done, no
// proof works twice, and the user can sign in with what she has and finish the
// flow.
func TestFaults(t *testing.T) {
	for _, f := range flows {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for i := range storeFaults {
				t.Run(storeFaults[i].name, func(t *testing.T) {
					for at := 1; f.meet(t, &storeFaults[i], at); at++ {
						require.Less(t, at, 40)
					}
				})
			}
		})
	}
}

// meet runs the flow with one fault. It returns false if the flow has fewer
// calls.
func (f flow) meet(t *testing.T, bad *fault, at int) bool {
	store := &failing{}
	w := newWorld(t, func(c *twofa.Config) {
		if f.edit != nil {
			f.edit(c)
		}
		store.Store, c.Store = c.Store, store
	})
	h := &holder{person: w.person("ada")}
	if f.before != nil {
		f.before(h)
	}
	where := fmt.Sprintf("call %d", at)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.t, store.cancel = &leaving{t, ctx}, cancel
	store.arm(bad, at)
	err := f.do(h)
	met := store.calls >= at
	settled := store.swap && errors.Is(bad.err, errDown) && !bad.lasting // reading the record back gives the answer
	store.arm(nil, 0)
	w.t = t
	if !met || settled {
		require.NoError(t, err, where)
	}
	if err != nil {
		f.honest(t, bad, err, where)
	}
	if f.once {
		f.notTwice(t, h, err, where)
	}
	w.clock.Add(16 * time.Minute)
	h.signInSomehow()
	f.whole(t, h, where)
	w.clock.Add(2 * time.Minute) // text messages and mails have a cool-down
	if f.done != nil {
		if err == nil {
			require.True(t, f.done(h), "%s: reported as done, but it is not", where)
		} else if !f.done(h) {
			require.NoError(t, f.do(h), "%s: second try", where)
			require.True(t, f.done(h), where)
		}
	} else if err != nil {
		require.NoError(t, f.do(h), "%s: second try", where)
	}
	list, err := store.Store.(twofa.EventReader).Events(t.Context(), twofa.EventQuery{})
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, e := range list.Events {
		require.False(t, seen[e.ID], "%s: the event %s is stored twice", where, e.Type)
		seen[e.ID] = true
	}
	return met
}

// honest checks which error was returned. It must be unavailable. After a
// conflict that was none, it may also be the error that a second try finds.
func (f flow) honest(t *testing.T, bad *fault, err error, where string) {
	if !errors.Is(bad.err, twofa.ErrConflict) {
		require.ErrorIs(t, err, twofa.ErrUnavailable, where)
		return
	}
	_, denied := errors.AsType[*twofa.DeniedError](err)
	require.True(t, denied || errors.Is(err, twofa.ErrUnavailable) || errors.Is(err, twofa.ErrExpired) || errors.Is(err, twofa.ErrInvalidCode) ||
		errors.Is(err, twofa.ErrNotEnrolled) || errors.Is(err, twofa.ErrLocked), "%s: %v", where, err)
}

// notTwice checks how often a proof works, in its own login and in another one.
func (f flow) notTwice(t *testing.T, h *holder, err error, where string) {
	worked := 0
	if err == nil {
		worked++
	}
	z := *h.person
	if f.name == "sensitive action" {
		for range 2 {
			if z.UseAction(t.Context(), z.caller(), "export", "") == nil {
				worked++
			}
		}
		require.LessOrEqual(t, worked, 1, where)
		return
	}
	if h.proof.Code.IsZero() {
		return
	}
	for range 2 {
		if z.verify(h.proof.Method, h.proof.Code.Reveal()) == nil {
			worked++
		}
		z.begin()
	}
	require.LessOrEqual(t, worked, 1, where)
}

// whole checks that nothing is half done. A factor and its recovery codes come
// and go together, and there is never more than one factor here.
func (f flow) whole(t *testing.T, h *holder, where string) {
	if h.login.Next == twofa.NextEnroll {
		return
	}
	s := h.settings()
	require.LessOrEqual(t, len(s.List), 1, where)
	require.Equal(t, 10*len(s.List), s.CodesTotal, where)
	require.GreaterOrEqual(t, s.CodesLeft, s.CodesTotal-3, where)
}

// If another writer comes between a failed swap and the read that checks its
// result, the result is unknown. The call is refused. It does not decide again
// on the record of the other writer.
func TestFaults_AnotherWriterBeforeTheReadBack(t *testing.T) {
	for _, written := range []bool{true, false} {
		t.Run(fmt.Sprintf("written %v", written), func(t *testing.T) {
			w, store := newFault(t)
			ada := w.enrolled("ada")
			other := ada.browser("desk")
			other.begin()
			ada.begin()
			swaps := 0
			meanwhile := func(twofa.Record) error {
				if swaps++; swaps != 1 {
					return nil
				}
				_ = other.verify(twofa.TOTP, other.wrongCode(twofa.TOTP))
				return errDown
			}
			if written {
				store.Forget = meanwhile
			} else {
				store.Refuse = meanwhile
			}
			code := ada.code()
			require.ErrorIs(t, ada.verify(twofa.TOTP, code), twofa.ErrUnavailable)
			require.Equal(t, 2, swaps)
			pending := ada.login
			for range 2 { // the first one gets the lost answer, or a new one
				ada.login = pending
				require.NoError(t, ada.verify(twofa.TOTP, code))
			}
			require.Equal(t, map[bool]int{true: 2, false: 3}[written], swaps)
			w.clock.Add(10 * time.Second)
			ada.login = pending
			require.ErrorIs(t, ada.verify(twofa.TOTP, code), twofa.ErrExpired, "the code is used up")
		})
	}
}

// If the caller leaves during the write, the change is still made. Its result
// is read under a separate deadline.
func TestFaults_CallerLeaves(t *testing.T) {
	w, store := newFault(t)
	ada := w.enrolled("ada")
	for _, written := range []bool{true, false} {
		ada.begin()
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		gone := func(twofa.Record) error { leave(); return ctx.Err() }
		if written {
			store.Forget = gone
		} else {
			store.Refuse = gone
		}
		code := ada.code()
		l, err := w.Verify(ctx, ada.caller(), ada.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)})
		store.Forget, store.Refuse = nil, nil
		if written {
			require.NoError(t, err)
			require.Equal(t, twofa.NextDone, l.Next)
			continue
		}
		require.ErrorIs(t, err, twofa.ErrUnavailable)
		require.NoError(t, ada.verify(twofa.TOTP, code), "nothing was used up")
	}
}

// The other writer comes between the read that checks the result and the second
// try.
func TestFaults_AnotherWriterBeforeTheSecondTry(t *testing.T) {
	w, store := newFault(t)
	ada := w.enrolled("ada")
	other := ada.browser("desk")
	other.begin()
	ada.begin()
	swaps := 0
	store.Refuse = func(twofa.Record) error {
		switch swaps++; swaps {
		case 1:
			return errDown
		case 2:
			_ = other.verify(twofa.TOTP, other.wrongCode(twofa.TOTP))
		}
		return nil
	}
	require.ErrorIs(t, ada.verify(twofa.TOTP, ada.code()), twofa.ErrUnavailable)
	require.NoError(t, ada.verify(twofa.TOTP, ada.now()))
}
