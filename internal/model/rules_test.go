package model

import (
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twofa-go/twofa"
)

// model states the rules of the library again, as plainly as possible. Nothing
// is sealed, hashed, stored or expired in the background, and a token is a
// pointer. Each method returns, in words, what the call of the same name must
// answer, and records the change. "a|b" means that both are right.
type model struct {
	cfg      twofa.Config // with the defaults filled in
	now      int64
	dir      map[string]twofa.User
	policies map[string]twofa.Policy
	users    map[string]*modelUser
	texts    map[string][]int64 // times at which a number was texted
	down     bool               // mail server and gateway accept nothing
	lastID   int
	app      map[appStep]string // codes of the apps, computed once
	matched  twofa.Method       // kind of the factor that the last right code was for
	t        testing.TB

	// at is the process that answers the next call. All agree, except in a fleet.
	at      *process
	refused func(key string) bool  // whether this release must refuse a record; nil if there is no other
	plain   func(user string) bool // whether the recovery codes are stored as they are
}

// process is one of the processes that share a store.
type process struct {
	name                string
	next                bool // runs the next release
	link, sms, viewable bool // what is configured
	server              *twofa.Manager
}

// modelUser is the state of a user. If epoch is 0, there is none.
type modelUser struct {
	epoch, keep int
	stamp       string
	factors     []modelFactor
	codes       map[string]bool // a set: true if the code is unused
	setup       *modelSetup
	counters    map[string]modelCounter
	spent       map[int]bool
	grants      []modelGrant
	browsers    []*modelBrowser
	sent        []*modelSent
	sends       map[string][]int64
}

type modelFactor struct {
	id     string
	method twofa.Method
	kind   twofa.Method // if not empty, only the next release can check it: passkey or hashMethod
	name   string
	what   string // the app's URI, or the number
	step   int64
}

type modelSetup struct {
	modelFactor
	sid, attempt     int
	replaces         string
	codes            []string
	confirmed, saved bool
	fails            int
	expires          int64
}

type modelCounter struct {
	fails int
	until int64
}

type modelGrant struct {
	account, action, resource string
	sid                       int
	method                    twofa.Method
	at                        int64
}

type modelBrowser struct {
	token, prev              string
	rotated, proven, expires int64
	remember                 bool
	method                   twofa.Method // last method proven in it
}

type modelSent struct {
	id, attempt int
	method      twofa.Method
	bucket      string // failures and newer messages of this bucket invalidate it
	secret, to  string
	browser     string
	tries       int
	expires     int64
}

// pass is the content of a challenge or a session.
type pass struct {
	kind          string // login, enroll, action, phone, session
	attempt, sid  int
	user, account string
	epoch         int
	stamp         string
	by            twofa.FirstFactorMethod
	sso           string
	at, expires   int64
	ends          int64 // expiry of the live session it is for
	proofs        []twofa.ProvenMethod
	browser, host string
	action, what  string
	sent          int

	// Fields of the next release in the token that the pass was made from, and
	// whether one of them must be understood.
	extras map[string]string
	must   bool
}

// modelCaller is a twofa.Caller with parsed tokens.
type modelCaller struct {
	session, challenge *pass
	account            string
	client             twofa.Client
}

// gift is what a right answer returns. The token of a new browser is copied
// from the library.
type gift struct {
	next      twofa.Next
	methods   []twofa.Method
	session   *pass
	challenge *pass
	browser   *modelBrowser
	sent      *modelSent
}

const (
	saysFine        = "fine"
	saysExpired     = "expired"
	saysNotAllowed  = "not allowed"
	saysNotEnrolled = "not enrolled"
	saysUnavailable = "unavailable"
	saysRefused     = "record refused"
	saysBadArgument = "invalid argument"

	aMinute = 60
	anHour  = 60 * aMinute
	aDay    = 24 * anHour
)

// byBrowser returns the name of a proof by a remembered browser in which the
// method was proven.
func byBrowser(method twofa.Method) twofa.Method { return "browser/" + method }

func saysInvalid(left int) string                { return "invalid, " + strconv.Itoa(left) + " left" }
func saysLocked(seconds int64) string            { return "locked for " + strconv.FormatInt(seconds, 10) }
func saysDenied(r twofa.Reason) string           { return "denied: " + string(r) }
func among[T comparable](l []T, x T) bool        { return slices.Contains(l, x) }
func bucketOf(m twofa.Method, known bool) string { return string(m) + strconv.FormatBool(known) }

func (g gift) String() string {
	return string(g.next) + listed(g.methods) + gave(g.session != nil, g.challenge != nil, g.browser != nil, g.sent != nil)
}

func listed(methods []twofa.Method) (s string) {
	for _, m := range methods {
		s += " " + string(m)
	}
	return s
}

func gave(session, challenge, browser, sent bool) string {
	s := ""
	for i, there := range []bool{session, challenge, browser, sent} {
		if there {
			s += []string{" +session", " +challenge", " +browser", " +sent"}[i]
		}
	}
	return s
}

func (m *model) id() int { m.lastID++; return m.lastID }

func (m *model) user(id string) *modelUser {
	if m.users[id] == nil {
		m.users[id] = &modelUser{counters: map[string]modelCounter{}, spent: map[int]bool{}, sends: map[string][]int64{}}
	}
	return m.users[id]
}

func (m *model) policy(account string) twofa.Policy {
	p, ok := m.policies[account]
	if !ok {
		p = m.cfg.Policy
	}
	if len(p.Methods) == 0 {
		p.Methods = []twofa.Method{twofa.TOTP}
	}
	return p
}

// Users and memberships.

func (m *model) lookup(id, account string) string {
	u := m.dir[id]
	member := account == "" || slices.ContainsFunc(u.Members, func(p twofa.Member) bool { return p.Account == account })
	if u.Disabled || !member {
		return saysNotAllowed
	}
	return ""
}

// newEpoch invalidates everything except one session.
func (m *model) newEpoch(u *modelUser, keep int) {
	u.epoch, u.keep = m.id(), keep
	u.grants, u.sent, u.setup, u.browsers = nil, nil, nil, nil
}

func (u *modelUser) live(p *pass) bool {
	return u.epoch != 0 && (p.epoch == u.epoch || p.kind == "session" && u.keep != 0 && p.sid == u.keep)
}

func (p *pass) from(c twofa.Client) bool {
	return (p.browser == "" || p.browser == c.Browser.Reveal()) && (p.host == "" || p.host == c.HostSession.Reveal())
}

func (m *model) opens(p *pass, c twofa.Client, kinds ...string) bool {
	return p != nil && m.reads(p) && among(kinds, p.kind) && m.now < p.expires && p.from(c)
}

// The decision.

func (m *model) enrolled(u *modelUser, account string, mail bool) (l []twofa.Method) {
	for _, method := range []twofa.Method{twofa.TOTP, twofa.SMS, passkey} {
		if slices.ContainsFunc(u.factors, func(f modelFactor) bool { return m.shown(f) == method }) {
			l = append(l, method)
		}
	}
	if mail && (m.at.link || among(m.policy(account).Methods, twofa.EmailLink)) {
		l = append(l, twofa.EmailLink)
	}
	return l
}

func (m *model) mailable(user string) bool { return len(m.dir[user].Emails) > 0 }

func (u *modelUser) left() (n int) {
	for _, unused := range u.codes {
		if unused {
			n++
		}
	}
	return n
}

// unchecked returns the methods of have that this process cannot check.
func (m *model) unchecked(u *modelUser, have []twofa.Method) (l []twofa.Method) {
	for _, method := range have {
		can := method == twofa.EmailLink && m.at.link
		for _, f := range u.factors {
			can = can || m.shown(f) == method && m.checks(f)
		}
		if !can {
			l = append(l, method)
		}
	}
	return l
}

// shown returns the method of a factor as this process sees it.
func (m *model) shown(f modelFactor) twofa.Method {
	if f.kind == passkey && !m.at.next {
		return passkey
	}
	return f.method
}

func (m *model) checks(f modelFactor) bool {
	return (f.kind == "" || m.at.next) && (f.method != twofa.SMS || m.at.sms)
}

// as returns the method that a proof counts as on this process.
func (m *model) as(method twofa.Method) twofa.Method {
	switch {
	case m.at.next && method == passkey:
		return twofa.TOTP
	case m.at.next && method == byBrowser(passkey):
		return byBrowser(twofa.TOTP)
	}
	return method
}

// except returns l without some of its elements.
func except(l []twofa.Method, gone ...twofa.Method) []twofa.Method {
	return slices.DeleteFunc(slices.Clone(l), func(x twofa.Method) bool { return among(gone, x) })
}

// reads reports whether this process understands a token.
func (m *model) reads(p *pass) bool { return m.at.next || !p.must }

// load returns why a process cannot read the record of a user, and the policy
// of an account if it is not empty.
func (m *model) load(user, account string) string {
	if m.refused == nil || m.at.next || !m.refused("user/"+user) && (account == "" || !m.refused("account/"+account)) {
		return ""
	}
	return saysRefused
}

// clone returns a copy, for a call that turns out to change nothing.
func (u *modelUser) clone() modelUser {
	c := *u
	c.factors, c.codes, c.counters, c.spent = slices.Clone(u.factors), maps.Clone(u.codes), maps.Clone(u.counters), maps.Clone(u.spent)
	c.grants, c.browsers, c.sent, c.sends = slices.Clone(u.grants), slices.Clone(u.browsers), slices.Clone(u.sent), maps.Clone(u.sends)
	if u.setup != nil {
		s := *u.setup
		c.setup = &s
	}
	return c
}

// nextUnavailable means that only another process can check the user's factors.
const nextUnavailable twofa.Next = saysUnavailable

// strongest returns the strongest method of have that is accepted, and the
// accepted ones that the policy names as fallback.
func strongest(have, accepted, fallback []twofa.Method) (l []twofa.Method) {
	for _, method := range have { // strongest first
		first := len(l) == 0 && (method == twofa.TOTP || !among(have, passkey)) // a passkey may be stronger than the rest
		if among(accepted, method) && (first || among(fallback, method)) {
			l = append(l, method)
		}
	}
	return l
}

func (m *model) proven(p *pass, methods ...twofa.Method) bool {
	return slices.ContainsFunc(p.proofs, func(x twofa.ProvenMethod) bool { return among(methods, m.as(x.Method)) })
}

func (m *model) provenAt(p *pass, method twofa.Method) (at int64, ok bool) {
	for _, x := range p.proofs {
		if m.as(x.Method) == method {
			at, ok = max(at, x.At.Unix()), true
		}
	}
	return at, ok
}

// proves reports whether one of the methods was proven. A recovery code counts
// as any, and a remembered browser as the method that was proven in it.
func (m *model) proves(p *pass, pol twofa.Policy, methods []twofa.Method) bool {
	remembered := slices.ContainsFunc(methods, func(method twofa.Method) bool {
		at, ok := m.provenAt(p, byBrowser(method))
		return ok && p.at-at < int64(pol.Remember/time.Second)
	})
	return remembered || m.proven(p, twofa.RecoveryCode) || m.proven(p, methods...)
}

// owes returns what must still be proven in an account, of which this process
// asks only what it can check.
func (m *model) owes(u *modelUser, account string, mail bool, p *pass) (twofa.Next, []twofa.Method) {
	have := m.enrolled(u, account, mail)
	next, ask := m.owesAnywhere(u, account, have, p)
	if next != twofa.NextChallenge {
		return next, nil
	}
	if ask = except(ask, m.unchecked(u, have)...); len(ask) == 0 {
		return nextUnavailable, nil
	}
	return next, ask
}

// owesAnywhere is owes on a process that can check everything.
func (m *model) owesAnywhere(u *modelUser, account string, have []twofa.Method, p *pass) (twofa.Next, []twofa.Method) {
	pol := m.policy(account)
	if pol.ExemptSSO && p.by == twofa.BySSO && account != "" && p.sso == account {
		return twofa.NextDone, nil
	}
	if ask := strongest(have, pol.Methods, pol.Fallback); len(ask) > 0 || among(have, passkey) {
		if m.proves(p, pol, ask) {
			return twofa.NextDone, nil
		}
		return twofa.NextChallenge, u.orCode(ask)
	}
	// The user's strongest method comes first even if it is not accepted. A
	// mailbox comes first only if something is required.
	if len(have) > 0 && (pol.Required || have[0] != twofa.EmailLink) && !m.proven(p, have[0], twofa.RecoveryCode) {
		return twofa.NextChallenge, u.orCode(have[:1])
	}
	if pol.Required {
		return twofa.NextEnroll, nil
	}
	return twofa.NextDone, nil
}

func (u *modelUser) orCode(ask []twofa.Method) []twofa.Method {
	if u.left() > 0 {
		return append(slices.Clone(ask), twofa.RecoveryCode)
	}
	return ask
}

// advance returns the next step: a session, or a challenge for the rest.
func (m *model) advance(u *modelUser, account string, p *pass) gift {
	next, methods := m.owes(u, account, m.mailable(p.user), p)
	q := *p
	switch next {
	case nextUnavailable:
		return gift{next: next}
	case twofa.NextDone:
		return gift{next: next, session: m.sessionOf(u, p)}
	case twofa.NextEnroll:
		q.kind, q.expires = "enroll", m.now+15*aMinute
	default:
		q.kind, q.expires = "login", m.now+10*aMinute
	}
	q.attempt, q.epoch, q.sent = m.id(), u.epoch, 0
	return gift{next: next, methods: methods, challenge: &q}
}

func (m *model) sessionOf(u *modelUser, p *pass) *pass {
	q := *p
	q.epoch, q.browser, q.host, q.action, q.what, q.sent, q.attempt = u.epoch, "", "", "", "", 0, 0
	if p.kind != "session" {
		q.kind, q.expires = "session", m.now+int64(m.cfg.Lifetimes.Session/time.Second)
	}
	if p.ends > 0 {
		q.expires, q.ends = p.ends, 0
	}
	return &q
}

func (p *pass) bind(c twofa.Client) { p.browser, p.host = c.Browser.Reveal(), c.HostSession.Reveal() }

func (m *model) prove(p *pass, method twofa.Method, at int64) *pass {
	q := *p
	q.proofs = append([]twofa.ProvenMethod{{Method: method, At: time.Unix(at, 0)}},
		slices.DeleteFunc(slices.Clone(p.proofs), func(x twofa.ProvenMethod) bool { return m.as(x.Method) == m.as(method) })...)
	return &q
}

// Known and remembered browsers.

// browser finds the browser of a token. The token before the last rotation is
// valid for 30 seconds and is late afterwards.
func (m *model) browser(u *modelUser, token string) (b *modelBrowser, late bool) {
	for _, b := range u.browsers {
		switch {
		case token == "" || m.now >= b.expires:
		case b.token == token:
			return b, false
		case b.prev == token:
			return b, m.now >= b.rotated+30
		}
	}
	return nil, false
}

func (m *model) known(u *modelUser, c twofa.Client) bool {
	b, late := m.browser(u, c.Browser.Reveal())
	return b != nil && !late
}

// recognize makes a browser known for 90 days if it can keep a token. At most
// ten are known. If the policy remembers browsers, the last answer of the user
// counts.
func (m *model) recognize(u *modelUser, c twofa.Client, account string, method twofa.Method, remember bool) (fresh *modelBrowser) {
	if c.Browser.IsZero() {
		return nil
	}
	b, late := m.browser(u, c.Browser.Reveal())
	if b != nil && b.token == c.Browser.Reveal() {
		fresh = b
	}
	if b == nil || late {
		fresh = &modelBrowser{token: "to be learnt"}
		b = fresh
		u.browsers = slices.DeleteFunc(u.browsers, func(b *modelBrowser) bool { return m.now >= b.expires })
		u.browsers = append(u.browsers[max(0, len(u.browsers)-9):], b)
	}
	b.method, b.proven, b.expires = method, m.now, m.now+90*aDay
	if m.policy(account).Remember > 0 {
		b.remember = remember
	}
	return fresh
}

// Login.

func (m *model) begin(f twofa.FirstFactor) (string, gift) {
	if why := m.lookup(f.UserID, f.Account); why != "" {
		return why, gift{}
	}
	if why := m.load(f.UserID, f.Account); why != "" {
		return why, gift{}
	}
	u, stamp := m.user(f.UserID), m.dir[f.UserID].SecurityStamp
	if u.epoch == 0 || u.stamp != stamp {
		m.newEpoch(u, 0)
		u.stamp = stamp
	}
	p := &pass{sid: m.id(), user: f.UserID, account: f.Account, epoch: u.epoch, stamp: stamp, by: f.By, sso: f.ProviderOf, at: m.now}
	p.bind(f.Client)
	b, late := m.browser(u, f.Client.Browser.Reveal())
	if late { // a copy
		u.browsers = slices.DeleteFunc(u.browsers, func(x *modelBrowser) bool { return x == b })
		b = nil
	}
	in := f.By == twofa.ByPassword || f.By == twofa.BySSO
	if b != nil && in && b.remember && m.now-b.proven < int64(m.policy(f.Account).Remember/time.Second) {
		p.proofs = []twofa.ProvenMethod{{Method: byBrowser(b.method), At: time.Unix(b.proven, 0)}}
	}
	g := m.advance(u, f.Account, p)
	if g.next == nextUnavailable { // a new stamp or a copied token counts nevertheless
		return saysUnavailable, gift{}
	}
	if g.next == twofa.NextDone && b != nil && b.token == f.Client.Browser.Reveal() {
		b.prev, b.rotated, g.browser = b.token, m.now, b
	}
	return g.String(), g
}

// resume opens a challenge.
func (m *model) resume(c twofa.Client, p *pass) (u *modelUser, offered []twofa.Method, why string) {
	if !m.opens(p, c, "login", "action") {
		return nil, nil, saysExpired
	}
	if why := m.lookup(p.user, p.account); why != "" {
		return nil, nil, why
	}
	u = m.user(p.user)
	if p.stamp != m.dir[p.user].SecurityStamp {
		return nil, nil, saysExpired
	}
	if why := m.load(p.user, p.account); why != "" {
		return nil, nil, why
	}
	if !u.live(p) || u.spent[p.attempt] {
		return nil, nil, saysExpired
	}
	if p.kind == "action" {
		offered, why = m.wouldDo(u, p.account, p.action, p.user)
		return u, offered, why
	}
	next, offered := m.owes(u, p.account, m.mailable(p.user), p)
	switch next {
	case twofa.NextChallenge:
		return u, offered, ""
	case nextUnavailable:
		return nil, nil, saysUnavailable
	}
	return nil, nil, saysExpired
}

func (m *model) offer(c twofa.Client, p *pass) string {
	u, offered, why := m.resume(c, p)
	if why != "" {
		return why
	}
	return gift{next: twofa.NextChallenge, methods: offered, challenge: p, sent: m.liveSent(u, p, "")}.String()
}

func (m *model) verify(c twofa.Client, p *pass, proof twofa.Proof) (string, gift) {
	u, offered, why := m.resume(c, p)
	if why != "" {
		return why, gift{}
	}
	if !among(offered, proof.Method) {
		return m.notOffered(u, p.account, proof.Method), gift{}
	}
	before := u.clone()
	if why := m.tryProof(u, c, p, proof); why != "" {
		return why, gift{}
	}
	u.spent[p.attempt] = true
	method := proof.Method
	if method == twofa.TOTP && m.matched == passkey {
		method = passkey
	}
	if p.kind == "action" {
		m.grant(u, p, method)
		if among([]twofa.Method{twofa.TOTP, twofa.SMS}, proof.Method) {
			p = m.prove(p, method, m.now)
		}
		g := gift{next: twofa.NextDone, session: m.sessionOf(u, p)}
		return g.String(), g
	}
	g := m.advance(u, p.account, m.prove(p, method, m.now))
	if g.next == nextUnavailable {
		*u = before
		return saysUnavailable, gift{}
	}
	switch proof.Method {
	case twofa.RecoveryCode:
		u.browsers = nil
	case twofa.TOTP, twofa.SMS:
		if g.next == twofa.NextDone {
			g.browser = m.recognize(u, c, p.account, method, proof.Remember)
		}
	}
	return g.String(), g
}

func (m *model) notOffered(u *modelUser, account string, method twofa.Method) string {
	if among(m.enrolled(u, account, true), method) || method == twofa.RecoveryCode && u.codes != nil {
		return saysNotAllowed
	}
	return saysNotEnrolled
}

func (m *model) tryProof(u *modelUser, c twofa.Client, p *pass, proof twofa.Proof) string {
	switch proof.Method {
	case twofa.EmailLink: // has 256 bits and is not counted
		x := m.liveSent(u, p, twofa.EmailLink)
		if x == nil || x.secret != proof.Code.Reveal() || !m.mailable(p.user) || x.to != m.dir[p.user].Emails[0] {
			return saysInvalid(0)
		}
		u.unsend(func(o *modelSent) bool { return o == x })
		return ""
	case twofa.TOTP:
		return m.attempt(u, c, proof.Method, func() bool { return m.tryTOTP(u, proof.Code.Reveal()) })
	case twofa.SMS:
		return m.attempt(u, c, proof.Method, func() bool { return m.tryText(u, p, proof.Code.Reveal()) })
	}
	return m.attempt(u, c, proof.Method, func() bool { return u.redeem(proof.Code.Reveal()) })
}

// Guards.

// alive reports whether a token is still valid for anything.
func (m *model) alive(p *pass) bool {
	u := m.user(p.user)
	return m.now < p.expires && u.live(p) && !u.spent[p.attempt]
}

func (m *model) live(c modelCaller) (u *modelUser, why string) {
	if !m.opens(c.session, c.client, "session") {
		return nil, m.signedOut(c.session)
	}
	if why := m.load(c.session.user, c.account); why != "" {
		return nil, why
	}
	if u = m.user(c.session.user); !u.live(c.session) {
		return nil, saysDenied(twofa.ReasonSignedOut)
	}
	return u, ""
}

// signedOut returns the reason why a session that does not open is denied.
func (m *model) signedOut(p *pass) string {
	if p != nil && !m.reads(p) {
		return saysDenied(twofa.ReasonUnreadable)
	}
	return saysDenied(twofa.ReasonSignedOut)
}

func (m *model) guard(c modelCaller) (u *modelUser, why string) {
	if u, why = m.live(c); why != "" {
		return nil, why
	}
	switch next, _ := m.owes(u, c.account, true, c.session); next {
	case twofa.NextChallenge:
		return nil, saysDenied(twofa.ReasonChallenge)
	case twofa.NextEnroll:
		return nil, saysDenied(twofa.ReasonEnroll)
	case nextUnavailable:
		return nil, saysUnavailable
	}
	return u, ""
}

func (m *model) check(c modelCaller) string {
	_, why := m.guard(c)
	return orFine(why)
}

func orFine(why string) string {
	if why == "" {
		return saysFine
	}
	return why
}

func (m *model) resumeSession(c modelCaller) (string, gift) {
	u, why := m.live(c)
	if why != "" {
		return why, gift{}
	}
	if why := m.lookup(c.session.user, c.account); why != "" {
		return why, gift{}
	}
	if u.stamp != m.dir[c.session.user].SecurityStamp {
		return saysDenied(twofa.ReasonSignedOut), gift{}
	}
	p := *c.session
	p.account, p.stamp = c.account, u.stamp
	if next, _ := m.owes(u, c.account, m.mailable(p.user), &p); next == twofa.NextEnroll { // required now
		if len(u.factors) == 0 && (!m.justNow(p.at) || p.by == twofa.ByToken) {
			return saysDenied(twofa.ReasonSignedOut), gift{}
		}
		p.proofs = slices.DeleteFunc(slices.Clone(p.proofs), func(x twofa.ProvenMethod) bool { return !m.justNow(x.At.Unix()) })
	}
	g := m.advance(u, c.account, &p)
	if g.next == nextUnavailable {
		return saysUnavailable, gift{}
	}
	if g.challenge != nil {
		g.challenge.ends = c.session.expires
		g.challenge.bind(c.client)
	}
	return g.String(), g
}

func (m *model) justNow(at int64) bool { return m.now-at < 15*aMinute }

// Step-up.

func (m *model) rule(account, action string) twofa.ActionRule {
	pol := m.policy(account)
	r, ok := pol.Actions[action]
	if !ok && action == twofa.ActionFactors {
		r = twofa.ActionRule{MaxAge: 15 * time.Minute, Methods: []twofa.Method{twofa.TOTP, twofa.SMS}}
	}
	if len(r.Methods) == 0 {
		r.Methods = []twofa.Method{twofa.TOTP}
		if among(pol.Methods, twofa.SMS) || action == twofa.ActionFactors {
			r.Methods = append(r.Methods, twofa.SMS)
		}
	}
	return r
}

// wouldDo returns the methods that an action accepts from this user.
func (m *model) wouldDo(u *modelUser, account, action, user string) ([]twofa.Method, string) {
	r := m.rule(account, action)
	fallback := m.policy(account).Fallback
	if action == twofa.ActionFactors {
		fallback = nil
	}
	have := m.enrolled(u, account, m.mailable(user))
	accepted := strongest(have, r.Methods, fallback)
	l := except(accepted, m.unchecked(u, have)...)
	if among(r.Methods, twofa.RecoveryCode) {
		l = u.orCode(l)
	}
	switch {
	case len(l) > 0:
		return l, ""
	case len(accepted) > 0 || among(have, passkey):
		return nil, saysUnavailable
	}
	return nil, saysDenied(twofa.ReasonEnroll)
}

func (m *model) grant(u *modelUser, p *pass, method twofa.Method) {
	g := modelGrant{p.account, p.action, p.what, p.sid, method, m.now}
	u.grants = slices.DeleteFunc(u.grants, func(o modelGrant) bool {
		return m.now-o.at >= anHour || o.account == g.account && o.action == g.action && o.resource == g.resource && o.sid == g.sid
	})
	u.grants = append(u.grants[max(0, len(u.grants)-15):], g)
}

// granted finds a proof that is valid for this account, action, resource and
// session. After an hour the library may forget that there was one.
func (m *model) granted(u *modelUser, account, action, resource string, sid int) (i int, why string) {
	why = saysDenied(twofa.ReasonMissing)
	r := m.rule(account, action)
	age := int64(r.MaxAge / time.Second)
	if age == 0 {
		age = 5 * aMinute
	}
	for i, g := range u.grants {
		if g.account != account || g.action != action || g.resource != resource || g.sid != sid {
			continue
		}
		if m.now-g.at < age && among(r.Methods, m.as(g.method)) {
			return i, ""
		}
		if why = saysDenied(twofa.ReasonStale); m.now-g.at >= anHour {
			why += "|" + saysDenied(twofa.ReasonMissing)
		}
	}
	return 0, why
}

func (m *model) stepUp(c modelCaller, action, resource string) (string, gift) {
	u, why := m.guard(c)
	if why != "" {
		return why, gift{}
	}
	if _, why := m.granted(u, c.account, action, resource, c.session.sid); why == "" {
		return gift{next: twofa.NextDone}.String(), gift{}
	}
	if why := m.lookup(c.session.user, c.account); why != "" {
		return why, gift{}
	}
	methods, why := m.wouldDo(u, c.account, action, c.session.user)
	if why != "" {
		return why, gift{}
	}
	p := *c.session
	p.kind, p.attempt, p.account, p.epoch, p.stamp = "action", m.id(), c.account, u.epoch, u.stamp
	p.action, p.what, p.ends, p.expires = action, resource, c.session.expires, m.now+10*aMinute
	p.bind(c.client)
	g := gift{next: twofa.NextChallenge, methods: methods, challenge: &p}
	return g.String(), g
}

func (m *model) action(c modelCaller, action, resource string, use bool) string {
	u, why := m.guard(c)
	if why != "" {
		return why
	}
	i, why := m.granted(u, c.account, action, resource, c.session.sid)
	if why == "" && use && m.rule(c.account, action).MaxAge == 0 {
		u.grants = slices.Delete(u.grants, i, i+1)
	}
	return orFine(why)
}
