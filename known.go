package twofa

import (
	"slices"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/known"
	"github.com/twofa-go/twofa/internal/seal"
)

// tokenState is what the token in a cookie says about a known browser.
type tokenState int

const (
	tokenUnknown  tokenState = iota
	tokenCurrent             // the one issued last
	tokenReplaced            // the one before, whose replacement may have been lost
	tokenCopied              // an older one, so there are two copies of the cookie
)

// cookieEntry is the user's entry in the client's cookie. Several questions are
// asked of it, so it is read once.
type cookieEntry struct {
	read         bool
	ok           bool // whether there is one
	first        bool // whether it is the first in the cookie
	entry        known.Entry
	family, hash string // hashes of its secrets
}

func (s *userTx) ownEntry() *cookieEntry {
	if e := &s.own; !e.read {
		e.read = true
		cookie := s.cookie()
		if e.entry, e.ok = cookie.Entry(s.user); e.ok {
			e.first = cookie.Entries[0] == e.entry
			e.family, e.hash = seal.Digest("family", e.entry.Family), seal.Digest("token", e.entry.Token)
		}
	}
	return &s.own
}

// findBrowser returns the known browser that the client's cookie names.
func (s *userTx) findBrowser() (b *browser, entry known.Entry, state tokenState) {
	own := s.ownEntry()
	entry = own.entry
	if !own.ok {
		return nil, entry, tokenUnknown
	}
	for i := range s.Browsers {
		b := &s.Browsers[i]
		switch {
		case !seal.Equal(b.Family, own.family) || !b.Proven.within(browserLife, s.now):
		case seal.Equal(b.Hash, own.hash):
			return b, entry, tokenCurrent
		case seal.Equal(b.Prev, own.hash) && b.Rotated.within(rotationGrace, s.now):
			return b, entry, tokenReplaced
		default:
			return b, entry, tokenCopied
		}
	}
	return nil, entry, tokenUnknown
}

// knownBrowser returns the client's browser, or nil if it is unknown. A copied
// cookie does not make a browser known.
func (s *userTx) knownBrowser() *browser {
	if b, _, state := s.findBrowser(); state == tokenCurrent || state == tokenReplaced {
		return b
	}
	return nil
}

// bucket returns the name of a counter: of a method in all unknown browsers, or
// in the known browser with an ID. Each known browser has counters of its own,
// so that an attacker who has only the password cannot lock the owner out of
// them.
func bucket(m Method, browserID string) string {
	if browserID == "" {
		return string(m)
	}
	return string(m) + "/" + browserID
}

// bucketOf returns the bucket in which the client's failures of a method are
// counted, and whether it is that of a known browser. A known browser with too
// many failures counts as unknown.
func (s *userTx) bucketOf(m Method) (name string, known bool) {
	if b := s.knownBrowser(); b != nil && !s.isExhausted(m, b) {
		return bucket(m, b.ID), true
	}
	return bucket(m, ""), false
}

func (s *userTx) isExhausted(m Method, b *browser) bool {
	return m != RecoveryCode && s.Counters[bucket(m, b.ID)].Fails >= failuresKnown
}

// rememberedProof returns the last proof given in the client's browser, and
// reports whether the policy still remembers it. If the cookie is a copy, the
// browser is no longer remembered, and the user is told once.
func (s *userTx) rememberedProof() (p provenMethod, ok bool) {
	b, _, state := s.findBrowser()
	switch {
	case state == tokenCopied && !b.Copied:
		s.emit(Event{Type: event.BrowserReplay, Detail: b.Device, Notice: true})
		b.Copied, b.Remembered = true, ""
		return provenMethod{}, false
	case b == nil || state == tokenCopied || !s.isRemembered(b) || s.isExhausted(b.Method, b):
		return provenMethod{}, false
	}
	return provenMethod{method: rememberedBrowserMethod(b.Method), at: b.Proven}, s.policy.remembers(b.Proven, s.now)
}

// isRemembered reports whether the user asked for it in this epoch, so that
// what ends sessions ends remembering, too. The browser remains known.
func (s *userTx) isRemembered(b *browser) bool { return b.Remembered != "" && b.Remembered == s.Epoch }

func (s *userTx) remembersAny() bool {
	return slices.ContainsFunc(s.Browsers, func(b browser) bool { return b.Remembered != "" })
}

// forgetRemembered ends remembering in all browsers.
func (s *userTx) forgetRemembered() {
	for i := range s.Browsers {
		s.Browsers[i].Remembered = ""
	}
}

// rotateToken gives a known browser a new token, so that rememberedProof can
// notice a copy of the old one. Only Begin calls it, because Begin runs once for
// each login. A browser that missed the answer gets the same token again.
func (s *userTx) rotateToken() Secret {
	b, entry, state := s.findBrowser()
	switch state {
	case tokenCurrent:
		b.Used, b.Salt = s.now, seal.NewID()
		token := known.Next(entry.Token, b.Salt)
		b.Prev, b.Hash, b.Rotated = b.Hash, seal.Digest("token", token), s.now
	case tokenReplaced:
		b.Used = s.now
	default:
		return Secret{}
	}
	return s.cookieWith(entry.Family, known.Next(entry.Token, b.Salt))
}

func (s *userTx) cookie() known.Cookie { return known.Parse(s.client.Browser.Reveal()) }

func (s *userTx) cookieWith(family, token string) Secret {
	return NewSecret(s.cookie().With(s.user, family, token).Text())
}

// markKnown makes the client's browser known, because an authenticator or phone
// was proven in it. It returns the text that the host must store in the browser.
// A client that sent no text cannot store one either. The secrets of a browser
// that becomes known are derived from seed, so that an answer that is repeated
// contains them again.
func (s *userTx) markKnown(m Method, remember bool, seed string) Secret {
	if s.client.Browser.IsZero() {
		return Secret{}
	}
	b, entry, state := s.findBrowser()
	if b != nil && (b.Copied || state == tokenCopied) { // the owner has just proven to be here
		s.Browsers = slices.DeleteFunc(s.Browsers, func(o browser) bool { return o.ID == b.ID })
		b, state = nil, tokenUnknown
	}
	switch {
	case b == nil:
		entry.Family, entry.Token = known.First(seed)
		s.Browsers = keepLast(s.unexpired(), maxBrowsers-1, func(browser) bool { return true })
		s.Browsers = append(s.Browsers, browser{ID: seal.NewID(), Family: seal.Digest("family", entry.Family), Hash: seal.Digest("token", entry.Token), First: s.now})
		b = &s.Browsers[len(s.Browsers)-1]
	case state == tokenReplaced:
		entry.Token = known.Next(entry.Token, b.Salt)
	}
	b.Device, b.Used, b.Proven, b.Method = s.client.Device(), s.now, s.now, m
	if s.policy.Remember > 0 { // the user's latest choice applies
		switch {
		case !remember:
			b.Remembered = ""
		case !s.isRemembered(b):
			s.emit(Event{Type: event.BrowserTrusted, Method: m, Detail: b.Device})
			b.Remembered = s.Epoch
		}
	}
	if state == tokenCurrent && s.own.first {
		return s.client.Browser // nothing would change
	}
	return s.cookieWith(entry.Family, entry.Token)
}

func (s *userTx) unexpired() []browser {
	return slices.DeleteFunc(s.Browsers, func(b browser) bool { return !b.Proven.within(browserLife, s.now) })
}

// endRemembering ends that browsers are remembered, and reports whether one was.
func (s *userTx) endRemembering(which func(browser) bool) (ended bool) {
	for i := range s.Browsers {
		if b := &s.Browsers[i]; which(*b) && s.isRemembered(b) {
			b.Remembered, ended = "", true
		}
	}
	return ended
}
