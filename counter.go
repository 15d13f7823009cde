package twofa

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// counter counts failures of one method in one bucket. Level and Streak are
// counted in the bucket of unknown browsers only.
type counter struct {
	seal.Unknown
	Fails   int      // consecutive failures
	Until   unixTime // end of the lock
	Last    unixTime // last failure
	Level   int      // failures that have not drained yet
	Drained unixTime // time up to which Level has drained
	Streak  int      // failures since the last success in any browser
}

func (n *counter) Fields(c *seal.Codec) {
	seal.Int(c, 6, &n.Fails)
	seal.Int(c, 10, &n.Until)
	seal.Int(c, 14, &n.Last)
	seal.Int(c, 18, &n.Level)
	seal.Int(c, 22, &n.Drained)
	seal.Int(c, 26, &n.Streak)
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

// at returns the counter as it is now. In unknown browsers, a day without a
// failure ends the streak that locks, and the level drains by one a day.
func (n counter) at(now unixTime, known bool) counter {
	if known {
		return n
	}
	if now.sub(n.Last) >= day {
		n.Fails, n.Until = 0, 0
	}
	n.Drained = min(n.Drained, now) // a wrong clock must not stop the drain
	days := min(int(now.sub(n.Drained)/day), n.Level)
	n.Level, n.Drained = n.Level-days, n.Drained.add(time.Duration(days)*day)
	if n.Level == 0 { // the days that it was empty drain nothing later
		n.Drained = now
	}
	return n
}

// disabled reports whether the method is off in unknown browsers, and for how
// long. After too long a streak it is off for good: until a success in a known
// browser, or until it is enrolled again.
func (n counter) disabled(m Method, now unixTime) (off bool, wait time.Duration) {
	switch {
	case m == RecoveryCode:
		return false, 0
	case n.Streak >= maxStreak:
		return true, 0
	case n.Level >= maxLevel:
		return true, day - now.sub(n.Drained) + time.Duration(n.Level-maxLevel)*day
	}
	return false, 0
}

// lockRemaining returns how long the method is still locked, at most as long as
// the schedule allows, because a longer lock was set by a wrong clock.
func (n counter) lockRemaining(m Method, now unixTime) time.Duration {
	return max(0, min(n.Until.sub(now), lockFor(m, n.Fails)))
}

// attemptsLeft returns how many more failures the counter allows before the
// method is locked or off.
func (n counter) attemptsLeft(m Method, known bool) int {
	left := failuresToLock - n.Fails
	if !known && m != RecoveryCode {
		left = min(left, maxLevel-n.Level, maxStreak-n.Streak)
	}
	return max(0, left)
}

// isLocked reports whether every method that the user is asked for is locked or
// off in unknown browsers, and for how long. The wait is zero if waiting does not
// help.
func (s *userTx) isLocked(f facts) (locked bool, wait time.Duration) {
	methods := s.policy.evaluate(f).methods
	for i, m := range methods {
		locked, left := s.lockOf(m)
		if m == EmailLink || !locked { // a link always works
			return false, 0
		}
		if i == 0 || left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	return len(methods) > 0, wait
}

// lockOf reports whether a method is locked or off in unknown browsers, and for how
// long. The wait is zero if waiting does not help.
func (s *userTx) lockOf(m Method) (locked bool, wait time.Duration) {
	n := s.Counters[bucket(m, "")].at(s.now, false)
	if off, wait := n.disabled(m, s.now); off {
		return true, wait
	}
	wait = n.lockRemaining(m, s.now)
	return wait > 0, wait
}

// outcome is the result of one guess.
type outcome int

const (
	wrong outcome = iota
	reused
	right
)

// checkThrottle returns an error while a method is locked or off for the client.
// A lock longer than the schedule allows was set by a wrong clock. It is
// shortened and stored; otherwise it would last until real time caught up with
// that clock.
func (s *userTx) checkThrottle(m Method, name string, known bool) error {
	n := s.Counters[name].at(s.now, known)
	if off, wait := n.disabled(m, s.now); off && !known {
		return &lockedError{wait}
	}
	wait := n.lockRemaining(m, s.now)
	if wait == 0 {
		return nil
	}
	if until := s.now.add(wait); until < n.Until {
		n.Until = until
		s.setCounter(name, n)
		return keep(&lockedError{wait})
	}
	return &lockedError{wait}
}

// locked returns those of the methods that accept nothing from the client now, as
// in [Result.Locked]. A link always works.
func (s *userTx) locked(methods []Method) map[Method]time.Time {
	locked := map[Method]time.Time{}
	for _, m := range without(methods, EmailLink) {
		name, known := s.bucketOf(m)
		e, ok := errors.AsType[*lockedError](s.checkThrottle(m, name, known))
		switch {
		case ok && e.wait > 0:
			locked[m] = s.now.add(e.wait).time()
		case ok:
			locked[m] = time.Time{}
		}
	}
	return locked
}

// tryCode is the only place where a code is tried for a login or an action. The
// first code of an enrollment has a counter of its own (confirm.go), and link
// tokens are not counted. Mailed codes are, under EmailLink. Text that cannot be a code (isCode is false) is refused
// without being counted, even while the method is locked. While it is locked, no code is
// compared or counted. A failure is counted in the same write that records its
// event. A success ends the lock, but does not lower the level: an owner who
// signs in must not give an attacker more guesses.
func (s *userTx) tryCode(m Method, isCode bool, compare func() outcome) error {
	name, known := s.bucketOf(m)
	n := s.Counters[name].at(s.now, known)
	if !isCode {
		return &codeError{left: n.attemptsLeft(m, known), malformed: true}
	}
	if err := s.checkThrottle(m, name, known); err != nil {
		return err
	}
	result := compare()
	if result == right {
		s.countSuccess(m, name, n)
		return nil
	}
	n = s.countFailure(m, name, n, known)
	failure := &codeError{left: n.attemptsLeft(m, known)}
	off, wait := n.disabled(m, s.now)
	switch {
	case off && !known:
		failure.wait = wait
	case n.Until > 0:
		failure.wait = n.lockRemaining(m, s.now)
	}
	s.recordFailure(m, result, n, off && !known)
	return keep(failure)
}

func (s *userTx) countFailure(m Method, name string, n counter, known bool) counter {
	n.Fails++
	n.Last, n.Until = s.now, 0
	if lock := lockFor(m, n.Fails); lock > 0 {
		n.Until = s.now.add(lock)
		s.voidCodes(name, 0)
	}
	if m != RecoveryCode {
		if known {
			all := s.Counters[bucket(m, "")]
			all.Streak++
			s.setCounter(bucket(m, ""), all)
		} else {
			n.Level++
			n.Streak++
		}
	}
	s.setCounter(name, n)
	return n
}

// voidCodes invalidates the codes of a bucket that were tried at least so often. A
// link remains valid without its code.
func (s *userTx) voidCodes(bucket string, tries int) {
	which := func(x message) bool { return x.Bucket == bucket && x.Tries >= tries }
	for i := range s.Messages {
		if which(s.Messages[i]) {
			s.Messages[i].Code = ""
		}
	}
	s.Messages = slices.DeleteFunc(s.Messages, func(x message) bool { return which(x) && x.Method != EmailLink })
}

// countSuccess ends the failures in a row: those that lock, and those in any
// browser that turn the method off.
func (s *userTx) countSuccess(m Method, name string, n counter) {
	n.Fails, n.Until, n.Last = 0, 0, 0
	s.setCounter(name, n)
	if b := s.knownBrowser(); b != nil { // it counts as known again
		delete(s.Counters, bucket(m, b.ID))
	}
	all := s.Counters[bucket(m, "")]
	all.Streak = 0
	s.setCounter(bucket(m, ""), all)
}

// setCounter stores a counter. It keeps what a newer release counts.
func (s *userTx) setCounter(name string, n counter) {
	if n.Level == 0 {
		n.Drained = 0
	}
	if n.Fails == 0 && n.Until == 0 && n.Level == 0 && n.Streak == 0 && n.IsEmpty() {
		delete(s.Counters, name)
		return
	}
	if s.Counters == nil {
		s.Counters = map[string]counter{}
	}
	s.Counters[name] = n
}

// resetCounters forgets the failures of a method that is enrolled again.
func (s *userTx) resetCounters(m Method) {
	for name := range s.Counters {
		if method, _, _ := strings.Cut(name, "/"); method == string(m) {
			delete(s.Counters, name)
		}
	}
}

// pruneCounters removes the counters of browsers that are no longer known.
func (s *userTx) pruneCounters() {
	for name := range s.Counters {
		_, id, ofBrowser := strings.Cut(name, "/")
		if ofBrowser && !slices.ContainsFunc(s.Browsers, func(b browser) bool { return b.ID == id }) {
			delete(s.Counters, name)
		}
	}
}

// ease allows more wrong codes after a first factor was changed, because those
// before were probably typed by an attacker who no longer has it.
func (s *userTx) ease() {
	s.Eased = recentTimes(s.Eased, s.now, easePeriod)
	if len(s.Eased) >= maxEased {
		return
	}
	eased := false
	for name, n := range s.Counters {
		if n = n.at(s.now, false); n.Level > 0 && !strings.Contains(name, "/") {
			n.Level, eased = max(0, n.Level-easeBy), true
			s.setCounter(name, n)
		}
	}
	if eased {
		s.Eased = append(s.Eased, s.now)
	}
}

// canUnlock reports what is wrong with a call of Unlock.
func (a Actor) canUnlock(m Method) error {
	var bad problems
	bad.require(text.Clean(a.reason, 500) != "", "Actor: must give a reason")
	bad.require(m == TOTP || m == SMS || m == RecoveryCode, "method: must be TOTP, SMS or RecoveryCode, is %q", text.Clean(string(m), 40))
	return bad.err()
}

// unlock ends the locks of a method, in every browser, and emits the event with
// its actor. It has a share in the allowance of ease.
func (s *userTx) unlock(m Method, e Event) error {
	if len(s.Factors) == 0 {
		return ErrNotEnrolled
	}
	all := s.Counters[bucket(m, "")].at(s.now, false)
	off, _ := all.disabled(m, s.now)
	locked := off
	for name, n := range s.Counters {
		if method, _, _ := strings.Cut(name, "/"); method == string(m) {
			locked = locked || n.lockRemaining(m, s.now) > 0
		}
	}
	s.Eased = recentTimes(s.Eased, s.now, easePeriod)
	switch {
	case !locked:
		return errUnchanged
	case all.Streak >= maxStreak && m != RecoveryCode:
		return notAllowed("method %q of user %q was turned off by %d wrong codes in a row: it must be enrolled again", m, s.user, maxStreak)
	case len(s.Eased) >= maxEased:
		return &lockedError{easePeriod - s.now.sub(s.Eased[0])}
	}
	for name, n := range s.Counters {
		if method, id, _ := strings.Cut(name, "/"); method == string(m) {
			n.Until = 0
			if id == "" { // a known browser has its ten failures, and no more
				n = n.at(s.now, false)
				n.Fails, n.Level = 0, max(0, n.Level-easeBy)
			}
			s.setCounter(name, n)
		}
	}
	s.Eased = append(s.Eased, s.now)
	e.Type, e.Method, e.Notice = event.Unlocked, m, true
	s.emit(e)
	return nil
}

// recordFailure emits the event of a failure. It notifies the user at most once
// an hour, because an attacker could otherwise flood the mailbox, and whenever
// a method is turned off.
func (s *userTx) recordFailure(m Method, result outcome, n counter, off bool) {
	e := Event{Type: event.Failed, Method: m}
	if m == EmailLink {
		e.Method = emailTyped
	}
	switch {
	case off:
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
