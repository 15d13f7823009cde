package model

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Enrollment.

// caller finds the session, or the challenge that leads to enrollment, of a
// change.
func (m *model) caller(c modelCaller) (u *modelUser, p *pass, why string) {
	out := saysDenied(twofa.ReasonSignedOut)
	switch {
	case m.opens(c.challenge, c.client, "enroll"):
		p = c.challenge
	case m.opens(c.session, c.client, "session"):
		session := *c.session
		session.account, p = c.account, &session
	default:
		return nil, nil, m.signedOut(c.session)
	}
	if why := m.lookup(p.user, p.account); why != "" {
		return nil, nil, why
	}
	if why := m.load(p.user, p.account); why != "" {
		return nil, nil, why
	}
	u = m.user(p.user)
	if !u.live(p) || u.stamp != m.dir[p.user].SecurityStamp || p.kind == "enroll" && u.spent[p.attempt] {
		return nil, nil, out
	}
	switch next, _ := m.owes(u, p.account, m.mailable(p.user), p); {
	case next == nextUnavailable:
		return nil, nil, saysUnavailable
	case p.kind == "session" && next == twofa.NextChallenge:
		return nil, nil, saysDenied(twofa.ReasonChallenge)
	}
	return u, p, ""
}

// mayChange demands a fresh proof with a factor. For the very first factor, it
// demands a fresh first factor.
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

// mayReenroll reports whether a user who signed in with a recovery code, or
// with a method that is no longer accepted, may enroll a new factor. The user
// may for 15 minutes.
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
	if e.Method == twofa.SMS && !m.at.sms {
		return saysUnavailable, nil, gift{}
	}
	if e.Method == twofa.SMS && !strings.HasPrefix(e.Phone, "+417") {
		return saysNotAllowed, nil, gift{}
	}
	u, p, why := m.caller(c)
	if why == "" {
		why = m.mayEnroll(u, p.account, p, e)
	}
	if why == "" && e.Method == twofa.SMS {
		why = m.claim(u, "enrollment", twofa.SMS)
	}
	if why != "" {
		return why, nil, gift{}
	}
	s := &modelSetup{modelFactor: modelFactor{method: e.Method, name: e.Name, kind: kindNamed(e.Name)}, sid: p.sid, attempt: m.id(), replaces: e.Replaces,
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
	x := &modelSent{id: m.id(), attempt: s.attempt, method: twofa.SMS, bucket: "enrollment", expires: m.now + 5*aMinute}
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

// openSetup returns why this process cannot continue the enrollment.
func (m *model) openSetup(u *modelUser, p *pass) string {
	switch {
	case !m.ownSetup(u, p):
		return saysExpired
	case u.setup.kind != "" && !m.at.next:
		return saysUnavailable
	}
	return ""
}

func (m *model) enrollment(c modelCaller) (string, *modelSetup) {
	u, p, why := m.caller(c)
	if why == "" {
		why = m.openSetup(u, p)
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

// finish takes one of the two steps. The second one activates the factor.
func (m *model) finish(c modelCaller, step func(*modelUser) string) (string, gift) {
	u, p, why := m.caller(c)
	if why == "" {
		why = m.openSetup(u, p)
	}
	if why != "" {
		return why, gift{}
	}
	before := u.clone()
	why = step(u)
	if why != "" {
		return why, gift{}
	}
	if s := u.setup; !s.confirmed || !s.saved {
		return gift{next: twofa.NextEnroll}.String() + gave(false, c.challenge != nil, false, false), gift{}
	}
	g := m.activate(u, p, c)
	if g.next == nextUnavailable {
		*u = before
		return saysUnavailable, gift{}
	}
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
		g := gift{next: twofa.NextDone}
		if c.session != nil {
			session := *c.session
			g.session = &session
		}
		return g
	}
	m.place(u, s)
	u.clear(s.method)
	m.newEpoch(u, p.sid)
	method := s.method
	if s.kind == passkey {
		method = passkey
	}
	p = m.prove(p, method, m.now)
	g := gift{next: twofa.NextDone}
	if p.kind == "enroll" {
		u.spent[p.attempt] = true
		g = m.advance(u, p.account, p)
	} else {
		g.session = m.sessionOf(u, p)
	}
	if g.next == twofa.NextDone {
		g.browser = m.recognize(u, c.client, p.account, method, false)
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
		if old.method == twofa.SMS && m.at.sms { // the old number is notified if its limits allow
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

// change is the common part of Rename and Remove.
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
		u.codes, u.counters = nil, map[string]modelCounter{}
	}
	return saysFine
}

// cannotReadPolicies reports whether this process must refuse the policy of an
// account of the user.
func (m *model) cannotReadPolicies(p *pass) bool {
	return slices.ContainsFunc(m.dir[p.user].Members, func(in twofa.Member) bool { return m.load(p.user, in.Account) != "" })
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
	case !m.at.viewable || !m.plain(p.user):
		return saysNotAllowed, nil
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
	s := strconv.Itoa(u.left()) + " of " + strconv.Itoa(len(u.codes)) + " codes, pending " + strconv.FormatBool(m.openSetup(u, p) == "")
	for _, f := range u.factors {
		s += ", " + string(m.shown(f)) + " " + f.name
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

// forget deletes the i-th newest known browser, or all of them if i is
// negative.
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

// revoke ends everything. The host may call it for every user, with a nil
// c.session. A user may call it only for themselves.
func (m *model) revoke(c modelCaller, user string, host, keep bool) string {
	survivor := 0
	if host {
		if why := m.load(user, ""); why != "" {
			return why
		}
	} else {
		if m.opens(c.session, c.client, "session") && c.session.user != user {
			return saysNotAllowed
		}
		c.account = "" // no policy is needed to take something away
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
