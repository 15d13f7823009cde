package twofa

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// update is how every decision changes a user's record. It reads the record and
// the account's policy, calls fn, and swaps in the result, starting over if
// another writer was faster. The record is stored if fn returns nil or an error
// wrapped by keep. update returns fn's error only after the record is stored,
// so a guess is never answered before it has been counted.
//
// Only Rekey and Delete swap a user's record themselves. They decide nothing.
func (m *Manager) update(ctx context.Context, c Client, user, account string, fn func(*userTx) error) error {
	rounds := maxRounds
	return m.retryOnConflict(ctx, &rounds, func() error {
		s, err := m.load(ctx, c, user, account)
		if err != nil {
			return err
		}
		answer := fn(s)
		kept, isKept := errors.AsType[keptError](answer)
		switch {
		case answer == errUnchanged:
			return nil
		case isKept:
			answer = kept.refusal
		case answer != nil:
			return answer
		}
		s.prune()
		if err := m.write(ctx, userKey(user), s.version, &s.userRecord, s.events); err != nil {
			if s.knownBrowser() != nil {
				rounds = maxRoundsKnown
			}
			return err
		}
		m.publishAll(ctx, s)
		return answer
	})
}

// retryOnConflict calls once until it returns an error other than ErrConflict,
// at most *rounds times, or maxRounds if that is nil.
func (m *Manager) retryOnConflict(ctx context.Context, rounds *int, once func() error) error {
	limit := maxRounds
	if rounds == nil {
		rounds = &limit
	}
	for round := 0; round < *rounds; round++ {
		if err := once(); !errors.Is(err, ErrConflict) {
			return err
		}
		if err := backOff(ctx, round); err != nil {
			return unavailable("store", err)
		}
	}
	return unavailable("store", errBusy)
}

func userKey(id string) string    { return "user/" + id }
func accountKey(id string) string { return "account/" + id }

// noPolicy, as the account of an update, reads the user alone. Operations that
// only take something away use it, because they must work even if a policy
// cannot be read.
const noPolicy = ""

// uncancelable returns a context that the client cannot cancel, so that a wrong
// guess counts even if the client hangs up.
func uncancelable(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), attemptTime)
}

// load reads the record of a user and the policy of an account in one Get.
func (m *Manager) load(ctx context.Context, c Client, user, account string) (*userTx, error) {
	keys := []string{userKey(user)}
	if account != "" {
		keys = append(keys, accountKey(account))
	}
	records, err := m.readAll(ctx, keys...)
	if err != nil {
		return nil, err
	}
	s := &userTx{m: m, now: m.now(), client: c, user: user, account: account, policy: m.cfg.Policy, version: records[0].Version}
	if s.version != "" {
		if err := m.cfg.Keys.decode(records[0], &s.userRecord); err != nil {
			return nil, err
		}
	}
	if account != "" {
		if s.policy, s.harder, err = m.policyIn(records[1]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// policyIn returns the policy in an account's record, and since when it requires
// as much.
func (m *Manager) policyIn(r Record) (p Policy, harder unixTime, err error) {
	if r.Version == "" {
		return m.cfg.Policy, 0, nil
	}
	var a accountRecord
	if err := m.cfg.Keys.decode(r, &a); err != nil {
		return Policy{}, 0, err
	}
	if a.Policy == nil {
		return m.cfg.Policy, 0, nil
	}
	return a.Policy.policy(), a.Harder, nil
}

// readAll reads records and returns them in the order of the keys. For a key
// without a record, the returned Record is empty.
func (m *Manager) readAll(ctx context.Context, keys ...string) ([]Record, error) {
	records, err := m.cfg.Store.Get(ctx, keys...)
	if err != nil {
		return nil, unavailable("store", err)
	}
	found := make([]Record, len(keys))
	for _, r := range records {
		i := slices.Index(keys, r.Key)
		if i < 0 || found[i].Version != "" || r.Version == "" {
			return nil, &RecordError{r.Key, "was returned by Get unrequested, twice or without a version"}
		}
		found[i] = r
	}
	return found, nil
}

// read reads one record. If there is none, the returned Record is empty.
func (m *Manager) read(ctx context.Context, key string) (Record, error) {
	records, err := m.readAll(ctx, key)
	if err != nil {
		return Record{}, err
	}
	return records[0], nil
}

// get reads one record into v and returns it.
func (m *Manager) get(ctx context.Context, key string, v recordBody) (Record, error) {
	r, err := m.read(ctx, key)
	if err != nil || r.Version == "" {
		return r, err
	}
	return r, m.cfg.Keys.decode(r, v)
}

// chainOf returns the end of the chain in a record, and an empty one if there is no
// record.
func (m *Manager) chainOf(r Record, isUser bool) (auditChain, error) {
	if r.Version == "" {
		return auditChain{}, nil
	}
	if isUser {
		var u userRecord
		err := m.cfg.Keys.decode(r, &u)
		return u.Audit, err
	}
	var a accountRecord
	err := m.cfg.Keys.decode(r, &a)
	return a.Audit, err
}

// write swaps in v as the record under key. It returns nil if v is stored,
// ErrConflict if another writer was faster and v was never stored, and
// ErrUnavailable otherwise.
func (m *Manager) write(ctx context.Context, key, prev string, v recordBody, events []Event) error {
	next, err := m.cfg.Keys.encode(key, v)
	if err != nil {
		return err
	}
	return m.swap(ctx, prev, next, events)
}

// swap calls [Store.Swap]. If the error leaves the outcome open, swap reads the
// record back, under a deadline of its own, to learn whether next was stored.
// Versions are never reused, so a stored version is proof, and the swap can be
// repeated if nothing has changed.
func (m *Manager) swap(ctx context.Context, prev string, next Record, events []Event) error {
	err := m.cfg.Store.Swap(ctx, prev, next, events...)
	if err == nil || errors.Is(err, ErrConflict) {
		return err
	}
	cause := err
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), readBackTime)
	defer cancel()
	for range 3 {
		records, err := m.cfg.Store.Get(back, next.Key)
		if err != nil {
			return unavailable("store", cause)
		}
		version := ""
		for _, r := range records {
			if r.Key == next.Key {
				version = r.Version
			}
		}
		switch {
		case version == next.Version:
			return nil
		case version != prev, ctx.Err() != nil:
			// Another writer's version. Ours may have been stored before it, so
			// deciding again could contradict a decision that took effect.
			return unavailable("store", cause)
		}
		if err = m.cfg.Store.Swap(ctx, prev, next, events...); err == nil {
			return nil
		}
		if errors.Is(err, ErrConflict) {
			return unavailable("store", cause)
		}
		cause = err
	}
	return unavailable("store", cause)
}

// backOff waits for a random time, which is longer in later rounds. Otherwise,
// writers that conflict would retry at the same time.
func backOff(ctx context.Context, round int) error {
	wait := rand.N(time.Millisecond << min(round, 5))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// prune removes everything that has expired, so that the record stays small
// without background work.
func (s *userTx) prune() {
	now := s.now
	// On a server whose clock is behind, a challenge lives longer.
	s.Spent = slices.DeleteFunc(s.Spent, func(x spent) bool { return !x.Expires.add(issueSlack).isAhead(maxEnrollment+issueSlack, now) })
	s.Answers = keepLast(s.Answers, maxAnswers, func(a answer) bool { return a.At.within(a.life(), now) })
	s.Grants = keepLast(s.Grants, maxGrants, func(g grant) bool { return now.sub(g.At) < maxMaxAge })
	s.UsedForms = keepLast(s.UsedForms, maxUsedForms, s.isRepetition)
	s.Browsers = s.unexpired() // markKnown limits their number
	s.pruneCounters()
	s.Eased = recentTimes(s.Eased, now, easePeriod)
	s.Messages = keepLast(s.Messages, maxSent, func(x message) bool { return x.Expires.isAhead(maxLinkTTL, now) })
	if s.Pending != nil && !s.Pending.Expires.isAhead(maxEnrollment, now) {
		s.Pending = nil
	}
	s.Case = s.openCase()
	if s.Assigned != nil && (len(s.Factors) > 0 || !s.Assigned.At.within(assignedTTL, now)) {
		s.Assigned = nil
	}
	s.pruneCodes(s.m.cfg.Recovery.Viewable)
	for bucket, sent := range s.SendTimes {
		sent.Times, sent.Returned = recentTimes(sent.Times, now, day), recentTimes(sent.Returned, now, day)
		if s.SendTimes[bucket] = sent; len(sent.Times)+len(sent.Returned) == 0 && sent.IsEmpty() {
			delete(s.SendTimes, bucket)
		}
	}
}
