package twofa

import (
	"context"
	"slices"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// ResetRequest is the input of [Account.Reset], [ManagedUser.Reset] and
// [ManagedUser.OpenCase].
type ResetRequest struct {
	// InPerson states that somebody has verified the user's identity, as by a
	// video call or in an office. Enrollment is then open for 24 hours without
	// an email link. Otherwise an attacker who talks a help desk into it needs
	// only the password. Only staff and the host may state it.
	InPerson bool
}

// resetState is kept from a reset until a factor is enrolled.
type resetState struct {
	seal.Unknown
	At       unixTime
	InPerson bool // whether somebody verified the user's identity
}

func (r *resetState) Fields(c *seal.Codec) {
	seal.Int(c, 6, &r.At)
	seal.Bool(c, 10, &r.InPerson)
}

// Reset removes all factors, recovery codes and known browsers of a user who has
// lost them, and ends all sessions. Failure counters and limits remain. The user
// is told at every verified address.
//
// Before the next enrollment, the user must open a link at their own address,
// whatever the policy says. If no link can be mailed, Reset fails unless
// InPerson is true; enrollment is then open for 24 hours after a first factor
// that is at most 15 minutes old. For 24 hours, the user can do nothing as an
// admin.
//
// Only the host may call it, because attackers talk help desks into resets: staff
// open a case ([ManagedUser.OpenCase]). An admin of an account calls [Account.Reset].
// No policy is read.
//
// Errors: [ErrInvalid] for a malformed user ID, [ErrNotAllowed] if the actor is not
// the host, if the user does not exist, or if no link can be mailed;
// [ErrUnavailable].
func (u *ManagedUser) Reset(ctx context.Context, r ResetRequest) error {
	if u.by.kind != actorHost {
		return notAllowed("only AsHost may reset a user at once; staff open a case with OpenCase")
	}
	if err := text.ValidateID("user", u.id); err != nil {
		return invalid("%w", err)
	}
	return u.m.update(ctx, Client{}, u.id, noPolicy, func(s *userTx) error {
		now, err := u.m.find(ctx, u.id)
		if err != nil {
			return err
		}
		return s.reset(now, r, Event{Type: event.Reset, Actor: u.by.event(), Reason: u.by.reason, Notice: true})
	})
}

// Reset does what [ManagedUser.Reset] does, for a member of the account. The
// other admins are told by mail, too, if the directory is an [AdminLister].
//
// The actor must give a reason. An [AsUser] actor must have the role in
// [Policy.Reset] and a higher one than the member, and needs a fresh proof for
// [ActionReset].
// Only support can reset a member who belongs to another account as well,
// because the factors are also those of that account, or who cannot be mailed a
// link. Such an act of a user is denied with [ReasonSupport].
//
// Errors: [ErrInvalid], [ErrNotEnrolled] if the user is not a member of the
// account, [ErrNotAllowed], [*DeniedError], [ErrUnavailable].
func (a *Account) Reset(ctx context.Context, user string, r ResetRequest) error {
	var bad problems
	bad.require(text.Clean(a.by.reason, 500) != "", "Actor: must give a reason")
	bad.require(!r.InPerson || a.by.kind == actorHost, "ResetRequest.InPerson: must be false, because only AsHost may state it")
	if err := bad.err(); err != nil {
		return invalid("%w", err)
	}
	if a.by.kind == actorStaff {
		return errStaffReset
	}
	auth, err := a.authorize(ctx, a.resetting(user))
	if err != nil {
		return err
	}
	return a.m.update(ctx, Client{}, user, noPolicy, func(s *userTx) error {
		now, err := a.stillMember(ctx, user)
		switch {
		case err != nil:
			return err
		case a.by.kind == actorUser && !Role(auth.actor.Role).Above(now.roleIn(a.id)): // promoted meanwhile
			return &DeniedError{Reason: ReasonRole, Account: a.id}
		case a.by.kind == actorUser && a.onlySupportResets(now):
			return &DeniedError{Reason: ReasonSupport, Account: a.id, Action: ActionReset}
		}
		return s.reset(now, r, auth.event(Event{Type: event.Reset, Account: a.id, Notice: true}, a.by.reason))
	})
}

var errStaffReset = notAllowed("staff cannot reset at once; they open a case with ManagedUser.OpenCase")

// PeekReset checks whether the actor may reset a member, for a page with the
// button. It needs no reason and no fresh proof, and writes nothing. Reset checks
// everything again.
//
// Errors: those of Reset, except for the reason and the fresh proof.
func (a *Account) PeekReset(ctx context.Context, user string) error {
	if a.by.kind == actorStaff {
		return errStaffReset
	}
	return a.peek(ctx, a.resetting(user))
}

// PeekUnlock is like [Account.PeekReset], for [Account.Unlock]. [Status.Locked]
// lists the methods that are locked.
func (a *Account) PeekUnlock(ctx context.Context, user string) error {
	return a.peek(ctx, a.unlocking(user))
}

func (a *Account) peek(ctx context.Context, d act) error {
	d.peek = true
	_, err := a.authorize(ctx, d)
	return err
}

func (a *Account) resetting(user string) act {
	return act{action: ActionReset, member: user, onlySupport: a.onlySupportResets}
}

func (a *Account) unlocking(user string) act {
	return act{action: ActionPolicy, needs: RoleAdmin, member: user, onlySupport: a.isElsewhere}
}

// Unlock does what [ManagedUser.Unlock] does, for a member of the account.
//
// The actor must give a reason. An [AsUser] actor must be an admin or an owner with
// a higher role than the member, and needs a fresh proof for [ActionPolicy]. Only
// support can unlock a member who belongs to another account as well, because the
// counters are also those of that account; a user is then denied with
// [ReasonSupport].
//
// Errors: those of ManagedUser.Unlock; ErrNotEnrolled also if the user is not a
// member of the account, [*DeniedError].
func (a *Account) Unlock(ctx context.Context, user string, method Method) error {
	if err := a.by.canUnlock(method); err != nil {
		return invalid("%w", err)
	}
	auth, err := a.authorize(ctx, a.unlocking(user))
	if err != nil {
		return err
	}
	return a.m.update(ctx, Client{}, user, noPolicy, func(s *userTx) error {
		now, err := a.stillMember(ctx, user)
		switch {
		case err != nil:
			return err
		case a.by.kind == actorUser && a.isElsewhere(now):
			return &DeniedError{Reason: ReasonSupport, Account: a.id, Action: ActionPolicy}
		}
		return s.unlock(method, auth.event(Event{Account: a.id}, a.by.reason))
	})
}

// onlySupportResets reports whether no admin of the account may reset a member.
func (a *Account) onlySupportResets(member User) bool {
	return !a.m.canMailLink(member) || a.isElsewhere(member)
}

// isElsewhere reports whether a member belongs to another account as well.
func (a *Account) isElsewhere(member User) bool { return !member.onlyIn(a.id) }

// MemberRemoved must be called after the host has removed a member from the
// account. A user who no longer belongs to any account is reset, so that a user
// who was removed and added again enrolls a new factor; the user and the admins
// are told. Removing a member and inviting them again is therefore a reset, whatever
// [Policy.Reset] says: before a member leaves or is removed, the host must ask for a
// fresh proof, for an action of its own, or a stolen session turns the second factor
// off. Of any other user, it ends what belongs to this account alone: fresh
// proofs, more time to enroll, and the times of the last login and proof. Sessions
// remain, so the host must ask at each request whether the user is still a member,
// and call [ManagedUser.Revoke] if an old session must not count after the user is
// added again. To add the member again needs no call.
//
// Only the host may call it, because it may be a reset. Calling it again is
// harmless. If the user is still a member, it changes nothing and returns ErrInvalid.
//
// Errors: [ErrInvalid], [ErrNotAllowed], [ErrUnavailable].
func (a *Account) MemberRemoved(ctx context.Context, user string) error {
	if a.by.kind != actorHost {
		return notAllowed("only AsHost may report that a member was removed, because it may be a reset")
	}
	for what, id := range map[string]string{"account": a.id, "user": user} {
		if err := text.ValidateID(what, id); err != nil {
			return invalid("%w", err)
		}
	}
	return a.m.update(ctx, Client{}, user, noPolicy, func(s *userTx) error {
		users, err := a.m.cfg.Directory.Users(ctx, user)
		if err != nil {
			return unavailable("Config.Directory", err)
		}
		now := User{ID: user} // the host may have deleted the user
		if i := slices.IndexFunc(users, func(u User) bool { return u.ID == user }); i >= 0 {
			now = users[i]
		}
		switch {
		case now.in(a.id):
			return invalid("user %q: must no longer be a member of account %q", user, a.id)
		case s.version == "":
			return errUnchanged // the user has never signed in
		}
		changed := s.leave(a.id)
		if len(now.Members) == 0 && !s.isReset() {
			changed = true
			s.endEverything(now, ResetRequest{})
			s.emit(Event{Type: event.Reset, Account: a.id, Actor: a.by.event(), Reason: a.by.reason, Notice: true})
		}
		if !changed {
			return errUnchanged
		}
		s.emit(Event{Type: event.MemberRemoved, Account: a.id, Actor: a.by.event(), Reason: a.by.reason})
		return nil
	})
}

// leave ends what belongs to one account, and reports whether there was anything.
func (s *userTx) leave(account string) bool {
	n, assigned := len(s.Grants)+len(s.Extensions)+len(s.Seen), s.Assigned != nil && s.Assigned.Account == account
	if assigned {
		s.Assigned = nil
	}
	s.Grants = slices.DeleteFunc(s.Grants, func(g grant) bool { return g.Account == account })
	s.Extensions = slices.DeleteFunc(s.Extensions, func(e extension) bool { return e.Account == account })
	s.Seen = slices.DeleteFunc(s.Seen, func(x seen) bool { return x.Account == account })
	return assigned || len(s.Grants)+len(s.Extensions)+len(s.Seen) < n
}

// isReset reports whether another reset would only repeat the last one.
func (s *userTx) isReset() bool {
	return s.Reset != nil && len(s.Factors) == 0 && s.Codes == nil && len(s.Browsers) == 0 && s.LastLogin <= s.ResetAt
}

// reset resets the user and emits the event, unless the user could then not be
// mailed the link that comes before the next enrollment.
func (s *userTx) reset(now User, r ResetRequest, e Event) error {
	if !r.InPerson && !s.m.canMailLink(now) {
		return notAllowed("ResetRequest.InPerson: must be true, because user %q cannot be mailed a link", now.ID)
	}
	s.endEverything(now, r)
	s.emit(e)
	return nil
}

// endEverything removes every way to sign in and what was proven.
func (s *userTx) endEverything(now User, r ResetRequest) {
	s.setStamp(now)
	s.noteAddresses(now)
	s.newEpoch("")
	s.turnOff(s.now)
	s.Reset = &resetState{At: s.now, InPerson: r.InPerson}
	s.ResetAt = s.now
}

// isCooling reports whether the user was reset a short time ago. An attacker who
// has talked an admin or support into a reset must not become an admin at once.
func (s *userTx) isCooling() bool { return s.ResetAt != 0 && s.now.sub(s.ResetAt) < coolingTime }

// canMailLink reports whether a link can be mailed to the user.
func (m *Manager) canMailLink(u User) bool { return m.cfg.Mail.LinkURL != nil && len(u.Emails) > 0 }

// canMailCase reports whether the user can be mailed the link that ends a case, and
// the one before the next enrollment.
func (m *Manager) canMailCase(u User) bool { return m.canMailLink(u) && m.cfg.Mail.CaseURL != nil }
