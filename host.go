package twofa

import (
	"context"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/text"
)

// Rekey encrypts the records of a user and an account again, under the first
// key of [Config.Keys], if they are under another. If user or account is empty,
// that record is skipped. A record that does not exist is not an error. Run
// Rekey for all users and accounts before an old key is removed from the ring,
// because users whose record is under a missing key cannot sign in.
//
// Rekey records no event. Apart from re-encrypting, it only removes recovery
// codes that are no longer kept viewable ([RecoveryConfig.Viewable]).
//
// Errors: [ErrInvalid] for a malformed ID, [ErrUnavailable].
func (m *Manager) Rekey(ctx context.Context, user, account string) error {
	reseal := func(what, id string, v recordBody) error {
		if id == "" {
			return nil
		}
		if err := text.ValidateID(what, id); err != nil {
			return invalid("%w", err)
		}
		key := what + "/" + id
		return m.retryOnConflict(ctx, func() error {
			old, err := m.get(ctx, key, v)
			if err != nil || old.Version == "" || m.cfg.Keys.sealsFirst(old) {
				return err
			}
			if u, ok := v.(*userRecord); ok {
				u.pruneCodes(m.cfg.Recovery.Viewable)
			}
			return m.write(ctx, key, old.Version, v, nil)
		})
	}
	if err := reseal("user", user, &userRecord{}); err != nil {
		return err
	}
	return reseal("account", account, &accountRecord{})
}

// CredentialsChanged must be called after the host changes a user's password,
// email address or any other first factor. It invalidates everything the user
// has proven so far, except the caller's own session, if the caller has one. If
// it is not called, an attacker who had the old password may keep sessions and
// remembered browsers. The user is notified by mail.
//
// The caller is a session of this user, or the host (see [Host]). No policy is
// read, because this must work even if a policy cannot be read. The event names
// by.Account.
//
// Errors: [ErrInvalid] for a malformed user ID, [ErrNotAllowed] if the session
// belongs to another user or by.Account is malformed, [*DeniedError],
// [ErrUnavailable].
func (m *Manager) CredentialsChanged(ctx context.Context, by Caller, user string) error {
	return m.revoke(ctx, by, user, true, Event{Type: event.Credentials, Notice: true})
}

// Revoke invalidates all sessions of a user, including the caller's, and all
// pending logins, pending enrollments, known browsers and fresh proofs. Factors
// and recovery codes remain. Call it if a user's credentials may have been
// stolen, or to sign a user out everywhere. The user is notified by mail.
//
// The caller and the errors are those of [Manager.CredentialsChanged].
func (m *Manager) Revoke(ctx context.Context, by Caller, user string) error {
	return m.revoke(ctx, by, user, false, Event{Type: event.Revoked, Notice: true})
}

func (m *Manager) revoke(ctx context.Context, by Caller, user string, survive bool, e Event) error {
	if err := text.ValidateID("user", user); err != nil {
		return invalid("%w", err)
	}
	if by.Account != "" {
		if err := text.ValidateID("account", by.Account); err != nil {
			return notAllowed("Caller.Account: %w", err)
		}
	}
	var t ticket
	if by.host == "" {
		var err error
		if t, err = m.openSession(by); err != nil {
			return err
		}
		if t.user != user {
			return ErrNotAllowed
		}
	}
	u, err := m.cfg.User(ctx, user)
	if err != nil || u.ID != user {
		u = User{ID: user} // the host may have deleted the user: revoke anyway
	}
	e.Account = by.Account
	return m.update(ctx, by.Client, user, noPolicy, func(s *userTx) error {
		switch {
		case by.host == "" && !s.isCurrent(t):
			return &DeniedError{Reason: ReasonSignedOut, Account: by.Account}
		case s.Epoch == "":
			return errUnchanged
		}
		if by.host != "" {
			e.Actor, e.Reason = EventActor{Kind: actorHost}, by.host
		}
		s.Stamp = stampOf(u)
		survivor := ""
		if survive {
			survivor = t.sessionID
		}
		s.newEpoch(survivor)
		s.emit(e)
		return nil
	})
}

// Erase deletes all second-factor state of a user. Use it when the user is
// deleted, or when a user has lost every factor and has proved their identity
// to support. All sessions and everything else issued before are invalid for
// good, even if another user gets the same ID. A record that cannot be read is
// deleted as well. Nobody is notified by mail. Only a [Host] caller may call
// it.
//
// After Erase, the password alone is enough to enroll a factor, unless the
// policy is Required, [MailConfig.LinkURL] is set and the user has an email
// address.
//
// Errors: [ErrInvalid] for a malformed user ID, [ErrNotAllowed] if the caller
// is not the host, [ErrUnavailable].
func (m *Manager) Erase(ctx context.Context, by Caller, user string) error {
	if by.host == "" {
		return ErrNotAllowed
	}
	if err := text.ValidateID("user", user); err != nil {
		return invalid("%w", err)
	}
	return m.retryOnConflict(ctx, func() error {
		old, err := m.read(ctx, userKey(user))
		if err != nil || old.Version == "" {
			return err
		}
		e := Event{Type: event.Erased, User: user, Actor: EventActor{Kind: actorHost}, Reason: by.host}.issued(m.now())
		if err := m.swap(ctx, old.Version, Record{Key: userKey(user)}, []Event{e}); err != nil {
			return err
		}
		m.publish(ctx, e)
		return nil
	})
}
