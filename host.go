package twofa

import (
	"context"
	"errors"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
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
// Errors: [ErrUnavailable], [ErrNotAllowed] for an invalid ID.
func (m *Manager) Rekey(ctx context.Context, user, account string) error {
	reseal := func(what, id string, v recordBody) error {
		if id == "" {
			return nil
		}
		if err := text.ValidateID(what, id); err != nil {
			return notAllowed("%w", err)
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
// The caller is a session of this user, or the host (see [Host]). If by.Account
// is empty, the call does not depend on the policy of an account. Otherwise it
// fails if that policy cannot be read.
//
// Errors: [ErrNotAllowed] if the session belongs to another user,
// [*DeniedError], [ErrUnavailable], or an error that names an invalid user ID.
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

func (m *Manager) revoke(ctx context.Context, by Caller, user string, keep bool, e Event) error {
	if err := text.ValidateID("user", user); err != nil {
		return err
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
	return m.update(ctx, by.Client, user, by.Account, func(s *userTx) error {
		switch {
		case by.host == "" && !s.isCurrent(t):
			return s.denied(ReasonSignedOut)
		case s.Epoch == "":
			return errUnchanged
		}
		if by.host != "" {
			e.Actor, e.Detail = "host", by.host
		}
		s.Stamp = stampOf(u)
		survivor := ""
		if keep {
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
// policy is Required and [MailConfig.LinkURL] is set.
//
// Errors: [ErrNotAllowed] if the caller is not the host, [ErrUnavailable], or
// an error that names an invalid user ID.
func (m *Manager) Erase(ctx context.Context, by Caller, user string) error {
	if by.host == "" {
		return ErrNotAllowed
	}
	if err := text.ValidateID("user", user); err != nil {
		return err
	}
	return m.retryOnConflict(ctx, func() error {
		records, err := m.cfg.Store.Get(ctx, userKey(user))
		if err != nil {
			return unavailable("store", err)
		}
		if len(records) == 0 {
			return nil
		}
		e := Event{ID: seal.NewID(), Time: m.now().time(), Type: event.Erased, User: user,
			Actor: "host", Detail: text.Clean(by.host, 200)}
		if err := m.swap(ctx, records[0].Version, Record{Key: userKey(user)}, []Event{e}); err != nil {
			return err
		}
		m.publish(ctx, e)
		return nil
	})
}

// accountRecord is the content of the record "account/<id>".
type accountRecord struct{ Policy Policy }

func (a *accountRecord) encodeOrDecode(w *seal.Codec) {
	p := &a.Policy
	methods := func(m *[]Method) { seal.List(w, m, func(w *seal.Codec, m *Method) { seal.Text(w, m) }) }
	methods(&p.Methods)
	methods(&p.Fallback)
	seal.Bool(w, &p.Required)
	seal.Bool(w, &p.ExemptSSO)
	seal.Int64(w, (*int64)(&p.Remember))
	seal.Text(w, &p.TurnOff)
	seal.Map(w, &p.Actions, func(w *seal.Codec, r *ActionRule) {
		seal.Int64(w, (*int64)(&r.MaxAge))
		methods(&r.Methods)
	})
}

func (a *accountRecord) problem() string {
	if a.Policy.validate() != nil {
		return "has a policy that this release does not understand"
	}
	return ""
}

// Policy returns the policy that applies to an account. It is [Config.Policy]
// if none was set for the account, or if account is empty. The caller may
// modify the result.
//
// Errors: [ErrUnavailable], [ErrNotAllowed] for an invalid account ID.
func (m *Manager) Policy(ctx context.Context, account string) (Policy, error) {
	_, p, err := m.policy(ctx, account)
	if err != nil {
		return Policy{}, err
	}
	return p, nil
}

// policy returns the policy that applies to an account and the version of the
// account's record, empty if there is none.
func (m *Manager) policy(ctx context.Context, account string) (version string, p Policy, err error) {
	if account == "" {
		return "", m.cfg.Policy.clone(), nil
	}
	if err := text.ValidateID("account", account); err != nil {
		return "", p, notAllowed("%w", err)
	}
	var a accountRecord
	r, err := m.get(ctx, accountKey(account), &a)
	if err == nil && r.Version == "" {
		a.Policy = m.cfg.Policy.clone()
	}
	return r.Version, a.Policy, err
}

// SetPolicy sets the policy of an account. It is enforced at the next request,
// on every server, and ends no session. If the account already has this policy,
// nothing is written. Only a [Host] caller may call it.
//
// A server must not call it at every start. If an old release restarts during a
// rollout, it would put back an old policy, which may require less.
//
// Errors: [ErrNotAllowed] if the caller is not the host, [ErrUnavailable], or
// an error that names each invalid field, or each method that the policy
// accepts and [Config] cannot send.
func (m *Manager) SetPolicy(ctx context.Context, by Caller, account string, p Policy) error {
	if by.host == "" {
		return ErrNotAllowed
	}
	if err := errors.Join(text.ValidateID("account", account), p.validate(), m.cfg.supports(p)); err != nil {
		return err
	}
	return m.retryOnConflict(ctx, func() error {
		version, old, err := m.policy(ctx, account)
		if err != nil {
			return err
		}
		if version != "" && old.equal(p) {
			return nil
		}
		e := Event{ID: seal.NewID(), Time: m.now().time(), Type: event.Policy,
			Account: account, Actor: "host", Detail: text.Clean(by.host+": "+p.String(), 200)}
		if err := m.write(ctx, accountKey(account), version, &accountRecord{p}, []Event{e}); err != nil {
			return err
		}
		m.publish(ctx, e)
		return nil
	})
}

func (p Policy) equal(q Policy) bool {
	a, b := seal.NewEncoder(nil), seal.NewEncoder(nil)
	(&accountRecord{p}).encodeOrDecode(a)
	(&accountRecord{q}).encodeOrDecode(b)
	return string(a.Bytes()) == string(b.Bytes())
}
