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

// rememberedProof returns what was last proven in the client's browser, if it need
// not be asked under the policy. A token from before the last rotation that
// comes back late is a copy: the browser is forgotten.
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
	return provenMethod{rememberedBrowserMethod(b.Method), b.Proven}, s.policy.remembers(b.Proven, s.now)
}

// rotateToken gives a known browser a new token. It is called at Begin only, where
// one login is one request; the token before mints nothing.
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

// markKnown makes the client's browser known, after a real factor was proven
// in it. One that is known already keeps its token, to be kept for as long
// again; a client that came without any has no place for one.
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
	if s.policy.Remember > 0 { // the last answer to the question counts
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

// Browser is one a user has proven a factor in.
type Browser struct {
	ID         string
	Device     string // a rough guess of browser and system, as in "Firefox on Linux"
	First      time.Time
	LastUsed   time.Time
	Method     Method    // what was proven in it last
	Remembered bool      // not asked at login under the policy of the caller's account
	Until      time.Time // if Remembered
	Current    bool      // the caller's own
}

// Browsers lists the caller's known browsers, newest first.
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

// ForgetBrowser revokes one of the caller's known browsers: it is asked again
// from now on. An id that is not the caller's is ErrNotEnrolled.
func (m *Manager) ForgetBrowser(ctx context.Context, c Caller, id string) error {
	return m.forget(ctx, c, func(b browser) bool { return b.ID == id })
}

// ForgetBrowsers revokes all of the caller's known browsers.
func (m *Manager) ForgetBrowsers(ctx context.Context, c Caller) error {
	return m.forget(ctx, c, func(browser) bool { return true })
}

func (m *Manager) forget(ctx context.Context, c Caller, which func(browser) bool) error {
	t, err := m.openSession(c)
	if err != nil {
		return err
	}
	return m.update(ctx, c.Client, t.user, c.Account, func(s *userTx) error {
		if err := s.guard(t); err != nil {
			return err
		}
		s.Browsers = s.unexpired() // what is not listed is not there to forget
		before := len(s.Browsers)
		s.Browsers = slices.DeleteFunc(s.Browsers, which)
		if len(s.Browsers) == before {
			return ErrNotEnrolled
		}
		s.emit(Event{Type: event.BrowserRevoked, Session: t.sessionID})
		return nil
	})
}
