package model

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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
	harder   map[string]int64 // when the policy last began to require more
	versions map[string]int   // of the policies; 0 if the account has set none
	told     map[string]int64 // when the admins got the last summary
	users    map[string]*modelUser
	cookies  map[string]modelCookie // content of the cookies that the library returned, by text
	texts    map[string]modelSends  // times at which a number was texted
	down     outage
	lastID   int
	follows  map[int]int           // the challenge that follows another
	born     map[string]modelEntry // family and token that a browser gets when it becomes known, by the proof
	app      map[appStep]string    // codes of the apps, computed once
	matched  twofa.Method          // kind of the factor that the last right code was for
	still    bool                  // the last call must not have written anything
	events   []string              // events that the last call must have left; see emit
	noting   []string              // users whose addresses the last call must have brought up to date
	reach    func(rule string)     // hears of each rule that applied
	t        testing.TB

	// at is the process that answers the next call. All agree, except in a fleet.
	at      *process
	refused func(key string) bool  // whether this release must refuse a record; nil if there is no other
	plain   func(user string) bool // whether the recovery codes are stored as they are
}

// outage is what is wrong with the mail server and the gateway.
type outage int

const (
	allWell     outage = iota
	nothingSent        // they accept nothing
	noRecipient        // they know that the recipient can never be reached
)

// process is one of the processes that share a store.
type process struct {
	name                string
	next                bool  // runs the next release
	older               bool  // runs an older release, which knows none of modelHelp
	link, sms, viewable bool  // the parts that are configured
	codes               bool  // mails a code with a link
	cases               bool  // has the page at which a user ends a case
	skew                int64 // seconds by which its clock is ahead
	session             int64 // seconds for which it lets sessions live
	server              *twofa.Manager
}

// modelUser is the state of a user. If epoch is 0, there is none.
type modelUser struct {
	modelHelp
	epoch, keep        int
	stamp, stampBefore string
	stampedAt          int64
	factors            []modelFactor
	codes              map[string]bool // a set: true if the code is unused
	codesReplaced      int64
	setup              *modelSetup
	counters           map[string]modelCounter
	eased              []int64
	spent              map[int]int64 // used-up challenges, and until when they are remembered
	answers            []modelAnswer
	grants             []modelGrant
	browsers           []*modelBrowser
	sent               []*modelSent
	sends              map[string]modelSends
	reset              *modelReset
	coolsUntil         int64                // after a reset, until when the user can do nothing as an admin
	extended           map[string]int64     // until when an admin gave more time, by account
	seen               map[string]modelSeen // by account
	assigned           *modelAssigned       // a number that an admin has entered
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
	browser          string
	replaces         string
	codes            []string
	confirmed, saved bool
	proof            string
	elevate          bool
	fails            int
	expires, ends    int64
}

// modelCounter counts failures. Level and streak are those in unknown browsers.
type modelCounter struct {
	fails       int
	until, last int64
	level       int
	since       int64 // when the level last fell by one, or rose from zero
	streak      int
}

// modelAnswer is what a proof was answered, for ten seconds.
type modelAnswer struct {
	to, proof string
	at        int64
	sid       int // of the session; 0 if the proof was wrong
	method    twofa.Method
	elevate   bool
	left      int
	until     int64
}

type modelGrant struct {
	account, action, resource string
	sid                       int
	method                    twofa.Method
	at                        int64
	browser                   string // secret of the browser in which it was given
}

type modelBrowser struct {
	id, family, token, prev  int
	rotated, proven, expires int64
	remembered               int          // epoch in which the user asked for it
	copied                   bool         // an old cookie came back
	method                   twofa.Method // last method proven in it
}

// modelCookie is the content of a browser's cookie: a secret, and what the
// browser keeps for each of four users.
type modelCookie struct {
	secret  string
	entries []modelEntry
}

type modelEntry struct {
	user          string
	family, token int
}

type modelSent struct {
	id, attempt, sid int
	method           twofa.Method
	bucket           string // failures and newer messages of this bucket invalidate it
	secret, to       string
	coded            bool   // whether the mail also has a code that is valid
	code             string // which is this one
	browser          string
	tries            int
	expires          int64
}

// modelSends is when messages were sent, and when one was given back.
type modelSends struct{ times, returned []int64 }

type modelReset struct {
	at       int64
	inPerson bool
}

// modelFirst is a first factor of a session.
type modelFirst struct {
	by twofa.FirstFactorMethod
	of string // account whose own provider vouched
	at int64
}

// modelProof is a proof in a session. Elevate is whether it counts for actions
// that accept an earlier proof.
type modelProof struct {
	method  twofa.Method
	at      int64
	elevate bool
}

// pass is the content of a challenge or a session.
type pass struct {
	kind          string // login, enroll, action, phone, session
	attempt, sid  int
	replaces      int // session that the login replaces
	user, account string
	members       []modelMember // accounts that the session knows
	epoch         int
	first         []modelFirst
	started       int64
	expires       int64
	ends          int64 // expiry of the live session it is for
	proofs        []modelProof
	browser, host string
	action, what  string
	sent          int

	// Fields of the next release in the token that the pass was made from, and
	// whether one of them must be understood.
	extras map[string]string
	must   bool
	again  bool // whether a proof in it was given before, at the same time
}

// modelCaller is a twofa.Caller with parsed tokens.
type modelCaller struct {
	session, challenge *pass
	account            string
	client             twofa.Client
}

// in returns the account of a request with a session.
func (c modelCaller) in() string {
	if c.session == nil {
		return c.account
	}
	return cmp.Or(c.account, c.session.account)
}

// gift is what a right answer returns. The content of a cookie or a message is
// copied from the library.
type gift struct {
	next      twofa.Next
	methods   []twofa.Method
	session   *pass
	challenge *pass
	cookie    *modelCookie
	sent      *modelSent
	due       int64 // when the user must have enrolled
	helped    bool  // whether support wants to reset the user
	typed     bool  // whether the page asks for the code of the mail
}

// emailTyped is the proof of a mailed code. It counts as the link, except before an
// enrollment.
const emailTyped twofa.Method = "email_code"

// counts reports whether a proof is one of the accepted methods.
func (m *model) counts(accepted []twofa.Method, method twofa.Method) bool {
	return among(accepted, m.as(method)) || method == emailTyped && among(accepted, twofa.EmailLink)
}

const (
	saysFine          = "fine"
	saysExpired       = "expired"
	saysNotAllowed    = "not allowed"
	saysNotEnrolled   = "not enrolled"
	saysUnavailable   = "unavailable"
	saysUndeliverable = "undeliverable"
	saysRefused       = "record refused"
	saysBadArgument   = "invalid argument"
	saysConflict      = "conflict"

	aMinute = 60
	anHour  = 60 * aMinute
	aDay    = 24 * anHour
)

// byBrowser returns the name of a proof by a remembered browser in which the
// method was proven.
func byBrowser(method twofa.Method) twofa.Method { return "browser/" + method }

func saysInvalid(left int, wait int64) string {
	return "invalid, " + strconv.Itoa(left) + " left, wait " + strconv.FormatInt(wait, 10)
}

func saysLocked(seconds int64) string     { return "locked for " + strconv.FormatInt(seconds, 10) }
func saysDenied(r twofa.Reason) string    { return "denied: " + string(r) }
func among[T comparable](l []T, x T) bool { return slices.Contains(l, x) }

func (g gift) String() string {
	return string(g.next) + listed(g.methods) + gave(g.session != nil, g.challenge != nil, g.cookie != nil, g.sent != nil) + dueBy(g.due) + withCase(g.helped) + withCode(g.typed)
}

func withCase(open bool) string {
	if open {
		return " +case"
	}
	return ""
}

func withCode(asked bool) string {
	if asked {
		return " +code"
	}
	return ""
}

func dueBy(at int64) string {
	if at == 0 {
		return ""
	}
	return " due " + strconv.FormatInt(at, 10)
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
		m.users[id] = &modelUser{counters: map[string]modelCounter{}, spent: map[int]int64{}, sends: map[string]modelSends{},
			extended: map[string]int64{}, seen: map[string]modelSeen{}}
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

func inSeconds(d time.Duration) int64 { return int64(d / time.Second) }

// Users and memberships.

func (m *model) lookup(id, account string) string {
	if u := m.dir[id]; u.Disabled || account != "" && !among(accountsOf(u), account) {
		return saysNotAllowed
	}
	return ""
}

func accountsOf(u twofa.User) (l []string) {
	for _, in := range u.Members {
		l = append(l, in.Account)
	}
	return l
}

// enter reads the record and then asks the directory.
func (m *model) enter(user, account string) (u *modelUser, why string) {
	if why := cmp.Or(m.load(user, account), m.lookup(user, account)); why != "" {
		return nil, why
	}
	return m.user(user), ""
}

// stampChanged reports whether the directory has another stamp. For a minute
// after a change, the one from before means that the directory lags.
func (m *model) stampChanged(user string) (changed bool, why string) {
	u, stamp := m.user(user), m.dir[user].SecurityStamp
	switch {
	case stamp == u.stamp:
		return false, ""
	case stamp == u.stampBefore && m.now-u.stampedAt < aMinute:
		m.reach("the directory lags")
		return false, saysUnavailable
	}
	return true, ""
}

func (m *model) setStamp(user string) {
	u, stamp := m.user(user), m.dir[user].SecurityStamp
	if stamp != u.stamp {
		u.stampBefore, u.stamp, u.stampedAt = u.stamp, stamp, m.now
	}
}

// newEpoch invalidates everything except one session. Browsers remain known.
func (m *model) newEpoch(u *modelUser, keep int) {
	u.epoch, u.keep = m.id(), keep
	u.grants, u.sent, u.setup, u.answers = nil, nil, nil, nil
}

func (u *modelUser) live(p *pass) bool {
	return u.epoch != 0 && (p.epoch == u.epoch || p.kind == "session" && u.keep != 0 && p.sid == u.keep)
}

func (u *modelUser) isSpent(p *pass) bool { _, ok := u.spent[p.attempt]; return ok && p.attempt != 0 }

// from reports whether a challenge comes from the browser that it is bound to.
func (m *model) from(p *pass, c twofa.Client) bool {
	return (p.browser == "" || p.browser == m.cookie(c).secret) && (p.host == "" || p.host == c.HostSession.Reveal())
}

func (m *model) opens(p *pass, c twofa.Client, kinds ...string) bool {
	return p != nil && m.reads(p) && among(kinds, p.kind) && m.now < m.end(p) && (p.kind == "session" || m.from(p, c))
}

// end returns when a challenge or a session ends on this process, which lets no
// session live for longer than it lets its own.
func (m *model) end(p *pass) int64 {
	if p.kind != "session" {
		return p.expires
	}
	return min(p.expires, p.started+m.at.session)
}

// The first factors.

// lastSignIn returns when a first factor was given that counts in the account:
// one that the provider of another account vouched for does not.
func (p *pass) lastSignIn(account string) (at int64, ok bool) {
	for _, f := range p.first {
		if f.of == "" || f.of == account {
			at, ok = max(at, f.at), true
		}
	}
	return at, ok
}

func (p *pass) has(which func(modelFirst) bool) bool { return slices.ContainsFunc(p.first, which) }

// own reports whether the user gave the first factor in person, and no admin of
// one account could have.
func (f modelFirst) own() bool {
	return f.of == "" && f.by != twofa.ByToken
}

func (p *pass) onlyToken() bool {
	return !p.has(func(f modelFirst) bool { return f.by != twofa.ByToken })
}

// signIn adds a first factor. Of a kind, the last one counts, and of all kinds
// the last four.
func (p *pass) signIn(f modelFirst) {
	p.first = append(slices.DeleteFunc(slices.Clone(p.first), func(o modelFirst) bool { return o.by == f.by && o.of == f.of }), f)
	p.first = p.first[max(0, len(p.first)-4):]
}

// The decision.

func (m *model) enrolled(u *modelUser, account string, mail bool) (l []twofa.Method) {
	for _, method := range []twofa.Method{twofa.TOTP, twofa.SMS, passkey} {
		if slices.ContainsFunc(u.factors, func(f modelFactor) bool { return m.shown(f) == method }) {
			l = append(l, method)
		}
	}
	if mail && (m.at.link || m.policy(account).Required || u.reset != nil) {
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
	c.modelHelp = u.modelHelp.clone()
	c.factors, c.codes, c.counters, c.spent = slices.Clone(u.factors), maps.Clone(u.codes), maps.Clone(u.counters), maps.Clone(u.spent)
	c.grants, c.answers, c.sends, c.eased = slices.Clone(u.grants), slices.Clone(u.answers), maps.Clone(u.sends), slices.Clone(u.eased)
	c.extended, c.seen = maps.Clone(u.extended), maps.Clone(u.seen)
	c.browsers, c.sent, c.setup, c.assigned = copies(u.browsers), copies(u.sent), copied(u.setup), copied(u.assigned)
	return c
}

func copied[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}

func copies[T any](l []*T) (c []*T) {
	for _, p := range l {
		c = append(c, copied(p))
	}
	return c
}

// Answers of a policy other than the next step.
const (
	nextUnavailable twofa.Next = saysUnavailable // only another process can check the user's factors
	nextSignIn      twofa.Next = "denied: " + twofa.Next(twofa.ReasonSignInHere)
	nextSupport     twofa.Next = "denied: " + twofa.Next(twofa.ReasonSupport)
)

// refusal returns why there is no next step, or "".
func refusal(next twofa.Next) string {
	if among([]twofa.Next{nextUnavailable, nextSignIn, nextSupport}, next) {
		return string(next)
	}
	return ""
}

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
	return slices.ContainsFunc(p.proofs, func(x modelProof) bool { return among(methods, m.as(x.method)) })
}

func (m *model) provenAt(p *pass, method twofa.Method) (at int64, ok bool) {
	for _, x := range p.proofs {
		if m.as(x.method) == method {
			at, ok = max(at, x.at), true
		}
	}
	return at, ok
}

// proves reports whether one of the methods was proven. A recovery code counts
// as any, and a remembered browser as the method that was proven in it, if it
// was remembered at the sign-in.
func (m *model) proves(p *pass, pol twofa.Policy, methods []twofa.Method, signedIn int64) bool {
	remembered := slices.ContainsFunc(methods, func(method twofa.Method) bool {
		at, ok := m.provenAt(p, byBrowser(method))
		return ok && remembers(pol, at, signedIn)
	})
	return remembered || m.proven(p, twofa.RecoveryCode) || slices.ContainsFunc(p.proofs, func(x modelProof) bool { return m.counts(methods, x.method) })
}

// remembers reports whether a policy remembers at a time a proof from before.
// Clocks differ by a minute at most.
func remembers(pol twofa.Policy, proven, at int64) bool {
	return pol.Remember > 0 && at-proven < inSeconds(pol.Remember) && proven <= at+aMinute
}

// owes returns what must still be proven in an account, of which this process
// asks only what it can check. If an enrollment can still be put off, it also
// returns until when.
func (m *model) owes(u *modelUser, account string, mail bool, p *pass) (twofa.Next, []twofa.Method, int64) {
	return m.owesUnder(m.policy(account), m.due(u, account, p), u, account, m.enrolled(u, account, mail), p)
}

// owesUnder is owes under a policy, with an enrollment that is due then.
func (m *model) owesUnder(pol twofa.Policy, due int64, u *modelUser, account string, have []twofa.Method, p *pass) (twofa.Next, []twofa.Method, int64) {
	next, ask, due := m.owesAnywhere(pol, due, u, account, have, p)
	if next != twofa.NextChallenge {
		return next, nil, due
	}
	if ask = except(ask, m.unchecked(u, have)...); len(ask) == 0 {
		return nextUnavailable, nil, 0
	}
	return next, ask, 0
}

// owesAnywhere is owesUnder on a process that can check everything.
func (m *model) owesAnywhere(pol twofa.Policy, due int64, u *modelUser, account string, have []twofa.Method, p *pass) (twofa.Next, []twofa.Method, int64) {
	signedIn, ok := p.lastSignIn(account)
	if !ok {
		m.reach("no first factor counts here")
		return nextSignIn, nil, 0
	}
	if len(p.first) > 1 {
		m.reach("a session with several first factors")
	}
	if pol.ExemptSSO && p.vouchedIn(account) {
		return twofa.NextDone, nil, 0
	}
	if ask := strongest(have, pol.Methods, pol.Fallback); len(ask) > 0 || among(have, passkey) {
		if m.proves(p, pol, ask, signedIn) {
			return twofa.NextDone, nil, 0
		}
		return twofa.NextChallenge, u.orCode(ask), 0
	}
	// The user's strongest method comes first even if it is not accepted. A
	// mailbox comes first only if something is required now, and must come first
	// unless the policy or a check in person spares it.
	required := pol.Required && m.now >= due
	link := required && m.needsLink(u, p, pol)
	if len(have) > 0 && (link || have[0] != twofa.EmailLink) && !m.proven(p, have[0], twofa.RecoveryCode) {
		return twofa.NextChallenge, u.orCode(have[:1]), 0
	}
	switch {
	case len(have) == 0 && link:
		m.reach("only support can help")
		return nextSupport, nil, 0
	case required:
		return twofa.NextEnroll, nil, 0
	case pol.Required:
		m.reach("an enrollment is put off")
		return twofa.NextDone, nil, due
	}
	return twofa.NextDone, nil, 0
}

// vouchedIn reports whether the account's own provider vouched for the user.
func (p *pass) vouchedIn(account string) bool {
	return account != "" && p.has(func(f modelFirst) bool { return f.of == account })
}

// needsLink reports whether only a link proves enough to enroll the first
// factor: without a first factor of the person's own, after a reset, or else if
// the policy requires a factor and does not spare the link.
func (m *model) needsLink(u *modelUser, p *pass, pol twofa.Policy) bool {
	switch {
	case !p.has(modelFirst.own):
		return true
	case u.reset != nil:
		needed := !u.reset.inPerson || m.now-u.reset.at >= aDay
		m.reach("reset, link needed: " + strconv.FormatBool(needed) + ", in person: " + strconv.FormatBool(u.reset.inPerson))
		return needed
	}
	return pol.Required && !pol.EnrollWithoutLink
}

func (u *modelUser) orCode(ask []twofa.Method) []twofa.Method {
	if u.left() > 0 {
		return append(slices.Clone(ask), twofa.RecoveryCode)
	}
	return ask
}

// lifetime returns how long a challenge of a kind lives.
func (m *model) lifetime(kind string) int64 {
	if kind == "enroll" {
		return inSeconds(m.cfg.Lifetimes.Enrollment)
	}
	return max(10*aMinute, inSeconds(m.cfg.Lifetimes.Link))
}

// advance returns the next step: a session, or a challenge for the rest.
func (m *model) advance(u *modelUser, p *pass) gift {
	next, methods, due := m.owes(u, p.account, m.mailable(p.user), p)
	if next == twofa.NextEnroll {
		p = m.recent(p)
		next, methods, due = m.owes(u, p.account, m.mailable(p.user), p)
	}
	q := *p
	switch {
	case refusal(next) != "":
		return gift{next: next}
	case next == twofa.NextDone:
		if p.replaces != 0 {
			u.endSession(p.replaces)
		}
		u.note(p.account, func(x *modelSeen) {
			x.login, x.vouched = m.now, p.vouchedIn(p.account)
		})
		m.noteLogin(u, p)
		open := m.openCase(u) != nil
		return gift{next: next, session: m.sessionOf(u, p), due: due, helped: open && !m.at.older && p.has(modelFirst.own)}
	case next == twofa.NextEnroll:
		q.kind = "enroll"
	default:
		q.kind = "login"
	}
	if m.follows[p.attempt] == 0 {
		m.follows[p.attempt] = m.id()
	}
	q.attempt, q.epoch, q.sent, q.expires = m.follows[p.attempt], u.epoch, 0, m.now+m.lifetime(q.kind)
	return gift{next: next, methods: methods, challenge: &q}
}

// said returns the gift, or why there is none.
func (g gift) said() (string, gift) {
	if why := refusal(g.next); why != "" {
		return why, gift{}
	}
	return g.String(), g
}

func (m *model) sessionOf(u *modelUser, p *pass) *pass {
	q := *p
	m.carry(u, &q)
	q.host, q.action, q.what, q.sent, q.attempt, q.replaces = "", "", "", 0, 0, 0
	switch {
	case p.kind == "session":
	case p.ends > 0:
		q.expires, q.ends = p.ends, 0
	default:
		q.started, q.expires = m.now, m.now+m.at.session
	}
	q.kind = "session"
	return &q
}

// challengeOf returns a challenge for a live session.
func (m *model) challengeOf(u *modelUser, p *pass, kind string) *pass {
	q := *p
	m.carry(u, &q)
	q.kind, q.attempt, q.ends, q.expires, q.sent = kind, m.id(), p.expires, m.now+m.lifetime(kind), 0
	return &q
}

// carry moves a session that survived into the epoch of its user. Its earlier
// proofs count for no action.
func (m *model) carry(u *modelUser, p *pass) {
	if p.epoch != u.epoch {
		p.epoch = u.epoch
		p.lower()
	}
}

func (p *pass) lower() {
	p.proofs = slices.Clone(p.proofs)
	for i := range p.proofs {
		p.proofs[i].elevate = false
	}
}

// bind binds a challenge to a client. Proofs from another browser count for no
// action.
func (m *model) bind(p *pass, c twofa.Client) {
	if secret := m.cookie(c).secret; secret != p.browser {
		p.lower()
		p.browser = secret
	}
	p.host = c.HostSession.Reveal()
}

func (m *model) prove(p *pass, x modelProof) *pass {
	q := *p
	q.proofs = append([]modelProof{x},
		slices.DeleteFunc(slices.Clone(p.proofs), func(o modelProof) bool { return m.as(o.method) == m.as(x.method) })...)
	return &q
}

// Known and remembered browsers.

// cookie returns the content of a cookie. One that the library did not return
// has a secret only.
func (m *model) cookie(c twofa.Client) modelCookie {
	text := c.Browser.Reveal()
	if known, ok := m.cookies[text]; ok {
		return known
	}
	return modelCookie{secret: text}
}

func (k modelCookie) entry(user string) (e modelEntry) {
	for _, e := range k.entries {
		if e.user == user {
			return e
		}
	}
	return modelEntry{}
}

// with returns the cookie with an entry, and those of the last three others.
func (m *model) with(k modelCookie, e modelEntry) *modelCookie {
	others := slices.DeleteFunc(slices.Clone(k.entries), func(o modelEntry) bool { return o.user == e.user })
	if len(others) > 3 {
		m.reach("a fifth user of one browser")
	}
	return &modelCookie{k.secret, append([]modelEntry{e}, others[:min(3, len(others))]...)}
}

// Answers of a cookie about a known browser.
const (
	cookieCurrent  = "current"
	cookieReplaced = "replaced" // by one that may have been lost, less than two minutes ago
	cookieCopied   = "copied"
)

func (m *model) browser(u *modelUser, c twofa.Client, user string) (b *modelBrowser, state string) {
	e := m.cookie(c).entry(user)
	for _, b := range u.browsers {
		if e.family == 0 || b.family != e.family || m.now >= b.expires {
			continue
		}
		switch {
		case b.token == e.token:
			return b, cookieCurrent
		case b.prev == e.token && m.now-b.rotated < 2*aMinute:
			m.reach("a replaced cookie in time")
			return b, cookieReplaced
		}
		m.reach("a copied cookie")
		return b, cookieCopied
	}
	return nil, ""
}

// knownAs returns the known browser of a client, or nil. A copied cookie does
// not make one.
func (m *model) knownAs(u *modelUser, c twofa.Client, user string) *modelBrowser {
	b, state := m.browser(u, c, user)
	if state == cookieCopied {
		return nil
	}
	return b
}

// bucket returns the name of a counter: that of a method in a known browser, or
// that in all others, to which a known browser with ten failures belongs.
func (m *model) bucket(u *modelUser, c twofa.Client, user string, method twofa.Method) (name string, known bool) {
	b := m.knownAs(u, c, user)
	switch {
	case b != nil && !u.exhausted(b, method):
		return bucketIn(b, method), true
	case b != nil:
		m.reach("a known browser counts as unknown")
	}
	return string(method), false
}

func bucketIn(b *modelBrowser, method twofa.Method) string {
	return string(method) + "/" + strconv.Itoa(b.id)
}

func (u *modelUser) exhausted(b *modelBrowser, method twofa.Method) bool {
	return method != twofa.RecoveryCode && u.counters[bucketIn(b, method)].fails >= 10
}

// recognize makes a browser known for 90 days if it can keep a cookie. At most
// ten are known. If the policy remembers browsers, the last answer of the user
// counts.
func (m *model) recognize(u *modelUser, c twofa.Client, p *pass, method twofa.Method, remember bool, seed string) *modelCookie {
	if c.Browser.IsZero() {
		return nil
	}
	b, state := m.browser(u, c, p.user)
	if b != nil && (b.copied || state == cookieCopied) { // the owner is here, so the copy is out
		u.browsers = slices.DeleteFunc(u.browsers, func(o *modelBrowser) bool { return o == b })
		b = nil
	}
	if b == nil {
		if m.born[seed].family == 0 {
			m.born[seed] = modelEntry{p.user, m.id(), m.id()}
		}
		b = &modelBrowser{id: m.id(), family: m.born[seed].family, token: m.born[seed].token}
		u.browsers = m.unexpired(u)
		u.browsers = append(u.browsers[max(0, len(u.browsers)-9):], b)
	}
	b.method, b.proven, b.expires = method, m.now, m.now+90*aDay
	if m.policy(p.account).Remember > 0 {
		b.remembered = 0
		if remember {
			b.remembered = u.epoch
		}
	}
	return m.with(m.cookie(c), modelEntry{p.user, b.family, b.token})
}

func (m *model) unexpired(u *modelUser) []*modelBrowser {
	return slices.DeleteFunc(slices.Clone(u.browsers), func(b *modelBrowser) bool { return m.now >= b.expires })
}

// Login.

func (m *model) begin(f twofa.FirstFactor, session *pass) (string, gift) {
	if !among([]twofa.FirstFactorMethod{twofa.ByPassword, twofa.BySSO, twofa.ByEmail, twofa.ByToken}, f.By) || f.ProviderOf != "" && f.By != twofa.BySSO {
		return saysNotAllowed, gift{}
	}
	if !m.opens(session, f.Client, "session") {
		session = nil
	}
	if session != nil && session.user != f.UserID {
		if why := m.signedOutAt(session); why != saysFine {
			return why, gift{}
		}
		m.reach("a login ends another user's session")
		session = nil
	}
	m.notes(f.UserID)
	u, why := m.enter(f.UserID, f.Account)
	if why == "" && f.SecurityStamp != "" && f.SecurityStamp != m.dir[f.UserID].SecurityStamp {
		why = saysNotAllowed
	}
	changed := false
	if why == "" {
		changed, why = m.stampChanged(f.UserID)
	}
	if why != "" {
		return why, gift{}
	}
	if changed || u.epoch == 0 {
		m.setStamp(f.UserID)
		m.newEpoch(u, 0)
		m.ease(u)
	}
	p := m.newLogin(u, f, session)
	b, state := m.browser(u, f.Client, f.UserID)
	switch {
	case state == cookieCopied && !b.copied:
		m.reach("a cookie copied for the first time")
		b.copied, b.remembered = true, 0 // counts even if the login is refused
	case b != nil && state != cookieCopied && m.spares(u, b, f):
		before, _ := m.provenAt(p, byBrowser(m.as(b.method)))
		p = m.prove(p, modelProof{method: byBrowser(b.method), at: b.proven})
		p.again = before == b.proven
	}
	g := m.advance(u, p)
	if g.next == twofa.NextDone && b != nil && state != cookieCopied {
		if state == cookieCurrent {
			b.prev, b.token, b.rotated = b.token, m.id(), m.now
		}
		g.cookie = m.with(m.cookie(f.Client), modelEntry{f.UserID, b.family, b.token})
	}
	return g.said()
}

// newLogin returns a login, which continues a live session of the user in the
// same browser that outlives the login. It has a new ID.
func (m *model) newLogin(u *modelUser, f twofa.FirstFactor, session *pass) *pass {
	p := &pass{sid: m.id(), started: m.now}
	continues := session != nil && u.live(session) && m.from(session, f.Client)
	if continues && m.end(session) <= m.now+m.lifetime("login") {
		m.reach("a session that ends before the login may")
		continues = false
	}
	if continues {
		sid := p.sid
		*p = *session
		m.carry(u, p)
		p.sid, p.ends = sid, session.expires
	}
	p.kind, p.attempt, p.user, p.account, p.epoch = "login", m.id(), f.UserID, f.Account, u.epoch
	p.members = m.membersWith(f.UserID, f.Account)
	m.bind(p, f.Client)
	p.replaces = 0
	if session != nil {
		p.replaces = session.sid
	}
	p.signIn(modelFirst{f.By, f.ProviderOf, m.now})
	return p
}

// spares reports whether a browser is remembered after a password or single
// sign-on.
func (m *model) spares(u *modelUser, b *modelBrowser, f twofa.FirstFactor) bool {
	if b.remembered != 0 && b.remembered != u.epoch {
		m.reach("remembering ended with the epoch")
	}
	return b.remembered == u.epoch && !u.exhausted(b, m.as(b.method)) && (f.By == twofa.ByPassword || f.By == twofa.BySSO) &&
		remembers(m.policy(f.Account), b.proven, m.now)
}

// membersWith returns the accounts that a session knows its user to be in.
func (m *model) membersWith(user, account string) (l []modelMember) {
	for _, in := range m.dir[user].Members {
		l = append(l, modelMember{in.Account, in.Since})
	}
	if account == "" { // every user is in it
		l = append(l, modelMember{})
	}
	return l
}

// offered returns the methods that answer a challenge.
func (m *model) offered(u *modelUser, p *pass) (offered []twofa.Method, why string) {
	changed, why := m.stampChanged(p.user)
	switch {
	case why != "":
		return nil, why
	case changed || !u.live(p) || u.isSpent(p):
		return nil, saysExpired
	case p.kind == "action":
		return m.wouldDo(u, p, p.account, p.action, m.mailable(p.user))
	}
	next, offered, _ := m.owes(u, p.account, m.mailable(p.user), p)
	if why := refusal(next); why != "" {
		return nil, why
	}
	if next != twofa.NextChallenge {
		return nil, saysExpired
	}
	return offered, ""
}

// resume opens a challenge.
func (m *model) resume(c twofa.Client, p *pass) (u *modelUser, offered []twofa.Method, why string) {
	if !m.opens(p, c, "login", "action") {
		return nil, nil, saysExpired
	}
	if u, why = m.enter(p.user, p.account); why != "" {
		return nil, nil, why
	}
	offered, why = m.offered(u, p)
	return u, offered, why
}

func (m *model) offer(c twofa.Client, p *pass) string {
	u, offered, why := m.resume(c, p)
	if why != "" {
		return why
	}
	x := m.liveSent(u, p, "")
	typed := x != nil && x.coded && m.takesCode(u, p) && m.waits(u, c, p.user, twofa.EmailLink) == ""
	return gift{next: twofa.NextChallenge, methods: offered, challenge: p, sent: x, typed: typed}.String()
}

func (m *model) verify(c modelCaller, p *pass, proof twofa.Proof) (string, gift) {
	if !m.opens(p, c.client, "login", "action") {
		return saysExpired, gift{}
	}
	u, why := m.enter(p.user, p.account)
	if why != "" {
		return why, gift{}
	}
	if p.kind == "action" && (!m.opens(c.session, c.client, "session") || c.session.sid != p.sid || !u.live(c.session)) {
		m.reach("a step-up without its session")
		return saysExpired, gift{}
	}
	m.notes(p.user)
	to := toChallenge(p)
	given := fmt.Sprintf("%s %s for message %d in %s", proof.Method, proof.Code.Reveal(), p.sent, m.cookie(c.client).secret)
	if a := m.answerTo(u, to, given); a != nil {
		return m.verifyAgain(u, *a, c.client, p, proof)
	}
	offered, why := m.offered(u, p)
	if why != "" {
		return why, gift{}
	}
	if !among(offered, proof.Method) {
		return saysNotAllowed, gift{}
	}
	before := u.clone()
	if why, counted := m.tryProof(u, c.client, p, proof); why != "" {
		if counted != nil {
			m.answer(u, modelAnswer{to: to, proof: given, left: counted.left, until: m.now + counted.wait})
		}
		return why, gift{}
	}
	m.spend(u, p)
	method := proof.Method
	switch {
	case method == twofa.TOTP && m.matched == passkey:
		method = passkey
	case method == twofa.EmailLink && !isToken(proof.Code.Reveal()):
		method = emailTyped
		m.reach("a mailed code: " + p.kind)
	}
	m.answer(u, modelAnswer{to: to, proof: given, sid: p.sid, method: method})
	u.note(p.account, func(x *modelSeen) { x.proof = m.now })
	m.found(u, p, proof.Method, "a proof of "+p.kind)
	m.suspend(u, proof.Method)
	switch {
	case p.kind == "action":
		m.grant(u, p, method)
	case method == twofa.RecoveryCode:
		for _, b := range u.browsers {
			b.remembered = 0
		}
	}
	g := m.afterProof(u, c.client, p, proof, method)
	if refusal(g.next) != "" {
		*u, m.events = before, nil
	}
	return g.said()
}

// afterProof returns the next step after a right proof.
func (m *model) afterProof(u *modelUser, c twofa.Client, p *pass, proof twofa.Proof, method twofa.Method) gift {
	attempt := p.attempt
	p = m.prove(p, modelProof{method, m.now, true})
	if p.kind == "action" {
		return gift{next: twofa.NextDone, session: m.sessionOf(u, p)}
	}
	g := m.advance(u, p)
	if g.next == twofa.NextDone && (proof.Method == twofa.TOTP || proof.Method == twofa.SMS) {
		g.cookie = m.recognize(u, c, p, method, proof.Remember, "challenge "+strconv.Itoa(attempt))
	}
	return g
}

// verifyAgain gives an answer again, as of then. Nothing changes.
func (m *model) verifyAgain(u *modelUser, a modelAnswer, c twofa.Client, p *pass, proof twofa.Proof) (string, gift) {
	m.still = true
	changed, why := m.stampChanged(p.user)
	switch {
	case why != "":
		return why, gift{}
	case changed || !u.live(p):
		return saysExpired, gift{}
	case a.sid == 0:
		m.reach("a wrong code is answered again")
		return saysInvalid(a.left, max(0, a.until-m.now)), gift{}
	}
	m.reach("a right proof is answered again: " + p.kind)
	return m.asOf(a.at, u, func() gift { return m.afterProof(u, c, p, proof, a.method) }).said()
}

// asOf returns what was answered at an earlier time, and changes nothing.
func (m *model) asOf(at int64, u *modelUser, f func() gift) gift {
	before, now := u.clone(), m.now
	defer func() { *u, m.now = before, now }()
	m.now = at
	g := f()
	for _, p := range []*pass{g.session, g.challenge} {
		if p != nil {
			p.again = true
		}
	}
	return g
}

func (m *model) answerTo(u *modelUser, to, proof string) *modelAnswer {
	for _, a := range u.answers {
		if a.to == to && a.proof == proof && max(m.now-a.at, a.at-m.now) < 10 { // clocks differ
			if a.at > m.now {
				m.reach("an answer by a clock that is ahead")
			}
			return &a
		}
	}
	return nil
}

// toChallenge and toStep name what an answer is to: a challenge, or the
// enrollment of a session.
func toChallenge(p *pass) string { return "challenge " + strconv.Itoa(p.attempt) }
func toStep(p *pass) string      { return "step of session " + strconv.Itoa(p.sid) }

// answer keeps an answer. stored drops all but the last four.
func (m *model) answer(u *modelUser, a modelAnswer) {
	a.at = m.now
	u.answers = append(slices.Clone(u.answers), a)
}

// isKept reports whether an answer is still of use. That to a wrong proof is
// kept for as long as a challenge lives, to know that something was tried.
func (m *model) isKept(a modelAnswer) bool {
	if a.sid == 0 {
		return m.now-a.at < 10*aMinute
	}
	return m.now-a.at < 10
}

// spend uses up a challenge. It is remembered for a minute longer than it lives,
// because clocks differ.
func (m *model) spend(u *modelUser, p *pass) {
	u.spent[p.attempt] = m.now + m.lifetime(p.kind) + aMinute
}

// stored forgets what the library forgets whenever it writes.
func (m *model) stored(user string, isNew bool) {
	u := m.user(user)
	maps.DeleteFunc(u.spent, func(_ int, until int64) bool { return m.now >= until })
	u.unsend(func(x *modelSent) bool { return m.now >= x.expires })
	u.grants = slices.DeleteFunc(u.grants, func(g modelGrant) bool { return m.now-g.at >= anHour })
	u.browsers, u.eased = m.unexpired(u), m.since(u.eased, 30*aDay)
	if u.setup != nil && m.now >= u.setup.expires {
		u.setup = nil
	}
	if u.assigned != nil && (len(u.factors) > 0 || m.now-u.assigned.at >= 30*aDay) {
		u.assigned = nil
	}
	for name, x := range u.sends {
		u.sends[name] = modelSends{m.since(x.times, aDay), m.since(x.returned, aDay)}
	}
	u.answers = slices.DeleteFunc(u.answers, func(a modelAnswer) bool { return !m.isKept(a) })
	if len(u.answers) > 4 {
		m.reach("a fifth answer")
		u.answers = u.answers[len(u.answers)-4:]
	}
	m.storedHelp(user, isNew)
}

// Guards.

// alive reports whether a token is still valid for anything.
func (m *model) alive(p *pass) bool {
	u := m.user(p.user)
	return m.now < m.end(p) && u.live(p) && !u.isSpent(p)
}

// live opens a session.
func (m *model) live(c modelCaller) (u *modelUser, why string) {
	if !m.opens(c.session, c.client, "session") {
		return nil, m.signedOut(c.session)
	}
	if why := m.load(c.session.user, c.in()); why != "" {
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
	if _, ok := c.session.joined(c.in()); !ok {
		m.reach("a session that does not know the account")
		return nil, saysDenied(twofa.ReasonChallenge)
	}
	next, _, _ := m.owes(u, c.in(), true, c.session)
	switch next {
	case twofa.NextChallenge:
		return nil, saysDenied(twofa.ReasonChallenge)
	case twofa.NextEnroll:
		return nil, saysDenied(twofa.ReasonEnroll)
	}
	return u, refusal(next)
}

func (m *model) check(c modelCaller) string {
	_, why := m.guard(c)
	return orFine(why)
}

// checkPerson also demands a first factor of the person's own, and after a reset
// that the user has opened a link or enrolled a factor.
func (m *model) checkPerson(c modelCaller) string {
	u, why := m.guard(c)
	if why != "" {
		return why
	}
	if !c.session.has(modelFirst.own) {
		m.reach("nobody in person")
		return saysDenied(twofa.ReasonSignInHere)
	}
	if u.reset != nil && len(u.factors) == 0 && !m.proven(c.session, twofa.EmailLink) {
		m.reach("nobody in person after a reset")
		return saysDenied(twofa.ReasonEnroll)
	}
	return saysFine
}

func orFine(why string) string { return cmp.Or(why, saysFine) }

func (m *model) resumeSession(c modelCaller) (string, gift) {
	if !m.opens(c.session, c.client, "session") {
		return m.signedOut(c.session), gift{}
	}
	u, why := m.enter(c.session.user, c.in())
	if why != "" {
		return why, gift{}
	}
	if why := m.current(u, c.session); why != "" {
		return why, gift{}
	}
	p := *c.session
	p.account = c.in()
	p.members = m.membersWith(p.user, p.account)
	next, methods, due := m.owes(u, p.account, m.mailable(p.user), &p)
	if next == twofa.NextEnroll { // required now
		recent := func(f modelFirst) bool {
			return (f.of == "" || f.of == p.account) && f.by != twofa.ByToken && m.justNow(f.at)
		}
		if len(u.factors) == 0 && !p.has(recent) {
			return saysDenied(twofa.ReasonSignedOut), gift{}
		}
		p = *m.recent(&p)
		next, methods, due = m.owes(u, p.account, m.mailable(p.user), &p)
	}
	m.bind(&p, c.client)
	g := gift{next: next, methods: methods, due: due}
	switch next {
	case twofa.NextDone:
		g.session = m.sessionOf(u, &p)
	case twofa.NextEnroll:
		g.challenge = m.challengeOf(u, &p, "enroll")
	case twofa.NextChallenge:
		g.challenge = m.challengeOf(u, &p, "login")
	}
	return g.said()
}

// recent returns a pass with its recent proofs alone. One of them must precede a
// required enrollment.
func (m *model) recent(p *pass) *pass {
	q := *p
	q.proofs = slices.DeleteFunc(slices.Clone(p.proofs), func(x modelProof) bool { return !m.justNow(x.at) })
	if len(q.proofs) < len(p.proofs) {
		m.reach("a proof too old for an enrollment")
	}
	return &q
}

func (m *model) justNow(at int64) bool { return m.now-at < 15*aMinute }

// current returns why a session or an enrollment is over.
func (m *model) current(u *modelUser, p *pass) string {
	changed, why := m.stampChanged(p.user)
	if why == "" && (changed || !u.live(p) || u.isSpent(p)) {
		why = saysDenied(twofa.ReasonSignedOut)
	}
	return why
}

// Step-up.

func (m *model) rule(account, action string) twofa.ActionRule {
	pol := m.policy(account)
	r, ok := pol.Actions[action]
	if action == twofa.ActionReset { // each time, by authenticator
		return twofa.ActionRule{Methods: []twofa.Method{twofa.TOTP}}
	}
	if action == twofa.ActionPolicy { // by authenticator, at most five minutes ago, whatever a rule says
		age := 5 * time.Minute
		if ok {
			age = min(age, r.MaxAge)
		}
		return twofa.ActionRule{MaxAge: age, Methods: []twofa.Method{twofa.TOTP}}
	}
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
func (m *model) wouldDo(u *modelUser, p *pass, account, action string, mail bool) ([]twofa.Method, string) {
	r := m.rule(account, action)
	fallback := m.policy(account).Fallback
	if action == twofa.ActionFactors {
		fallback = nil
		if len(u.factors) == 0 {
			return m.beforeFirst(u, p, account, mail)
		}
	}
	have := m.enrolled(u, account, mail)
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

// beforeFirst returns what a user without a factor can prove before the first
// one is enrolled.
func (m *model) beforeFirst(u *modelUser, p *pass, account string, mail bool) ([]twofa.Method, string) {
	why := m.mayEnrollFirst(u, p, account, mail)
	switch {
	case why == "":
		return nil, saysDenied(twofa.ReasonEnroll)
	case why != saysDenied(twofa.ReasonMissing):
		return nil, why
	case !m.at.link:
		return nil, saysUnavailable
	}
	return []twofa.Method{twofa.EmailLink}, ""
}

// mayEnrollFirst demands a fresh first factor of the person's own, or a fresh
// link to their address. An API token proves nothing about a person.
func (m *model) mayEnrollFirst(u *modelUser, p *pass, account string, mail bool) string {
	linked, ok := m.provenAt(p, twofa.EmailLink)
	link := m.needsLink(u, p, m.policy(account))
	switch {
	case ok && m.justNow(linked) && !p.onlyToken():
		return ""
	case !link && p.has(func(f modelFirst) bool { return f.own() && m.justNow(f.at) }):
		return ""
	case !link || p.onlyToken():
		return saysDenied(twofa.ReasonSignedOut)
	case !mail:
		m.reach("the first factor needs a link that nobody can get")
		return saysDenied(twofa.ReasonSupport)
	}
	m.reach("the first factor needs a link")
	return saysDenied(twofa.ReasonMissing)
}

func (m *model) grant(u *modelUser, p *pass, method twofa.Method) {
	g := modelGrant{p.account, p.action, p.what, p.sid, method, m.now, p.browser}
	u.grants = slices.DeleteFunc(u.grants, func(o modelGrant) bool {
		return o.account == g.account && o.action == g.action && o.resource == g.resource && o.sid == g.sid
	})
	u.grants = append(u.grants[max(0, len(u.grants)-15):], g)
}

// granted finds a proof that is valid for this account, action, resource and
// session, or returns -1 if an earlier proof of the session counts.
func (m *model) granted(u *modelUser, p *pass, c twofa.Client, account, action, resource string) (i int, why string) {
	why = saysDenied(twofa.ReasonMissing)
	r := m.rule(account, action)
	age := inSeconds(r.MaxAge)
	if age > 0 && m.elevated(u, p, c, account, action, age) {
		m.reach("an earlier proof counts")
		return -1, ""
	}
	if age == 0 {
		age = 5 * aMinute
	}
	for i, g := range u.grants {
		if g.account != account || g.action != action || g.resource != resource || g.sid != p.sid {
			continue
		}
		if g.browser != "" && g.browser != m.cookie(c).secret {
			m.reach("a fresh proof from another browser")
			continue
		}
		if m.now-g.at < age && m.counts(r.Methods, g.method) {
			return i, ""
		}
		why = saysDenied(twofa.ReasonStale)
	}
	return 0, why
}

// elevated reports whether a proof that the session gave earlier counts: in
// this epoch, in this browser, with a method that the action would ask for.
func (m *model) elevated(u *modelUser, p *pass, c twofa.Client, account, action string, age int64) bool {
	ask, _ := m.wouldDo(u, p, account, action, true)
	given := func(elevate bool) bool {
		return slices.ContainsFunc(p.proofs, func(x modelProof) bool {
			return x.elevate == elevate && m.now-x.at < age && m.counts(ask, x.method) && (x.method != emailTyped || action != twofa.ActionFactors)
		})
	}
	switch {
	case given(false):
		m.reach("a proof from before a change, or after a recovery code")
	case given(true) && p.browser != m.cookie(c).secret:
		m.reach("a proof from another browser")
	}
	return p.epoch == u.epoch && p.browser != "" && p.browser == m.cookie(c).secret && given(true)
}

// use uses up a proof that counts once.
func (m *model) use(u *modelUser, p *pass, c twofa.Client, account, action, resource string) string {
	i, why := m.granted(u, p, c, account, action, resource)
	if why == "" && i >= 0 && m.rule(account, action).MaxAge == 0 {
		m.reach("a proof that counts once")
		u.grants = slices.Delete(u.grants, i, i+1)
	}
	return why
}

func (m *model) stepUp(c modelCaller, action, resource string) (string, gift) {
	u, why := m.guard(c)
	if why != "" {
		return why, gift{}
	}
	if _, why := m.granted(u, c.session, c.client, c.in(), action, resource); why == "" {
		return gift{next: twofa.NextDone}.String(), gift{}
	}
	if why := m.lookup(c.session.user, c.in()); why != "" {
		return why, gift{}
	}
	methods, why := m.wouldDo(u, c.session, c.in(), action, m.mailable(c.session.user))
	if why != "" {
		return why, gift{}
	}
	p := *c.session
	p.account, p.action, p.what = c.in(), action, resource
	m.bind(&p, c.client)
	g := gift{next: twofa.NextChallenge, methods: methods, challenge: m.challengeOf(u, &p, "action")}
	return g.String(), g
}

func (m *model) action(c modelCaller, action, resource string, use bool) string {
	u, why := m.guard(c)
	switch {
	case why != "":
	case use:
		why = m.use(u, c.session, c.client, c.in(), action, resource)
	default:
		_, why = m.granted(u, c.session, c.client, c.in(), action, resource)
	}
	return orFine(why)
}

// isRecovery reports whether text has the form of a recovery code.
func isRecovery(code string) bool {
	code = plainRecovery(code)
	return len(code) == 24 && strings.Trim(code, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == ""
}
