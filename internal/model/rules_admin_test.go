package model

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Accounts, their policies and their admins.

// modelMember is a membership that a session knows of.
type modelMember struct {
	account string
	since   time.Time
}

// modelSeen is what is known of a user in one account.
type modelSeen struct {
	login, proof int64
	vouched      bool // whether the account's own provider vouched at the last login
	reminded     int64
	of           int64 // the date of which the user was reminded
}

func (u *modelUser) note(account string, f func(*modelSeen)) {
	if account != "" {
		x := u.seen[account]
		f(&x)
		u.seen[account] = x
	}
}

// joined returns when the user of a session joined an account, 0 if that is not
// known, and whether the session knows of the account. Of two memberships, the
// earlier one counts.
func (p *pass) joined(account string) (at int64, ok bool) {
	for _, in := range p.members {
		if in.account == account && (!ok || sinceOf(in.since) < at) {
			at, ok = sinceOf(in.since), true
		}
	}
	return at, ok || account == ""
}

func sinceOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(0, t.Unix())
}

// Grace.

// due returns when an enrollment cannot be put off any longer, for a session. The
// latest of these counts: the date of the policy, the end of the grace, which
// begins when the user joined or when the policy began to require as much, and the
// end of an extension. A time that lies ahead was set by a wrong clock, and a user
// who joined at an unknown time has no grace.
func (m *model) due(u *modelUser, account string, p *pass) int64 {
	joined, _ := p.joined(account)
	return m.dueSince(u, account, joined)
}

func (m *model) dueSince(u *modelUser, account string, joined int64) int64 {
	due := m.dueByPolicy(account, joined)
	if until := u.extended[account]; until > m.now && until <= m.now+90*aDay+aMinute {
		m.reach("an extension")
		due = max(due, until)
	}
	return due
}

func (m *model) dueByPolicy(account string, joined int64) (due int64) {
	pol := m.policy(account)
	if !pol.Deadline.IsZero() {
		due = pol.Deadline.Unix()
	}
	began := max(joined, m.harder[account])
	switch {
	case pol.Grace == 0 || joined == 0:
	case began > m.now+aMinute:
		m.reach("no grace that begins in the future")
	default:
		due = max(due, began+inSeconds(pol.Grace))
	}
	return due
}

// policyTime returns until when the policy lets a member put enrollment off, without
// an extension, or 0.
func (m *model) policyTime(user, account string) int64 {
	joined, _ := m.asOfLogin(user, account).joined(account)
	due := m.dueByPolicy(account, joined)
	if !m.policy(account).Required || due <= m.now {
		return 0
	}
	return due
}

// Roles.

func rank(r twofa.Role) int {
	return map[twofa.Role]int{twofa.RoleAdmin: 1, twofa.RoleOwner: 2}[r]
}

// role returns the lowest role that the directory has for a user in an account.
func (m *model) role(user, account string) twofa.Role {
	var all []twofa.Role
	for _, in := range m.dir[user].Members {
		if in.Account == account && rank(in.Role) == 0 {
			return twofa.RoleMember
		}
		if in.Account == account {
			all = append(all, in.Role)
		}
	}
	switch {
	case among(all, twofa.RoleAdmin):
		return twofa.RoleAdmin
	case len(all) > 0:
		return twofa.RoleOwner
	}
	return twofa.RoleMember
}

func (m *model) isMember(user, account string) bool {
	return among(accountsOf(m.dir[user]), account)
}

// modelAct is something that an admin does.
type modelAct struct {
	changes bool          // it needs a fresh proof
	action  string        // for this; ActionPolicy if empty
	needs   twofa.Role    // lowest role
	member  string        // member it is about; empty if it is about the account
	meets   *twofa.Policy // policy that the admin must meet already
	support func() bool   // whether only support may do it to the member
	peek    bool          // it is only asked whether the act is possible
}

// authorize returns why somebody may not act in c.account, which a nil c.session
// means that the host does. A change uses up the proof for it, even if it then
// fails.
func (m *model) authorize(c modelCaller, host bool, a modelAct) string {
	if host {
		if a.member != "" && !m.isMember(a.member, c.account) {
			return saysNotEnrolled
		}
		return ""
	}
	if !m.opens(c.session, c.client, "session") {
		return m.signedOut(c.session)
	}
	self := c.session.user
	m.notes(self)
	u, why := m.enter(self, c.account)
	if why == "" {
		_, why = m.guard(c)
	}
	if why == "" {
		why = m.current(u, c.session)
	}
	own := rank(m.role(self, c.account))
	switch {
	case why != "":
		return why
	case a.needs == twofa.RoleSupport:
		m.reach("the policy lets nobody reset")
		return saysDenied(twofa.ReasonSupport)
	case own < rank(a.needs):
		m.reach("a role too low: " + string(m.role(self, c.account)) + " of " + string(a.needs))
		return saysDenied(twofa.ReasonRole)
	case m.now < u.coolsUntil:
		m.reach("an admin who was reset")
		return saysDenied(twofa.ReasonCooling)
	case a.member == self:
		m.reach("an act on oneself")
		return saysDenied(twofa.ReasonSelf)
	case a.meets != nil:
		if why := m.meets(u, c, *a.meets); why != "" {
			return why
		}
	}
	switch {
	case a.member != "" && !m.isMember(a.member, c.account):
		return saysNotEnrolled
	case a.member != "" && rank(m.role(a.member, c.account)) >= own:
		m.reach("a member of no lower role")
		return saysDenied(twofa.ReasonRole)
	case a.support != nil && a.support():
		return saysDenied(twofa.ReasonSupport)
	case !a.changes || a.peek:
		return ""
	}
	return m.use(u, c.session, c.client, c.account, cmp.Or(a.action, twofa.ActionPolicy), "")
}

// meets returns what an admin must do before requiring as much of others. There is
// no grace for it.
func (m *model) meets(u *modelUser, c modelCaller, pol twofa.Policy) string {
	have := m.enrolled(u, c.account, m.mailable(c.session.user))
	if len(pol.Methods) == 0 {
		pol.Methods = []twofa.Method{twofa.TOTP}
	}
	next, _, _ := m.owesUnder(pol, 0, u, c.account, have, c.session)
	switch {
	case next == twofa.NextDone:
		return ""
	case next == twofa.NextChallenge && among(have, twofa.TOTP):
		m.reach("an admin proves the factor before requiring it")
		return saysDenied(twofa.ReasonMissing)
	}
	m.reach("admins enroll first")
	return saysDenied(twofa.ReasonEnroll)
}

// Policies.

// weaker names a way in which a policy asks less than another, or returns "".
func weaker(p, than twofa.Policy) string {
	put := func(p twofa.Policy) bool { return p.Grace > 0 || !p.Deadline.IsZero() } // enrollment off
	for _, x := range []struct {
		asks string
		less bool
	}{
		{"nothing is required", than.Required && !p.Required},
		{"a method more", moreOf(p.Methods, than.Methods)},
		{"a choice more", moreOf(p.Fallback, than.Fallback)},
		{"a weaker method of those who had a stronger one", dropsStronger(p.Methods, than.Methods)},
		{"later", than.Required && p.Deadline.After(than.Deadline)},
		{"with more grace", than.Required && p.Grace > than.Grace},
		{"with a grace for those whose method is no longer accepted", than.Required && put(p) && moreOf(than.Methods, p.Methods)},
		{"with a grace that starts again", than.Required && p.Grace > 0 && requiresMore(p, than)},
		{"no link before an enrollment", p.EnrollWithoutLink && !than.EnrollWithoutLink},
		{"no link where it was accepted", p.EnrollWithoutLink && among(than.Methods, twofa.EmailLink) && !among(p.Methods, twofa.EmailLink)},
		{"nothing after SSO", p.ExemptSSO && !than.ExemptSSO},
		{"less often", p.Remember > than.Remember},
		{"less to turn it off", slices.Index(turnOffs, p.TurnOff) < slices.Index(turnOffs, than.TurnOff)},
		{"a lower role may reset", slices.Index(resetters, p.Reset) < slices.Index(resetters, than.Reset)},
		{"admins may ask less", p.Weaken == twofa.RoleAdmin && than.Weaken != twofa.RoleAdmin},
	} {
		if x.less {
			return x.asks
		}
	}
	for _, action := range []string{"export", "report", "any", twofa.ActionFactors, twofa.ActionPolicy} {
		mine, other := ruleOf(p, action), ruleOf(than, action)
		if mine.MaxAge > other.MaxAge || moreOf(mine.Methods, other.Methods) || dropsStronger(mine.Methods, other.Methods) {
			return "less for " + action
		}
	}
	return ""
}

var turnOffs = []twofa.TurnOff{twofa.TurnOffByUser, twofa.TurnOffByAdmin, twofa.TurnOffBySupport}

var resetters = []twofa.Role{"", twofa.RoleOwner, twofa.RoleSupport}

// requiresMore reports whether members who satisfy the policy before may have to
// enroll something for p.
func requiresMore(p, before twofa.Policy) bool {
	return p.Required && (!before.Required || before.ExemptSSO && !p.ExemptSSO || moreOf(before.Methods, p.Methods))
}

func moreOf(l, than []twofa.Method) bool { return len(except(l, than...)) > 0 }

// dropsStronger reports whether a method is no longer accepted although a weaker
// one is.
func dropsStronger(l, before []twofa.Method) bool {
	order := []twofa.Method{twofa.TOTP, twofa.SMS, twofa.EmailLink}
	for _, gone := range except(before, l...) {
		for _, still := range l {
			if i := slices.Index(order, still); i >= 0 && i > slices.Index(order, gone) && among(order, gone) {
				return true
			}
		}
	}
	return false
}

// ruleOf returns the rule of an action with its defaults.
func ruleOf(p twofa.Policy, action string) twofa.ActionRule {
	m := model{policies: map[string]twofa.Policy{"": p}}
	return m.rule("", action)
}

// methodsOf returns a policy with its default methods.
func methodsOf(p twofa.Policy) twofa.Policy {
	if len(p.Methods) == 0 {
		p.Methods = []twofa.Method{twofa.TOTP}
	}
	return p
}

// setPolicy sets or, if p is nil, unsets the policy of c.account. Version is that
// which the change is based on, "" for none.
func (m *model) setPolicy(c modelCaller, host bool, p *twofa.Policy, version *int) string {
	if p != nil {
		if why := m.cannotSet(*p); why != "" {
			return why
		}
	}
	if version == nil && !host {
		return saysNotAllowed
	}
	why := cmp.Or(m.authorize(c, host, modelAct{needs: twofa.RoleAdmin}), m.load("", c.account))
	switch {
	case why != "":
		return why
	case version != nil && *version != m.versions[c.account]:
		m.reach("a policy that was changed since")
		return saysConflict
	case m.isPolicy(c.account, p):
		m.reach("a policy that is set already")
		m.still = true
		return saysFine
	}
	before, after := m.policy(c.account), methodsOf(m.cfg.Policy)
	if p != nil {
		after = methodsOf(*p)
	}
	a := modelAct{changes: true, needs: twofa.RoleAdmin, meets: &after}
	if how := weaker(after, before); how != "" {
		m.reach("a weaker policy: " + how)
		if before.Weaken != twofa.RoleAdmin {
			a.needs = twofa.RoleOwner
		}
	}
	if why := m.authorize(c, host, a); why != "" {
		return why
	}
	if !host {
		m.reach("a policy of an " + string(m.role(c.session.user, c.account)))
	}
	m.putPolicy(c.account, p)
	return saysFine
}

// cannotSet returns why this process refuses a policy.
func (m *model) cannotSet(p twofa.Policy) string {
	if among(p.Methods, twofa.SMS) && !m.at.sms || (among(p.Methods, twofa.EmailLink) || p.Required && !p.EnrollWithoutLink) && !m.at.link {
		return saysBadArgument
	}
	return ""
}

func (m *model) isPolicy(account string, p *twofa.Policy) bool {
	now, set := m.policies[account]
	if p == nil || !set {
		return p == nil && !set
	}
	return reflect.DeepEqual(now, *p)
}

// putPolicy changes a policy, whoever may do so.
func (m *model) putPolicy(account string, p *twofa.Policy) {
	if m.isPolicy(account, p) {
		return
	}
	before := m.policy(account)
	m.versions[account] = m.id()
	if p == nil {
		delete(m.policies, account)
		m.versions[account], m.harder[account] = 0, 0
		return
	}
	m.policies[account] = *p
	if requiresMore(m.policy(account), before) {
		m.harder[account] = m.now
	}
}

// readPolicy returns what an actor reads.
func (m *model) readPolicy(c modelCaller, host bool) string {
	if why := cmp.Or(m.authorize(c, host, modelAct{needs: twofa.RoleAdmin}), m.load("", c.account)); why != "" {
		return why
	}
	p, set := m.policies[c.account]
	if !set {
		p = m.cfg.Policy
	}
	return toldPolicy(p, !set)
}

func toldPolicy(p twofa.Policy, isDefault bool) string {
	return p.String() + ", default: " + strconv.FormatBool(isDefault)
}

// Members.

// giveTime gives a member more time, or ends that.
func (m *model) giveTime(c modelCaller, host bool, user, reason string, until int64) string {
	if reason == "" || until > m.now+90*aDay {
		return saysBadArgument
	}
	if why := m.authorize(c, host, modelAct{changes: true, needs: twofa.RoleAdmin, member: user}); why != "" {
		return why
	}
	account := c.account
	if until <= m.now {
		account = ""
	}
	if why := m.load(user, account); why != "" {
		return why
	}
	u := m.user(user)
	if until <= m.now && u.extended[c.account] == 0 {
		return saysFine
	}
	if until > m.now {
		if until <= m.policyTime(user, c.account) {
			m.reach("an extension that gives no more time")
			return saysBadArgument
		}
		if why := m.claim(u.sends, "extend", spacingUse); why != "" {
			m.reach("extended too often")
			return why
		}
	}
	m.beginIfNew(user)
	for account, end := range u.extended { // those that have ended are dropped
		if end <= m.now || end > m.now+90*aDay+aMinute {
			delete(u.extended, account)
		}
	}
	delete(u.extended, c.account)
	if until > m.now {
		u.extended[c.account] = until
	}
	return saysFine
}

// beginIfNew gives a user who has never signed in an epoch.
func (m *model) beginIfNew(user string) {
	m.notes(user)
	if u := m.user(user); u.epoch == 0 {
		m.reach("an act on a user who has never signed in")
		m.setStamp(user)
		m.newEpoch(u, 0)
	}
}

// asOfLogin returns a pass of a member who has just signed in, in the way of the
// last time.
func (m *model) asOfLogin(user, account string) *pass {
	f := modelFirst{by: twofa.ByPassword, at: m.now}
	if m.user(user).seen[account].vouched {
		f = modelFirst{by: twofa.BySSO, of: account, at: m.now}
	}
	return &pass{user: user, account: account, first: []modelFirst{f}, members: m.membersWith(user, account)}
}

// stands returns where a member stands, and by when the member must enroll.
func (m *model) stands(user, account string) (state twofa.State, due int64) {
	u, pol, p := m.user(user), m.policy(account), m.asOfLogin(user, account)
	have := m.enrolled(u, account, m.mailable(user))
	accepted := strongest(have, pol.Methods, pol.Fallback)
	due = m.due(u, account, p)
	switch {
	case len(accepted) > 0 && accepted[0] == twofa.TOTP:
		return twofa.StateOn, 0
	case len(accepted) > 0:
		return twofa.StateWeak, 0
	case among(have, passkey):
		return twofa.StateUnknown, 0
	case pol.ExemptSSO && p.vouchedIn(account):
		return twofa.StateSSO, 0
	case pol.Required && m.now < due:
		return twofa.StateGrace, due
	case pol.Required:
		return twofa.StateOverdue, due
	case len(u.factors) > 0:
		return twofa.StateWeak, 0
	}
	return twofa.StateOff, 0
}

// lockedOut reports whether no method that a member is asked for in an unknown
// browser is open, and for how long.
func (m *model) lockedOut(user, account string) (locked bool, wait int64) {
	u := m.user(user)
	_, ask, _ := m.owes(u, account, m.mailable(user), m.asOfLogin(user, account))
	for _, method := range ask {
		locked, left := m.lockedMethod(u, method)
		if method == twofa.EmailLink || !locked {
			return false, 0
		}
		if wait == 0 || left > 0 && left < wait {
			wait = left
		}
	}
	return len(ask) > 0, wait
}

// lockedMethod reports whether a method is locked in unknown browsers, and for how
// long.
func (m *model) lockedMethod(u *modelUser, method twofa.Method) (locked bool, wait int64) {
	n := m.counter(u, string(method))
	if off, left := m.switchedOff(method, n); off {
		return true, left
	}
	wait = max(0, min(n.until-m.now, lockAfter(method, n.fails)))
	return wait > 0, wait
}

func (m *model) statuses(c modelCaller, host bool, users []string) string {
	if why := cmp.Or(m.authorize(c, host, modelAct{needs: twofa.RoleAdmin}), m.load("", c.account)); why != "" {
		return why
	}
	s := ""
	for _, id := range users {
		if !m.isMember(id, c.account) {
			continue
		}
		st := twofa.Status{User: id, Role: m.role(id, c.account), State: twofa.StateUnreadable}
		if m.load(id, "") == "" {
			m.describe(&st, c.account)
		}
		m.reach("a member who is " + string(st.State))
		s += toldStatus(st)
	}
	return "statuses" + s
}

func (m *model) describe(st *twofa.Status, account string) {
	u := m.user(st.User)
	for _, f := range u.factors {
		locked, wait := m.lockedMethod(u, m.shown(f))
		factor := twofa.StatusFactor{Method: m.shown(f), Locked: locked}
		if wait > 0 {
			factor.LockedUntil = at(m.now + wait)
		}
		st.Factors = append(st.Factors, factor)
	}
	seen := u.seen[account]
	st.CodesLeft, st.LastLogin, st.LastProof = u.left(), at(seen.login), at(seen.proof)
	if until := u.extended[account]; until > m.now && until <= m.now+90*aDay+aMinute {
		st.Extended = at(until)
	}
	if x := m.openCase(u); x != nil && !m.at.older {
		st.Case = at(x.opened)
	}
	if !m.at.older {
		st.Lost = at(u.lost)
	}
	var due int64
	st.State, due = m.stands(st.User, account)
	st.Due, st.PolicyDue = at(due), at(m.policyTime(st.User, account))
	if st.State != twofa.StateOn && st.State != twofa.StateWeak {
		return
	}
	if locked, wait := m.lockedOut(st.User, account); locked {
		st.State = twofa.StateLocked
		if wait > 0 {
			st.LockedUntil = at(m.now + wait)
		}
	}
}

func at(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}

func toldStatus(st twofa.Status) string {
	for i := range st.Factors {
		st.Factors[i].Added = time.Time{} // the model does not know it
	}
	return fmt.Sprintf("; %+v", st)
}

// dues returns the moments at which a user must have enrolled, and those at which
// the user is reminded.
func (m *model) dues(user string) (l []int64) {
	for _, in := range m.dir[user].Members {
		due := m.dueSince(m.user(user), in.Account, sinceOf(in.Since))
		l = append(l, due, due-aDay-aDay/2, due-7*aDay-aDay/2)
	}
	return l
}

// remind reminds members in grace, once 7 days and once a day before it ends, each
// up to half a day earlier. The admins get a summary on the day.
func (m *model) remind(account string, users []string) (string, twofa.Reminded) {
	var done twofa.Reminded
	if !m.at.link {
		return saysUnavailable, done
	}
	if why := m.load("", account); why != "" {
		return why, done
	}
	today := false
	for _, id := range users {
		if !m.isMember(id, account) {
			continue
		}
		done.Summary.Members++
		if m.load(id, "") != "" {
			done.Unreadable++
			continue
		}
		m.remindOne(&done, id, account)
		today = today || m.user(id).seen[account].reminded/aDay == m.now/aDay
	}
	last := m.told[account]
	if !today || last/aDay == m.now/aDay || last > m.now && last <= m.now+aMinute {
		return saysFine, done
	}
	m.told[account] = m.now
	for _, u := range m.dir {
		if m.role(u.ID, account) != twofa.RoleMember && !u.Disabled && len(u.Emails) > 0 && m.down == allWell {
			m.reach("a summary")
			done.Admins++
		}
	}
	return saysFine, done
}

func (m *model) remindOne(done *twofa.Reminded, id, account string) {
	u, who := m.user(id), m.dir[id]
	if who.Disabled {
		return
	}
	state, due := m.stands(id, account)
	switch state {
	case twofa.StateGrace:
		done.Summary.Pending++
		if next := at(due); done.Summary.NextDue.IsZero() || next.Before(done.Summary.NextDue) {
			done.Summary.NextDue = next
		}
	case twofa.StateOverdue:
		done.Summary.Overdue++
		return
	case twofa.StateSSO:
		done.Summary.Exempt++
		return
	default:
		done.Summary.Ready++
		return
	}
	seen, left := u.seen[account], due-m.now
	first, second := left <= 7*aDay+aDay/2, left <= aDay+aDay/2
	switch {
	case !first:
		return
	case seen.of != due:
		m.reach("a reminder")
	case second && due-seen.reminded > aDay+aDay/2:
		m.reach("a second reminder")
	default:
		m.reach("no reminder twice")
		return
	}
	switch {
	case len(who.Emails) == 0:
		done.NoAddress++
		return
	case m.down == allWell:
		done.Mailed++
	default:
		m.reach("a reminder that is lost")
		done.Failed++
	}
	m.beginIfNew(id)
	u.note(account, func(x *modelSeen) { x.reminded, x.of = m.now, due })
}

// modelAssigned is a number that an admin has entered for a user.
type modelAssigned struct {
	number, account string
	at              int64
	id              string // once a walk has seen it
}

// toldAssigned returns what a user sees of a number: its end, or before the proofs
// of an enrollment only that there is one.
func toldAssigned(number string) string {
	if number == "" {
		return ", a number after the link"
	}
	return ", a number that ends in " + number[len(number)-2:]
}

// assignedTo returns the number that a user may confirm, or nil.
func (m *model) assignedTo(u *modelUser, p *pass) *modelAssigned {
	a := u.assigned
	switch {
	case a == nil || len(u.factors) > 0 || m.now-a.at >= 30*aDay || a.account != p.account:
		return nil
	case slices.ContainsFunc(accountsOf(m.dir[p.user]), func(in string) bool { return in != a.account }):
		m.reach("a number of a member who has joined another account")
		return nil
	case !m.at.sms || !among(m.policy(p.account).Methods, twofa.SMS):
		m.reach("a number that the policy or the process cannot use")
		return nil
	}
	return a
}

func (m *model) showAssigned(u *modelUser, p *pass) string {
	a := m.assignedTo(u, p)
	if a == nil {
		return ""
	}
	switch m.mayEnrollFirst(u, p, p.account, m.mailable(p.user)) {
	case "":
		return toldAssigned(a.number)
	case saysDenied(twofa.ReasonMissing):
		m.reach("a number after the link")
		return toldAssigned("")
	}
	return ""
}

func (m *model) assignedNumber(u *modelUser, p *pass, id string) (number, why string) {
	a := m.assignedTo(u, p)
	if a == nil || a.id != id {
		m.reach("a number that was replaced or has ended")
		return "", saysNotEnrolled
	}
	m.reach("a number that the member asks a code for")
	return a.number, ""
}

// assign assigns numbers, or takes them back, and returns what is said of each
// member.
func (m *model) assign(c modelCaller, host bool, list []twofa.PhoneAssignment, reason string) string {
	if reason == "" {
		return saysBadArgument
	}
	if why := m.authorize(c, host, modelAct{needs: twofa.RoleAdmin}); why != "" {
		return why
	}
	if !m.at.sms {
		return saysUnavailable
	}
	proven, said := false, make([]string, len(list))
	for i, n := range list {
		if said[i] = m.cannotAssign(list, n); said[i] != "" {
			continue
		}
		if said[i] = m.load("", c.account); said[i] == "" {
			said[i] = m.mayAssign(c, host, n.User)
		}
		if said[i] != "" {
			continue
		}
		unreadable := m.load(n.User, "")
		if done := m.assigning(c.account, n); unreadable == "" && done != twofa.PhoneAssigned && done != twofa.PhoneWithdrawn {
			said[i] = string(done)
			continue
		}
		if !proven {
			if why := m.authorize(c, host, modelAct{changes: true, needs: twofa.RoleAdmin}); why != "" {
				return why
			}
			proven = true
		}
		if said[i] = unreadable; unreadable != "" {
			continue
		}
		done, u := m.assigning(c.account, n), m.user(n.User)
		u.assigned = nil
		if done == twofa.PhoneAssigned {
			m.reach("a number is assigned")
			m.beginIfNew(n.User)
			u.assigned = &modelAssigned{number: n.Phone, account: c.account, at: m.now}
		}
		said[i] = string(done)
	}
	m.still = !proven
	return strings.Join(said, ", ")
}

func (m *model) cannotAssign(list []twofa.PhoneAssignment, n twofa.PhoneAssignment) string {
	same := 0
	for _, o := range list {
		if o.User == n.User {
			same++
		}
	}
	if same > 1 || !n.Withdraw && !strings.HasPrefix(n.Phone, "+417") {
		return saysBadArgument
	}
	return ""
}

func (m *model) mayAssign(c modelCaller, host bool, user string) string {
	switch {
	case !m.isMember(user, c.account):
		return saysNotEnrolled
	case !host && user == c.session.user:
		return saysDenied(twofa.ReasonSelf)
	case !host && rank(m.role(user, c.account)) >= rank(m.role(c.session.user, c.account)):
		return saysDenied(twofa.ReasonRole)
	case slices.ContainsFunc(accountsOf(m.dir[user]), func(in string) bool { return in != c.account }):
		m.reach("no number for a member of two accounts")
		return saysDenied(twofa.ReasonSupport)
	}
	return ""
}

// assigning returns what an assignment would do.
func (m *model) assigning(account string, n twofa.PhoneAssignment) twofa.PhoneOutcome {
	now, u := "", m.user(n.User)
	if a := u.assigned; a != nil && a.account == account && m.now-a.at < 30*aDay {
		now = a.number
	}
	switch {
	case len(u.factors) > 0:
		m.reach("no number for a member with a factor")
		return twofa.PhoneEnrolled
	case now == n.Phone:
		return twofa.PhoneUnchanged
	case n.Withdraw:
		return twofa.PhoneWithdrawn
	}
	return twofa.PhoneAssigned
}
