package twofa

import (
	"context"
	"errors"
	"strings"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/text"
)

// Rekey encrypts the records of a user and an account again, under the first
// key of [Config.Keys], if they are under another. If user or account is empty,
// that record is skipped. A record that does not exist is not an error. Run
// Rekey for all users and accounts before an old key is removed from the ring,
// because users whose record is under a missing key cannot sign in. If the store
// is a [KeyLister], use [Manager.RekeyRecords] or package operate instead.
//
// Rekey records no event. Apart from re-encrypting, it only removes recovery
// codes that are no longer kept viewable ([RecoveryConfig.Viewable]).
//
// Errors: [ErrInvalid] for a malformed ID, [ErrUnavailable].
func (m *Manager) Rekey(ctx context.Context, user, account string) error {
	for _, x := range []struct{ what, id string }{{"user", user}, {"account", account}} {
		if x.id == "" {
			continue
		}
		if err := text.ValidateID(x.what, x.id); err != nil {
			return invalid("%w", err)
		}
		r, err := m.read(ctx, x.what+"/"+x.id)
		if err == nil && r.Version != "" {
			err = m.rekey(ctx, r, &RekeyResult{})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// RekeyResult is what [Manager.RekeyRecords] has done. Keys without a record are
// not counted.
type RekeyResult struct {
	Rekeyed int // records that were encrypted again
	Current int // records that were already under the first key
	Deleted int // records of phone numbers that were under another key
	Failed  []RekeyFailure
}

// RekeyFailure is a record that remains under another key.
type RekeyFailure struct {
	Key string
	Err error // usually a [*RecordError]
}

// RekeyRecords does what [Manager.Rekey] does for the records under keys, at most
// 1,000, as [KeyLister.Keys] returns them. All records are read at once, and those
// that are already under the first key cost nothing else. Records of all kinds
// are encrypted again, except those of phone numbers, which are deleted: their
// keys are derived from the key of the ring, so nobody counts with them after the
// first key was replaced on every server.
//
// A record that cannot be read is reported in the result, and the others are
// rekeyed even so. If the store fails or ctx ends, RekeyRecords returns the error
// and what it has done until then. It can be repeated, and may run in several
// processes at once.
//
// Errors: [ErrInvalid] for more than 1,000 keys, [ErrUnavailable].
func (m *Manager) RekeyRecords(ctx context.Context, keys ...string) (done RekeyResult, err error) {
	if len(keys) > maxKeysAtOnce {
		return done, invalid("keys: must be at most %d, are %d", maxKeysAtOnce, len(keys))
	}
	records, err := m.readAll(ctx, keys...)
	if err != nil {
		return done, err
	}
	for _, r := range records {
		if r.Version == "" {
			continue
		}
		err := m.rekey(ctx, r, &done)
		_, unreadable := errors.AsType[*RecordError](err)
		switch {
		case unreadable || errors.Is(err, errBusy):
			done.Failed = append(done.Failed, RekeyFailure{r.Key, err})
		case err != nil:
			return done, err
		}
	}
	return done, nil
}

// rekey encrypts a record again, as it was just read, or deletes the one of a
// phone number. It counts what it has done.
func (m *Manager) rekey(ctx context.Context, r Record, done *RekeyResult) error {
	key, stale := r.Key, false
	var count *int
	err := m.retryOnConflict(ctx, nil, func() (err error) {
		if stale {
			if r, err = m.read(ctx, key); err != nil {
				return err
			}
		}
		stale, count = true, &done.Current
		kind, _, _ := strings.Cut(key, "/")
		var v recordBody
		switch {
		case r.Version == "":
			count = nil
			return nil
		case m.cfg.Keys.sealsFirst(r):
			return nil
		case kind == "number":
			count = &done.Deleted
			return m.swap(ctx, r.Version, Record{Key: key}, nil)
		case kind == "user":
			v = &userRecord{}
		case kind == "account":
			v = &accountRecord{}
		case kind == "config":
			v = &configRecord{}
		case kind == "audit":
			v = &cutoffRecord{}
		default:
			return &RecordError{key, "is of a kind that this release does not know"}
		}
		if err := m.cfg.Keys.decode(r, v); err != nil {
			return err
		}
		if u, ok := v.(*userRecord); ok {
			u.pruneCodes(m.cfg.Recovery.Viewable)
		}
		count = &done.Rekeyed
		return m.write(ctx, key, r.Version, v, nil)
	})
	if err == nil && count != nil {
		*count++
	}
	return err
}

// SweepNumbers deletes those records of phone numbers that no longer count: the
// last text message is more than a day ago. Each number that was ever texted has
// such records, with keys that begin with "number/" in the store, and nothing else
// deletes them. The host lists the keys, for example once a month; see [Stores].
// Any other key is refused. A record that cannot be read is deleted as well,
// because its key is no longer in the ring.
//
// SweepNumbers returns how many records it deleted. A record that is written at
// the same moment is kept. Errors: [ErrInvalid], [ErrUnavailable].
//
// [Stores]: https://github.com/twofa-go/twofa/blob/main/docs/stores.md
func (m *Manager) SweepNumbers(ctx context.Context, keys ...string) (deleted int, err error) {
	for _, key := range keys {
		if !strings.HasPrefix(key, "number/") {
			return deleted, invalid("SweepNumbers: keys must begin with number/, is %q", text.Clean(key, 40))
		}
	}
	for _, key := range keys {
		old, err := m.read(ctx, key)
		if err != nil {
			return deleted, err
		}
		var n numberRecord
		if old.Version == "" || m.cfg.Keys.decode(old, &n) == nil && n.counts(m.now()) {
			continue
		}
		switch err := m.swap(ctx, old.Version, Record{Key: key}, nil); {
		case err == nil:
			deleted++
		case !errors.Is(err, ErrConflict):
			return deleted, err
		}
	}
	return deleted, nil
}

// A ManagedUser is a handle with which an [Actor] acts on one user.
type ManagedUser struct {
	m  *Manager
	by Actor
	id string
}

// User returns the user with an ID. It does no I/O and checks nothing; the
// methods return [ErrNotAllowed] if the actor may not act on the user.
//
// An actor of [AsHost] or [AsStaff] must have been authorized by the host: if an
// untrusted request can cause such a call, an attacker can remove the second
// factor of any user.
func (m *Manager) User(by Actor, id string) *ManagedUser { return &ManagedUser{m, by, id} }

// CredentialsChanged must be called after the host changes the user's password,
// email address or any other first factor. It invalidates everything the user
// has proven so far, except the session of an [AsUser] actor. If it is not
// called, an attacker who had the old password may keep sessions and remembered
// browsers. The user is notified by mail.
//
// The actor is the user, staff or the host. A session without a first factor of
// the person's own does not survive either; see [Manager.CheckPerson]. No policy
// is read, because this must work even if a policy cannot be read.
//
// Errors: [ErrInvalid] for a malformed user ID, [ErrNotAllowed] if the actor is
// empty or another user, [*DeniedError], [ErrUnavailable].
func (u *ManagedUser) CredentialsChanged(ctx context.Context) error {
	return u.revoke(ctx, true, Event{Type: event.Credentials, Notice: true})
}

// Revoke invalidates all sessions of the user, including the actor's, and all
// pending logins, pending enrollments and fresh proofs. No browser is remembered
// afterwards. Factors and recovery codes remain, and browsers remain known, so
// that an attacker cannot lock the owner out of them. Call it if the user's credentials may have been
// stolen, or to sign the user out everywhere. The user is notified by mail.
//
// The actor and the errors are those of [ManagedUser.CredentialsChanged]. A
// session of an [AsUser] actor that has nothing but the word of one account's
// identity provider is denied with [ReasonSignInHere] if the user belongs to
// other accounts, too, because an admin could otherwise keep the user out of
// those.
func (u *ManagedUser) Revoke(ctx context.Context) error {
	return u.revoke(ctx, false, Event{Type: event.Revoked, Notice: true})
}

func (u *ManagedUser) revoke(ctx context.Context, survive bool, e Event) error {
	if err := text.ValidateID("user", u.id); err != nil {
		return invalid("%w", err)
	}
	t, err := u.session()
	if err != nil {
		return err
	}
	now, missing := u.m.find(ctx, u.id)
	if missing != nil {
		now = User{ID: u.id} // the host may have deleted the user: revoke anyway
	}
	e.Account, e.Actor, e.Reason = u.by.caller.Account, u.by.event(), u.by.reason
	return u.m.update(ctx, u.by.caller.Client, u.id, noPolicy, func(s *userTx) error {
		if u.by.kind == actorUser && !s.isCurrent(t) {
			return &DeniedError{Reason: ReasonSignedOut, Account: e.Account}
		}
		if u.by.kind == actorUser && !survive && !t.actsFor(now) {
			return &DeniedError{Reason: ReasonSignInHere, Account: e.Account}
		}
		s.setStamp(now)
		if missing == nil {
			s.noteAddresses(now)
		}
		survivor := ""
		if survive && t.hasFirstFactor(firstFactor.ofPerson) {
			survivor = t.sessionID
		}
		s.newEpoch(survivor)
		if e.Type == event.Credentials {
			s.ease()
		}
		if u.by.kind == actorUser && t.hasFirstFactor(firstFactor.ofPerson) {
			s.endCase(t.sessionID)
		}
		s.emit(e)
		return nil
	})
}

// Unlock ends the lock of a method that follows wrong codes: TOTP, SMS or
// RecoveryCode. Wrong codes before still count towards the ceiling, except the ten
// last ones. It works three times in any 30 days, together with changes of the
// first factor, so that an attacker who talks a help desk into it gets no more
// guesses than docs/limits.md says. A method that 100 wrong codes in a row have
// turned off stays off. If nothing is locked, it changes nothing. The user is told.
//
// Only staff and the host may call it, and must give a reason. An admin of an
// account calls [Account.Unlock].
//
// Errors: [ErrInvalid], [ErrNotEnrolled] if the user has no factors,
// [ErrNotAllowed] if the method is off, [ErrLocked] after three times,
// [ErrUnavailable].
func (u *ManagedUser) Unlock(ctx context.Context, method Method) error {
	if !u.by.ofProduct() {
		return notAllowed("only AsStaff and AsHost may unlock a user whatever the account")
	}
	var bad problems
	bad.add(text.ValidateID("user", u.id))
	bad.add(u.by.canUnlock(method))
	if err := bad.err(); err != nil {
		return invalid("%w", err)
	}
	return u.m.update(ctx, Client{}, u.id, noPolicy, func(s *userTx) error {
		return s.unlock(method, Event{Actor: u.by.event(), Reason: u.by.reason})
	})
}

// session opens the session of a user who acts on themselves. For staff and the
// host it returns an empty ticket.
func (u *ManagedUser) session() (ticket, error) {
	switch {
	case u.by.ofProduct():
		return ticket{}, nil
	case u.by.kind != actorUser:
		return ticket{}, notAllowed("the Actor is empty")
	}
	t, err := u.m.openSession(u.by.caller)
	if err == nil && t.user != u.id {
		err = notAllowed("the session belongs to another user")
	}
	return t, err
}

// Delete deletes all second-factor state of the user. Use it when the user is
// deleted. All sessions and everything else issued before are invalid for good,
// even if another user gets the same ID. A record that cannot be read is deleted
// as well. Nobody is notified by mail. Events remain; see [ManagedUser.EraseEvents].
//
// Only staff and the host may call it. Staff may delete only users whom the
// directory no longer has, because anything else would be a reset without a case.
//
// Errors: [ErrInvalid] for a malformed user ID, [ErrNotAllowed] if the actor may not
// delete the user, [ErrUnavailable].
func (u *ManagedUser) Delete(ctx context.Context) error {
	if !u.by.ofProduct() {
		return notAllowed("only AsStaff and AsHost may delete")
	}
	if err := text.ValidateID("user", u.id); err != nil {
		return invalid("%w", err)
	}
	return u.m.retryOnConflict(ctx, nil, func() error {
		old, err := u.m.read(ctx, userKey(u.id))
		if err != nil || old.Version == "" {
			return err
		}
		if u.by.kind == actorStaff {
			users, err := u.m.cfg.Directory.Users(ctx, u.id)
			switch {
			case err != nil:
				return unavailable("Config.Directory", err)
			case len(users) > 0:
				return notAllowed("only AsHost may delete user %q, who is still in Config.Directory", u.id)
			}
		}
		end, _ := u.m.chainOf(old, true) // that of a record that cannot be read is broken
		e := end.add(u.m.cfg.Keys, Event{Type: event.Erased, User: u.id, Actor: u.by.event(), Reason: u.by.reason}.issued(u.m.now()))
		if err := u.m.swap(ctx, old.Version, Record{Key: userKey(u.id)}, []Event{e}); err != nil {
			return err
		}
		u.m.publish(ctx, e, "")
		return nil
	})
}
