package twofa

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
)

// rememberedProof returns the last proof given in the client's browser, and
// reports whether the policy still remembers it. If the client sends a token
// that was replaced more than rotationGrace ago, a copy of that token exists,
// so the browser is forgotten.
func (s *userTx) rememberedProof() (p provenMethod, ok bool) {
	i, current := s.browserIndex()
	if i >= 0 && !current {
		s.emit(Event{Type: event.BrowserReplay, Detail: s.Browsers[i].Device, Notice: true})
		s.Browsers = slices.Delete(s.Browsers, i, i+1)
		return provenMethod{}, false
	}
	if i < 0 || !s.Browsers[i].Remember {
		return provenMethod{}, false
	}
	b := &s.Browsers[i]
	return provenMethod{method: rememberedBrowserMethod(b.Method), at: b.Proven}, s.policy.remembers(b.Proven, s.now)
}

// rotateToken gives a known browser a new token, so that rememberedProof can
// notice a copy of the old one. Only Begin calls it, because Begin runs once
// for each login. The previous token is not exchanged for a new one.
func (s *userTx) rotateToken() Secret {
	b := s.knownBrowser()
	if b == nil {
		return Secret{}
	}
	b.Used = s.now
	if !seal.Equal(b.Hash, s.browserHash()) {
		return Secret{}
	}
	token := newBrowserToken()
	b.Prev, b.Hash, b.Rotated = b.Hash, browserHash(token), s.now
	return token
}

// markKnown makes the client's browser known, because an authenticator or phone
// was proven in it. It returns the token that the host must store in the
// browser: a new one, or the current one again if the browser is known. If the
// client sent the previous token, it returns none, because another response
// carries the current one. A client that sent no token cannot store one either.
func (s *userTx) markKnown(m Method, remember bool) (token Secret) {
	if s.client.Browser.IsZero() {
		return Secret{}
	}
	now := s.now
	b := s.knownBrowser()
	if b != nil && seal.Equal(b.Hash, s.browserHash()) {
		token = s.client.Browser
	}
	if b == nil {
		token = newBrowserToken()
		s.Browsers = keepLast(s.unexpired(), maxBrowsers-1, func(browser) bool { return true })
		s.Browsers = append(s.Browsers, browser{ID: seal.NewID(), Hash: browserHash(token), First: now})
		b = &s.Browsers[len(s.Browsers)-1]
	}
	b.Device, b.Used, b.Proven, b.Method, b.Expires = s.client.Device(), now, now, m, now.add(browserLife)
	if s.policy.Remember > 0 { // the user's latest choice applies
		if remember && !b.Remember {
			s.emit(Event{Type: event.BrowserTrusted, Method: m, Detail: b.Device})
		}
		b.Remember = remember
	}
	return token
}

func newBrowserToken() Secret {
	b := make([]byte, 32)
	rand.Read(b)
	return NewSecret(base64.RawURLEncoding.EncodeToString(b))
}

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
	own, current := s.browserIndex()
	var list []Browser
	for i, b := range slices.Backward(s.Browsers) {
		if s.now >= b.Expires {
			continue
		}
		v := Browser{ID: b.ID, Device: b.Device, First: b.First.time(), LastUsed: b.Used.time(), Method: b.Method,
			Remembered: b.Remember && s.policy.remembers(b.Proven, s.now), Current: current && i == own}
		if v.Remembered {
			v.Until = b.Proven.add(s.policy.Remember).time()
		}
		list = append(list, v)
	}
	return list, nil
}

// ForgetBrowser makes one known browser of the caller's user unknown, so that
// it is no longer remembered at login. It does not end a session in that
// browser; [ManagedUser.Revoke] does. It needs no fresh proof.
//
// Errors: [ErrNotEnrolled] if the user has no known browser with this ID,
// [*DeniedError], [ErrNotAllowed] if the account's ID is malformed,
// [ErrUnavailable].
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
		before := len(s.Browsers)
		s.Browsers = slices.DeleteFunc(s.Browsers, which)
		if len(s.Browsers) == before {
			return ErrNotEnrolled
		}
		s.emit(Event{Type: event.BrowserRevoked, Session: t.sessionID})
		return nil
	})
}
