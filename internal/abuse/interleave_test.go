package abuse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/event"
)

// turns is a store at which two operations take turns: each call waits until the
// schedule says that the operation of its context may go on.
type turns struct {
	twofa.Store
	mu      sync.Mutex
	waiting [2]chan struct{} // of each operation, while it waits
}

type turnKey struct{}

func (s *turns) wait(ctx context.Context) {
	op, ok := ctx.Value(turnKey{}).(int)
	if !ok {
		return // part of the preparation
	}
	turn := make(chan struct{})
	s.mu.Lock()
	s.waiting[op] = turn
	s.mu.Unlock()
	<-turn
}

func (s *turns) isWaiting(op int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting[op] != nil
}

func (s *turns) goOn(op int) {
	s.mu.Lock()
	turn := s.waiting[op]
	s.waiting[op] = nil
	s.mu.Unlock()
	close(turn)
}

func (s *turns) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	s.wait(ctx)
	return s.Store.Get(ctx, keys...)
}

func (s *turns) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	s.wait(ctx)
	return s.Store.Swap(ctx, prev, next, events...)
}

// play runs two operations. At each call of the store, the schedule chooses which
// one goes on; after its end, the first one that can. It returns what was chosen, and
// between how many it could choose.
func (s *turns) play(t *testing.T, schedule []int, ops [2]func(context.Context) error) (chosen, choices []int, errs [2]error) {
	var done [2]bool
	var mu sync.Mutex
	for i, op := range ops {
		go func() {
			err := op(context.WithValue(t.Context(), turnKey{}, i))
			mu.Lock()
			defer mu.Unlock()
			done[i], errs[i] = true, err
		}()
	}
	for {
		synctest.Wait()
		var open []int
		for i := range done {
			mu.Lock()
			if !done[i] {
				open = append(open, i)
			}
			mu.Unlock()
		}
		if len(open) == 0 {
			return chosen, choices, errs
		}
		pick := 0
		if len(chosen) < len(schedule) {
			pick = schedule[len(chosen)]
		}
		op := open[pick]
		for !s.isWaiting(op) && !doneNow(&mu, &done[op]) { // it waits after a conflict
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		if s.isWaiting(op) {
			chosen, choices = append(chosen, pick), append(choices, len(open))
			s.goOn(op)
		}
	}
}

func doneNow(mu *sync.Mutex, done *bool) bool {
	mu.Lock()
	defer mu.Unlock()
	return *done
}

// race is two operations that are run in every order of their calls to the store.
type race struct {
	// prepare makes the operations, and what must hold after both.
	prepare func(t *testing.T, w *world) (ops [2]func(context.Context) error, check func(errs [2]error))
}

func TestAbuse_B15_B11_EveryInterleaving(t *testing.T) {
	for name, r := range races {
		t.Run(name, func(t *testing.T) {
			var schedule []int
			for runs := 1; ; runs++ {
				var chosen, choices []int
				synctest.Test(t, func(t *testing.T) {
					store := &turns{Store: memstore.New()}
					w := team(t, func(c *twofa.Config) { c.Store, c.Mail.NoticeEmail = store, nil })
					ops, check := r.prepare(t, w)
					var errs [2]error
					chosen, choices, errs = store.play(t, schedule, ops)
					t.Log(chosen, errs)
					check(errs)
				})
				if t.Failed() {
					return
				}
				i := len(chosen) - 1
				for ; i >= 0 && chosen[i]+1 >= choices[i]; i-- {
				}
				if i < 0 {
					require.Greater(t, runs, 2, "the operations do not meet")
					t.Logf("%d orders", runs)
					return
				}
				schedule = append(slices.Clone(chosen[:i]), chosen[i]+1)
			}
		})
	}
}

// acts returns an admin's account handle for a step-up that was just proven.
func (p *person) acts(action string) *twofa.Account {
	p.t.Helper()
	p.clock.Add(time.Minute)
	require.NoError(p.t, p.stepUp(action))
	return p.as()
}

// verifies returns the operation that answers the login of another browser by a code.
func (p *person) verifies() (q *person, op func(context.Context) error) {
	p.t.Helper()
	p.clock.Add(time.Minute)
	q = p.browser("another")
	require.Equal(p.t, twofa.NextChallenge, q.begin())
	code := q.code()
	return q, func(ctx context.Context) error {
		return q.took(q.Verify(ctx, q.caller(), q.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)}))
	}
}

// index returns where the first event of a type about a user is, or -1.
func (w *world) index(kind, user string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.IndexFunc(w.events, func(e twofa.Event) bool { return e.Type == kind && e.User == user })
}

var races = map[string]race{
	"reset and verify": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		mia, adam := w.signedIn("mia", "acme"), w.signedIn("adam", "acme")
		account := adam.acts(twofa.ActionReset)
		login, verify := mia.verifies()
		reset := func(ctx context.Context) error { return account.Reset(ctx, "mia", twofa.ResetRequest{}) }
		return [2]func(context.Context) error{reset, verify}, func(errs [2]error) {
			require.NoError(t, errs[0])
			require.NotEqual(t, -1, w.index(event.Reset, "mia"))
			require.Error(t, w.Check(t.Context(), login.caller()), "no session outlives the reset")
		}
	}},
	"remove and enforce": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		mia, adam := w.signedIn("mia", "acme"), w.signedIn("adam", "acme")
		factor := mia.factor(0)
		require.NoError(t, mia.stepUp(twofa.ActionFactors))
		account := adam.acts(twofa.ActionPolicy)
		info, err := account.Policy(t.Context())
		require.NoError(t, err)
		remove := func(ctx context.Context) error { return mia.Remove(ctx, mia.caller(), factor) }
		enforce := func(ctx context.Context) error { return account.SetPolicy(ctx, required(), info.Version) }
		return [2]func(context.Context) error{remove, enforce}, func(errs [2]error) {
			require.NoError(t, errs[1])
			if errs[0] == nil {
				require.Error(t, w.Check(t.Context(), mia.caller()), "no session without a factor")
			} else {
				require.Equal(t, twofa.NextChallenge, mia.begin(), "the factor is still there")
			}
		}
	}},
	"policy and login": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		adam, mia := w.signedIn("adam", "acme"), w.person("mia")
		mia.account = "acme"
		account := adam.acts(twofa.ActionPolicy)
		info, err := account.Policy(t.Context())
		require.NoError(t, err)
		enforce := func(ctx context.Context) error { return account.SetPolicy(ctx, required(), info.Version) }
		begin := func(ctx context.Context) error {
			return mia.took(mia.Begin(ctx, twofa.FirstFactor{UserID: "mia", Account: "acme", By: twofa.ByPassword, Client: mia.client}))
		}
		return [2]func(context.Context) error{enforce, begin}, func(errs [2]error) {
			require.NoError(t, errs[0])
			require.NoError(t, errs[1])
			require.Error(t, w.Check(t.Context(), mia.caller()), "no session without a factor")
		}
	}},
	"extend and policy": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		adam, alma, mia := w.signedIn("adam", "acme"), w.signedIn("alma", "acme"), w.person("mia")
		mia.account = "acme"
		extender, setter := adam.acts(twofa.ActionPolicy), alma.acts(twofa.ActionPolicy)
		info, err := setter.Policy(t.Context())
		require.NoError(t, err)
		until := w.clock.Now().Add(48 * time.Hour).Truncate(time.Second)
		extend := func(ctx context.Context) error { return extender.Extend(ctx, "mia", until) }
		enforce := func(ctx context.Context) error { return setter.SetPolicy(ctx, required(), info.Version) }
		return [2]func(context.Context) error{extend, enforce}, func(errs [2]error) {
			require.NoError(t, errs[1])
			if errs[0] != nil { // the policy already asks adam for more than the session has
				require.Equal(t, -1, w.index(event.Extended, "mia"))
				return
			}
			statuses, err := w.acme().Statuses(t.Context(), "mia")
			require.NoError(t, err)
			require.Equal(t, twofa.StateGrace, statuses[0].State)
			require.Equal(t, until.UTC(), statuses[0].Due)
		}
	}},
	"approve and cancel": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		mia := w.signedIn("mia", "acme")
		_, approve := w.caseOf("mia")
		link := w.stopLink("mia@example.com")
		cancel := func(ctx context.Context) error { return w.CancelCase(ctx, mia.client, link) }
		return [2]func(context.Context) error{approve, cancel}, func(errs [2]error) {
			require.Equal(t, errs[0] == nil, errs[1] != nil, "one of them")
			require.Equal(t, errs[0] == nil, w.index(event.Reset, "mia") >= 0)
			require.Equal(t, errs[1] == nil, w.index(event.ResetCanceled, "mia") >= 0)
		}
	}},
	"approve and login": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		mia := w.signedIn("mia", "acme")
		_, approve := w.caseOf("mia")
		login, verify := mia.verifies()
		return [2]func(context.Context) error{approve, verify}, func(errs [2]error) {
			require.Equal(t, errs[0] == nil, errs[1] != nil, "one of them")
			require.Equal(t, errs[0] == nil, w.index(event.Reset, "mia") >= 0)
			require.Equal(t, errs[1] == nil, w.Check(t.Context(), login.caller()) == nil)
		}
	}},
	"two approvals": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		w.signedIn("mia", "acme")
		x, approve := w.caseOf("mia")
		other := func(ctx context.Context) error {
			_, err := w.User(twofa.AsStaff("otto", "seen"), "mia").ApproveCase(ctx, x)
			return err
		}
		return [2]func(context.Context) error{approve, other}, func(errs [2]error) {
			require.Equal(t, errs[0] == nil, errs[1] != nil, "the first one is enough")
			require.GreaterOrEqual(t, w.index(event.Reset, "mia"), 0)
		}
	}},
	"two admins and one policy": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		adam, alma := w.signedIn("adam", "acme"), w.signedIn("alma", "acme")
		accounts := [2]*twofa.Account{adam.acts(twofa.ActionPolicy), alma.acts(twofa.ActionPolicy)}
		info, err := accounts[0].Policy(t.Context())
		require.NoError(t, err)
		var ops [2]func(context.Context) error
		for i, account := range accounts {
			p := required()
			p.Actions = map[string]twofa.ActionRule{fmt.Sprint(i): {}}
			ops[i] = func(ctx context.Context) error { return account.SetPolicy(ctx, p, info.Version) }
		}
		return ops, func(errs [2]error) {
			require.Equal(t, errs[0] == nil, errs[1] != nil, "nobody overwrites what they have not seen")
			require.Contains(t, w.inForce("acme").Policy.Actions, fmt.Sprint(slices.Index(errs[:], nil)))
		}
	}},
	"an admin who is reset and resets": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		w.signedIn("mia", "acme")
		adam, olga := w.signedIn("adam", "acme"), w.signedIn("olga", "acme")
		by, above := adam.acts(twofa.ActionReset), olga.acts(twofa.ActionReset)
		ops := [2]func(context.Context) error{
			func(ctx context.Context) error { return above.Reset(ctx, "adam", twofa.ResetRequest{}) },
			func(ctx context.Context) error { return by.Reset(ctx, "mia", twofa.ResetRequest{}) },
		}
		return ops, func(errs [2]error) {
			require.NoError(t, errs[0])
			act, reset := w.index(event.AdminAct, "adam"), w.index(event.Reset, "adam")
			require.Equal(t, errs[1] == nil, w.index(event.Reset, "mia") >= 0)
			require.Equal(t, errs[1] == nil, act >= 0, "authorized before or not at all")
			require.Less(t, act, reset)
		}
	}},
	"a member who leaves and signs in": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		mia := w.signedIn("mia", "acme")
		login, verify := mia.verifies()
		remove := func(ctx context.Context) error {
			w.setUser("mia", func(u *twofa.User) { u.Members = nil })
			return w.acme().MemberRemoved(ctx, "mia")
		}
		return [2]func(context.Context) error{remove, verify}, func(errs [2]error) {
			require.NoError(t, errs[0])
			require.Error(t, w.Check(t.Context(), login.caller()), "no session outlives the membership")
		}
	}},
	"unlock and guess": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		mia := w.signedIn("mia", "acme")
		w.lockedOut(mia)
		guess := mia.browser("of an attacker")
		guess.begin()
		wrong := guess.wrongCode(twofa.TOTP)
		unlock := func(ctx context.Context) error {
			return w.User(twofa.AsStaff("sam", "called back"), "mia").Unlock(ctx, twofa.TOTP)
		}
		try := func(ctx context.Context) error {
			_, err := guess.Verify(ctx, guess.caller(), guess.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(wrong)})
			return err
		}
		return [2]func(context.Context) error{unlock, try}, func(errs [2]error) {
			require.NoError(t, errs[0])
			data, err := w.User(twofa.AsHost("test"), "mia").Export(t.Context())
			require.NoError(t, err)
			left := 0 // while locked, nothing is counted
			if errors.Is(errs[1], twofa.ErrInvalidCode) {
				left = 1
			}
			counted := 0
			for _, f := range data.Failures {
				counted += f.Consecutive
			}
			require.Equal(t, left, counted)
		}
	}},
	"lost and verify": {prepare: func(t *testing.T, w *world) ([2]func(context.Context) error, func([2]error)) {
		mia := w.signedIn("mia", "acme")
		login, verify := mia.verifies()
		reporter := mia.browser("third")
		reporter.begin()
		report := func(ctx context.Context) error {
			return w.ReportLost(ctx, reporter.client, reporter.login.Challenge)
		}
		return [2]func(context.Context) error{report, verify}, func(errs [2]error) {
			require.NoError(t, errs[0])
			require.NoError(t, errs[1])
			standing, err := w.Standing(t.Context(), login.caller())
			require.NoError(t, err)
			require.Equal(t, w.index(event.LostCleared, "mia") < 0, !standing.Lost.IsZero(), "cleared if the proof came after it")
		}
	}},
}

// caseOf opens a case for a user, and returns its ID and the operation that approves
// it three days later.
func (w *world) caseOf(user string) (id string, approve func(context.Context) error) {
	w.t.Helper()
	w.clock.Add(time.Hour)
	x, err := w.User(twofa.AsStaff("sam", "called back"), user).OpenCase(w.t.Context(), twofa.ResetRequest{})
	require.NoError(w.t, err)
	w.clock.Add(12 * time.Hour)
	w.clock.Add(60 * time.Hour)
	return x.ID, func(ctx context.Context) error {
		_, err := w.User(twofa.AsStaff("nora", "seen"), user).ApproveCase(ctx, x.ID)
		return err
	}
}
