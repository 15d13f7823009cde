package model

import (
	"fmt"
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

// suspended reports whether the user has signed in and has not said since that the
// case is theirs.
func (u *modelUser) suspended(x *modelCase) bool {
	return u.signedIn >= x.opened && u.signedIn > x.answered
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

// request opens a case. Nobody can be said to have met a user who can be mailed.
func (m *model) request(user, staff, reason string, inPerson bool) string {
	u, why := m.begunCase(user, reason)
	switch {
	case why != "":
		return why
	case m.openCase(u) != nil:
		m.reach("a second case")
		return saysNotAllowed
	case len(u.factors) == 0 && u.codes == nil:
		return saysNotEnrolled
	case inPerson == m.canMail(user):
		m.reach("a case that states the wrong thing")
		return saysNotAllowed
	}
	m.reach("a case is opened")
	u.open = &modelCase{opened: m.now, by: staff, reason: reason, inPerson: inPerson, to: m.linkTarget(user), two: inPerson}
	if !m.keepsAll(user) {
		m.reach("a case needs two, because of many addresses")
		u.open.two = true
	}
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
	case x.to != m.linkTarget(user) || x.inPerson == m.canMail(user):
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
	two := x.two || !m.keepsAll(user)
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
	if !again {
		m.emit(event.ResetApproved, user, "", "staff "+staff)
	}
	m.notes(user)
	if late || len(approvals) > 1 {
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
	u.open = nil
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
	return saysFine, m.caseOf(m.user(l.user))
}

// endLinked ends the case that a link leads to.
func (m *model) endLinked(l modelLink) string {
	if m.now >= l.expires {
		return saysExpired
	}
	return m.endCase(l.user, l.id, "", "", "by its link")
}

// respond is the answer of a user. Any live session ends the case. Only a session in
// which the user has signed in since says that it is theirs.
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
	if !c.session.has(func(f modelFirst) bool { return f.at >= x.opened && (f.of == "" || f.of == account) }) {
		m.reach("a session from before the case confirms nothing")
		return saysDenied(twofa.ReasonSignedOut)
	}
	if u.suspended(x) {
		m.reach("the user confirms a suspended case")
	}
	x.answered = m.now
	m.emit(event.ResetConfirmed, user, account, "")
	return saysFine
}
