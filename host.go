package twofa

import (
	"context"
	"errors"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// Rekey seals the records of a user and of an account under the first of Keys,
// where they are under another. Either may be "". Run it over all users and
// accounts before an old key leaves the ring. It is no event, and changes
// nothing but that codes go which are no longer kept ([RecoveryConfig.Viewable]).
//
// Errors: [ErrUnavailable]; [ErrNotAllowed] for what cannot be an id.
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

// CredentialsChanged is to be called after the host has changed a user's
// password, address or another first factor: everything proven before is dead,
// beside the session that made the change, if the caller is one.
func (m *Manager) CredentialsChanged(ctx context.Context, by Caller, user string) error {
	return m.revoke(ctx, by, user, true, Event{Type: event.Credentials, Notice: true})
}

// Revoke ends everything a user has open: sessions (the caller's too), pending
// logins, remembered browsers and grants. Factors and recovery codes stay. It
// is the one call for "my credentials may be in other hands" and for "log out
// everywhere".
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
		u = User{ID: user} // the host may be deleting the person: revoke all the same
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

// Erase deletes all second-factor state of a user: for an account that is
// deleted, and for who has lost everything and has shown to the host's support
// who it is. It mails nobody. Nothing made before works again, also if the id
// were given to another person. A record that cannot be read is deleted, too.
// Only the host may.
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

// accountRecord is what is kept under "account/<id>".
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
		return "holds a policy that this release does not understand"
	}
	return ""
}

// Policy returns the policy in force for an account: its own, or
// [Config.Policy] where it has set none. The caller owns the result.
func (m *Manager) Policy(ctx context.Context, account string) (Policy, error) {
	_, p, err := m.policy(ctx, account)
	if err != nil {
		return Policy{}, err
	}
	return p, nil
}

// policy also returns the version of the account's record, "" if it has none.
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

// SetPolicy sets an account's policy. It is enforced from the next request on,
// on every server. Setting the policy that is in force writes nothing, so that
// a host may call it at every start. by says who does it; see [Host].
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
