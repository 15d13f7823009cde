package twofa

import (
	"errors"
	"fmt"
	"time"
)

// What a call can end in, beside success. Which of them it is, by errors.Is, is
// safe to show; the text of what is returned may go on with the cause, for the
// host's own log.
var (
	// ErrInvalidCode covers a wrong, used, expired, malformed and oversized
	// code alike. See [AttemptsLeft] and [ClockOffset].
	ErrInvalidCode = errors.New("twofa: code is not valid")
	// ErrLocked says that the method, or sending by it, has to wait, whatever
	// was typed. See [RetryAfter].
	ErrLocked = errors.New("twofa: too many attempts")
	// ErrExpired says that a challenge or set-up is over, by time, by use or
	// because something it stood on changed: start again.
	ErrExpired = errors.New("twofa: expired, start again")
	// ErrNotEnrolled says that the user has nothing of the kind asked for.
	ErrNotEnrolled = errors.New("twofa: not enrolled")
	// ErrNotAllowed says that the policy, the host's directory or a limit
	// forbids it.
	ErrNotAllowed = errors.New("twofa: not allowed")
	// ErrUnavailable says that a store, mailer, gateway, policy or directory
	// could not be read or written. Nothing was granted; try again later.
	ErrUnavailable = errors.New("twofa: temporarily unavailable")
)

// RetryAfter returns how long to wait after an [ErrLocked], or after the
// [ErrInvalidCode] that locked the method, rounded up to whole seconds. It
// returns 0 where waiting does not help: the method is switched off in this
// browser, until it is proven in another (an unknown one: in a known one) or
// set up anew.
func RetryAfter(err error) time.Duration {
	var wait time.Duration
	if e, ok := errors.AsType[*lockedError](err); ok {
		wait = e.wait
	} else if e, ok := errors.AsType[*codeError](err); ok {
		wait = e.wait
	}
	return (wait + time.Second - 1).Truncate(time.Second)
}

// AttemptsLeft returns how many more wrong codes an [ErrInvalidCode] leaves
// before the method is locked, and false for any other error.
func AttemptsLeft(err error) (int, bool) {
	if e, ok := errors.AsType[*codeError](err); ok {
		return e.left, true
	}
	return 0, false
}

// ClockOffset returns how far the clock of the person's device is ahead of the
// server's (negative: behind), where a set-up was confirmed by a code that is
// right for another time within an hour. Elsewhere that would confirm a guess,
// so it is told only there.
func ClockOffset(err error) (time.Duration, bool) {
	if e, ok := errors.AsType[*codeError](err); ok && e.clock != 0 {
		return e.clock, true
	}
	return 0, false
}

type codeError struct {
	left  int
	wait  time.Duration
	clock time.Duration
}

func (e *codeError) Error() string        { return ErrInvalidCode.Error() }
func (e *codeError) Is(target error) bool { return target == ErrInvalidCode }

type lockedError struct{ wait time.Duration }

func (e *lockedError) Error() string        { return ErrLocked.Error() }
func (e *lockedError) Is(target error) bool { return target == ErrLocked }

// A RecordError says that a stored record cannot be trusted or understood. It
// is an [ErrUnavailable]: the user is refused, never let in without a factor.
type RecordError struct {
	Key     string // the record's key in the store
	Problem string // what is wrong with it; holds none of its content
}

// Error names the record and what is wrong with it.
func (e *RecordError) Error() string {
	return fmt.Sprintf("twofa: record %q: %s", e.Key, e.Problem)
}

// Is reports that a RecordError is an ErrUnavailable.
func (e *RecordError) Is(target error) bool { return target == ErrUnavailable }

func notAllowed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotAllowed}, args...)...)
}

func unavailable(what string, cause error) error {
	if errors.Is(cause, ErrUnavailable) {
		return cause
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, cause)
}

// Reason says why a request was denied.
type Reason string

// Why a request was denied, and what helps.
const (
	ReasonSignedOut Reason = "signed_out"             // no session, or it is dead: log in again
	ReasonChallenge Reason = "second_factor_required" // this account asks for more than was proven: see Resume
	ReasonEnroll    Reason = "enrollment_required"    // there is nothing to prove it with: set-up first
	ReasonMissing   Reason = "proof_missing"          // a fresh proof is needed: see StepUp
	ReasonStale     Reason = "proof_expired"          // the proof is older than MaxAge: see StepUp
)

// DeniedError says why a guard refused and what would do.
type DeniedError struct {
	Reason   Reason
	Account  string
	Action   string        // the step-up action, if it was about one
	Resource string        // and its resource
	Methods  []Method      // what would do
	MaxAge   time.Duration // proofs older than this are too old; 0 means each serves once
}

// Error says that it was denied, and the reason.
func (e *DeniedError) Error() string { return "twofa: denied: " + string(e.Reason) }

var errBusy = errors.New("twofa: record is changed too often")

var errPanic = errors.New("twofa: panic")

var errNoSender = errors.New("twofa: no sender is configured")

// problems collects everything that is wrong with a configuration or a policy.
// Each problem names the field, the rule and the value.
type problems []error

// require adds a problem unless ok.
func (p *problems) require(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

func (p problems) err() error { return errors.Join(p...) }
