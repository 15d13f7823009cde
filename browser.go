package twofa

import (
	"context"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
)

// Browser is a known browser: one in which the user has proven an authenticator
// or phone. It has failure counters and a sending allowance of its own.
type Browser struct {
	// ID identifies the browser for [Manager.ForgetBrowser]. It is not secret.
	ID string
	// Device is a guess at the browser and system, such as "Firefox on Linux".
	// It contains no text from the client.
	Device string
	// First is the time at which the browser became known.
	First time.Time
	// LastUsed is the time of the last login or enrollment that was completed
	// in the browser. A login by email link is not counted.
	LastUsed time.Time
	// Method is the method that was last proven in the browser.
	Method Method
	// Remembered reports whether the user chose to have this browser remembered
	// and Policy.Remember of the caller's account still allows it. A login by
	// password or SSO is then not challenged if the policy would ask for Method.
	Remembered bool
	// Until is the time until which the browser is remembered. It is the zero
	// Time if Remembered is false.
	Until time.Time
	// Current reports whether the caller's request came from this browser.
	Current bool
}

// Browsers returns the known browsers of the caller's user, starting with the
// one that became known last. It needs no fresh proof.
//
// Errors: [*DeniedError], [ErrNotAllowed] if the account's ID is malformed,
// [ErrUnavailable].
func (m *Manager) Browsers(ctx context.Context, c Caller) ([]Browser, error) {
	_, s, err := m.loadSession(ctx, c)
	if err != nil {
		return nil, err
	}
	own := "" // an ID, because unexpired moves the browsers
	if b := s.knownBrowser(); b != nil {
		own = b.ID
	}
	var list []Browser
	for _, b := range slices.Backward(s.unexpired()) {
		v := Browser{ID: b.ID, Device: b.Device, First: b.First.time(), LastUsed: b.Used.time(), Method: b.Method,
			Remembered: s.isRemembered(&b) && s.policy.remembers(b.Proven, s.now), Current: own == b.ID}
		if v.Remembered {
			v.Until = b.Proven.add(s.policy.Remember).time()
		}
		list = append(list, v)
	}
	return list, nil
}

// ForgetBrowser makes one known browser of the caller's user unknown, if the
// session has a fresh proof for [ActionFactors]. Without one, it only ends that
// the browser is remembered, because an attacker who has the session could
// otherwise lock out the owner, who has counters of their own only in known
// browsers. It does not end a session in that browser; [ManagedUser.Revoke]
// does.
//
// Errors: [ErrNotEnrolled] if the user has no known browser with this ID, a
// [*DeniedError] with [ReasonMissing] or [ReasonStale] if there is no fresh
// proof and the browser is not remembered, another *DeniedError,
// [ErrNotAllowed] if the account's ID is malformed, [ErrUnavailable].
func (m *Manager) ForgetBrowser(ctx context.Context, c Caller, id string) error {
	return m.forget(ctx, c, func(b browser) bool { return b.ID == id })
}

// ForgetBrowsers is like [Manager.ForgetBrowser] for all known browsers of the
// caller's user. If there are none, it returns [ErrNotEnrolled].
func (m *Manager) ForgetBrowsers(ctx context.Context, c Caller) error {
	return m.forget(ctx, c, func(browser) bool { return true })
}

func (m *Manager) forget(ctx context.Context, c Caller, which func(browser) bool) error {
	t, err := m.openSession(c)
	if err != nil {
		return err
	}
	return m.update(ctx, c.Client, t.user, t.account, func(s *userTx) error {
		if err := s.guard(t); err != nil {
			return err
		}
		s.Browsers = s.unexpired() // Browsers does not list the others
		if !slices.ContainsFunc(s.Browsers, which) {
			return ErrNotEnrolled
		}
		if _, missing := s.useGrant(t, ActionFactors, "", ""); missing == nil {
			s.Browsers = slices.DeleteFunc(s.Browsers, which)
		} else if !s.endRemembering(which) {
			return missing
		}
		s.emit(Event{Type: event.BrowserRevoked, Session: t.sessionID})
		return nil
	})
}
