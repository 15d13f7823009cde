package twofa

import (
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/internal/known"
	"github.com/twofa-go/twofa/internal/seal"
)

// Challenge is a login, an enrollment or a step-up in progress, as sealed text
// that the client or the host keeps until the proof arrives. It grants nothing
// by itself. In a browser, keep it in an HttpOnly cookie. It prints redacted.
// Reveal returns the text to store, and [ParseChallenge] parses it.
type Challenge struct{ Secret }

// Session lists what a user has proven, as sealed text. Keep it in the host's
// own session and put it into every [Caller]. It is valid until the user's epoch
// changes or its lifetime ends ([Lifetimes]). An attacker who has it acts as the
// user. It prints redacted. Reveal returns the text to store, and
// [ParseSession] parses it.
type Session struct{ Secret }

// ParseChallenge returns the challenge with the given text. It checks nothing.
func ParseChallenge(text string) Challenge { return Challenge{NewSecret(text)} }

// ParseSession returns the session with the given text. It checks nothing.
func ParseSession(text string) Session { return Session{NewSecret(text)} }

// purpose is what a ticket may be used for.
type purpose string

const (
	forLogin   purpose = "login"   // prove a method and become a session
	forEnroll  purpose = "enroll"  // enroll a factor, and nothing else
	forAction  purpose = "action"  // prove a method for a live session
	forPhone   purpose = "phone"   // check the code that was sent to a new number
	forSession purpose = "session" // content of a Session
	forFirst   purpose = "first"   // a first factor on its way; see HoldFirstFactor
	forCase    purpose = "case"    // a link that ends a support case; its ID is that of the case
	forPolicy  purpose = "policy"  // a policy that an admin looks at; see HoldPolicy
)

// ticket is the content of a [Challenge] or a [Session]. A ticket that is made
// from another one keeps its unknown fields.
type ticket struct {
	seal.Unknown
	purpose   purpose
	id        string // ID of the challenge; used up by success and by Cancel
	sessionID string // ID of the session that it is or will become
	user      string
	account   string
	epoch     string
	stamp     string // FirstFactor.SecurityStamp, for forFirst
	first     []firstFactor
	members   string     // digests of the accounts that the user is a member of
	joined    []unixTime // when the user joined each of them
	started   unixTime   // when the session started, or would have
	expires   unixTime
	browser   string // browserHash of Client.Browser
	proven    []provenMethod

	// The rest is for challenges only.
	ends          unixTime // expiry of the live session that it is for; 0 if there is none yet
	host          string   // digest of Client.HostSession, if there was one
	action        string
	resource      string
	messageID     string // ID of the message sent last
	messageMethod Method
	messageKey    string // key of the hash of a code sent by text message
	replaces      string // ID of the session that the login will replace; empty if there is none
	form          string // formID of the form that waits for the step-up; empty if there is none
}

func (t *ticket) Fields(c *seal.Codec) {
	seal.Text(c, 5, &t.purpose)
	seal.Text(c, 9, &t.id)
	seal.Text(c, 13, &t.sessionID)
	seal.Text(c, 17, &t.user)
	seal.Text(c, 21, &t.account)
	seal.Text(c, 25, &t.epoch)
	seal.Text(c, 29, &t.stamp)
	seal.List(c, 32, &t.first)
	seal.Text(c, 36, &t.members)
	seal.Int(c, 40, &t.started)
	seal.Int(c, 45, &t.expires)
	seal.List(c, 48, &t.proven)
	seal.Int(c, 52, &t.ends)
	seal.Text(c, 57, &t.browser)
	seal.Text(c, 61, &t.host)
	seal.Text(c, 65, &t.action)
	seal.Text(c, 69, &t.resource)
	seal.Text(c, 72, &t.messageID)
	seal.Text(c, 76, &t.messageMethod)
	seal.Text(c, 80, &t.messageKey)
	seal.Text(c, 84, &t.replaces)
	seal.Ints(c, 88, &t.joined)
	seal.Text(c, 120, &t.form)
}

// spentID returns the part of the ID by which a used-up challenge is
// recognized. It is short, because an attacker who has the password can fill
// the record with them. Twelve characters have 60 random bits.
func (t *ticket) spentID() string { return t.id[:min(len(t.id), spentIDLen)] }

const spentIDLen = 12

// enrollmentID returns the ID under which answers to the steps of an enrollment
// are kept: the beginning of the ID of the session, which can have one pending
// enrollment.
func (t *ticket) enrollmentID() string { return t.sessionID[:min(len(t.sessionID), spentIDLen)] }

// provenMethod is a method that was proven, and when.
type provenMethod struct {
	seal.Unknown
	method  Method
	at      unixTime
	elevate bool // whether it counts for actions with a MaxAge; see elevatedFor
}

func (p *provenMethod) Fields(c *seal.Codec) {
	seal.Text(c, 4, &p.method)
	seal.Int(c, 8, &p.at)
	seal.Bool(c, 12, &p.elevate)
}

// rememberedBrowserMethod is the proof of a remembered browser, in which m was
// proven. It replaces no other method.
func rememberedBrowserMethod(m Method) Method { return "browser/" + m }

func isRememberedBrowser(m Method) bool {
	return strings.HasPrefix(string(m), string(rememberedBrowserMethod("")))
}

// emailTyped is the proof of a code that was mailed with a link. A release that does
// not know it asks for the link.
const emailTyped Method = "email_code"

// countsAmong reports whether a proof of m is one of the accepted methods. A mailed
// code counts as the link, except before an enrollment, which looks for EmailLink
// itself, because an attacker can talk a code out of the user.
func (m Method) countsAmong(accepted []Method) bool {
	return slices.Contains(accepted, m) || m == emailTyped && slices.Contains(accepted, EmailLink)
}

// tokenFormat is the number of the way tokens are sealed. It is not the number
// of records, so that a change of those ends no session.
const tokenFormat = "token 1"

// sealTicket encrypts a ticket.
func (k KeyRing) sealTicket(t ticket) Secret { return k.sealToken(tokenFormat, &t) }

// sealToken encrypts the content of a token as "key-ID.base64url".
func (k KeyRing) sealToken(format string, m seal.Message) Secret {
	sealer := k.all()[0]
	return NewSecret(seal.SealText(sealer.ID+".", m, sealer.Tokens, format, sealer.ID))
}

// lifetime returns the longest time for which a token of a purpose is issued.
func (c *Config) lifetime(p purpose) time.Duration {
	switch p {
	case forSession:
		return c.Lifetimes.Session
	case forEnroll, forPhone:
		return c.Lifetimes.Enrollment
	case forFirst:
		return holdTTL
	case forPolicy:
		return reviewTTL
	case forCase:
		return caseTTL
	}
	return max(challengeTTL, c.Lifetimes.Link)
}

// openTicket opens a token that was issued for one of the purposes. The error
// is ErrExpired. It is also errUnreadable if this release or key ring cannot
// open the token, although another server may.
func (m *Manager) openTicket(s Secret, purposes ...purpose) (ticket, error) {
	t, err := m.cfg.Keys.openTicket(s)
	if err != nil {
		return ticket{}, err
	}
	now, lifetime := m.now(), m.cfg.lifetime(t.purpose)
	valid := t.expires.isAhead(lifetime, now)
	if t.purpose == forSession { // the lifetime may have been changed since
		valid = now < t.expires && t.started.within(lifetime, now)
	}
	if !valid || !slices.Contains(purposes, t.purpose) {
		return ticket{}, ErrExpired
	}
	return t, nil
}

// openTicket opens a token, whatever its purpose and however old it is.
func (k KeyRing) openTicket(s Secret) (ticket, error) {
	var t ticket
	if err := k.openToken(tokenFormat, s, maxToken, &t); err != nil {
		return ticket{}, err
	}
	return t, nil
}

// openToken opens a token of a format, with at most limit characters, and
// decodes it into m.
func (k KeyRing) openToken(format string, s Secret, limit int, m seal.Message) error {
	id, body, _ := strings.Cut(s.Reveal(), ".")
	sealer, ok := k.byID(id)
	if !ok || len(body) > limit {
		return errUnreadable
	}
	plain, err := seal.OpenText(body, sealer.Tokens, format, sealer.ID)
	if err != nil || seal.Decode(plain, m) != nil {
		return errUnreadable
	}
	return nil
}

var errUnreadable = fmt.Errorf("%w: the token cannot be read here", ErrExpired)

// isFrom reports whether the client is the one that the challenge was issued to.
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

// withProof returns t with another proof, which replaces an older one of the
// same method.
func (t ticket) withProof(p provenMethod) ticket {
	proofs := []provenMethod{p}
	for _, o := range t.proven {
		if o.method != p.method {
			proofs = append(proofs, o)
		}
	}
	t.proven = proofs
	return t
}

// lowered returns proofs that count for no action.
func lowered(proofs []provenMethod) []provenMethod {
	proofs = slices.Clone(proofs)
	for i := range proofs {
		proofs[i].elevate = false
	}
	return proofs
}

// memberSince returns whether the user was a member of the account when the
// ticket was issued, as far as the ticket knows, and since when. The time is
// zero if the ticket does not know it, and the earliest one if there are several.
func (t ticket) memberSince(account string) (since unixTime, ok bool) {
	digest := memberDigest(account)
	for i, rest := 0, t.members; len(rest) >= len(digest); i, rest = i+1, rest[len(digest):] {
		if rest[:len(digest)] != digest {
			continue
		}
		joined := unixTime(0)
		if i < len(t.joined) {
			joined = t.joined[i]
		}
		if !ok || joined < since {
			since, ok = joined, true
		}
	}
	return since, ok || account == ""
}

// setMembers notes the accounts that a user is a member of, the one being
// entered first, because a ticket has room for maxMemberships.
func (t *ticket) setMembers(u User, entered string) {
	members := slices.Clone(u.Members)
	if i := slices.IndexFunc(members, func(member Member) bool { return member.Account == entered }); i > 0 {
		members[0], members[i] = members[i], members[0]
	}
	var digests strings.Builder
	t.joined = nil
	for _, member := range members[:min(len(members), maxMemberships)] {
		digests.WriteString(memberDigest(member.Account))
		since := unixTime(0)
		if !member.Since.IsZero() {
			since = max(0, unixTimeOf(member.Since))
		}
		t.joined = append(t.joined, since)
	}
	t.members = digests.String()
}

func memberDigest(account string) string { return seal.Digest("member", account)[:10] }

// bindTo binds a challenge to a client.
func (t *ticket) bindTo(c Client) {
	browser := browserHash(c.Browser)
	if browser != t.browser { // the proofs were given in another browser
		t.proven = lowered(t.proven)
	}
	t.browser, t.host = browser, ""
	if !c.HostSession.IsZero() {
		t.host = seal.Digest("host session", c.HostSession.Reveal())
	}
}

// strongest returns the strongest method proven, or an empty string.
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

// amr returns the authentication methods by RFC 8176. A remembered browser and
// an email link add no factor.
func (t ticket) amr() []string {
	var amr []string
	password := t.hasFirstFactor(func(f firstFactor) bool { return f.by == ByPassword })
	if password {
		amr = append(amr, "pwd")
	}
	names := map[Method]string{TOTP: "otp", SMS: "sms", EmailLink: "x-email", RecoveryCode: "x-recovery"}
	for _, p := range t.proven {
		name := names[p.method]
		switch {
		case name != "":
		case isRememberedBrowser(p.method):
			name = "x-browser"
		default: // of a newer release
			name = "x-" + string(p.method)
		}
		amr = append(amr, name)
	}
	if password && t.hasProven(TOTP, SMS) {
		amr = append(amr, "mfa")
	}
	return amr
}

// browserHash returns the hash of the secret in a browser's cookie, to which
// challenges, sessions and enrollments are bound. It is empty without one.
func browserHash(text Secret) string {
	secret := known.Secret(text.Reveal())
	if secret == "" {
		return ""
	}
	return seal.Digest("browser token", secret)
}

// nextID returns the ID of the challenge that follows another, so that an answer
// that is given again has the same.
func nextID(id string) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seal.KeyedHash([]byte(id), "next challenge"))
}
