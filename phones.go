package twofa

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// PhoneAssignment is the number of one member, for [Account.AssignPhones].
type PhoneAssignment struct {
	User  string // ID of the member
	Phone string // phone number as somebody typed it
	// Region is the ISO 3166-1 alpha-2 code of the country that is assumed if
	// Phone has no country code. If empty, Phone must have one.
	Region string
	// Withdraw takes back the number that was assigned before. Phone must be
	// empty, so that an empty cell of a list takes back nothing.
	Withdraw bool
}

// PhoneOutcome is what [Account.AssignPhones] did for one member.
type PhoneOutcome string

// The outcomes for a member. Only after PhoneAssigned and PhoneWithdrawn has
// anything changed.
const (
	PhoneAssigned  PhoneOutcome = "assigned"  // the member is asked to confirm the number
	PhoneUnchanged PhoneOutcome = "unchanged" // it was assigned before, or there is none to take back
	PhoneWithdrawn PhoneOutcome = "withdrawn" // the number was taken back
	PhoneEnrolled  PhoneOutcome = "enrolled"  // the member has enrolled a factor and needs no number
)

// PhoneProblem is what is wrong with a phone number.
type PhoneProblem string

// The problems of a phone number.
const (
	PhoneMalformed PhoneProblem = "malformed"           // it is missing or no phone number
	PhoneNotMobile PhoneProblem = "not_mobile"          // it is a landline or premium number
	PhoneCountry   PhoneProblem = "country_not_allowed" // its country is not in SMSConfig.Countries
)

// PhoneResult is the result for one member.
type PhoneResult struct {
	User    string       // ID of the member, as in PhoneAssignment
	Phone   string       // number with all digits masked except the last two; empty if it is not valid
	Outcome PhoneOutcome // empty if there was an error
	Problem PhoneProblem // what is wrong with the number; empty if nothing is
	// Err says why nothing has changed for the member:
	//
	//   - [ErrInvalid] if Problem is set, if the ID is malformed, or if the member
	//     is in the list twice
	//   - [ErrNotEnrolled] if the user is not a member of the account
	//   - a [*DeniedError] with [ReasonSupport] if the member belongs to another
	//     account, too, with [ReasonRole] if the member's role is not lower than
	//     that of the user who acts, or with [ReasonSelf]
	//   - [ErrUnavailable] if the member's record cannot be read or written, or if
	//     the call ended before it came to this member
	Err error
}

// AssignPhones records phone numbers that an admin knows for members who have no
// factor yet, up to 10,000 in a call. A number is only a proposal: it is no factor,
// satisfies no policy, and no message is sent to it. When the member signs in and
// enrolls, after the same proofs as for any other enrollment, [Factors.Assigned] has
// the masked number. The member confirms it by a texted code
// ([EnrollRequest.Assigned]) or enters another one. A proposal ends after 30 days,
// when the member enrolls a factor, is reset or leaves the account, or when another
// number is assigned. It is not offered while the policy of the account does not
// accept SMS, and not to a member who belongs to another account.
//
// A wrong number harms nobody: its owner gets a code only if the member asks for
// it, and the code is worth nothing without the session in which the member does.
//
// There is a result for each number, in the same order, and a wrong number keeps
// no other one back. Each change is one write with one event, event.PhoneAssigned.
// The members are read 1,000 at a time. Calling it again with the same list is
// harmless: it writes only what is missing. If ctx ends, or the store or the
// directory fails, the remaining results have an [ErrUnavailable], and another call
// continues.
//
// The actor must give a reason. An [AsUser] actor must be an admin or an owner, and
// a fresh proof for [ActionPolicy] serves the whole call. It is needed only if
// there is something to change, so a call that only finds mistakes uses up none.
//
// Errors of the whole call, with which nothing has changed: [ErrInvalid] if there
// is no reason or there are too many numbers, [ErrNotAllowed], [*DeniedError],
// [ErrUnavailable], also if [SMSConfig] cannot send. If a user is no longer an
// admin when the next 1,000 members are read, the error comes with the results.
func (a *Account) AssignPhones(ctx context.Context, numbers []PhoneAssignment) ([]PhoneResult, error) {
	var bad problems
	bad.require(text.Clean(a.by.reason, 500) != "", "Actor: must give a reason")
	bad.require(len(numbers) <= maxAssigned, "numbers: must be at most %d, are %d", maxAssigned, len(numbers))
	if err := bad.err(); err != nil {
		return nil, invalid("%w", err)
	}
	auth, err := a.authorize(ctx, act{needs: RoleAdmin})
	switch {
	case err != nil:
		return nil, err
	case a.m.cfg.SMS.Sender == nil || a.m.cfg.SMS.Phone == nil:
		return nil, unavailable("Config.SMS", errNoSender)
	}
	p := phoneAssigner{Account: a, auth: auth, results: make([]PhoneResult, len(numbers)), listed: map[string]int{}}
	for _, n := range numbers {
		p.listed[n.User]++
	}
	for from := 0; from < len(numbers) && err == nil; from += maxMembersAtOnce {
		to := min(from+maxMembersAtOnce, len(numbers))
		err = p.assignAll(ctx, numbers[from:to], p.results[from:to])
	}
	if err == nil {
		return p.results, nil
	}
	for i := range p.results {
		if r := &p.results[i]; r.Outcome == "" && r.Err == nil {
			r.User, r.Err = numbers[i].User, err
		}
	}
	switch {
	case errors.Is(err, ErrUnavailable):
		return p.results, nil
	case p.auth.act == "":
		return nil, err
	}
	return p.results, err
}

// phoneAssigner is one call of AssignPhones.
type phoneAssigner struct {
	*Account
	auth    authorization // has an ID of the act once there was something to change
	results []PhoneResult
	listed  map[string]int // how often each user is in the list
}

// assignAll assigns the numbers of one chunk. An error ends the call.
func (p *phoneAssigner) assignAll(ctx context.Context, numbers []PhoneAssignment, results []PhoneResult) error {
	phones, ids := make([]Phone, len(numbers)), []string{}
	for i, n := range numbers {
		results[i].User = n.User
		if phones[i], results[i].Problem, results[i].Err = p.parse(n); results[i].Err == nil {
			results[i].Phone = text.MaskPhone(phones[i].E164)
			ids = append(ids, n.User)
		}
	}
	views, err := p.members(ctx, ids)
	if err != nil {
		return err
	}
	members := map[string]memberView{}
	for _, v := range views {
		members[v.user] = v
	}
	for i, n := range numbers {
		r := &results[i]
		if r.Err != nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return unavailable("AssignPhones", err)
		}
		v, isMember := members[n.User]
		if r.Err = ErrNotEnrolled; isMember {
			r.Err = p.mayAssign(v.member)
		}
		if r.Err != nil {
			continue
		}
		r.Outcome, err = p.assign(ctx, v, phones[i].E164)
		record, isRecord := errors.AsType[*RecordError](err)
		if isRecord && record.Key == userKey(n.User) || errors.Is(err, errBusy) {
			r.Outcome, r.Err, err = "", err, nil // the others may be written all the same
		}
		if err != nil {
			r.Outcome = ""
			return err
		}
	}
	return nil
}

// parse returns the number of an assignment, an empty one if it is to be taken
// back.
func (p *phoneAssigner) parse(n PhoneAssignment) (Phone, PhoneProblem, error) {
	if err := text.ValidateID("user", n.User); err != nil {
		return Phone{}, "", invalid("%w", err)
	}
	switch times := p.listed[n.User]; {
	case times > 1:
		return Phone{}, "", invalid("user %q is in the list %d times, so it is not clear which number counts", n.User, times)
	case n.Withdraw && n.Phone != "":
		return Phone{}, "", invalid("Phone: must be empty to withdraw")
	case n.Withdraw:
		return Phone{}, "", nil
	}
	phone, problem := p.m.cfg.parsePhone(n.Phone, n.Region)
	if problem != "" {
		return Phone{}, problem, invalid("Phone: %s", phoneProblems[problem])
	}
	return phone, "", nil
}

// phoneProblems says what is wrong with a number, without the number.
var phoneProblems = map[PhoneProblem]string{
	PhoneMalformed: "must be a phone number, with its country code unless Region is set",
	PhoneNotMobile: "must be a mobile number",
	PhoneCountry:   "must be of a country in Config.SMS.Countries",
}

// mayAssign returns an error unless the actor may assign a number to a member.
// That of a member who belongs to other accounts is none of this account's
// business.
func (p *phoneAssigner) mayAssign(member User) error {
	denied := func(r Reason) error { return &DeniedError{Reason: r, Account: p.id} }
	switch by := p.auth.actor; {
	case by.Kind == actorUser && by.ID == member.ID:
		return denied(ReasonSelf)
	case by.Kind == actorUser && !Role(by.Role).Above(member.roleIn(p.id)):
		return denied(ReasonRole)
	case !member.onlyIn(p.id):
		return denied(ReasonSupport)
	}
	return nil
}

// assign stores the number of one member, an empty one to take it back. It asks
// for the proof of the actor once there is something to change.
//
// The member may leave, or join another account, after the directory was asked.
// Therefore offeredPhone looks again.
func (p *phoneAssigner) assign(ctx context.Context, v memberView, number string) (PhoneOutcome, error) {
	outcome := v.outcomeOf(p.id, number)
	if !v.unreadable && outcome != PhoneAssigned && outcome != PhoneWithdrawn {
		return outcome, nil
	}
	if p.auth.act == "" {
		auth, err := p.authorize(ctx, act{action: ActionPolicy, needs: RoleAdmin})
		if err != nil {
			return "", err
		}
		p.auth = auth
	}
	err := p.m.update(ctx, Client{}, v.user, noPolicy, func(s *userTx) error {
		e := Event{Type: event.PhoneAssigned, Account: p.id, Method: SMS}
		switch outcome = s.outcomeOf(p.id, number); outcome {
		case PhoneAssigned:
			s.beginIfNew(v.member)
			s.Assigned = &assignedPhone{ID: seal.NewID(), Number: number, Account: p.id, At: s.now, ByKind: p.auth.actor.Kind, ByID: p.auth.actor.ID}
			e.Detail = text.MaskPhone(number)
		case PhoneWithdrawn:
			e.Detail = "withdrawn " + text.MaskPhone(s.Assigned.Number)
			s.Assigned = nil
		default:
			return errUnchanged
		}
		s.emit(p.auth.event(e, p.by.reason))
		return nil
	})
	return outcome, err
}

// outcomeOf returns what assigning a number would do, or taking it back if the
// number is empty.
func (s *userTx) outcomeOf(account, number string) PhoneOutcome {
	now := ""
	if a := s.Assigned; a != nil && a.Account == account && a.At.within(assignedTTL, s.now) {
		now = a.Number
	}
	switch {
	case len(s.Factors) > 0:
		return PhoneEnrolled
	case now == number:
		return PhoneUnchanged
	case number == "":
		return PhoneWithdrawn
	}
	return PhoneAssigned
}

// assignedPhone is a number that an admin has entered for the user. It is a
// proposal, and proves nothing.
type assignedPhone struct {
	seal.Unknown
	ID      string // so that the user confirms the number that the page showed
	Number  string // in E.164
	Account string // ID of the account whose admin entered it
	At      unixTime
	ByKind  string // of the actor
	ByID    string
}

func (a *assignedPhone) Fields(c *seal.Codec) {
	seal.Text(c, 4, &a.ID)
	seal.Text(c, 8, &a.Number)
	seal.Text(c, 12, &a.Account)
	seal.Int(c, 16, &a.At)
	seal.Text(c, 20, &a.ByKind)
	seal.Text(c, 24, &a.ByID)
}

// AssignedPhone is a number that an admin has entered for the user; see
// [Account.AssignPhones].
type AssignedPhone struct {
	// ID is for [EnrollRequest.Assigned]. It is empty if the user must open an
	// email link before the number is shown, which [Manager.StepUp] for
	// [ActionFactors] asks for.
	ID    string
	Phone string    // number with all digits masked except the last two; empty if ID is
	Added time.Time // when the admin entered it
}

// showAssigned returns what the user may see of an assigned number now, or nil.
// Before the proofs that precede an enrollment, that is not even its end.
// Otherwise a stolen password would be enough to see it.
func (s *userTx) showAssigned(t ticket, u User) *AssignedPhone {
	a, phone := s.offeredPhone(u)
	if a == nil {
		return nil
	}
	err := s.mayEnrollFirst(t, len(u.Emails) > 0)
	denied, ok := errors.AsType[*DeniedError](err)
	switch {
	case err == nil:
		return &AssignedPhone{ID: a.ID, Phone: text.MaskPhone(phone.E164), Added: a.At.time()}
	case ok && denied.Reason == ReasonMissing:
		return &AssignedPhone{Added: a.At.time()}
	}
	return nil
}

// offeredPhone returns the number that the user may confirm, or nil. The user, the
// policy or the configuration may have changed since an admin entered it.
func (s *userTx) offeredPhone(u User) (*assignedPhone, Phone) {
	a := s.Assigned
	if a == nil || len(s.Factors) > 0 || !a.At.within(assignedTTL, s.now) || a.Account != s.account || !u.in(s.account) || !u.onlyIn(s.account) ||
		!slices.Contains(s.policy.methods(), SMS) {
		return nil, Phone{}
	}
	phone, err := s.m.cfg.destination(a.Number, "")
	if err != nil {
		return nil, Phone{} // no longer an allowed destination
	}
	return a, phone
}

// assignedNumber returns the number that the user was shown under an ID.
func (s *userTx) assignedNumber(u User, id string) (Phone, error) {
	a, phone := s.offeredPhone(u)
	if a == nil || a.ID != id {
		return Phone{}, ErrNotEnrolled
	}
	return phone, nil
}
