package twofahttp

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twofa-go/twofa"
)

// repeatFor is how long a form that is sent again ends where it did before.
const repeatFor = 10 * time.Second

const maxRepeats = 20_000

// formTimeout is how long a form may take, even if the client has hung up.
const formTimeout = 25 * time.Second

// repeats keeps what the last forms did, in the memory of this process. A double
// click, a password manager or a bad connection sends a form twice. The browser
// then drops the first answer with its cookies and shows only the second, which
// must therefore end where the first did.
type repeats struct {
	mu    *sync.Mutex
	last  map[repeatKey]*repeat
	swept *time.Time
}

// repeatKey is a hash of everything in a request that decides on its answer,
// including all cookies, of which one is secret. Nobody else can send the same.
type repeatKey [sha256.Size]byte

// repeat is what a form did. A new session is not handed out again. Instead, the
// form is handled again by that session, and the Manager decides whether to
// repeat its own answer; it does not after a logout.
type repeat struct {
	done      chan struct{} // closed when the form has been handled
	at        time.Time
	redirect  string // empty if the form has failed
	cookies   []*http.Cookie
	session   twofa.Session // passed to Sessions.SignIn
	signedOut bool
	browser   twofa.Secret
	flow      flow // step-up that a held form has started
}

func newRepeats() repeats { return repeats{&sync.Mutex{}, map[repeatKey]*repeat{}, &time.Time{}} }

// join returns the entry of a form. The caller must handle the form if it is the
// first, and wait for the entry otherwise.
func (s *repeats) join(key repeatKey, now time.Time) (p *repeat, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.last[key]; p != nil && now.Sub(p.at).Abs() < repeatFor {
		return p, false
	}
	s.makeRoom(now)
	p = &repeat{done: make(chan struct{}), at: now}
	s.last[key] = p
	return p, true
}

// makeRoom drops what is too old, every repeatFor, because it may contain
// sessions. If there is no room even so, it drops any until half of the room is
// free. A form whose entry is dropped is handled like any other.
func (s *repeats) makeRoom(now time.Time) {
	if now.Sub(*s.swept).Abs() < repeatFor && len(s.last) < maxRepeats {
		return
	}
	*s.swept = now
	for key, p := range s.last {
		if now.Sub(p.at).Abs() >= repeatFor {
			delete(s.last, key)
		}
	}
	if len(s.last) < maxRepeats {
		return
	}
	for key := range s.last {
		if len(s.last) <= maxRepeats/2 {
			return
		}
		delete(s.last, key)
	}
}

// leave ends the wait for an entry. A form that has failed is handled again when
// it is sent again.
func (s *repeats) leave(key repeatKey, p *repeat) {
	if p.redirect == "" && p.session.IsZero() && p.flow.kind == "" {
		s.mu.Lock()
		if s.last[key] == p {
			delete(s.last, key)
		}
		s.mu.Unlock()
	}
	close(p.done)
}

// forget drops what a browser did, so that a form that it sends again after a
// Cancel does not lead back to the challenge that was canceled.
func (s *repeats) forget(browser twofa.Secret) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, p := range s.last {
		select {
		case <-p.done:
			if p.browser.Reveal() == browser.Reveal() {
				delete(s.last, key)
			}
		default: // still handled, as the Cancel itself
		}
	}
}

// once handles a form, unless the browser has sent the same one a moment ago.
// It then ends where that one did. parts are what the form asks for.
func (x *exchange) once(handle func() (view, error), parts ...string) (view, error) {
	// A browser that sends a form again hangs up on the first request, which must
	// not stop halfway.
	original := x.r
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx()), formTimeout)
	defer func() { cancel(); x.r = original }()
	x.r = x.r.WithContext(ctx)
	cookies := strings.Join(x.r.Header.Values("Cookie"), "; ")
	if !hasSecretCookie(x.r) {
		return handle() // nothing tells the browser from others
	}
	key := repeatKeyOf(append(parts, cookies, x.r.UserAgent(), x.r.Header.Get("Accept"), x.clientIP(x.r).String(), x.r.Host)...)
	p, first := x.repeats.join(key, x.cfg.Now())
	if first {
		defer x.repeats.leave(key, p)
		x.repeat = &repeat{}
		v, err := handle()
		if err == nil {
			p.redirect, p.browser, p.signedOut = v.redirect, x.browser, x.repeat.signedOut
			p.cookies, p.session, p.flow = x.repeat.cookies, x.repeat.session, x.repeat.flow
		}
		return v, err
	}
	select {
	case <-p.done:
	case <-original.Context().Done():
		return view{}, fmt.Errorf("%w: %w", twofa.ErrUnavailable, original.Context().Err())
	}
	if p.redirect == "" || !p.session.IsZero() {
		x.repeat = &repeat{session: p.session, flow: p.flow}
		return handle()
	}
	return x.answerAgain(p)
}

// hasSecretCookie reports whether a cookie is long enough to be random.
// Otherwise, all cookies may be those that everybody has, such as a language.
// Somebody else behind the same address could send them, too, and would share
// the secret of the browser and the challenge of its login.
func hasSecretCookie(r *http.Request) bool {
	return slices.ContainsFunc(r.Cookies(), func(c *http.Cookie) bool { return len(c.Value) >= minSecret })
}

// minSecret is the least length of a text with 100 random bits.
const minSecret = 20

// answerAgain gives the answer of a form that signed nobody in.
func (x *exchange) answerAgain(p *repeat) (view, error) {
	if p.signedOut {
		if err := x.cfg.Sessions.SignOut(x.w, x.r); err != nil {
			return view{}, err
		}
	}
	for _, c := range p.cookies {
		http.SetCookie(x.w, c)
	}
	return redirectTo(p.redirect)
}

func repeatKeyOf(parts ...string) (key repeatKey) {
	h := sha256.New()
	for _, part := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	h.Sum(key[:0])
	return key
}
