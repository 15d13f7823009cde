package model

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// Support cases.

// openCase returns the case that is open, or nil. It is open for seven days.
func (m *model) openCase(u *modelUser) *modelCase {
	if u.open == nil || m.now-u.open.opened >= 7*aDay {
		return nil
	}
	return u.open
}

// theCase returns the open case of this ID, or nil.
func (m *model) theCase(u *modelUser, id string) *modelCase {
	if x := m.openCase(u); x != nil && x.id == id {
		return x
	}
	return nil
}

// suspended reports whether the user has signed in or proven something, and has not
// said since that the case is theirs. An older release only notes the login.
func (u *modelUser) suspended(x *modelCase) bool {
	return x.held || u.signedIn != x.signedIn
}

// noteLogin notes a completed login. It suspends a case, unless the provider of one
// account alone vouched for the user.
func (m *model) noteLogin(u *modelUser, p *pass) {
	x := m.openCase(u)
	switch {
	case x == nil:
	case m.at.older:
		m.reach(metOlderSuspends)
	case p.has(modelFirst.own):
		x.held = true
	case u.signedIn == x.signedIn:
		m.reach("a login that suspends no case")
		x.signedIn = m.now
	}
	u.signedIn = m.now
}

// suspend suspends a case, because a method was proven that a password and a mailbox
// do not.
func (m *model) suspend(u *modelUser, method twofa.Method) {
	x := m.openCase(u)
	if x == nil || m.at.older || !isFactor(method) {
		return
	}
	m.reach("a proof suspends a case")
	x.held, x.proven = true, true
}

func isFactor(method twofa.Method) bool {
	return among([]twofa.Method{twofa.TOTP, twofa.SMS, twofa.RecoveryCode}, method)
}

// needsNoReset ends a case of a user who has just shown that they need none.
func (m *model) needsNoReset(u *modelUser, user, account, how string) {
	if m.openCase(u) == nil || m.at.older {
		return
	}
	m.reach("a case ends by " + how)
	u.open, u.stopped = nil, m.now
	m.emit(event.ResetCanceled, user, account, "")
}

// caseWait returns for how long no case can be opened: a day after the user has stopped
// one, and after three in 30 days.
func (m *model) caseWait(u *modelUser) int64 {
	recent := m.lately(u.opened)
	switch {
	case u.stopped != 0 && m.now-u.stopped < aDay:
		m.reach("no case after the user has stopped one")
		return aDay - max(0, m.now-u.stopped)
	case len(recent) >= 3:
		m.reach("no fourth case")
		return recent[0] + 30*aDay - m.now
	}
	return 0
}

// lately returns the times that are less than 30 days away.
func (m *model) lately(times []int64) (l []int64) {
	for _, at := range m.since(times, 30*aDay) {
		if at-m.now < 30*aDay {
			l = append(l, at)
		}
	}
	return l
}

// caseOf returns the open case of a user as others see it, or nil.
func (m *model) caseOf(u *modelUser) *twofa.Case {
	x := m.openCase(u)
	if x == nil {
		return nil
	}
	c := &twofa.Case{ID: x.id, Opened: at(x.opened), Expires: at(x.opened + 7*aDay), By: x.by, Reason: x.reason, InPerson: x.inPerson,
		Approvals: x.approvals, From: at(x.opened + aDay), ByOneFrom: at(x.opened + 3*aDay), Suspended: u.suspended(x)}
	if x.two {
		c.ByOneFrom = time.Time{}
	}
	return c
}

// forUser returns a case without the words of staff.
func forUser(x *twofa.Case) *twofa.Case {
	if x != nil {
		x.By, x.Reason, x.Approvals = "", "", slices.Clone(x.Approvals)
		for i := range x.Approvals {
			x.Approvals[i].By = ""
		}
	}
	return x
}

func toldCase(x *twofa.Case) string {
	if x == nil {
		return "none"
	}
	return fmt.Sprintf("%+v", *x)
}

// linkTarget returns the address that a link would go to.
func (m *model) linkTarget(user string) string {
	if !m.mailable(user) {
		return ""
	}
	return m.dir[user].Emails[0]
}

// begunCase reads what an act of staff needs.
func (m *model) begunCase(user, reason string) (*modelUser, string) {
	if reason == "" {
		return nil, saysBadArgument
	}
	if why := m.load(user, ""); why != "" {
		return nil, why
	}
	return m.user(user), ""
}

// request opens a case. Nobody can be said to have met a user who can be mailed. One
// approval is enough only once the user was mailed.
func (m *model) request(user, staff, reason string, inPerson bool) string {
	u, why := m.begunCase(user, reason)
	switch {
	case why != "":
		return why
	case m.caseWait(u) > 0:
		return saysLocked(m.caseWait(u))
	case m.openCase(u) != nil:
		m.reach("a second case")
		return saysNotAllowed
	case len(u.factors) == 0 && u.codes == nil:
		return saysNotEnrolled
	case inPerson == m.canMailCase(user):
		m.reach("a case that states the wrong thing")
		return saysNotAllowed
	}
	m.reach("a case is opened")
	u.open = &modelCase{opened: m.now, by: staff, reason: reason, inPerson: inPerson, to: m.linkTarget(user), signedIn: u.signedIn, two: true}
	switch {
	case inPerson:
	case m.down != allWell:
		m.reach("a case needs two, because the user was not told")
	case !m.keepsAll(user):
		m.reach("a case needs two, because of many addresses")
	case m.warns(user):
		u.open.two = false
	}
	u.opened = append(m.lately(u.opened), m.now)
	m.notes(user)
	m.emit(event.ResetRequested, user, "", "staff "+staff)
	return saysFine
}

// approve approves a case: by two from a day on, by one from three days on.
func (m *model) approve(user, staff, reason, id string) (string, *twofa.Case) {
	u, why := m.begunCase(user, reason)
	if why != "" {
		return why, nil
	}
	x := m.theCase(u, id)
	switch {
	case x == nil:
		return saysExpired, nil
	case x.by == staff:
		m.reach("no approval by who asked")
		return saysNotAllowed, nil
	case u.suspended(x):
		m.reach("no approval after a login")
		return saysNotAllowed, nil
	case x.to != m.linkTarget(user) || x.inPerson == m.canMailCase(user):
		m.reach("no approval after a change of address")
		return saysNotAllowed, nil
	case m.now < x.opened+aDay:
		m.reach("no approval on the first day")
		return saysLocked(x.opened + aDay - m.now), nil
	}
	again := false
	for _, a := range x.approvals {
		again = again || a.By == staff
	}
	two := x.two || !m.warns(user)
	if two && !x.two {
		m.reach("a case needs two from now on")
	}
	approvals := x.approvals
	if !again {
		approvals = append(approvals[:len(approvals):len(approvals)], twofa.Approval{By: staff, At: at(m.now)})
	}
	late := !two && m.now >= x.opened+3*aDay
	before := *x
	x.approvals, x.two = approvals, two
	told := m.caseOf(u)
	if again && !late && len(approvals) < 2 {
		m.reach("an approval again, too early")
		*x, m.still = before, true
		return saysFine, told
	}
	done := late || len(approvals) > 1
	switch {
	case again:
	case done:
		m.emit(event.ResetApproved+quietly, user, "", "staff "+staff)
	default:
		m.emit(event.ResetApproved, user, "", "staff "+staff)
	}
	m.notes(user)
	if told.Reset = done; done {
		m.reach(fmt.Sprintf("a reset by a case, of %d approvals, again: %v, in person: %v", len(approvals), again, x.inPerson))
		m.endEverything(user, x.inPerson)
		m.emit(event.Reset, user, "", "staff "+staff)
	}
	return saysFine, told
}

// endCase ends a case.
func (m *model) endCase(user, id, account, by, how string) string {
	if why := m.load(user, account); why != "" {
		return why
	}
	u := m.user(user)
	if m.theCase(u, id) == nil {
		return saysExpired
	}
	m.reach("a case is canceled " + how)
	if u.open = nil; by == "" {
		u.stopped = m.now
	}
	m.emit(event.ResetCanceled, user, account, by)
	return saysFine
}

// linked returns the case that a link of a mail leads to.
func (m *model) linked(l modelLink) (string, *twofa.Case) {
	if m.now >= l.expires {
		return saysExpired, nil
	}
	if why := m.load(l.user, ""); why != "" {
		return why, nil
	}
	if m.theCase(m.user(l.user), l.id) == nil {
		m.reach("a link of a case that is over")
		return saysExpired, nil
	}
	return saysFine, forUser(m.caseOf(m.user(l.user)))
}

// endLinked ends the case that a link leads to.
func (m *model) endLinked(l modelLink) string {
	if m.now >= l.expires {
		return saysExpired
	}
	return m.endCase(l.user, l.id, "", "", "by its link")
}

// respond is the answer of a user, in a session with a first factor of the person's
// own. That the case is theirs, only a session says in which they have signed in
// since, in the same browser. If a factor was proven since, it takes such a proof.
func (m *model) respond(c modelCaller, id string, isMine bool) string {
	if !m.opens(c.session, c.client, "session") {
		return m.signedOut(c.session)
	}
	user, account := c.session.user, c.in()
	if why := m.load(user, account); why != "" {
		return why
	}
	u := m.user(user)
	if !u.live(c.session) {
		return saysDenied(twofa.ReasonSignedOut)
	}
	if !c.session.has(modelFirst.own) {
		m.reach("a provider of one account decides about no case")
		return saysDenied(twofa.ReasonSignInHere)
	}
	if !isMine {
		return m.endCase(user, id, account, "", "by its user")
	}
	x := m.theCase(u, id)
	if x == nil {
		return saysExpired
	}
	if _, why := m.guard(c); why != "" {
		return why
	}
	if !m.confirmsCase(c, x) {
		return saysDenied(twofa.ReasonSignedOut)
	}
	if u.suspended(x) {
		m.reach("the user confirms a suspended case")
	}
	x.held, x.proven, x.signedIn = false, false, u.signedIn
	m.emit(event.ResetConfirmed, user, account, "")
	return saysFine
}

// confirmsCase reports whether a session says enough about its user.
func (m *model) confirmsCase(c modelCaller, x *modelCase) bool {
	switch {
	case !m.from(c.session, c.client):
		m.reach("another browser confirms nothing")
		return false
	case x.proven:
		ok := slices.ContainsFunc(c.session.proofs, func(p modelProof) bool { return p.at >= x.opened && isFactor(m.as(p.method)) })
		m.reach("the user confirms after a proof, with another: " + strconv.FormatBool(ok))
		return ok
	case c.session.has(func(f modelFirst) bool { return f.own() && f.at >= x.opened }):
		return true
	}
	m.reach("a session from before the case confirms nothing")
	return false
}
