package model

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofatest"
)

// model is the rules of the library once more, as plain as they can be put:
// nothing is sealed, hashed, stored or expired in the background, and a token
// is a pointer. Each method says in words what the call of the same name must
// answer, and remembers what it changes. "a|b" means that either is right.
type model struct {
	cfg      twofa.Config // with the defaults filled in
	now      int64
	dir      map[string]twofa.User
	policies map[string]twofa.Policy
	users    map[string]*modelUser
	texts    map[string][]int64 // when a number was texted
	down     bool               // mail system and gateway take nothing
	lastID   int
	app      map[appStep]string // what apps show, computed once
	t        testing.TB
}

// modelUser is what is known of a user. An epoch of 0 means nothing at all.
type modelUser struct {
	epoch, keep int
	stamp       string
	factors     []modelFactor
	codes       map[string]bool // a set: true for codes that are left
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
	method                   twofa.Method // proven in it last
}

type modelSent struct {
	id, attempt int
	method      twofa.Method
	bucket      string // its failures and newer messages void it
	secret, to  string
	browser     string
	tries       int
	expires     int64
}

// pass is what a challenge or a session stands for.
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
}

// modelCaller is a twofa.Caller whose tokens are understood.
type modelCaller struct {
	session, challenge *pass
	account            string
	client             twofa.Client
}

// gift is what a right answer gives. The token of a new browser is learnt from
// the library.
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

	aMinute = 60
	anHour  = 60 * aMinute
	aDay    = 24 * anHour
)

// byBrowser stands for a method that was proven in a remembered browser.
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

// Who may come in at all.

func (m *model) lookup(id, account string) string {
	u := m.dir[id]
	member := account == "" || slices.ContainsFunc(u.Members, func(p twofa.Member) bool { return p.Account == account })
	if u.Disabled || !member {
		return saysNotAllowed
	}
	return ""
}

// newEpoch ends everything that was open, beside one session.
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
	return p != nil && among(kinds, p.kind) && m.now < p.expires && p.from(c)
}

// The decision.

func (u *modelUser) enrolled(mail bool) (l []twofa.Method) {
	for _, method := range []twofa.Method{twofa.TOTP, twofa.SMS} {
		if slices.ContainsFunc(u.factors, func(f modelFactor) bool { return f.method == method }) {
			l = append(l, method)
		}
	}
	if mail {
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

// strongest is the strongest of have that is accepted, and the accepted ones
// that the policy names as fallback.
func strongest(have, accepted, fallback []twofa.Method) (l []twofa.Method) {
	for _, method := range have { // strongest first
		if among(accepted, method) && (len(l) == 0 || among(fallback, method)) {
			l = append(l, method)
		}
	}
	return l
}

func (p *pass) proven(methods ...twofa.Method) bool {
	return slices.ContainsFunc(p.proofs, func(x twofa.ProvenMethod) bool { return among(methods, x.Method) })
}

func (p *pass) provenAt(method twofa.Method) (at int64, ok bool) {
	for _, x := range p.proofs {
		if x.Method == method {
			return x.At.Unix(), true
		}
	}
	return 0, false
}

// owes says what has still to be proven in an account.
func (m *model) owes(u *modelUser, account string, mail bool, p *pass) (twofa.Next, []twofa.Method) {
	pol, have := m.policy(account), u.enrolled(mail)
	if pol.ExemptSSO && p.by == twofa.BySSO && account != "" && p.sso == account {
		return twofa.NextDone, nil
	}
	ask := strongest(have, pol.Methods, pol.Fallback)
	if len(ask) > 0 {
		remembered := slices.ContainsFunc(ask, func(method twofa.Method) bool {
			at, ok := p.provenAt(byBrowser(method))
			return ok && p.at-at < int64(pol.Remember/time.Second)
		})
		if remembered || p.proven(twofa.RecoveryCode) || p.proven(ask...) {
			return twofa.NextDone, nil
		}
		return twofa.NextChallenge, u.orCode(ask)
	}
	// What the person has comes first, even where it is not accepted; a
	// mailbox only where something is required.
	if len(have) > 0 && (pol.Required || have[0] != twofa.EmailLink) && !p.proven(have[0], twofa.RecoveryCode) {
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

// advance gives what comes next: a session, or a challenge for the rest.
func (m *model) advance(u *modelUser, account string, p *pass) gift {
	next, methods := m.owes(u, account, m.mailable(p.user), p)
	q := *p
	switch next {
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

func (p *pass) prove(method twofa.Method, at int64) *pass {
	q := *p
	q.proofs = append([]twofa.ProvenMethod{{Method: method, At: time.Unix(at, 0)}},
		slices.DeleteFunc(slices.Clone(p.proofs), func(x twofa.ProvenMethod) bool { return x.Method == method })...)
	return &q
}

// Known and remembered browsers.

// browser finds the browser that a token is of. A token from before the last
// rotation is good for 30 seconds, and late after.
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

// recognise makes a browser known for 90 days from now, if it can keep a token.
// Ten are. Where the policy remembers browsers, the last answer of the person
// counts.
func (m *model) recognise(u *modelUser, c twofa.Client, account string, method twofa.Method, remember bool) (fresh *modelBrowser) {
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
	if p.stamp != m.dir[p.user].SecurityStamp || !u.live(p) || u.spent[p.attempt] {
		return nil, nil, saysExpired
	}
	if p.kind == "action" {
		offered, why = m.wouldDo(u, p.account, p.action, p.user)
		return u, offered, why
	}
	next, offered := m.owes(u, p.account, m.mailable(p.user), p)
	if next != twofa.NextChallenge {
		return nil, nil, saysExpired
	}
	return u, offered, ""
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
		return m.notOffered(u, proof.Method), gift{}
	}
	if why := m.tryProof(u, c, p, proof); why != "" {
		return why, gift{}
	}
	u.spent[p.attempt] = true
	if p.kind == "action" {
		m.grant(u, p, proof.Method)
		if among([]twofa.Method{twofa.TOTP, twofa.SMS}, proof.Method) {
			p = p.prove(proof.Method, m.now)
		}
		g := gift{next: twofa.NextDone, session: m.sessionOf(u, p)}
		return g.String(), g
	}
	g := m.advance(u, p.account, p.prove(proof.Method, m.now))
	switch proof.Method {
	case twofa.RecoveryCode:
		u.browsers = nil
	case twofa.TOTP, twofa.SMS:
		if g.next == twofa.NextDone {
			g.browser = m.recognise(u, c, p.account, proof.Method, proof.Remember)
		}
	}
	return g.String(), g
}

func (m *model) notOffered(u *modelUser, method twofa.Method) string {
	if among(u.enrolled(true), method) || method == twofa.RecoveryCode && u.codes != nil {
		return saysNotAllowed
	}
	return saysNotEnrolled
}

func (m *model) tryProof(u *modelUser, c twofa.Client, p *pass, proof twofa.Proof) string {
	switch proof.Method {
	case twofa.EmailLink: // 256 bits: not counted
		x := m.liveSent(u, p, twofa.EmailLink)
		if x == nil || x.secret != proof.Code || !m.mailable(p.user) || x.to != m.dir[p.user].Emails[0] {
			return saysInvalid(0)
		}
		u.unsend(func(o *modelSent) bool { return o == x })
		return ""
	case twofa.TOTP:
		return m.attempt(u, c, proof.Method, func() bool { return m.tryTOTP(u, proof.Code) })
	case twofa.SMS:
		return m.attempt(u, c, proof.Method, func() bool { return m.tryText(u, p, proof.Code) })
	}
	return m.attempt(u, c, proof.Method, func() bool { return u.redeem(proof.Code) })
}

// Counting.

func lockAfter(method twofa.Method, fails int) int64 {
	if fails < 5 {
		return 0
	}
	wait := int64(aMinute)
	for range fails - 5 {
		wait = min(2*wait, anHour)
	}
	if method == twofa.RecoveryCode {
		wait = aMinute
	}
	return wait
}

func switchedOff(method twofa.Method, known bool, fails int) bool {
	return method != twofa.RecoveryCode && (fails >= 90 || known && fails >= 10)
}

// waits says whether a method has to wait in this browser.
func (m *model) waits(u *modelUser, c twofa.Client, method twofa.Method) string {
	known := m.known(u, c)
	n := u.counters[bucketOf(method, known)]
	if switchedOff(method, known, n.fails) {
		return saysLocked(0)
	}
	if n.until > m.now {
		return saysLocked(n.until - m.now)
	}
	return ""
}

func (m *model) attempt(u *modelUser, c twofa.Client, method twofa.Method, try func() bool) string {
	if why := m.waits(u, c, method); why != "" {
		return why
	}
	known := m.known(u, c)
	here, there := bucketOf(method, known), bucketOf(method, !known)
	if try() {
		delete(u.counters, here)
		if switchedOff(method, !known, u.counters[there].fails) {
			delete(u.counters, there)
		}
		return ""
	}
	fails := u.counters[here].fails + 1
	n := modelCounter{fails: fails}
	if wait := lockAfter(method, fails); wait > 0 {
		n.until = m.now + wait
		u.unsend(func(x *modelSent) bool { return x.bucket == here })
	}
	u.counters[here] = n
	return saysInvalid(max(0, 5-fails))
}

// The methods.

type appStep struct {
	uri  string
	step int64
}

func (m *model) appCode(uri string, step int64) string {
	at := appStep{uri, step}
	if m.app[at] == "" {
		m.app[at] = twofatest.Code(m.t, uri, time.Unix(step*int64(m.cfg.TOTP.Period/time.Second), 0))
	}
	return m.app[at]
}

// plainDigits takes away what apps show for reading.
func plainDigits(code string) string {
	return strings.NewReplacer(" ", "", "-", "").Replace(code)
}

// matching returns the step within reach that a code is right for.
func (m *model) matching(uri, code string) (step int64, ok bool) {
	reach := []int64{0, -1, 1}
	if m.cfg.TOTP.Strict {
		reach = reach[:1]
	}
	for _, d := range reach {
		if step = m.now/int64(m.cfg.TOTP.Period/time.Second) + d; m.appCode(uri, step) == plainDigits(code) {
			return step, true
		}
	}
	return 0, false
}

func (m *model) tryTOTP(u *modelUser, code string) bool {
	for i, f := range u.factors {
		if f.method != twofa.TOTP {
			continue
		}
		if step, ok := m.matching(f.what, code); ok && step > f.step {
			u.factors[i].step = step
			return true
		}
	}
	return false
}

func (m *model) tryText(u *modelUser, p *pass, code string) bool {
	x := m.liveSent(u, p, twofa.SMS)
	if x == nil {
		return false
	}
	if x.secret != plainDigits(code) {
		if len(plainDigits(code)) == 6 {
			x.tries++
		}
		if x.tries == 5 {
			u.unsend(func(o *modelSent) bool { return o == x })
		}
		return false
	}
	u.unsend(func(o *modelSent) bool { return o == x })
	return true
}

func (u *modelUser) redeem(code string) bool {
	code = strings.ToUpper(plainDigits(code))
	if !u.codes[code] {
		return false
	}
	u.codes[code] = false
	return true
}

// deadlines are the moments at which something will end for a user.
func (m *model) deadlines(user string) (l []int64) {
	u := m.user(user)
	for _, b := range u.browsers {
		l = append(l, b.expires, b.rotated+30, b.proven+30*aDay, b.proven+aDay)
	}
	for _, x := range u.sent {
		l = append(l, x.expires)
	}
	for _, g := range u.grants {
		l = append(l, g.at+5*aMinute, g.at+10*aMinute, g.at+15*aMinute, g.at+anHour)
	}
	for _, method := range []twofa.Method{twofa.TOTP, twofa.SMS, twofa.RecoveryCode} {
		l = append(l, u.counters[bucketOf(method, true)].until, u.counters[bucketOf(method, false)].until)
	}
	if u.setup != nil {
		l = append(l, u.setup.expires)
	}
	return slices.DeleteFunc(l, func(at int64) bool { return at <= m.now })
}

// Sending.

func (m *model) liveSent(u *modelUser, p *pass, method twofa.Method) *modelSent {
	for _, x := range u.sent {
		if x.id == p.sent && m.now < x.expires && (method == "" || x.method == method) {
			return x
		}
	}
	return nil
}

func (u *modelUser) unsend(which func(*modelSent) bool) { u.sent = slices.DeleteFunc(u.sent, which) }

// mayGo says how long the next message has to wait: after the first within an
// hour a minute, then longer for texts; five an hour, and so many a day.
func (m *model) mayGo(times []int64, method twofa.Method) (seconds int64) {
	recent := func(span int64) (l []int64) {
		for _, at := range times {
			if m.now < at+span {
				l = append(l, at)
			}
		}
		return l
	}
	pauses, daily := []int64{60, 60, 60}, 20
	if method == twofa.SMS {
		pauses, daily = []int64{60, 120, 300}, 10
	}
	inHour, inDay := recent(anHour), recent(aDay)
	if n := len(inHour); n > 0 {
		seconds = inHour[n-1] + pauses[min(n, 3)-1] - m.now
	}
	if n := len(inHour); n >= 5 {
		seconds = max(seconds, inHour[n-5]+anHour-m.now)
	}
	if n := len(inDay); n >= daily {
		seconds = max(seconds, inDay[n-daily]+aDay-m.now)
	}
	return max(0, seconds)
}

func (m *model) claim(u *modelUser, name string, method twofa.Method) string {
	if wait := m.mayGo(u.sends[name], method); wait > 0 {
		return saysLocked(wait)
	}
	u.sends[name] = append(u.sends[name], m.now)
	return ""
}

// claimNumber is a budget of a number over all users. Each use has its own.
func (m *model) claimNumber(name string) string {
	if wait := m.mayGo(m.texts[name], twofa.SMS); wait > 0 {
		return saysLocked(wait)
	}
	m.texts[name] = append(m.texts[name], m.now)
	return ""
}

func (m *model) deliver(number string) string {
	if number != "" {
		if why := m.claimNumber(number); why != "" {
			return why
		}
	}
	if m.down {
		return saysUnavailable
	}
	return ""
}

func (m *model) send(c twofa.Client, p *pass, method twofa.Method) (string, gift) {
	u, offered, why := m.resume(c, p)
	if why != "" {
		return why, gift{}
	}
	if !among(offered, method) || method != twofa.SMS && method != twofa.EmailLink {
		return saysNotAllowed, gift{}
	}
	if why := m.waits(u, c, method); why != "" {
		return why, gift{}
	}
	if why := m.claim(u, bucketOf(method, m.known(u, c)), method); why != "" {
		return why, gift{}
	}
	x := &modelSent{id: m.id(), attempt: p.attempt, method: method, bucket: bucketOf(method, m.known(u, c)),
		browser: p.browser, expires: m.now + 10*aMinute}
	number := ""
	if method == twofa.SMS {
		x.expires = m.now + 5*aMinute
		number = u.number() + ", known " + strconv.FormatBool(m.known(u, c))
	} else {
		x.to = m.dir[p.user].Emails[0]
	}
	u.unsend(func(o *modelSent) bool { // the newest only: of texts in a bucket, and of links for each browser
		return method == twofa.SMS && o.bucket == x.bucket || o.method == method && (o.attempt == x.attempt || o.browser != "" && o.browser == x.browser)
	})
	u.sent = append(u.sent, x)
	if why := m.deliver(number); why != "" {
		return why, gift{}
	}
	q := *p
	q.sent, q.expires = x.id, m.now+10*aMinute
	g := gift{next: twofa.NextChallenge, methods: offered, challenge: &q, sent: x}
	return g.String(), g
}

func (u *modelUser) number() string {
	for _, f := range u.factors {
		if f.method == twofa.SMS {
			return f.what
		}
	}
	return ""
}

func (m *model) cancel(c twofa.Client, p *pass) string {
	if !m.opens(p, c, "login", "action", "enroll") {
		return saysExpired
	}
	u := m.user(p.user)
	if !u.live(p) || u.spent[p.attempt] {
		return saysExpired
	}
	u.spent[p.attempt] = true
	return saysFine
}

// Guards.

// alive reports whether a token is good for anything still.
func (m *model) alive(p *pass) bool {
	u := m.user(p.user)
	return m.now < p.expires && u.live(p) && !u.spent[p.attempt]
}

func (m *model) live(c modelCaller) (u *modelUser, why string) {
	if !m.opens(c.session, c.client, "session") {
		return nil, saysDenied(twofa.ReasonSignedOut)
	}
	if u = m.user(c.session.user); !u.live(c.session) {
		return nil, saysDenied(twofa.ReasonSignedOut)
	}
	return u, ""
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
	if next, _ := m.owes(u, c.account, m.mailable(p.user), &p); next == twofa.NextEnroll { // asked for now
		if len(u.factors) == 0 && (!m.justNow(p.at) || p.by == twofa.ByToken) {
			return saysDenied(twofa.ReasonSignedOut), gift{}
		}
		p.proofs = slices.DeleteFunc(slices.Clone(p.proofs), func(x twofa.ProvenMethod) bool { return !m.justNow(x.At.Unix()) })
	}
	g := m.advance(u, c.account, &p)
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

// wouldDo returns the methods that an action accepts of this user.
func (m *model) wouldDo(u *modelUser, account, action, user string) ([]twofa.Method, string) {
	r := m.rule(account, action)
	fallback := m.policy(account).Fallback
	if action == twofa.ActionFactors {
		fallback = nil
	}
	l := strongest(u.enrolled(m.mailable(user)), r.Methods, fallback)
	if among(r.Methods, twofa.RecoveryCode) {
		l = u.orCode(l)
	}
	if len(l) == 0 {
		return nil, saysDenied(twofa.ReasonEnroll)
	}
	return l, ""
}

func (m *model) grant(u *modelUser, p *pass, method twofa.Method) {
	g := modelGrant{p.account, p.action, p.what, p.sid, method, m.now}
	u.grants = slices.DeleteFunc(u.grants, func(o modelGrant) bool {
		return m.now-o.at >= anHour || o.account == g.account && o.action == g.action && o.resource == g.resource && o.sid == g.sid
	})
	u.grants = append(u.grants[max(0, len(u.grants)-15):], g)
}

// granted looks for a proof that is good for this account, action, resource
// and session. After an hour it may be forgotten that there ever was one.
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
		if m.now-g.at < age && among(r.Methods, g.method) {
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

// Set-up.

// caller is who changes something: a session, or a challenge that leads to set-up.
func (m *model) caller(c modelCaller) (u *modelUser, p *pass, why string) {
	out := saysDenied(twofa.ReasonSignedOut)
	switch {
	case m.opens(c.challenge, c.client, "enroll"):
		p = c.challenge
	case m.opens(c.session, c.client, "session"):
		session := *c.session
		session.account, p = c.account, &session
	default:
		return nil, nil, out
	}
	if why := m.lookup(p.user, p.account); why != "" {
		return nil, nil, why
	}
	u = m.user(p.user)
	if !u.live(p) || u.stamp != m.dir[p.user].SecurityStamp || p.kind == "enroll" && u.spent[p.attempt] {
		return nil, nil, out
	}
	if next, _ := m.owes(u, p.account, m.mailable(p.user), p); p.kind == "session" && next == twofa.NextChallenge {
		return nil, nil, saysDenied(twofa.ReasonChallenge)
	}
	return u, p, ""
}

// mayChange asks for a fresh proof with a factor; for the very first factor,
// for a fresh first factor.
func (m *model) mayChange(u *modelUser, account string, p *pass) string {
	if len(u.factors) > 0 {
		_, why := m.granted(u, account, twofa.ActionFactors, "", p.sid)
		return why
	}
	if m.now-p.at >= 15*aMinute || p.by == twofa.ByToken {
		return saysDenied(twofa.ReasonSignedOut)
	}
	return ""
}

// mayReenroll: who came with a recovery code, or with what is no longer
// accepted, may set up a new factor for a quarter of an hour.
func (m *model) mayReenroll(p *pass) bool {
	for _, x := range p.proofs {
		if m.now-x.At.Unix() < 15*aMinute && (x.Method == twofa.RecoveryCode || p.kind == "enroll" && !strings.HasPrefix(string(x.Method), "browser/")) {
			return true
		}
	}
	return false
}

func (m *model) mayEnroll(u *modelUser, account string, p *pass, e twofa.EnrollRequest) string {
	why := m.mayChange(u, account, p)
	if e.Method == twofa.RecoveryCode {
		switch {
		case why != "":
			return why
		case m.cfg.Recovery.Codes < 1:
			return saysNotAllowed
		case len(u.factors) == 0:
			return saysNotEnrolled
		}
		return ""
	}
	if why != "" && (len(u.factors) == 0 || !m.mayReenroll(p)) {
		return why
	}
	if !among(m.policy(account).Methods, e.Method) {
		return saysNotAllowed
	}
	same := 0
	for _, f := range u.factors {
		if f.id == e.Replaces && f.method == e.Method {
			return ""
		}
		if f.method == e.Method {
			same++
		}
	}
	if e.Replaces != "" {
		return saysNotEnrolled
	}
	if same >= 5 || e.Method == twofa.SMS && same > 0 {
		return saysNotAllowed
	}
	return ""
}

func (m *model) enroll(c modelCaller, e twofa.EnrollRequest) (string, *modelSetup, gift) {
	if e.Method == twofa.SMS && !strings.HasPrefix(e.Phone, "+417") {
		return saysNotAllowed, nil, gift{}
	}
	u, p, why := m.caller(c)
	if why == "" {
		why = m.mayEnroll(u, p.account, p, e)
	}
	if why == "" && e.Method == twofa.SMS {
		why = m.claim(u, "set-up", twofa.SMS)
	}
	if why != "" {
		return why, nil, gift{}
	}
	s := &modelSetup{modelFactor: modelFactor{method: e.Method, name: e.Name}, sid: p.sid, attempt: m.id(), replaces: e.Replaces,
		confirmed: e.Method == twofa.RecoveryCode, expires: m.now + 10*aMinute}
	s.saved = m.cfg.Recovery.Codes < 1 || e.Method != twofa.RecoveryCode && u.left() > 0
	u.setup = s
	if e.Method != twofa.SMS {
		return saysFine, s, gift{}
	}
	return m.textNumber(u, p, s, c, e.Phone)
}

func (m *model) textNumber(u *modelUser, p *pass, s *modelSetup, c modelCaller, number string) (string, *modelSetup, gift) {
	s.what = number
	x := &modelSent{id: m.id(), attempt: s.attempt, method: twofa.SMS, bucket: "set-up", expires: m.now + 5*aMinute}
	u.unsend(func(o *modelSent) bool { return o.bucket == x.bucket })
	u.sent = append(u.sent, x)
	q := *p
	if q.kind == "session" {
		q.kind, q.attempt, q.expires = "phone", m.id(), s.expires
		q.bind(c.client)
	}
	q.sent = x.id
	if why := m.deliver(number + ", unconfirmed"); why != "" {
		return why, nil, gift{}
	}
	return saysFine, s, gift{challenge: &q, sent: x}
}

func (m *model) ownSetup(u *modelUser, p *pass) bool {
	return u.setup != nil && u.setup.sid == p.sid && m.now < u.setup.expires
}

func (m *model) enrollment(c modelCaller) (string, *modelSetup) {
	u, p, why := m.caller(c)
	if why == "" && !m.ownSetup(u, p) {
		why = saysExpired
	}
	if why != "" {
		return why, nil
	}
	return saysFine, u.setup
}

func (m *model) confirm(c modelCaller, code string) (string, gift) {
	return m.finish(c, func(u *modelUser) string {
		s := u.setup
		if s.confirmed {
			return ""
		}
		if s.confirmed = m.confirms(u, c, code); s.confirmed {
			return ""
		}
		if s.fails++; s.fails == 5 {
			u.setup = nil
		}
		return saysInvalid(5 - s.fails)
	})
}

func (m *model) confirms(u *modelUser, c modelCaller, code string) (ok bool) {
	s := u.setup
	if s.method == twofa.TOTP {
		s.step, ok = m.matching(s.what, code)
		return ok
	}
	p := c.challenge
	if !m.opens(p, c.client, "phone", "enroll") || m.user(p.user) != u || p.sid != s.sid {
		return false
	}
	x := m.liveSent(u, p, twofa.SMS)
	if x == nil || x.attempt != s.attempt || x.secret != plainDigits(code) {
		return false
	}
	u.unsend(func(o *modelSent) bool { return o == x })
	return true
}

func (m *model) saveCodes(c modelCaller) (string, gift) {
	return m.finish(c, func(u *modelUser) string { u.setup.saved = true; return "" })
}

// finish takes one of the two steps; with the second, all becomes active.
func (m *model) finish(c modelCaller, step func(*modelUser) string) (string, gift) {
	u, p, why := m.caller(c)
	if why == "" && !m.ownSetup(u, p) {
		why = saysExpired
	}
	if why == "" {
		why = step(u)
	}
	if why != "" {
		return why, gift{}
	}
	if s := u.setup; !s.confirmed || !s.saved {
		return gift{next: twofa.NextEnroll}.String() + gave(false, c.challenge != nil, false, false), gift{}
	}
	g := m.activate(u, p, c)
	return g.String(), g
}

func (m *model) activate(u *modelUser, p *pass, c modelCaller) gift {
	s := u.setup
	if len(s.codes) > 0 {
		u.codes = map[string]bool{}
		for _, code := range s.codes {
			u.codes[plainDigits(code)] = true
		}
		u.clear(twofa.RecoveryCode)
	}
	if s.method == twofa.RecoveryCode {
		u.setup = nil
		return gift{next: twofa.NextDone, session: c.session}
	}
	m.place(u, s)
	u.clear(s.method)
	m.newEpoch(u, p.sid)
	p = p.prove(s.method, m.now)
	g := gift{next: twofa.NextDone}
	if p.kind == "enroll" {
		u.spent[p.attempt] = true
		g = m.advance(u, p.account, p)
	} else {
		g.session = m.sessionOf(u, p)
	}
	if g.next == twofa.NextDone {
		g.browser = m.recognise(u, c.client, p.account, s.method, false)
	}
	return g
}

func (m *model) place(u *modelUser, s *modelSetup) {
	f := s.modelFactor
	for i, old := range u.factors {
		if old.id != s.replaces {
			continue
		}
		if f.name == "" {
			f.name = old.name
		}
		if old.method == twofa.SMS { // the old number is told, if its budget allows
			m.claimNumber(old.what + ", replaced")
		}
		u.factors[i] = f
		return
	}
	f.name = named(f.name, f.method)
	u.factors = append(u.factors, f)
}

func named(name string, method twofa.Method) string {
	switch {
	case name != "":
		return name
	case method == twofa.SMS:
		return "Phone"
	}
	return "Authenticator app"
}

func (u *modelUser) clear(method twofa.Method) {
	delete(u.counters, bucketOf(method, true))
	delete(u.counters, bucketOf(method, false))
}

// change is what Rename and Remove have in common.
func (m *model) change(c modelCaller, id string) (u *modelUser, p *pass, i int, why string) {
	if u, p, why = m.caller(c); why != "" {
		return nil, nil, 0, why
	}
	if why = m.mayChange(u, p.account, p); why != "" {
		return nil, nil, 0, why
	}
	if i = slices.IndexFunc(u.factors, func(f modelFactor) bool { return f.id == id }); i < 0 {
		return nil, nil, 0, saysNotEnrolled
	}
	return u, p, i, ""
}

func (m *model) rename(c modelCaller, id, name string) string {
	u, _, i, why := m.change(c, id)
	if why == "" {
		u.factors[i].name = named(name, u.factors[i].method)
	}
	return orFine(why)
}

func (m *model) remove(c modelCaller, id string) string {
	u, p, i, why := m.change(c, id)
	if why != "" {
		return why
	}
	left := slices.Delete(slices.Clone(u.factors), i, i+1)
	for _, in := range append(slices.Clone(m.dir[p.user].Members), twofa.Member{Account: p.account}) { // each has a say
		pol := m.policy(in.Account)
		bare := !slices.ContainsFunc(left, func(f modelFactor) bool { return among(pol.Methods, f.method) })
		needed := pol.Required && !among(pol.Methods, twofa.EmailLink)
		if bare && (needed || pol.TurnOff != twofa.TurnOffByUser) {
			return saysNotAllowed
		}
	}
	u.factors = left
	m.newEpoch(u, p.sid)
	if len(left) == 0 {
		u.codes, u.counters = nil, map[string]modelCounter{}
	}
	return saysFine
}

func (m *model) viewCodes(c modelCaller) (string, *modelUser) {
	u, p, why := m.caller(c)
	if why == "" {
		why = m.mayChange(u, p.account, p)
	}
	switch {
	case why != "":
		return why, nil
	case u.left() == 0:
		return saysNotEnrolled, nil
	case !m.cfg.Recovery.Viewable:
		return saysNotAllowed, nil
	}
	return saysFine, u
}

func (m *model) factors(c modelCaller) string {
	u, p, why := m.caller(c)
	if why != "" {
		return why
	}
	s := strconv.Itoa(u.left()) + " of " + strconv.Itoa(len(u.codes)) + " codes, pending " + strconv.FormatBool(m.ownSetup(u, p))
	for _, f := range u.factors {
		s += ", " + string(f.method) + " " + f.name
	}
	return s
}

func (m *model) knownBrowsers(c modelCaller) string {
	u, why := m.guard(c)
	if why != "" {
		return why
	}
	own, late := m.browser(u, c.client.Browser.Reveal())
	s := "browsers"
	for _, b := range slices.Backward(u.browsers) {
		if m.now >= b.expires {
			continue
		}
		remembered := b.remember && m.now-b.proven < int64(m.policy(c.account).Remember/time.Second)
		s += " " + strconv.FormatBool(remembered) + "/" + strconv.FormatBool(b == own && !late)
	}
	return s
}

// forget drops the i-th newest known browser, or all of them if i is negative.
func (m *model) forget(c modelCaller, i int) string {
	u, why := m.guard(c)
	if why != "" {
		return why
	}
	var kept []*modelBrowser
	for _, b := range u.browsers {
		if m.now < b.expires {
			kept = append(kept, b)
		}
	}
	if i >= len(kept) || i < 0 && len(kept) == 0 {
		return saysNotEnrolled
	}
	u.browsers = nil
	if at := len(kept) - 1 - i; i >= 0 {
		u.browsers = slices.Delete(kept, at, at+1)
	}
	return saysFine
}

// Ends.

// revoke ends everything. The host may for everybody (c.session is nil then),
// a person for nobody else.
func (m *model) revoke(c modelCaller, user string, host, keep bool) string {
	survivor := 0
	if !host {
		if m.opens(c.session, c.client, "session") && c.session.user != user {
			return saysNotAllowed
		}
		if _, why := m.live(c); why != "" {
			return why
		}
		if keep {
			survivor = c.session.sid
		}
	}
	if u := m.user(user); u.epoch != 0 {
		u.stamp = m.dir[user].SecurityStamp
		m.newEpoch(u, survivor)
	}
	return saysFine
}
