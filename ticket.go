package twofa

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/twofa-go/twofa/internal/seal"
)

// Challenge is a login, set-up or step-up under way: sealed text that the
// client or the host keeps until the proof arrives. It grants nothing by itself.
// In a browser it belongs into an HttpOnly cookie; an app may hold it. It
// prints redacted; Reveal gives the text to store, [ParseChallenge] takes it back.
type Challenge struct{ Secret }

// Session is what has been proven, as sealed text: keep it in the host's own
// session and give it to every [Caller]. It ends when the user's epoch changes
// or its lifetime is over. It prints redacted; Reveal gives the text to store,
// [ParseSession] takes it back.
type Session struct{ Secret }

// ParseChallenge takes back the text of a challenge. Nothing is checked here.
func ParseChallenge(text string) Challenge { return Challenge{NewSecret(text)} }

// ParseSession takes back the text of a session. Nothing is checked here.
func ParseSession(text string) Session { return Session{NewSecret(text)} }

// purpose says what a ticket may be used for. It is part of what is sealed.
type purpose string

const (
	forLogin   purpose = "login"   // prove a method, become a session
	forEnroll  purpose = "enroll"  // set up a factor, nothing else
	forAction  purpose = "action"  // prove a method for a live session
	forPhone   purpose = "phone"   // check a code texted to a new number
	forSession purpose = "session" // what Session holds
)

// ticket is what Challenge and Session hold inside.
type ticket struct {
	purpose   purpose
	id        string // of the attempt; spent by success and by cancel
	sessionID string // of the session it is or will become
	user      string
	account   string
	epoch     string
	stamp     string // digest of User.SecurityStamp
	by        FirstFactorMethod
	sso       string   // the account whose identity provider vouched
	at        unixTime // time of the first factor
	expires   unixTime
	proven    []provenMethod

	// Challenges only.
	ends          unixTime // expiry of the live session it is for; 0 where there is none yet
	browser       string   // browserHash of Client.Browser
	host          string   // digest of Client.HostSession, if there was one
	action        string
	resource      string
	messageID     string // id of what was sent last
	messageMethod Method
	messageKey    string // keys the hash of a texted code
}

// provenMethod is a method that was proven, and when.
type provenMethod struct {
	method Method
	at     unixTime
}

// rememberedBrowserMethod is the proof left by a remembered browser: that m was proven in it,
// and when. It stands for no other method.
func rememberedBrowserMethod(m Method) Method { return "browser/" + m }

const (
	usualToken = 320 // bytes, so that sealing one takes one allocation
)

// sealTicket encrypts a ticket as "key-id.base64url".
func (k KeyRing) sealTicket(t ticket) Secret {
	sealer := k.all()[0]
	w := seal.NewEncoder(make([]byte, seal.NonceSize, usualToken))
	t.encodeOrDecode(w)
	sealed := seal.Seal(w.Bytes(), 0, sealer.Tokens, schema, sealer.ID)
	text := make([]byte, 0, len(sealer.ID)+1+tokenEncoding.EncodedLen(len(sealed)))
	text = append(append(text, sealer.ID...), '.')
	return NewSecret(string(tokenEncoding.AppendEncode(text, sealed)))
}

func (k KeyRing) openTicket(s Secret, now unixTime, purposes ...purpose) (t ticket, err error) {
	id, body, _ := strings.Cut(s.Reveal(), ".")
	sealer, ok := k.byID(id)
	if !ok || len(body) > maxToken {
		return ticket{}, ErrExpired
	}
	// Decoding skips line breaks; the length tells of them. So every token has
	// one spelling.
	sealed, err := tokenEncoding.DecodeString(body)
	if err != nil || len(body) != tokenEncoding.EncodedLen(len(sealed)) {
		return ticket{}, ErrExpired
	}
	plain, err := seal.Open(sealed, sealer.Tokens, schema, sealer.ID)
	if err != nil {
		return ticket{}, ErrExpired
	}
	w := seal.NewDecoder(plain)
	t.encodeOrDecode(w)
	if w.Close() != nil || now >= t.expires || !slices.Contains(purposes, t.purpose) {
		return ticket{}, ErrExpired
	}
	return t, nil
}

// tokenEncoding refuses stray bits at the end.
var tokenEncoding = base64.RawURLEncoding.Strict()

func (t *ticket) encodeOrDecode(w *seal.Codec) {
	seal.Text(w, &t.purpose)
	seal.Text(w, &t.id)
	seal.Text(w, &t.sessionID)
	seal.Text(w, &t.user)
	seal.Text(w, &t.account)
	seal.Text(w, &t.epoch)
	seal.Text(w, &t.stamp)
	seal.Text(w, &t.by)
	seal.Text(w, &t.sso)
	seal.Int64(w, &t.at)
	seal.Int64(w, &t.expires)
	seal.List(w, &t.proven, func(w *seal.Codec, p *provenMethod) {
		seal.Text(w, &p.method)
		seal.Int64(w, &p.at)
	})
	seal.Int64(w, &t.ends)
	seal.Text(w, &t.browser)
	seal.Text(w, &t.host)
	seal.Text(w, &t.action)
	seal.Text(w, &t.resource)
	seal.Text(w, &t.messageID)
	seal.Text(w, &t.messageMethod)
	seal.Text(w, &t.messageKey)
}

// isFrom reports whether the client is the one the challenge was made for.
func (t ticket) isFrom(c Client) bool {
	return (t.browser == "" || seal.Equal(t.browser, browserHash(c.Browser))) &&
		(t.host == "" || seal.Equal(t.host, seal.Digest("host session", c.HostSession.Reveal())))
}

// provenAt returns when a method was proven, and whether it was.
func (t ticket) provenAt(m Method) (at unixTime, ok bool) {
	for _, p := range t.proven {
		if p.method == m {
			at, ok = max(at, p.at), true
		}
	}
	return at, ok
}

// hasProven reports whether one of the methods was proven.
func (t ticket) hasProven(methods ...Method) bool {
	return slices.ContainsFunc(t.proven, func(p provenMethod) bool { return slices.Contains(methods, p.method) })
}

// withProof returns t with a further proof; the older one of the same method goes.
func (t ticket) withProof(m Method, at unixTime) ticket {
	proofs := []provenMethod{{m, at}}
	for _, p := range t.proven {
		if p.method != m {
			proofs = append(proofs, p)
		}
	}
	t.proven = proofs
	return t
}

// bindTo ties a challenge to the client it was made for.
func (t *ticket) bindTo(c Client) {
	t.browser, t.host = browserHash(c.Browser), ""
	if !c.HostSession.IsZero() {
		t.host = seal.Digest("host session", c.HostSession.Reveal())
	}
}

// strongest returns the strongest method proven, "" where there is none.
func (t ticket) strongest() Method {
	for _, m := range strength {
		if t.hasProven(m) {
			return m
		}
	}
	if len(t.proven) > 0 {
		return t.proven[0].method
	}
	return ""
}

// amr names what was proven. A remembered browser and a mailbox add no factor.
func (t ticket) amr() []string {
	var amr []string
	if t.by == ByPassword {
		amr = append(amr, "pwd")
	}
	names := map[Method]string{TOTP: "otp", SMS: "sms", EmailLink: "x-email", RecoveryCode: "x-recovery"}
	for _, p := range t.proven {
		amr = append(amr, cmp.Or(names[p.method], "x-browser"))
	}
	if t.by == ByPassword && t.hasProven(TOTP, SMS) {
		amr = append(amr, "mfa")
	}
	return amr
}

func browserHash(token Secret) string {
	if token.IsZero() {
		return ""
	}
	return seal.Digest("browser token", token.Reveal())
}
