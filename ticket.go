package twofa

import (
	"crypto/rand"
	"slices"
	"strconv"
	"strings"
	"time"
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
	purpose purpose
	id      string // of the attempt; spent by success and by cancel
	sid     string // of the session it is or will become
	user    string
	account string
	epoch   string
	stamp   string // digest of User.Stamp
	by      By
	sso     string // the account whose identity provider vouched
	at      int64  // time of the first factor
	expires int64
	proofs  []proof

	// Challenges only.
	ends     int64  // expiry of the live session it is for; 0 where there is none yet
	browser  string // digest of Client.Browser, if there was one
	host     string // digest of Client.HostSession, if there was one
	action   string
	resource string
	sent     string // id of what was sent last
	sentBy   Method
	sentKey  string // keys the hash of a texted code
}

// proof is a method that was proven, and when.
type proof struct {
	method Method
	at     int64
}

// byBrowser is the proof left by a remembered browser: that m was proven in it,
// and when. It stands for no other method.
func byBrowser(m Method) Method { return "browser/" + m }

const maxToken = 4096

func (k Keys) sealTicket(t ticket) Secret {
	proofs := ""
	for _, p := range t.proofs {
		proofs += string(p.method) + "@" + strconv.FormatInt(p.at, 36) + " "
	}
	plain := pack(string(t.purpose), t.id, t.sid, t.user, t.account, t.epoch, t.stamp, string(t.by), t.sso,
		strconv.FormatInt(t.at, 36), strconv.FormatInt(t.expires, 36), proofs,
		t.browser, t.host, t.action, t.resource, t.sent, string(t.sentBy), t.sentKey, strconv.FormatInt(t.ends, 36))
	return NewSecret(k.seal(plain, "ticket"))
}

func (k Keys) openTicket(s Secret, now time.Time, purposes ...purpose) (ticket, error) {
	text := s.Reveal()
	if text == "" || len(text) > maxToken {
		return ticket{}, ErrExpired
	}
	plain, err := k.open(text, "ticket")
	if err != nil {
		return ticket{}, ErrExpired
	}
	t, ok := parseTicket(plain)
	if !ok || now.Unix() >= t.expires {
		return ticket{}, ErrExpired
	}
	for _, p := range purposes {
		if t.purpose == p {
			return t, nil
		}
	}
	return ticket{}, ErrExpired
}

func parseTicket(plain []byte) (t ticket, ok bool) {
	f, ok := unpack(plain)
	if !ok || len(f) != 20 {
		return ticket{}, false
	}
	at, errAt := strconv.ParseInt(f[9], 36, 64)
	expires, errExpires := strconv.ParseInt(f[10], 36, 64)
	ends, errEnds := strconv.ParseInt(f[19], 36, 64)
	if errAt != nil || errExpires != nil || errEnds != nil {
		return ticket{}, false
	}
	t = ticket{purpose: purpose(f[0]), id: f[1], sid: f[2], user: f[3], account: f[4], epoch: f[5], stamp: f[6],
		by: By(f[7]), sso: f[8], at: at, expires: expires, ends: ends,
		browser: f[12], host: f[13], action: f[14], resource: f[15], sent: f[16], sentBy: Method(f[17]), sentKey: f[18]}
	for p := range strings.FieldsSeq(f[11]) {
		method, when, _ := strings.Cut(p, "@")
		at, err := strconv.ParseInt(when, 36, 64)
		if err != nil {
			return ticket{}, false
		}
		t.proofs = append(t.proofs, proof{Method(method), at})
	}
	return t, true
}

// from reports whether the client is the one the challenge was made for.
func (t ticket) from(c Client) bool {
	return (t.browser == "" || same(t.browser, digest("browser", c.Browser.Reveal()))) &&
		(t.host == "" || same(t.host, digest("host session", c.HostSession.Reveal())))
}

// proven returns when a method was proven, and whether it was.
func (t ticket) proven(m Method) (at int64, ok bool) {
	for _, p := range t.proofs {
		if p.method == m {
			at, ok = max(at, p.at), true
		}
	}
	return at, ok
}

// provenAny reports whether one of the methods was proven.
func (t ticket) provenAny(methods ...Method) bool {
	return slices.ContainsFunc(t.proofs, func(p proof) bool { return slices.Contains(methods, p.method) })
}

// prove returns t with a further proof; the older one of the same method goes.
func (t ticket) prove(m Method, at int64) ticket {
	proofs := []proof{{m, at}}
	for _, p := range t.proofs {
		if p.method != m {
			proofs = append(proofs, p)
		}
	}
	t.proofs = proofs
	return t
}

func newID() string { return rand.Text() }
