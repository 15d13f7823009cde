package twofa

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// Case is a support case: staff of the host want to reset a user who has lost
// every factor and has no admin who could. It takes days on purpose, and the user
// can end it, because attackers talk help desks into resets.
type Case struct {
	ID      string    `json:"id"`
	Opened  time.Time `json:"opened"`
	Expires time.Time `json:"expires"` // when it ends without a reset
	By      string    `json:"by"`      // ID of the member of staff who opened it, who cannot approve it
	Reason  string    `json:"reason"`  // reason that this member of staff gave
	// InPerson reports whether the user cannot be mailed a link, so that enrollment
	// is open for 24 hours after the reset; see [ResetRequest.InPerson].
	InPerson  bool       `json:"in_person,omitempty"`
	Approvals []Approval `json:"approvals,omitempty"`
	// From is the time from which it can be approved. The second approval resets
	// the user.
	From time.Time `json:"from"`
	// ByOneFrom is the time from which one approval is enough. It is zero if the
	// case needs two: if no mail to the user was accepted, if the user has more
	// addresses than the record keeps, or if those of the last 30 days are not known.
	ByOneFrom time.Time `json:"by_one_from,omitzero"`
	// Suspended reports whether the user has signed in or proven a factor since, and
	// has not yet said whether the case is theirs. It cannot be approved until then.
	Suspended bool `json:"suspended,omitempty"`
	// Reset reports whether [ManagedUser.ApproveCase] has just reset the user.
	Reset bool `json:"reset,omitempty"`
}

// Approval is the approval of a [Case] by a member of staff.
type Approval struct {
	By string    `json:"by"` // ID of the member of staff
	At time.Time `json:"at"`
}

// supportCase is a [Case] in the record.
type supportCase struct {
	seal.Unknown
	ID        string
	Opened    unixTime
	By        string
	Reason    string
	InPerson  bool
	To        string // digest of the address that the link would be mailed to
	Approvals []approval
	One       bool     // whether one approval may be enough
	LastLogin unixTime // last login that the case takes into account
	Suspended bool     // whether the user has signed in or proven something since
	Proven    bool     // whether that was a proof of a factor, so that only another one lifts it
}

func (x *supportCase) Fields(c *seal.Codec) {
	seal.Text(c, 4, &x.ID)
	seal.Int(c, 8, &x.Opened)
	seal.Text(c, 12, &x.By)
	seal.Text(c, 16, &x.Reason)
	seal.Bool(c, 20, &x.InPerson)
	seal.Text(c, 24, &x.To)
	seal.List(c, 29, &x.Approvals)
	seal.Bool(c, 32, &x.One)
	seal.Int(c, 36, &x.LastLogin)
	seal.Bool(c, 40, &x.Suspended)
	seal.Bool(c, 44, &x.Proven)
}

type approval struct {
	seal.Unknown
	By string
	At unixTime
}

func (a *approval) Fields(c *seal.Codec) {
	seal.Text(c, 4, &a.By)
	seal.Int(c, 8, &a.At)
}

// OpenCase asks for a reset of a user who has lost every factor, and returns the
// case. Another member of staff approves it, from 72 hours to 7 days later, or two
// others from 24 hours on. Until then nothing changes for the user. The user is
// told at every address of the last 30 days, with a link that ends the case, and
// the admins of the user's accounts are told as well.
//
// A completed login and a proof of a factor suspend the case, because a user who
// can sign in needs no reset. In that session, the user says whether the case is
// theirs ([Manager.AnswerCase]). A new factor, Revoke and CredentialsChanged of the
// user end it.
//
// r.InPerson states that somebody has verified the user's identity. It must be true
// if no link can be mailed to the user, and false otherwise. Such a case needs two
// approvals. [MailConfig.CaseURL] is required for all others.
//
// Only staff may call it, and must give a reason. The host must have authenticated
// each member of staff: one who can act under two names can approve their own case.
//
// Errors: [ErrInvalid] for a malformed ID or a missing reason; [ErrNotEnrolled] if
// there is nothing to reset; [ErrLocked] for a day after the user has stopped a case,
// and after three cases in 30 days; [ErrNotAllowed] for another actor, if the user
// does not exist, if InPerson is wrong, or if a case is open; [ErrUnavailable].
func (u *ManagedUser) OpenCase(ctx context.Context, r ResetRequest) (opened Case, err error) {
	if err := u.onStaffCase(); err != nil {
		return Case{}, err
	}
	var tx *userTx
	err = u.updateCase(ctx, func(s *userTx, now User) error {
		mailable := u.m.canMailCase(now)
		if wait := s.caseWait(); wait > 0 {
			return &lockedError{wait}
		}
		switch {
		case s.openCase() != nil:
			return notAllowed("user %q already has a case, %s", u.id, s.Case.ID)
		case len(s.Factors) == 0 && s.Codes == nil:
			return ErrNotEnrolled
		case !r.InPerson && !mailable:
			return notAllowed("ResetRequest.InPerson: must be true, because user %q cannot be mailed a link; CaseURL must be set, too", u.id)
		case r.InPerson && mailable:
			return notAllowed("ResetRequest.InPerson: must be false, because user %q can be mailed a link", u.id)
		}
		s.Case = &supportCase{ID: seal.NewID(), Opened: s.now, By: u.by.id, Reason: text.Clean(u.by.reason, 500), InPerson: r.InPerson, To: linkTarget(now), LastLogin: s.LastLogin}
		s.emitCase(event.ResetRequested, s.Case, u.by, "")
		s.CasesOpened = append(recentTimes(s.CasesOpened, s.now, casePeriod), s.now)
		opened = *s.describeCase()
		tx = s
		return nil
	})
	if err == nil && !r.InPerson && slices.Contains(tx.told, u.id) {
		opened, err = u.confirmTold(ctx, opened)
	}
	return caseOrError(opened, err)
}

// confirmTold notes that a mail of the case to the user was accepted, so that one
// approval can be enough later. It is a write of its own, because a mail leaves only
// after the case is stored. If it fails, the case needs two approvals.
func (u *ManagedUser) confirmTold(ctx context.Context, opened Case) (Case, error) {
	err := u.updateCase(ctx, func(s *userTx, now User) error {
		x := s.openCase()
		if x == nil || x.ID != opened.ID {
			return errUnchanged
		}
		if x.One = s.tellsOwner(now); !x.One {
			return errUnchanged
		}
		opened = *s.describeCase()
		return nil
	})
	if err != nil {
		u.m.cfg.Logger.WarnContext(ctx, "twofa: the case needs two approvals", "user", u.id, "error", err)
	}
	return opened, nil
}

// tellsOwner reports whether every address of the last 30 days is known and kept, so
// that the owner is told even if an attacker has changed the address.
func (s *userTx) tellsOwner(u User) bool {
	return s.keepsAllAddresses(u) && s.now.sub(s.AddressesSince) >= addressLife
}

// caseWait returns how long no case can be opened: a day after the user has stopped
// one, and after three in 30 days, because each is a mail to many.
func (s *userTx) caseWait() time.Duration {
	if s.CaseStopped != 0 && s.now.sub(s.CaseStopped) < caseFirst {
		return caseFirst - max(0, s.now.sub(s.CaseStopped))
	}
	if recent := recentTimes(s.CasesOpened, s.now, casePeriod); len(recent) >= maxCases {
		return casePeriod - s.now.sub(recent[0])
	}
	return 0
}

// ApproveCase approves a case, and resets the user if that was the last approval
// needed; the returned case is then over, and [ManagedUser.Case] returns nil. Whoever
// opened the case cannot approve it. Names that differ only in case, or in spaces
// around them, are of one person. A member of staff who has approved it already can
// call it again once [Case.ByOneFrom] has passed.
//
// The reset does what [ManagedUser.Reset] does. It is refused if the address that
// the link goes to is not the one from when the case was opened.
//
// Only staff may call it, and must give a reason.
//
// Errors: [ErrInvalid]; [ErrExpired] if the user has no such case; [ErrLocked] until
// [Case.From], see [RetryAfter]; [ErrNotAllowed] for another actor, for the one who
// opened it, while the case is suspended, or if the address has changed;
// [ErrUnavailable].
func (u *ManagedUser) ApproveCase(ctx context.Context, id string) (approved Case, err error) {
	if err := u.onStaffCase(); err != nil {
		return Case{}, err
	}
	err = u.updateCase(ctx, func(s *userTx, now User) error {
		x := s.openCase()
		if x == nil || x.ID != id {
			return ErrExpired
		}
		switch wait := x.Opened.add(caseFirst).sub(s.now); {
		case sameStaff(x.By, u.by.id):
			return notAllowed("staff %q opened case %s and cannot approve it", u.by.id, id)
		case s.isSuspended(x):
			return notAllowed("case %s is suspended, because user %q has signed in since: ask the user to answer in that session", id, u.id)
		case x.To != linkTarget(now) || x.InPerson == u.m.canMailCase(now):
			return notAllowed("case %s: the address of user %q has changed since: cancel it and open another", id, u.id)
		case wait > 0:
			return &lockedError{wait}
		}
		isNew := !slices.ContainsFunc(x.Approvals, func(a approval) bool { return sameStaff(a.By, u.by.id) })
		if isNew {
			x.Approvals = append(x.Approvals, approval{By: u.by.id, At: s.now})
		}
		x.One = x.One && s.tellsOwner(now)
		approved = *s.describeCase()
		done := len(x.Approvals) > 1 || x.One && s.now >= x.Opened.add(caseByOne)
		if isNew {
			s.emit(Event{Type: event.ResetApproved, Case: x.ID, Actor: u.by.event(), Reason: u.by.reason, Notice: !done})
		}
		switch {
		case done:
			approved.Reset = true
			s.endEverything(now, ResetRequest{InPerson: x.InPerson})
			s.emitCase(event.Reset, x, u.by, "")
		case !isNew:
			return errUnchanged
		}
		return nil
	})
	return caseOrError(approved, err)
}

// sameStaff reports whether two IDs are of one member of staff, who may write their
// name in another case or with spaces.
func sameStaff(a, b string) bool { return staffName(a) == staffName(b) }

func staffName(id string) string { return strings.ToLower(strings.ToUpper(strings.TrimSpace(id))) }

// CancelCase ends a case without a reset. Only staff and the host may call it.
//
// Errors: [ErrInvalid], [ErrExpired] if the user has no such case, [ErrNotAllowed],
// [ErrUnavailable].
func (u *ManagedUser) CancelCase(ctx context.Context, id string) error {
	if !u.by.ofProduct() {
		return notAllowed("only AsStaff and AsHost may cancel a case")
	}
	if err := text.ValidateID("user", u.id); err != nil {
		return invalid("%w", err)
	}
	return u.m.update(ctx, Client{}, u.id, noPolicy, func(s *userTx) error { return s.cancelCase(id, u.by, "") })
}

// Case returns the open case of the user, nil if there is none. Only staff and the
// host may call it. Errors: [ErrInvalid], [ErrNotAllowed], [ErrUnavailable].
func (u *ManagedUser) Case(ctx context.Context) (*Case, error) {
	if !u.by.ofProduct() {
		return nil, notAllowed("only AsStaff and AsHost may see a case; a user calls Standing")
	}
	if err := text.ValidateID("user", u.id); err != nil {
		return nil, invalid("%w", err)
	}
	s, err := u.m.load(ctx, Client{}, u.id, noPolicy)
	if err != nil {
		return nil, err
	}
	return s.describeCase(), nil
}

// onStaffCase reports what is wrong with an act of staff on a case.
func (u *ManagedUser) onStaffCase() error {
	if u.by.kind != actorStaff || !u.by.ofProduct() {
		return notAllowed("only AsStaff may act on a case, so that each act has a name")
	}
	var bad problems
	bad.add(text.ValidateID("user", u.id))
	bad.require(text.Clean(u.by.reason, 500) != "", "Actor: must give a reason")
	if err := bad.err(); err != nil {
		return invalid("%w", err)
	}
	return nil
}

// updateCase updates the record for an act of staff. It looks up the user in each
// round, after the record was read.
func (u *ManagedUser) updateCase(ctx context.Context, fn func(*userTx, User) error) error {
	return u.m.update(ctx, Client{}, u.id, noPolicy, func(s *userTx) error {
		now, err := u.m.find(ctx, u.id)
		if err != nil {
			return err
		}
		s.noteAddresses(now)
		return fn(s, now)
	})
}

func caseOrError(x Case, err error) (Case, error) {
	if err != nil {
		return Case{}, err
	}
	return x, nil
}

// cancelCase ends a case. If the user did, no other can be opened for a day.
func (s *userTx) cancelCase(id string, by Actor, sessionID string) error {
	x := s.openCase()
	if x == nil || x.ID != id {
		return ErrExpired
	}
	s.Case = nil
	if !by.ofProduct() {
		s.CaseStopped = s.now
	}
	s.emitCase(event.ResetCanceled, x, by, sessionID)
	return nil
}

// endCase ends an open case, because the user has just shown that they need no
// reset.
func (s *userTx) endCase(sessionID string) {
	if x := s.openCase(); x != nil {
		_ = s.cancelCase(x.ID, Actor{}, sessionID) // it is open
	}
}

// emitCase emits an event of a case. The user is told of each, because it is how an
// owner notices an attacker who has talked to support.
func (s *userTx) emitCase(kind string, x *supportCase, by Actor, sessionID string) {
	s.emit(Event{Type: kind, Case: x.ID, Actor: by.event(), Reason: by.reason, Session: sessionID, Notice: true})
}

// isSuspended reports whether the user has signed in or proven a factor since the
// case was opened, and since they last said that it is theirs. A release that knows
// no cases writes LastLogin only.
func (s *userTx) isSuspended(x *supportCase) bool {
	return x.Suspended || s.LastLogin != x.LastLogin
}

// describeCase returns the open case, or nil if there is none.
func (s *userTx) describeCase() *Case {
	x := s.openCase()
	if x == nil {
		return nil
	}
	c := &Case{ID: x.ID, Opened: x.Opened.time(), Expires: x.Opened.add(caseTTL).time(), By: x.By, Reason: x.Reason, InPerson: x.InPerson,
		From: x.Opened.add(caseFirst).time(), Suspended: s.isSuspended(x)}
	if x.One {
		c.ByOneFrom = x.Opened.add(caseByOne).time()
	}
	for _, a := range x.Approvals {
		c.Approvals = append(c.Approvals, Approval{a.By, a.At.time()})
	}
	return c
}

// linkTarget returns a digest of the address that links are mailed to.
func linkTarget(u User) string {
	if len(u.Emails) == 0 {
		return ""
	}
	return seal.Digest("address", u.Emails[0])
}
