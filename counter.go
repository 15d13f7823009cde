package twofa

import (
	"time"

	"github.com/twofa-go/twofa/event"
)

// bucket returns the name of a counter. Failures in known browsers are counted
// separately, so that an attacker who has only the password cannot lock the
// owner out of them.
func bucket(m Method, known bool) string {
	if known {
		return string(m) + "/known"
	}
	return string(m)
}

// lockFor returns how long a method is locked after a number of consecutive
// failures.
func lockFor(m Method, fails int) time.Duration {
	switch {
	case fails < failuresToLock:
		return 0
	case m == RecoveryCode: // with 120 bits, a short lock is enough, and the owner may have nothing else
		return firstLock
	}
	return min(firstLock<<min(fails-failuresToLock, 10), longestLock)
}

func (c counter) disabled(m Method, known bool) bool {
	limit := failuresUnknown
	if known {
		limit = failuresKnown
	}
	return m != RecoveryCode && c.Fails >= limit
}

// lockRemaining returns how long the method is still locked, at most as long as
// the schedule allows, because a longer lock was set by a wrong clock.
func (c counter) lockRemaining(m Method, now unixTime) time.Duration {
	return max(0, min(c.Until.sub(now), lockFor(m, c.Fails)))
}

// outcome is the result of one guess.
type outcome int

const (
	wrong outcome = iota
	reused
	right
)

// checkThrottle returns an error while a method is locked or disabled for the
// client. A lock longer than the schedule allows was set by a wrong clock. It
// is shortened and stored; otherwise it would last until real time caught up
// with that clock.
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

// tryCode is the only place where a code is tried for a login or an action. The
// first code of an enrollment has a counter of its own (confirm.go), and link
// tokens are not counted. While the method is locked, no code is compared or
// counted. A failure is counted in the same write that records its event. A
// success resets the counter in this bucket, and the one in the other bucket if
// the method was disabled there.
func (s *userTx) tryCode(m Method, compare func() outcome) error {
	known := s.knownBrowser() != nil
	if err := s.checkThrottle(m, known); err != nil {
		return err
	}
	name := bucket(m, known)
	n := s.Counters[name]
	result := compare()
	if result == right {
		s.clearCounter(name)
		if other := bucket(m, !known); s.Counters[other].disabled(m, !known) {
			s.clearCounter(other)
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

// clearCounter ends a streak of failures. It keeps what a newer release counts.
func (s *userTx) clearCounter(name string) {
	n := s.Counters[name]
	if n.Fails, n.Until = 0, 0; n.IsEmpty() {
		delete(s.Counters, name)
		return
	}
	s.Counters[name] = n
}

// recordFailure emits the event of a failure. It notifies the user at most once
// an hour, because an attacker could otherwise flood the mailbox, and whenever
// a method is disabled.
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
