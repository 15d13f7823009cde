package model

import (
	"slices"
	"strconv"
	"strings"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// Enrollment.

// caller finds the session, or the challenge that leads to enrollment, of a
// change.
func (m *model) caller(c modelCaller) (u *modelUser, p *pass, why string) {
	if u, p, why = m.opened(c); why == "" {
		why = m.mayShow(u, p)
	}
	return u, p, why
}

func (m *model) opened(c modelCaller) (u *modelUser, p *pass, why string) {
	switch {
	case m.opens(c.challenge, c.client, "enroll"):
		p = c.challenge
	case m.opens(c.session, c.client, "session"):
		session := *c.session
		session.account, p = c.in(), &session
	default:
		return nil, nil, m.signedOut(c.session)
	}
	m.notes(p.user)
	u, why = m.enter(p.user, p.account)
	return u, p, why
}

// mayShow refuses a caller who must prove something first.
func (m *model) mayShow(u *modelUser, p *pass) string {
	if why := m.current(u, p); why != "" {
		return why
	}
	next, _, _ := m.owes(u, p.account, m.mailable(p.user), p)
	if p.kind == "session" && next == twofa.NextChallenge {
		return saysDenied(twofa.ReasonChallenge)
	}
	return refusal(next)
}

// mayChange demands a fresh proof with a factor, or what the very first factor
// takes.
func (m *model) mayChange(u *modelUser, p *pass, c twofa.Client) string {
	if len(u.factors) > 0 {
		return m.use(u, p, c, p.account, twofa.ActionFactors, "")
	}
	return m.mayEnrollFirst(u, p, p.account, m.mailable(p.user))
}

// mayReenroll reports whether a user who signed in with a recovery code, or
// with a method that is no longer accepted, may enroll a new factor. The user
// may for 15 minutes, and with a recovery code until there are new ones.
func (m *model) mayReenroll(u *modelUser, p *pass) bool {
	for _, x := range p.proofs {
		switch {
		case !m.justNow(x.at):
		case x.method == twofa.RecoveryCode && x.at > u.codesReplaced:
			return true
		case x.method == twofa.RecoveryCode:
			m.reach("a recovery code from before new ones")
		case p.kind == "enroll" && !strings.HasPrefix(string(x.method), "browser/"):
			return true
		}
	}
	return false
}

func (m *model) mayEnroll(u *modelUser, p *pass, c twofa.Client, e twofa.EnrollRequest) string {
	why := m.mayChange(u, p, c)
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
	if why != "" && (len(u.factors) == 0 || !m.mayReenroll(u, p)) {
		return why
	}
	if !among(m.policy(p.account).Methods, e.Method) {
		return saysNotAllowed
	}
	same := 0
	for _, f := range u.factors {
		if f.id == e.Replaces && m.shown(f) == e.Method {
			return ""
		}
		if m.shown(f) == e.Method {
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
	if e.Method == twofa.SMS && e.Assigned == "" && !m.at.sms {
		return saysUnavailable, nil, gift{}
	}
	if e.Method == twofa.SMS && e.Assigned == "" && !strings.HasPrefix(e.Phone, "+417") {
		return saysNotAllowed, nil, gift{}
	}
	u, p, why := m.caller(c)
	if why != "" {
		return why, nil, gift{}
	}
	before := u.clone()
	why = m.mayEnroll(u, p, c.client, e)
	if why == "" && e.Assigned != "" {
		e.Phone, why = m.assignedNumber(u, p, e.Assigned)
	}
	if why == "" && e.Method == twofa.SMS {
		why = m.claim(u.sends, "enrollment", spacingText)
	}
	if why != "" {
		*u = before
		return why, nil, gift{}
	}
	if e.Method == twofa.SMS {
		return m.enrollPhone(u, p, c, e)
	}
	m.begins(u, p, c, e)
	var g gift
	if p.kind == "enroll" {
		g.challenge = u.setup.renew(p)
	}
	return saysFine, u.setup, g
}

// begins replaces the pending enrollment, and forgets what the steps of the last
// one were answered.
func (m *model) begins(u *modelUser, p *pass, c modelCaller, e twofa.EnrollRequest) {
	s := &modelSetup{modelFactor: modelFactor{method: e.Method, name: e.Name, kind: kindNamed(e.Name)}, sid: p.sid, attempt: m.id(), browser: m.cookie(c.client).secret,
		replaces: e.Replaces, confirmed: e.Method == twofa.RecoveryCode, ends: m.now + 2*anHour}
	s.saved = m.cfg.Recovery.Codes < 1 || e.Method != twofa.RecoveryCode && u.left() > 0
	s.elevate = !m.proven(p, twofa.RecoveryCode) && u.reset == nil
	u.setup = s
	u.answers = slices.DeleteFunc(slices.Clone(u.answers), func(a modelAnswer) bool { return a.to == toStep(p) })
	m.extend(s)
}

// extend gives time for the next step of an enrollment.
func (m *model) extend(s *modelSetup) {
	if s.expires = min(s.ends, m.now+inSeconds(m.cfg.Lifetimes.Enrollment)); s.expires == s.ends && s.ends < m.now+2*anHour {
		m.reach("an enrollment that no step renews")
	}
}

// renew returns the challenge for the next step. Older ones remain valid.
func (s *modelSetup) renew(p *pass) *pass {
	q := *p
	q.expires = s.expires
	if s.method != twofa.SMS { // a code that was sent for a phone is no longer of use
		q.sent = 0
	}
	return &q
}

// enrollPhone sends a code to a new number, or another one to the same.
func (m *model) enrollPhone(u *modelUser, p *pass, c modelCaller, e twofa.EnrollRequest) (string, *modelSetup, gift) {
	s := u.setup
	if s == nil || m.openSetup(u, p, c.client) != "" || s.method != twofa.SMS || s.what != e.Phone || s.replaces != e.Replaces || s.confirmed {
		m.begins(u, p, c, e)
		s = u.setup
		s.what = e.Phone
		u.unsend(func(o *modelSent) bool { return o.bucket == "enrollment" })
	}
	if s.id != "" {
		m.reach("another code for the same number")
	}
	m.extend(s)
	q := s.renew(p)
	if q.kind == "session" {
		q.kind, q.attempt = "phone", m.id()
		m.bind(q, c.client)
	}
	x := &modelSent{id: m.id(), attempt: s.attempt, sid: p.sid, method: twofa.SMS, bucket: "enrollment", expires: m.now + 5*aMinute}
	q.sent = x.id
	m.addSent(u, x)
	if why := m.deliver(u, x, e.Phone+", unconfirmed"); why != "" {
		return why, nil, gift{}
	}
	return saysFine, s, gift{challenge: q, sent: x}
}

// openSetup returns why this process cannot continue the enrollment. Only the
// session that began it can, in the same browser.
func (m *model) openSetup(u *modelUser, p *pass, c twofa.Client) string {
	switch s := u.setup; {
	case s == nil || s.sid != p.sid || s.browser != m.cookie(c).secret || m.now >= s.expires:
		return saysExpired
	case s.kind != "" && !m.at.next:
		return saysUnavailable
	}
	return ""
}

func (m *model) enrollment(c modelCaller) (string, *modelSetup) {
	u, p, why := m.caller(c)
	if why == "" {
		why = m.openSetup(u, p, c.client)
	}
	if why != "" {
		return why, nil
	}
	return saysFine, u.setup
}

func (m *model) confirm(c modelCaller, code string) (string, gift) {
	return m.finish(c, "code "+code, func(u *modelUser) (string, *counted) {
		s := u.setup
		digits := 6
		if s.method == twofa.TOTP {
			digits = m.cfg.TOTP.Digits
		}
		switch {
		case s.method == twofa.RecoveryCode:
			return saysNotAllowed, nil // there is no code
		case s.confirmed && s.proof == code:
			return "", nil
		case s.confirmed || !isDigits(code, digits):
			m.still = true
			return saysInvalid(5-s.fails, 0), nil
		}
		if s.confirmed = m.confirms(u, c, code); s.confirmed {
			s.proof = code
			return "", nil
		}
		if s.fails++; s.fails == 5 {
			u.setup = nil
		}
		return saysInvalid(5-s.fails, 0), &counted{left: 5 - s.fails}
	})
}

func (m *model) confirms(u *modelUser, c modelCaller, code string) (ok bool) {
	s := u.setup
	if s.method == twofa.TOTP {
		s.step, ok = m.matching(s.what, code)
		return ok
	}
	p := c.challenge
	if !m.opens(p, c.client, "phone", "enroll") || m.user(p.user) != u {
		return false
	}
	x := m.liveSent(u, p, twofa.SMS)
	if x == nil || x.attempt != s.attempt || x.secret != plainDigits(code) {
		return false
	}
	u.unsend(func(o *modelSent) bool { return o.bucket == "enrollment" })
	return true
}

func (m *model) saveCodes(c modelCaller) (string, gift) {
	return m.finish(c, "saved", func(u *modelUser) (string, *counted) { u.setup.saved = true; return "", nil })
}

// finish takes one of the two steps. The second one activates the factor, and
// its answer is given again in the same browser.
func (m *model) finish(c modelCaller, input string, step func(*modelUser) (string, *counted)) (string, gift) {
	u, p, why := m.opened(c)
	if why != "" {
		return why, gift{}
	}
	to := toStep(p)
	input += " in " + m.cookie(c.client).secret
	if a := m.answerTo(u, to, input); a != nil {
		return m.finishAgain(u, *a, p, c)
	}
	why = m.mayShow(u, p)
	if why == "" {
		why = m.openSetup(u, p, c.client)
	}
	if why != "" {
		return why, gift{}
	}
	before := u.clone()
	if why, counted := step(u); why != "" {
		if counted != nil {
			m.answer(u, modelAnswer{to: to, proof: input, left: counted.left, until: m.now})
		}
		return why, gift{}
	}
	s := u.setup
	if !s.confirmed || !s.saved {
		m.extend(s)
		g := gift{next: twofa.NextEnroll, challenge: c.challenge}
		if p.kind == "enroll" {
			g.challenge = s.renew(p)
		}
		return g.String(), g
	}
	a := modelAnswer{to: to, proof: input, sid: p.sid, method: s.method, elevate: s.elevate}
	if s.kind == passkey {
		a.method = passkey
	}
	why, old := m.activate(u, p)
	var g gift
	if why == "" {
		g = m.afterActivation(u, p, c, a)
		why = refusal(g.next)
	}
	if why != "" {
		*u, m.events = before, nil
		return why, gift{}
	}
	if old != "" && m.at.sms { // the old number is notified if its limits allow
		m.claimNumber(old + ", replaced")
	}
	m.answer(u, a)
	return g.String(), g
}

// finishAgain gives the answer to a step again, as of then.
func (m *model) finishAgain(u *modelUser, a modelAnswer, p *pass, c modelCaller) (string, gift) {
	m.still = true
	changed, why := m.stampChanged(p.user)
	switch {
	case why != "":
		return why, gift{}
	case changed:
		return saysExpired, gift{}
	case a.sid == 0:
		m.reach("a wrong first code is answered again")
		return saysInvalid(a.left, max(0, a.until-m.now)), gift{}
	}
	m.reach("an activation is answered again: " + p.kind + ", " + string(a.method))
	return m.asOf(a.at, u, func() gift { return m.afterActivation(u, p, c, a) }).said()
}

// activate makes an enrollment active. It returns the number that was replaced.
func (m *model) activate(u *modelUser, p *pass) (why, old string) {
	s := u.setup
	if len(s.codes) > 0 {
		if u.codes != nil {
			u.codesReplaced = m.now
		}
		u.codes = map[string]bool{}
		for _, code := range s.codes {
			u.codes[plainDigits(code)] = true
		}
		u.clear(twofa.RecoveryCode)
	}
	if s.method == twofa.RecoveryCode {
		u.setup = nil
		return "", ""
	}
	if len(u.factors) == 0 && !p.has(modelFirst.own) {
		m.reach("a first factor enrolled after SSO or a token, by link: " + strconv.FormatBool(m.proven(p, twofa.EmailLink)))
	}
	if len(u.factors) == 0 && !p.has(modelFirst.own) && !m.proven(p, twofa.EmailLink) {
		return saysNotAllowed, ""
	}
	old = u.place(s)
	u.clear(s.method)
	u.reset = nil
	m.found(u, p, s.method, "an enrollment")
	m.needsNoReset(u, p.user, p.account, "an enrollment")
	m.newEpoch(u, p.sid)
	if p.kind == "enroll" {
		m.spend(u, p)
	}
	return "", old
}

// afterActivation returns the next step. The code that confirmed the factor is
// a proof.
func (m *model) afterActivation(u *modelUser, p *pass, c modelCaller, a modelAnswer) gift {
	g := gift{next: twofa.NextDone}
	if a.method == twofa.RecoveryCode {
		g.session = copied(c.session)
		return g
	}
	q := *p
	m.carry(u, &q)
	p = m.prove(&q, modelProof{a.method, m.now, a.elevate})
	seed := "enrollment that began epoch " + strconv.Itoa(u.epoch)
	if p.kind == "enroll" {
		g = m.advance(u, p)
		seed = "challenge " + strconv.Itoa(p.attempt)
	} else {
		g.session = m.sessionOf(u, p)
	}
	if g.next == twofa.NextDone {
		g.cookie = m.recognize(u, c.client, p, a.method, false, seed)
	}
	return g
}

func (u *modelUser) place(s *modelSetup) (number string) {
	f := s.modelFactor
	for i, old := range u.factors {
		if old.id != s.replaces {
			continue
		}
		if f.name == "" {
			f.name = old.name
		}
		if u.factors[i] = f; old.method == twofa.SMS {
			return old.what
		}
		return ""
	}
	f.name = named(f.name, f.method)
	u.factors = append(u.factors, f)
	return ""
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

// change runs a change of one factor, for which the caller needs a fresh proof.
// If it is refused, the proof is not used up. A factor that is gone needs no
// proof.
func (m *model) change(c modelCaller, id string, gone bool, f func(u *modelUser, p *pass, i int) string) string {
	u, p, why := m.caller(c)
	if why != "" {
		return why
	}
	before := u.clone()
	i := slices.IndexFunc(u.factors, func(f modelFactor) bool { return f.id == id })
	if i < 0 && gone {
		m.reach("removed already")
		return saysNotEnrolled
	}
	why = m.mayChange(u, p, c.client)
	if why == "" && i < 0 {
		why = saysNotEnrolled
	} else if why == "" {
		why = f(u, p, i)
	}
	if why != "" {
		*u = before
	}
	return orFine(why)
}

func (m *model) rename(c modelCaller, id, name string) string {
	return m.change(c, id, false, func(u *modelUser, _ *pass, i int) string {
		if why := m.claim(u.sends, "rename", spacingUse); why != "" {
			return why
		}
		u.factors[i].name = named(name, u.factors[i].method)
		return ""
	})
}

func (m *model) remove(c modelCaller, id string) string {
	return m.change(c, id, true, func(u *modelUser, p *pass, i int) string {
		if m.cannotReadPolicies(p) {
			return saysRefused
		}
		left := slices.Delete(slices.Clone(u.factors), i, i+1)
		for _, in := range append(slices.Clone(m.dir[p.user].Members), twofa.Member{Account: p.account}) { // each account must allow it
			pol := m.policy(in.Account)
			bare := !slices.ContainsFunc(left, func(f modelFactor) bool { return among(pol.Methods, m.shown(f)) })
			needed := pol.Required && !among(pol.Methods, twofa.EmailLink)
			if bare && (needed || pol.TurnOff != twofa.TurnOffByUser) {
				return saysNotAllowed
			}
		}
		u.factors = left
		m.newEpoch(u, p.sid)
		if len(left) == 0 {
			u.turnOff()
		}
		return ""
	})
}

// turnOff removes all that can be proven. The counters remain.
func (u *modelUser) turnOff() {
	u.factors, u.codes, u.browsers, u.assigned = nil, nil, nil, nil
	clear(u.extended)
	u.lost, u.open = 0, nil
}

// cannotReadPolicies reports whether this process must refuse the policy of an
// account of the user.
func (m *model) cannotReadPolicies(p *pass) bool {
	return slices.ContainsFunc(m.dir[p.user].Members, func(in twofa.Member) bool { return m.load(p.user, in.Account) != "" })
}

func (m *model) viewCodes(c modelCaller) (string, *modelUser) {
	u, p, why := m.caller(c)
	if why != "" {
		return why, nil
	}
	before := u.clone()
	why = m.mayChange(u, p, c.client)
	switch {
	case why != "":
	case u.left() == 0:
		why = saysNotEnrolled
	case !m.at.viewable || !m.plain(p.user):
		why = saysNotAllowed
	default:
		why = m.claim(u.sends, "view", spacingUse)
	}
	if why != "" {
		*u = before
		return why, nil
	}
	return saysFine, u
}

func (m *model) factors(c modelCaller) string {
	u, p, why := m.caller(c)
	if why == "" && m.cannotReadPolicies(p) {
		why = saysRefused
	}
	if why != "" {
		return why
	}
	s := strconv.Itoa(u.left()) + " of " + strconv.Itoa(len(u.codes)) + " codes, pending " + strconv.FormatBool(m.openSetup(u, p, c.client) == "")
	for _, f := range u.factors {
		s += ", " + string(m.shown(f)) + " " + f.name
	}
	return s + m.showAssigned(u, p)
}

func (m *model) knownBrowsers(c modelCaller) string {
	u, why := m.guard(c)
	if why != "" {
		return why
	}
	own := m.knownAs(u, c.client, c.session.user)
	s := "browsers"
	for _, b := range slices.Backward(m.unexpired(u)) {
		remembered := b.remembered == u.epoch && remembers(m.policy(c.in()), b.proven, m.now)
		s += " " + strconv.FormatBool(remembered) + "/" + strconv.FormatBool(b == own)
	}
	return s
}

// forget makes the i-th newest known browser unknown, or all of them if i is
// negative. Without a fresh proof, it only ends remembering.
func (m *model) forget(c modelCaller, i int) string {
	u, why := m.guard(c)
	if why != "" {
		return why
	}
	all := m.unexpired(u)
	slices.Reverse(all)
	if i >= len(all) || i < 0 && len(all) == 0 {
		return saysNotEnrolled
	}
	which := all
	if i >= 0 {
		which = all[i : i+1]
	}
	if why := m.use(u, c.session, c.client, c.in(), twofa.ActionFactors, ""); why == "" {
		u.browsers = slices.DeleteFunc(u.browsers, func(b *modelBrowser) bool { return among(which, b) })
		m.reach("a browser becomes unknown")
		return saysFine
	} else if !slices.ContainsFunc(which, func(b *modelBrowser) bool { return b.remembered == u.epoch }) {
		return why
	}
	m.reach("a browser is only no longer remembered")
	for _, b := range which {
		b.remembered = 0
	}
	return saysFine
}

// Ends.

// revoke ends everything. The host may call it for every user, with a nil
// c.session. A user may call it only for themselves. If a first factor was
// changed, the session that did it survives if it has one of the person's own.
func (m *model) revoke(c modelCaller, user string, host, changed bool) string {
	survivor := 0
	if host {
		if why := m.load(user, ""); why != "" {
			return why
		}
	} else {
		if m.opens(c.session, c.client, "session") && c.session.user != user {
			return saysNotAllowed
		}
		if !m.opens(c.session, c.client, "session") {
			return m.signedOut(c.session)
		}
		if why := m.load(user, ""); why != "" { // no policy is needed to take something away
			return why
		}
		if !m.user(user).live(c.session) {
			return saysDenied(twofa.ReasonSignedOut)
		}
		if !changed && !m.actsFor(c.session) {
			m.reach("a provider of one account ends nothing in others")
			return saysDenied(twofa.ReasonSignInHere)
		}
		if changed && c.session.has(modelFirst.own) {
			survivor = c.session.sid
		} else if changed {
			m.reach("a session that does not survive")
		}
	}
	m.notes(user)
	m.setStamp(user)
	m.newEpoch(m.user(user), survivor)
	how := "a sign-out everywhere"
	if changed {
		m.ease(m.user(user))
		how = "a changed first factor"
	}
	if !host && c.session.has(modelFirst.own) {
		m.needsNoReset(m.user(user), user, "", how)
	}
	return saysFine
}

// actsFor reports whether a session may end everything of its user. The
// providers of some accounts may not, if the user is in others, too.
func (m *model) actsFor(p *pass) bool {
	vouched := func(account string) bool { return p.has(func(f modelFirst) bool { return f.of == account }) }
	return p.has(func(f modelFirst) bool { return f.of == "" }) || m.proven(p, twofa.TOTP, twofa.SMS, twofa.EmailLink, twofa.RecoveryCode) ||
		!slices.ContainsFunc(accountsOf(m.dir[p.user]), func(a string) bool { return !vouched(a) })
}

// signedOutAt ends what belongs to a session.
func (m *model) signedOutAt(session *pass) string {
	if session == nil || session.kind != "session" || !m.reads(session) || m.now >= m.end(session) {
		return saysFine
	}
	if why := m.load(session.user, ""); why != "" {
		return why
	}
	u := m.user(session.user)
	if !u.live(session) {
		return saysFine
	}
	if slices.ContainsFunc(u.answers, func(a modelAnswer) bool { return a.sid == session.sid && m.now-a.at < 10 }) {
		m.reach("a sign-out within ten seconds")
	}
	u.endSession(session.sid)
	return saysFine
}

func (u *modelUser) endSession(sid int) {
	u.grants = slices.DeleteFunc(u.grants, func(g modelGrant) bool { return g.sid == sid })
	u.answers = slices.DeleteFunc(u.answers, func(a modelAnswer) bool { return a.sid == sid })
	u.unsend(func(x *modelSent) bool { return x.sid == sid })
	if u.setup != nil && u.setup.sid == sid {
		u.setup = nil
	}
}

// resets removes all factors of a user. Until there is a new one, a link must
// come first, for a day not if somebody has met the user.
func (m *model) resets(user string, inPerson bool) string {
	if why := m.load(user, ""); why != "" {
		return why
	}
	if !inPerson && !(m.at.link && m.mailable(user)) {
		return saysNotAllowed
	}
	m.endEverything(user, inPerson)
	m.emit(event.Reset, user, "", "host")
	return saysFine
}
