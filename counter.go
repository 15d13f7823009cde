package twofa

import (
	"time"

	"github.com/twofa-go/twofa/event"
)

// bucket names a counter: failures in known browsers are counted apart, so
// that who has only the password cannot lock the owner out.
func bucket(m Method, known bool) string {
	if known {
		return string(m) + "/known"
	}
	return string(m)
}

// lockFor is how long a method is locked after that many failures.
func lockFor(m Method, fails int) time.Duration {
	switch {
	case fails < failuresToLock:
		return 0
	case m == RecoveryCode: // 120 bits: waiting is enough, and it is the way out
		return firstLock
	}
	return min(firstLock<<min(fails-failuresToLock, 10), longestLock)
}

// disabled reports whether the method is switched off in the bucket.
func (c counter) disabled(m Method, known bool) bool {
	limit := failuresUnknown
	if known {
		limit = failuresKnown
	}
	return m != RecoveryCode && c.Fails >= limit
}

// lockRemaining returns how long the method has still to wait. A lock that is longer
// than it can have been set for comes from a clock that was wrong.
func (c counter) lockRemaining(m Method, now unixTime) time.Duration {
	return max(0, min(c.Until.sub(now), lockFor(m, c.Fails)))
}

// outcome is what became of one guess.
type outcome int

const (
	wrong outcome = iota
	reused
	right
)

// checkThrottle refuses while a method is locked or switched off for the client. A lock
// longer than it can have been set for is cut for good, or it would end only
// when the clocks have come to where the wrong one was.
func (s *userTx) checkThrottle(m Method, known bool) error {
	name := bucket(m, known)
	n := s.Counters[name]
	if n.disabled(m, known) {
		return &lockedError{}
	}
	wait := n.lockRemaining(m, s.now)
	if wait == 0 {
		return nil
	}
	if until := s.now.add(wait); until < n.Until {
		n.Until = until
		s.Counters[name] = n
		return keep(&lockedError{wait})
	}
	return &lockedError{wait}
}

// tryCode is the one place where a secret is tried: while locked nothing is
// compared, counted or written; a failure is counted in the write that tells
// of it; success clears the counter of this method in this bucket, and opens
// the other one where that was switched off.
func (s *userTx) tryCode(m Method, compare func() outcome) error {
	known := s.knownBrowser() != nil
	if err := s.checkThrottle(m, known); err != nil {
		return err
	}
	name := bucket(m, known)
	n := s.Counters[name]
	result := compare()
	if result == right {
		delete(s.Counters, name)
		if other := bucket(m, !known); s.Counters[other].disabled(m, !known) {
			delete(s.Counters, other)
		}
		return nil
	}
	n.Fails++
	n.Until = 0
	failure := &codeError{left: max(0, failuresToLock-n.Fails)}
	if lock := lockFor(m, n.Fails); lock > 0 {
		n.Until = s.now.add(lock)
		s.voidMessages(name)
		if !n.disabled(m, known) {
			failure.wait = n.lockRemaining(m, s.now)
		}
	}
	if s.Counters == nil {
		s.Counters = map[string]counter{}
	}
	s.Counters[name] = n
	s.recordFailure(m, result, n, known)
	return keep(failure)
}

// recordFailure writes down a failure; the person is told of failures at most once an
// hour, and always when the method is switched off.
func (s *userTx) recordFailure(m Method, result outcome, n counter, known bool) {
	e := Event{Type: event.Failed, Method: m}
	switch {
	case n.disabled(m, known):
		e.Type, e.Notice = event.Disabled, true
	case n.Until > 0:
		e.Type = event.Locked
	case result == reused:
		e.Type = event.Reused
	}
	if now := s.now; now.sub(s.FailureNoticeAt) >= failureNoticeGap || s.FailureNoticeAt > now {
		s.FailureNoticeAt, e.Notice = now, true
	}
	s.emit(e)
}
