package model

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// Help for users who have lost a device or are locked out, and who is told of it.

// modelHelp is what a user's record has about it.
type modelHelp struct {
	lost      int64      // when the device was reported as lost
	open      *modelCase // last support case
	signedIn  int64      // last completed login, whatever the account
	addresses []modelAddress
	since     int64   // since when the addresses are known; 1 if always
	opened    []int64 // when cases were opened
	stopped   int64   // when the user last stopped a case
}

// modelCase is a support case.
type modelCase struct {
	id             string // once a walk has seen it
	opened         int64
	by, reason, to string
	inPerson, two  bool
	approvals      []twofa.Approval
	signedIn       int64 // the last login that it takes into account
	held           bool  // the user has signed in or proven something since
	proven         bool  // that was an authenticator, a phone or a recovery code
}

// modelAddress is an address that is told of events.
type modelAddress struct {
	email string
	gone  int64 // when it was first missing in the directory
}

func (h modelHelp) clone() modelHelp {
	h.addresses, h.opened, h.open = slices.Clone(h.addresses), slices.Clone(h.opened), copied(h.open)
	if h.open != nil {
		h.open.approvals = slices.Clone(h.open.approvals)
	}
	return h
}

// storedHelp does what the library does whenever it writes the record of a user.
// An older release does not know what it keeps here. A new record has had its
// addresses always.
func (m *model) storedHelp(user string, isNew bool) {
	u := m.user(user)
	maps.DeleteFunc(u.counters, func(name string, _ modelCounter) bool {
		return strings.Contains(name, "/") && !slices.ContainsFunc(u.browsers, func(b *modelBrowser) bool { return strings.HasSuffix(name, fmt.Sprint("/", b.id)) })
	})
	if m.at.older {
		if u.open != nil {
			m.reach(metOlderKeepsCase)
		}
		return
	}
	if among(m.noting, user) {
		u.addresses, u.since = m.noted(user), m.notedSince(user)
		if u.since == m.now && isNew {
			u.since = 1
		}
	}
	if u.open != nil && m.openCase(u) == nil {
		m.reach("a case that nobody ended")
		u.open = nil
	}
}

const (
	metOlderKeepsCase = "an older release keeps a case"
	metOlderResets    = "a reset by an older release ends a case"
	metOlderSuspends  = "a login at an older release suspends a case"
)

// Resets by admins, and members who leave.

// endEverything removes all factors of a user, whoever asked for it.
func (m *model) endEverything(user string, inPerson bool) {
	m.setStamp(user)
	u := m.user(user)
	m.newEpoch(u, 0)
	if m.at.older && m.openCase(u) != nil {
		m.reach(metOlderResets)
	}
	u.turnOff()
	u.reset = &modelReset{m.now, inPerson}
	u.coolsUntil = m.now + aDay
	m.notes(user)
}

// isElsewhere reports whether a user is in another account, too.
func (m *model) isElsewhere(user, account string) bool {
	return slices.ContainsFunc(accountsOf(m.dir[user]), func(in string) bool { return in != account })
}

// resetMember resets a member of c.account. A user who acts must have the role that
// the policy says. Nobody in an account resets a member who is in others, too, or who
// cannot be mailed a link.
func (m *model) resetMember(c modelCaller, by, user, reason string, inPerson bool) string {
	host := by == "host"
	switch {
	case reason == "" || inPerson && !host:
		return saysBadArgument
	case strings.HasPrefix(by, "staff"):
		m.reach("staff reset nobody at once")
		return saysNotAllowed
	}
	if why := cmp.Or(m.authorize(c, host, m.resetting(c, user)), m.load(user, "")); why != "" {
		return why
	}
	if !inPerson && !m.canMail(user) {
		return saysNotAllowed
	}
	m.endEverything(user, inPerson)
	m.emit(event.Reset, user, c.account, by)
	if !host {
		m.reach("a reset by an " + string(m.role(c.session.user, c.account)))
	}
	return saysFine
}

func (m *model) resetting(c modelCaller, user string) modelAct {
	act := modelAct{changes: true, action: twofa.ActionReset, needs: cmp.Or(m.policy(c.account).Reset, twofa.RoleAdmin), member: user}
	act.support = func() bool {
		switch {
		case m.isElsewhere(user, c.account):
			m.reach("no reset of a member of another account")
		case !m.canMail(user):
			m.reach("no reset without a link")
		default:
			return false
		}
		return true
	}
	return act
}

// peek says whether an act is possible, apart from the proof, and changes nothing.
func (m *model) peek(c modelCaller, by string, act modelAct) string {
	if strings.HasPrefix(by, "staff") && act.action == twofa.ActionReset {
		return saysNotAllowed
	}
	act.peek, m.still = true, true
	return orFine(m.authorize(c, !strings.HasPrefix(by, "user"), act))
}

// removed ends what a user who has left an account had in it. One who is in no
// account any longer is reset, once.
func (m *model) removed(account, user, by string) string {
	if by != "host" {
		m.reach("staff remove no member")
		return saysNotAllowed
	}
	if why := m.load(user, ""); why != "" {
		return why
	}
	u := m.user(user)
	switch {
	case m.isMember(user, account):
		m.reach("still a member")
		return saysBadArgument
	case u.epoch == 0:
		m.reach("a member who never signed in was removed")
		m.still = true
		return saysFine
	}
	_, wasSeen := u.seen[account]
	_, hadTime := u.extended[account]
	n := len(u.grants)
	u.grants = slices.DeleteFunc(u.grants, func(g modelGrant) bool { return g.account == account })
	delete(u.seen, account)
	delete(u.extended, account)
	anything := wasSeen || hadTime || len(u.grants) < n
	if u.assigned != nil && u.assigned.account == account {
		u.assigned, anything = nil, true
	}
	bare := u.reset != nil && len(u.factors) == 0 && u.codes == nil && len(u.browsers) == 0 && u.signedIn <= u.coolsUntil-aDay
	if len(m.dir[user].Members) == 0 && !bare {
		m.reach("the last account was left")
		anything = true
		m.endEverything(user, false)
		m.emit(event.Reset, user, account, by)
	}
	if !anything {
		m.reach("removed again")
		m.still = true
		return saysFine
	}
	m.reach("a member was removed")
	m.emit(event.MemberRemoved, user, account, by)
	return saysFine
}

// Unlocking.

// unlockIn is unlock for a member of c.account.
func (m *model) unlockIn(c modelCaller, by, user string, method twofa.Method, reason string) string {
	if reason == "" || method == twofa.EmailLink {
		return saysBadArgument
	}
	if why := m.authorize(c, !strings.HasPrefix(by, "user"), m.unlocking(c, user)); why != "" {
		return why
	}
	said := m.unlock(user, method, reason, c.account, by)
	m.still = m.still && !strings.HasPrefix(by, "user") // whose proof is used up
	return said
}

func (m *model) unlocking(c modelCaller, user string) modelAct {
	return modelAct{changes: true, needs: twofa.RoleAdmin, member: user, support: func() bool { return m.isElsewhere(user, c.account) }}
}

// unlock ends the locks of a method, and in unknown browsers forgives ten failures. A changed first
// factor and this happen three times in 30 days. A method that is off after 100
// failures stays off.
func (m *model) unlock(user string, method twofa.Method, reason, account, by string) string {
	if reason == "" || method == twofa.EmailLink {
		return saysBadArgument
	}
	if why := m.load(user, ""); why != "" {
		return why
	}
	u := m.user(user)
	if len(u.factors) == 0 {
		return saysNotEnrolled
	}
	all := m.counter(u, string(method))
	locked, _ := m.switchedOff(method, all)
	var names []string
	for name, n := range u.counters {
		if of, _, _ := strings.Cut(name, "/"); of == string(method) {
			names = append(names, name)
			locked = locked || min(n.until-m.now, lockAfter(method, n.fails)) > 0
		}
	}
	eased := m.since(u.eased, 30*aDay)
	switch {
	case !locked:
		m.reach("nothing to unlock")
		m.still = true
		return saysFine
	case all.streak >= 100 && method != twofa.RecoveryCode:
		m.reach("off for good, not unlocked")
		return saysNotAllowed
	case len(eased) >= 3:
		m.reach("not unlocked a fourth time")
		return saysLocked(eased[0] + 30*aDay - m.now)
	}
	m.reach("unlocked: " + string(method))
	for _, name := range names {
		n := m.counter(u, name)
		if n.until = 0; strings.Contains(name, "/") {
			m.reach("a known browser keeps its failures")
		} else {
			n.fails, n.level = 0, max(0, n.level-10)
		}
		u.counters[name] = n
	}
	u.eased = append(eased, m.now)
	m.emit(event.Unlocked, user, account, by)
	return saysFine
}

// Lost devices.

// reportLost ends remembering. It tells once a day.
func (m *model) reportLost(c twofa.Client, p *pass) string {
	if !m.opens(p, c, "login") {
		return saysExpired
	}
	u, why := m.enter(p.user, p.account)
	if why == "" {
		_, why = m.offered(u, p)
	}
	switch {
	case why != "":
		return why
	case !p.has(modelFirst.own):
		m.reach("a provider of one account reports no loss")
		return saysDenied(twofa.ReasonSignInHere)
	case len(u.factors) == 0:
		return saysNotEnrolled
	}
	told := m.claim(u.sends, "lost", spacing{[]int64{0, 0, 0}, 1, 1}) != ""
	remembers := false
	for _, b := range u.browsers {
		remembers = remembers || b.remembered != 0
	}
	if told && u.lost != 0 && !remembers {
		m.reach("lost again within a day")
		m.still = true
		return saysFine
	}
	u.lost = m.now
	for _, b := range u.browsers {
		b.remembered = 0
	}
	m.notes(p.user)
	if told {
		m.reach("a device is lost again, of which nobody is told")
		return saysFine
	}
	m.reach("a device is lost")
	m.emit(event.Lost, p.user, p.account, "")
	return saysFine
}

// found ends the report, because an authenticator or a phone was proven or enrolled.
func (m *model) found(u *modelUser, p *pass, method twofa.Method, how string) {
	if u.lost == 0 || m.at.older || method != twofa.TOTP && method != twofa.SMS {
		return
	}
	m.reach("a lost device is found by " + how)
	u.lost = 0
	m.emit(event.LostCleared, p.user, p.account, "")
}

// standing returns what a signed-in user is shown.
func (m *model) standing(c modelCaller) string {
	if !m.opens(c.session, c.client, "session") {
		return m.signedOut(c.session)
	}
	if why := m.load(c.session.user, c.in()); why != "" {
		return why
	}
	u := m.user(c.session.user)
	if !u.live(c.session) {
		return saysDenied(twofa.ReasonSignedOut)
	}
	_, _, due := m.owes(u, c.in(), true, c.session)
	shown := twofa.Standing{Due: at(due), Lost: at(u.lost)}
	if c.session.has(modelFirst.own) {
		shown.Case = forUser(m.caseOf(u))
	}
	return toldStanding(shown)
}

func toldStanding(s twofa.Standing) string {
	return fmt.Sprint("due ", s.Due, ", lost ", s.Lost, ", case ", toldCase(s.Case))
}
