package model

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

func (r *modelRun) beginSomehow() {
	d := r.device()
	f := twofa.FirstFactor{UserID: d.user, Account: r.account(), By: twofa.ByPassword, Client: r.client(d)}
	if r.chance(25) {
		f.By = oneOf(r, twofa.BySSO, twofa.BySSO, twofa.ByEmail, twofa.ByToken)
	}
	if f.By == twofa.BySSO || r.chance(1) {
		f.ProviderOf = oneOf(r, "acme", "beta", f.Account, "")
	}
	if r.chance(2) {
		f.By = "smoke signal"
	}
	if r.chance(20) {
		f.SecurityStamp = oneOf(r, r.rules.dir[d.user].SecurityStamp, r.rules.dir[d.user].SecurityStamp, "stale")
	}
	var session *modelHold
	if r.chance(40) {
		session = r.sessionIn(d)
	}
	r.begin(d, f, session)
}

// sessionIn returns a session of the browser, often of the same user.
func (r *modelRun) sessionIn(d *modelDevice) *modelHold {
	own := slices.DeleteFunc(slices.Clone(r.sessions), func(h *modelHold) bool {
		return h.device.modelJar != d.modelJar || !r.rules.alive(h.pass)
	})
	if len(own) == 0 || r.chance(10) {
		return r.some(r.sessions)
	}
	return own[max(0, len(own)-1-int(r.rng.ExpFloat64()))]
}

func (r *modelRun) begin(d *modelDevice, f twofa.FirstFactor, session *modelHold) *modelHold {
	var p *pass
	with := ""
	if session != nil {
		p, with = session.pass, " with session "+strconv.Itoa(session.pass.sid)+" of "+session.pass.user
		f.Session = twofa.ParseSession(r.present(session.token))
	}
	want, g := r.rules.begin(f, p)
	l, err := r.server().Begin(r.t.Context(), f)
	r.agree(d.user+" ("+d.name+") begin by "+string(f.By)+" of "+f.ProviderOf+" in "+f.Account+with, want, toldLogin(l, err))
	return r.keep(d, l, g)
}

func (r *modelRun) verifySomehow() {
	h := r.some(r.challenges)
	if h == nil {
		return
	}
	method := oneOf(r, twofa.TOTP, twofa.SMS, twofa.EmailLink, twofa.RecoveryCode)
	if _, offered, _ := r.rules.resume(h.device.client, h.pass); len(offered) > 0 && r.chance(95) {
		method = oneOf(r, offered...)
	}
	if r.fleet != nil && r.chance(3) {
		method = passkey // a word of the next release
	}
	code := r.right(h.pass, method)
	if code == "" || r.chance(40) {
		code = r.other(h.pass.user, method)
	}
	r.verify(h, r.client(h.device), twofa.Proof{Method: method, Code: twofa.NewSecret(code), Remember: r.chance(40)})
}

// verify proves something, and sometimes sends the form again within or after
// ten seconds, from the same browser or another one.
func (r *modelRun) verify(h *modelHold, c twofa.Client, p twofa.Proof) *modelHold {
	session := r.sessionFor(h)
	got := r.verifyOnce(h, session, c, p)
	for r.chance(20) {
		if r.chance(70) {
			r.wait(int64(r.rng.IntN(12)))
		}
		if r.chance(20) {
			r.between(h, got)
		}
		again := c
		if r.chance(50) {
			again = r.client(h.device)
		}
		if h.pass.browser == "" && r.chance(30) { // nothing binds the challenge
			again.Browser = r.device().client.Browser
		}
		if r.chance(5) {
			p.Remember = !p.Remember
		}
		if more := r.verifyOnce(h, session, again, p); more != nil {
			got = more
		}
	}
	return got
}

// between does what may happen between two arrivals of one form.
func (r *modelRun) between(h, got *modelHold) {
	switch r.rng.IntN(5) {
	case 0:
		if got != nil && got.pass.kind != "session" && r.chance(50) {
			h = got // the next step of the same login
		}
		r.cancel(h, h.device.client)
	case 1:
		r.signOutOf(got)
	case 2:
		r.restamp(h.pass.user)
	case 3:
		r.setPolicy()
	default:
		r.end("revoke", (*twofa.ManagedUser).Revoke, false)
	}
}

// sessionFor returns the session for which a step-up is, and rarely another.
func (r *modelRun) sessionFor(h *modelHold) *modelHold {
	if h.pass.kind != "action" || r.chance(3) {
		return r.some(r.sessions)
	}
	for _, s := range slices.Backward(r.sessions) {
		if s.pass.sid == h.pass.sid {
			return s
		}
	}
	return nil
}

func (r *modelRun) verifyOnce(h, session *modelHold, c twofa.Client, p twofa.Proof) *modelHold {
	call := modelCall{session: session, client: c}
	answers := r.rules.user(h.pass.user).answers
	if r.fleet != nil && slices.ContainsFunc(answers, func(a modelAnswer) bool { return a.method == passkey }) {
		r.rules.at = r.fleet.full() // this release cannot know that the answer was to a passkey
	}
	want, g := r.rules.verify(call.rules(), h.pass, p)
	l, err := r.server().Verify(r.t.Context(), r.real(call), r.challenge(h), p)
	r.agree(h.who()+"verify "+string(p.Method)+" "+p.Code.Reveal()+" for "+h.pass.kind+" "+h.pass.action+" of "+strconv.Itoa(h.pass.attempt), want, toldLogin(l, err))
	return r.keep(h.device, l, g)
}

// right returns a code that is valid or was valid until its use, or "" if there
// is none.
func (r *modelRun) right(p *pass, method twofa.Method) string {
	u := r.rules.user(p.user)
	switch method {
	case twofa.TOTP:
		var uris []string
		for _, f := range u.factors {
			if f.method == twofa.TOTP {
				uris = append(uris, f.what)
			}
		}
		if len(uris) > 0 {
			return r.shown(oneOf(r, uris...), 0)
		}
	case twofa.RecoveryCode:
		for _, code := range r.seen[p.user][method] {
			if u.codes[plainDigits(code)] {
				return code
			}
		}
	default:
		x := r.rules.liveSent(u, p, method)
		switch {
		case x != nil && x.coded && r.chance(50):
			return x.code
		case x != nil:
			return x.secret
		}
	}
	return ""
}

// shown returns the code that an app shows the given number of steps from now.
func (r *modelRun) shown(uri string, steps int64) string {
	return r.rules.appCode(uri, r.rules.now/int64(r.rules.cfg.TOTP.Period/time.Second)+steps)
}

// other returns a code that is probably wrong: of another time, app, browser,
// set or spelling, used before, or nonsense.
func (r *modelRun) other(user string, method twofa.Method) string {
	if r.chance(15) {
		return oneOf(r, "", "000000", "00000000", "12345", "１２３４５６", "zzzz-zzzz-zzzz-zzzz-zzzz-zzzz", strings.Repeat("0", 500), strings.Repeat(" ", 19)+"000000")
	}
	code := ""
	if method == twofa.TOTP && len(r.uris[user]) > 0 {
		uris := r.uris[user][max(0, len(r.uris[user])-3):]
		code = r.shown(oneOf(r, uris...), oneOf[int64](r, -2, -1, -1, -1, 0, 1, 1, 2))
	} else if seen := r.seen[user][method]; len(seen) > 0 {
		code = seen[max(0, len(seen)-1-r.rng.IntN(12))]
	}
	if len(code) == 6 && method != twofa.TOTP && r.chance(60) {
		return code[:5] + string('0'+(code[5]-'0'+1)%10) // one digit is wrong
	}
	if !isToken(code) && len(code) > 3 && r.chance(30) {
		code = oneOf(r, code[:3]+" "+code[3:], " "+code, strings.ToLower(code), code[1:], code+"0")
	}
	return code
}

func (r *modelRun) sendSomehow() {
	h := r.some(r.challenges)
	if h == nil {
		return
	}
	method := oneOf(r, twofa.SMS, twofa.EmailLink, twofa.EmailLink, twofa.TOTP)
	if _, offered, _ := r.rules.resume(h.device.client, h.pass); len(offered) > 0 && r.chance(80) {
		method = oneOf(r, offered...)
	}
	if sent := r.send(h, r.client(h.device), method); sent != nil && r.chance(10) { // the page from before is still open
		r.cancel(h, h.device.client)
		r.verify(sent, h.device.client, twofa.Proof{Method: method, Code: twofa.NewSecret(r.right(sent.pass, method))})
	}
}

func (r *modelRun) send(h *modelHold, c twofa.Client, method twofa.Method) *modelHold {
	return r.sendDuring(r.outage(), h, c, method)
}

func (r *modelRun) sendDuring(what outage, h *modelHold, c twofa.Client, method twofa.Method) *modelHold {
	r.rules.down = what
	want, g := r.rules.send(c, h.pass, method)
	l, err := r.server().Send(r.t.Context(), c, r.challenge(h), method)
	r.agree(h.who()+"send "+string(method), want, toldLogin(l, err))
	r.rules.down = allWell
	r.learnSent(h.pass.user, g)
	if what == noRecipient && r.chance(60) { // again
		r.wait(oneOf[int64](r, 0, 1, 60))
		r.sendDuring(what, h, c, method)
	}
	return r.keep(h.device, l, g)
}

func (r *modelRun) outage() outage {
	switch n := r.rng.IntN(100); {
	case n < 3:
		return nothingSent
	case n < 8:
		return noRecipient
	}
	return allWell
}

func (r *modelRun) learnSent(user string, g gift) {
	if g.sent == nil {
		return
	}
	g.sent.secret = r.out.link
	if g.sent.method == twofa.SMS {
		g.sent.secret = r.out.code
		require.Regexp(r.t, sixDigits, r.out.code)
	}
	if g.sent.method == twofa.EmailLink {
		require.Equal(r.t, g.sent.coded, r.out.mailed != "", "a code in the mail")
		if g.sent.code = r.out.mailed; g.sent.coded {
			r.seen[user][g.sent.method] = append(r.seen[user][g.sent.method], g.sent.code)
		}
	}
	r.seen[user][g.sent.method] = append(r.seen[user][g.sent.method], g.sent.secret)
}

var sixDigits = regexp.MustCompile(`^[0-9]{6}$`)

func (r *modelRun) cancelSomehow() {
	h := r.some(r.challenges)
	if h == nil {
		return
	}
	r.cancel(h, r.client(h.device))
}

func (r *modelRun) cancel(h *modelHold, c twofa.Client) {
	r.agree(h.who()+"cancel "+strconv.Itoa(h.pass.attempt), r.rules.cancel(c, h.pass), told(r.server().Cancel(r.t.Context(), c, r.challenge(h))))
}

// cancelAll cancels logins for which a code was tried until there were too many
// in an hour, with right codes in between so that nothing is locked.
func (r *modelRun) cancelAll() {
	d := r.stranger(r.enrolledUser())
	for range 20 + r.rng.IntN(25) {
		h := r.begin(d, twofa.FirstFactor{UserID: d.user, Account: "acme", By: twofa.ByPassword, Client: d.client}, nil)
		if h == nil || h.pass.kind != "login" {
			return
		}
		u, offered, _ := r.rules.resume(d.client, h.pass)
		if len(offered) == 0 {
			return
		}
		for _, method := range offered {
			fails := r.rules.counter(u, string(method)).fails
			if code := r.right(h.pass, method); code != "" && (fails == 4 || r.chance(15)) {
				r.verifyOnce(h, nil, d.client, twofa.Proof{Method: method, Code: twofa.NewSecret(code)})
				break
			}
		}
		method := offered[len(offered)-1]
		if r.rules.waits(u, d.client, d.user, method) != "" && r.chance(50) {
			r.wait(aMinute)
		}
		r.verifyOnce(h, nil, d.client, twofa.Proof{Method: method, Code: twofa.NewSecret(r.wrongFor(method))})
		r.cancel(h, d.client)
	}
}

// fumble enters wrong codes in several logins of one browser, and then returns to
// one of the first.
func (r *modelRun) fumble() {
	d := r.device()
	var tried []*modelHold
	var proofs []twofa.Proof
	for range 4 + r.rng.IntN(3) {
		h := r.begin(d, twofa.FirstFactor{UserID: d.user, Account: "acme", By: twofa.ByPassword, Client: d.client}, nil)
		if h == nil || h.pass.kind != "login" {
			return
		}
		_, offered, _ := r.rules.resume(d.client, h.pass)
		if len(offered) == 0 {
			return
		}
		method := offered[len(tried)%len(offered)]
		p := twofa.Proof{Method: method, Code: twofa.NewSecret(r.wrongFor(method))}
		r.verifyOnce(h, nil, d.client, p)
		tried, proofs = append(tried, h), append(proofs, p)
	}
	i := r.rng.IntN(3)
	if r.chance(50) {
		r.cancel(tried[i], d.client)
		return
	}
	r.verifyOnce(tried[i], nil, d.client, proofs[i])
}

// revive uses up a challenge, and tries it again in its last seconds, when the
// process whose clock is ahead has already forgotten others.
func (r *modelRun) revive() {
	d := r.device()
	f := twofa.FirstFactor{UserID: d.user, Account: "acme", By: twofa.ByPassword, Client: d.client}
	h := r.begin(d, f, nil)
	if h == nil || h.pass.kind != "login" {
		return
	}
	_, offered, why := r.rules.resume(d.client, h.pass)
	if why != "" {
		return
	}
	proof := func(h *modelHold) twofa.Proof {
		return twofa.Proof{Method: offered[0], Code: twofa.NewSecret(r.right(h.pass, offered[0]))}
	}
	r.verifyOnce(h, nil, d.client, proof(h))
	if wait := h.pass.expires - 1 - r.rng.Int64N(4) - r.rules.now; wait > 0 {
		r.wait(wait)
	}
	if other := r.begin(d, f, nil); other != nil && other.pass.kind == "login" {
		r.verifyOnce(other, nil, d.client, twofa.Proof{Method: offered[0], Code: twofa.NewSecret(r.wrongFor(offered[0]))})
	}
	for range 2 {
		r.verifyOnce(h, nil, d.client, proof(h))
	}
}

// stranger returns a browser in which a user is not known.
func (r *modelRun) stranger(user string) *modelDevice {
	return &modelDevice{user, "stranger", &modelJar{client: twofa.Client{Browser: twofa.NewSecret("stranger " + strconv.Itoa(r.steps))}}}
}

// enrolledUser returns a user, with a factor if there is one.
func (r *modelRun) enrolledUser() string {
	for _, i := range r.rng.Perm(len(modelUsers)) {
		if id := modelUsers[i]; len(r.rules.user(id).factors) > 0 && !r.rules.dir[id].Disabled {
			return id
		}
	}
	return "ada"
}

// wrongFor returns a code that is well formed and wrong.
func (r *modelRun) wrongFor(method twofa.Method) string {
	if method == twofa.RecoveryCode {
		return "0000-0000-0000-0000-0000-0000"
	}
	return strings.Repeat("0", r.digits(method))
}

func (r *modelRun) digits(method twofa.Method) int {
	if method == twofa.TOTP {
		return r.rules.cfg.TOTP.Digits
	}
	return 6
}

// signOut ends a session as the host does at logout.
func (r *modelRun) signOut() { r.signOutOf(r.some(r.sessions)) }

func (r *modelRun) signOutOf(h *modelHold) {
	if h == nil || h.pass.kind != "session" {
		return
	}
	c := modelCall{session: h, client: h.device.client}
	r.agree(c.who()+"signed out", r.rules.signedOutAt(h.pass), told(r.server().SignedOut(r.t.Context(), r.real(c))))
}

// changeMind adds a first factor to a session, and then uses what was proven.
func (r *modelRun) changeMind() {
	h := r.some(r.sessions)
	if h == nil {
		return
	}
	f := twofa.FirstFactor{UserID: h.pass.user, Account: r.account(), By: oneOf(r, twofa.ByPassword, twofa.BySSO, twofa.ByEmail, twofa.ByToken), Client: h.device.client}
	if f.By == twofa.BySSO {
		f.ProviderOf = oneOf(r, "", "acme", "beta", f.Account)
	}
	if h = r.begin(h.device, f, h); h == nil || h.pass.kind != "session" {
		return
	}
	c := modelCall{session: h, account: oneOf(r, "", "acme", "beta"), client: h.device.client}
	r.check(c)
	action, resource := r.someAction()
	r.use(c, action, resource, r.chance(50))
	r.stepUp(c, action, resource)
}

// outstay signs in again shortly before a session ends, and uses the session that
// results.
func (r *modelRun) outstay() {
	h := r.some(r.sessions)
	if h == nil || !r.rules.alive(h.pass) {
		return
	}
	if wait := r.rules.end(h.pass) - r.rng.Int64N(15*aMinute) - r.rules.now; wait > 0 {
		r.wait(wait)
	}
	h = r.begin(h.device, twofa.FirstFactor{UserID: h.pass.user, Account: h.pass.account, By: twofa.ByPassword, Client: h.device.client}, h)
	if h = r.answer(h); h != nil && h.pass.kind == "session" {
		for range 2 {
			r.check(modelCall{session: h, account: h.pass.account, client: h.device.client})
			r.wait(r.rng.Int64N(5 * aMinute))
		}
	}
}

// copyCookie uses a copy of a browser's cookie after the browser was used.
func (r *modelRun) copyCookie() {
	d := r.device()
	f := twofa.FirstFactor{UserID: d.user, Account: r.account(), By: twofa.ByPassword, Client: d.client}
	r.begin(d, f, nil)
	if r.chance(60) {
		r.wait(100 + r.rng.Int64N(40))
	}
	r.answer(r.begin(d, f, nil)) // with the cookie from before
	f.Client = d.client
	r.answer(r.begin(d, f, nil))
}

func (r *modelRun) resumeSomehow() {
	c, ok := r.caller()
	if !ok || c.session == nil {
		return
	}
	want, g := r.rules.resumeSession(c.rules())
	l, err := r.server().Resume(r.t.Context(), r.real(c))
	r.agree(c.who()+"resume in "+c.account, want, toldLogin(l, err))
	r.keep(c.session.device, l, g)
}

// signIn makes a whole login.
func (r *modelRun) signIn() {
	d := r.device()
	h := r.begin(d, twofa.FirstFactor{UserID: d.user, Account: r.account(), By: twofa.ByPassword, Client: d.client}, nil)
	if h = r.answer(h); h != nil && h.pass.kind == "enroll" && r.chance(70) {
		r.setUpBy(modelCall{challenge: h, account: h.pass.account, client: d.client})
	}
}

// answer proves what a challenge demands.
func (r *modelRun) answer(h *modelHold) *modelHold {
	if h == nil || h.pass.kind != "login" && h.pass.kind != "action" {
		return h
	}
	_, offered, why := r.rules.resume(h.device.client, h.pass)
	if why != "" {
		return nil
	}
	method := oneOf(r, offered[0], offered[0], offered[0], oneOf(r, offered...))
	if method == twofa.SMS || method == twofa.EmailLink {
		if h = r.send(h, h.device.client, method); h == nil {
			return nil
		}
	}
	if r.chance(70) {
		r.wait(int64(r.rules.cfg.TOTP.Period / time.Second)) // the previous code may be used up
	}
	return r.verify(h, h.device.client, twofa.Proof{Method: method, Code: twofa.NewSecret(r.right(h.pass, method)), Remember: r.chance(40)})
}

// outlive uses a remembered browser until it is challenged again, and its token
// from before a rotation until that is a copy.
func (r *modelRun) outlive() {
	remember := int64(r.rules.policy("acme").Remember / time.Second)
	var d *modelDevice
	var b *modelBrowser
	for _, i := range r.rng.Perm(len(r.devices)) {
		d = r.devices[i]
		b = r.rules.knownAs(r.rules.user(d.user), d.client, d.user)
		if b != nil && b.remembered == r.rules.user(d.user).epoch && b.proven+remember-aMinute > r.rules.now {
			break
		}
		b = nil
	}
	if b == nil {
		return
	}
	f := twofa.FirstFactor{UserID: d.user, Account: "acme", By: twofa.ByPassword, Client: d.client}
	if r.chance(50) {
		r.begin(d, f, nil)
		r.wait(119 + int64(r.rng.IntN(2)))
		r.begin(d, f, nil) // with the previous token
		return
	}
	r.wait(b.proven + remember - int64(r.rng.IntN(2)) - r.rules.now)
	r.begin(d, f, nil)
}

// moveHouse changes the address after a link was sent.
func (r *modelRun) moveHouse() {
	d := r.device()
	h := r.begin(d, twofa.FirstFactor{UserID: d.user, Account: r.account(), By: twofa.ByPassword, Client: d.client}, nil)
	if h == nil || h.pass.kind != "login" {
		return
	}
	if h = r.send(h, d.client, twofa.EmailLink); h == nil {
		return
	}
	u := r.rules.dir[d.user]
	u.Emails = []string{d.user + strconv.Itoa(r.steps) + "@example.com"}
	r.rules.dir[d.user] = u
	r.verify(h, d.client, twofa.Proof{Method: twofa.EmailLink, Code: twofa.NewSecret(r.right(h.pass, twofa.EmailLink))})
}

// queue signs in as several users in one browser.
func (r *modelRun) queue() {
	jar := r.device().modelJar
	for _, i := range r.rng.Perm(len(r.devices)) {
		if d := r.devices[i]; d.modelJar == jar {
			r.answer(r.begin(d, twofa.FirstFactor{UserID: d.user, Account: r.account(), By: twofa.ByPassword, Client: d.client}, r.sessionIn(d)))
		}
	}
}

// crowd signs in from a dozen browsers.
func (r *modelRun) crowd() {
	d := r.device()
	for i := range 12 {
		d.client.Browser, d.past = twofa.NewSecret(d.user+"'s browser "+strconv.Itoa(r.steps+i)), nil
		r.answer(r.begin(d, twofa.FirstFactor{UserID: d.user, Account: "acme", By: twofa.ByPassword, Client: d.client}, nil))
	}
	if h := r.some(r.sessions); h != nil {
		r.browsers(modelCall{session: h, account: h.pass.account, client: h.device.client})
	}
}
