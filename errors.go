package twofa

import (
	"errors"
	"fmt"
	"time"
)

// Errors returned by the methods of [Manager], to be tested with errors.Is. The
// user may be told which one occurred. The error text may include the cause and
// belongs only in the host's log. After any error, nothing was granted.
var (
	// ErrInvalidCode means that the code or link token is wrong, already used,
	// expired, malformed or too long. These cases are not distinguished,
	// because the difference would help to guess. See [AttemptsLeft],
	// [RetryAfter] and [ClockOffset].
	ErrInvalidCode = errors.New("twofa: code is not valid")
	// ErrMalformedCode means that the text cannot be a code of the method,
	// because it is too short or has letters. It is not counted as an attempt.
	// It is also an ErrInvalidCode.
	ErrMalformedCode = errors.New("twofa: not a code")
	// ErrLocked means that the method is locked, or that too many messages were
	// sent. A method is locked for a minute after five wrong codes in a row and
	// twice as long after each further one, up to an hour. In unknown browsers it
	// can also be off for days; see [Limits]. The code, if there was one, has not
	// been compared. See [RetryAfter].
	//
	// [Limits]: https://github.com/twofa-go/twofa/blob/main/docs/limits.md
	ErrLocked = errors.New("twofa: too many attempts")
	// ErrExpired means that the challenge or enrollment is invalid: it has
	// expired or been used up, it was issued for another browser or session, or
	// the user's credentials or factors have changed since. Start again.
	ErrExpired = errors.New("twofa: expired, start again")
	// ErrNotEnrolled means that the user does not have the factor, recovery
	// code or browser that the call is about. It is returned only to a caller
	// who may see the user's factors: with a session that is enough for the
	// account, or while enrolling. At a challenge, the answer is ErrNotAllowed
	// for every method that is not accepted. Otherwise an attacker who has the
	// password could learn which factors the user has.
	ErrNotEnrolled = errors.New("twofa: not enrolled")
	// ErrNotAllowed means that the policy, the host's directory or a limit
	// forbids the request, or that an ID in the request is malformed.
	ErrNotAllowed = errors.New("twofa: not allowed")
	// ErrInvalid means that a policy, an imported factor or an assigned phone
	// number is invalid, or that an ID passed to [Manager.Account],
	// [Manager.Rekey] or a method of [ManagedUser] is malformed. The error text
	// names the field, the rule and, unless it is secret, the value.
	ErrInvalid = errors.New("twofa: invalid")
	// ErrUndeliverable means that a phone number or address can never receive
	// messages. A [Mailer] or [SMSSender] returns it for a permanent refusal that
	// concerns the recipient. Ask the user to check the number or address.
	ErrUndeliverable = errors.New("twofa: the recipient cannot receive messages")
	// ErrUnavailable means that a store, mailer, gateway or user directory has
	// failed, or that a record or policy cannot be read. Try again later.
	ErrUnavailable = errors.New("twofa: temporarily unavailable")
)

// RetryAfter returns how long to wait after an [ErrLocked], or after the
// [ErrInvalidCode] that locked the method, rounded up to whole seconds. For any
// other error it returns 0.
//
// It also returns 0 if waiting does not help because the method is off in
// unknown browsers. It is on again once the user succeeds with it in a known
// browser, or enrolls it again.
func RetryAfter(err error) time.Duration {
	var wait time.Duration
	if e, ok := errors.AsType[*lockedError](err); ok {
		wait = e.wait
	} else if e, ok := errors.AsType[*codeError](err); ok {
		wait = e.wait
	}
	return (wait + time.Second - 1).Truncate(time.Second)
}

// AttemptsLeft returns how many more wrong codes the user can enter after this
// [ErrInvalidCode] before the method is locked or the enrollment is discarded.
// It returns 0, true if that has just happened, and also for an invalid email
// link, because link tokens are not counted. For any other error it returns 0,
// false.
func AttemptsLeft(err error) (int, bool) {
	if e, ok := errors.AsType[*codeError](err); ok {
		return e.left, true
	}
	return 0, false
}

// ClockOffset returns how far the clock of the user's device is ahead of the
// server's, or behind if negative. It is reported for an [ErrInvalidCode] of
// [Manager.Confirm] if the code is right for another time within an hour. It is
// reported only there, because anywhere else it would tell an attacker that a
// guess was close. For any other error it returns 0, false.
func ClockOffset(err error) (time.Duration, bool) {
	if e, ok := errors.AsType[*codeError](err); ok && e.clock != 0 {
		return e.clock, true
	}
	return 0, false
}

type codeError struct {
	left      int
	wait      time.Duration
	clock     time.Duration
	malformed bool
}

func (e *codeError) Error() string { return ErrInvalidCode.Error() }

func (e *codeError) Is(target error) bool {
	return target == ErrInvalidCode || target == ErrMalformedCode && e.malformed
}

type lockedError struct{ wait time.Duration }

func (e *lockedError) Error() string        { return ErrLocked.Error() }
func (e *lockedError) Is(target error) bool { return target == ErrLocked }

// RecordError is returned if a stored record was changed from outside, is
// sealed with an unknown key, or contains something that this release does not
// understand. The request is refused, because the record may contain a
// restriction.
type RecordError struct {
	Key     string // key of the record in the store, such as "user/<id>"
	Problem string // short description of the problem; contains none of the record's content
}

// Error returns the key of the record and the problem.
func (e *RecordError) Error() string {
	return fmt.Sprintf("twofa: record %q: %s", e.Key, e.Problem)
}

// Is reports whether target is [ErrUnavailable].
func (e *RecordError) Is(target error) bool { return target == ErrUnavailable }

func notAllowed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotAllowed}, args...)...)
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

func unavailable(what string, cause error) error {
	if errors.Is(cause, ErrUnavailable) {
		return cause
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, cause)
}

// Reason is the reason why a request was denied.
type Reason string

// The reasons why a request is denied.
const (
	// ReasonSignedOut means that the session is missing, expired or revoked, or
	// that its first factor is too old to change factors. The user must log in
	// again.
	ReasonSignedOut Reason = "signed_out"
	// ReasonUnreadable means that this process cannot read the session, although
	// another one may: it was issued by a newer release, or under a key that
	// this process lacks. It may also be forged. The user must log in again, but
	// the host must not destroy its own session.
	ReasonUnreadable Reason = "session_unreadable"
	// ReasonChallenge means that the account's policy requires more than the
	// session has proven, or that the session was issued before its user became
	// a member of the account. [Manager.Resume] returns the challenge, or a
	// session for the account.
	ReasonChallenge Reason = "second_factor_required"
	// ReasonSignInHere means that no first factor of the session counts in the
	// account, because the identity provider of another account vouched for the
	// user. The session remains valid elsewhere, and the host must not destroy
	// its own. The user must sign in to this account; see
	// [FirstFactor.ProviderOf]. The answer does not depend on whether the
	// account exists. If Action is [ActionCredentials], the session does count in
	// the account, but not for a change of a password or an address.
	ReasonSignInHere Reason = "sign_in_here"
	// ReasonSupport means that the user must enroll a factor, but cannot be
	// mailed the link that must be opened first. Only the host's support can
	// help. If Action is [ActionReset] or [ActionPolicy], only support can reset
	// or unlock the member. In a [PhoneResult], only the member can enter a number.
	ReasonSupport Reason = "support_required"
	// ReasonEnroll means that the user has no method that the policy or the
	// action accepts. The user must enroll one. If Action is empty,
	// [Manager.Resume] returns the challenge for it.
	ReasonEnroll Reason = "enrollment_required"
	// ReasonRole means that the role of the user is too low for an act of an
	// admin: lower than the act needs, or not higher than that of the member it
	// is about.
	ReasonRole Reason = "role_too_low"
	// ReasonSelf means that admins cannot do this to themselves. Another admin
	// can.
	ReasonSelf Reason = "not_yourself"
	// ReasonCooling means that the user was reset less than 24 hours ago, and can
	// do nothing as an admin until then.
	ReasonCooling Reason = "reset_recently"
	// ReasonMissing means that the action needs a fresh proof. [Manager.StepUp]
	// returns the challenge.
	ReasonMissing Reason = "proof_missing"
	// ReasonStale means that the fresh proof for the action is too old or was
	// given with a method that is not accepted. [Manager.StepUp] returns the
	// challenge.
	ReasonStale Reason = "proof_expired"
	// ReasonAlreadyDone means that the same form was sent less than ten seconds
	// ago, and that [Manager.UseAction] has allowed its action then. Do not
	// perform it again; see [Caller.Form].
	ReasonAlreadyDone Reason = "already_done"
)

// DeniedError is returned if the caller's session or challenge is not enough
// for a request.
type DeniedError struct {
	// Reason is the reason why the request was denied.
	Reason Reason
	// Account is the account that the request was for. It may be empty.
	Account string
	// Action is the step-up action that was denied, or [ActionCredentials]. It is
	// empty if the session is not enough for any request.
	Action string
	// Resource is the resource of Action. It may be empty.
	Resource string
	// Methods are the methods that would be accepted. For ReasonChallenge, they
	// are only those that the user has. For other reasons, the user may have
	// none of them. It may be empty.
	Methods []Method
	// MaxAge is the age up to which a proof for Action is accepted, or for
	// ReasonSignedOut a first factor. If it is zero and Action is not empty,
	// each proof can be used once, within 5 minutes.
	MaxAge time.Duration
}

// Error returns the reason as text for a log.
func (e *DeniedError) Error() string { return "twofa: denied: " + string(e.Reason) }

// errUnchanged, returned by the function passed to update, means success with
// nothing to store.
var errUnchanged = errors.New("twofa: unchanged")

// keptError is a refusal that is returned after the record has been stored, for
// example with a new failure count.
type keptError struct{ refusal error }

func (e keptError) Error() string { return e.refusal.Error() }

func (e keptError) Unwrap() error { return e.refusal }

// keep wraps an error so that update stores the record and then returns it.
func keep(refusal error) error { return keptError{refusal} }

var errBusy = errors.New("twofa: other writers changed the record in every attempt")

var errPanic = errors.New("twofa: panic in a function of the host")

var errNoSender = errors.New("twofa: Sender and Phone must be set to send text messages")

// problems collects all mistakes of a configuration or policy. Each one names
// the field, the rule and the value.
type problems []error

func (p *problems) require(ok bool, format string, args ...any) {
	if !ok {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

// add adds the problems of a part.
func (p *problems) add(err error) {
	if err != nil {
		*p = append(*p, err)
	}
}

func (p problems) err() error { return errors.Join(p...) }
