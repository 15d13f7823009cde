package model

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// helpMust are rules about help that the walks of TestModel must reach.
var helpMust = []string{"a reset by an admin", "a reset by an owner", "no reset of a member of another account", "no reset without a link", "the policy lets nobody reset", "staff reset nobody at once",
	"an act on oneself", "an admin who was reset", "still a member", "a member who never signed in was removed", "the last account was left", "removed again", "a member was removed", "staff remove no member",
	"unlocked: totp", "unlocked: sms", "unlocked: recovery", "nothing to unlock", "not unlocked a fourth time", "off for good, not unlocked", "a known browser keeps its failures",
	"a device is lost", "lost again within a day", "a device is lost again, of which nobody is told", "a provider of one account reports no loss", "a lost device is found by a proof of login", "a lost device is found by a proof of action", "a lost device is found by an enrollment",
	"a case is opened", "a second case", "a case that states the wrong thing", "a case needs two, because of many addresses", "a case needs two from now on", "a case that nobody ended", "a case needs two, because the user was not told", "addresses known for a short time", "no case after the user has stopped one", "no fourth case",
	"no approval by who asked", "no approval after a login", "no approval after a change of address", "no approval on the first day", "an approval again, too early",
	"a reset by a case, of 1 approvals, again: false, in person: false", "a reset by a case, of 1 approvals, again: true, in person: false",
	"a reset by a case, of 2 approvals, again: false, in person: false", "a reset by a case, of 2 approvals, again: false, in person: true",
	"a case is canceled by staff", "a case is canceled by its link", "a case is canceled by its user", "a link of a case that is over",
	"a session from before the case confirms nothing", "the user confirms a suspended case", "another browser confirms nothing", "a provider of one account decides about no case",
	"a proof suspends a case", "a login that suspends no case", "the user confirms after a proof, with another: true", "the user confirms after a proof, with another: false",
	"a case ends by an enrollment", "a case ends by a sign-out everywhere", "a case ends by a changed first factor", "nobody in person after a reset",
	"a former address is told", "a former address is back", "a former address is forgotten", "a ninth address", "several admins are told", "the admins of each account are told of a case"}

// helpMoves are the moves about help.
func (r *modelRun) helpMoves() []modelMove {
	return []modelMove{{10, r.resetMember}, {5, r.removeMember}, {6, r.unlockSomehow}, {1, r.besiege}, {6, r.loseDevice}, {12, r.wholeCase}, {5, r.caseSomehow}, {4, r.changeAddresses}}
}

// Mails and events.

// modelLink is the link of a mail that ends a case.
type modelLink struct {
	user, id string
	token    twofa.Secret
	expires  int64
}

const caseAddress = "https://app.example.com/case/"

func caseURL(l twofa.LinkRequest) string { return caseAddress + l.Token.Reveal() }

// hear implements Config.OnEvent.
func (o *modelOutbox) hear(_ context.Context, e twofa.Event) { o.events = append(o.events, e) }

// write writes a notice of which nothing is in the text but the link.
func (o *modelOutbox) write(n twofa.NoticeEmail) twofa.Email {
	if token, ok := strings.CutPrefix(n.CancelURL.Reveal(), caseAddress); ok {
		o.links = append(o.links[max(0, len(o.links)-11):], modelLink{n.User.ID, n.Event.Case, twofa.NewSecret(token), n.Event.Time.Unix() + 7*aDay})
	}
	return twofa.Email{Subject: subject(n.Event.Type, n.About.ID, n.Admin.ID, n.User.ID), Text: n.CancelURL}
}

func (o *modelOutbox) notice(m twofa.Email) error {
	err, mail := o.taken(), m.Subject+" at "+m.To
	if !m.Text.IsZero() {
		mail += " with a link"
	}
	o.notices = append(o.notices, mail)
	if err == nil {
		o.reached[m.Subject] = true
	}
	return err
}

// sameNotices compares the events of the last call, and the mails about them.
func (r *modelRun) sameNotices(what string) {
	var events, mails []string
	for _, e := range r.out.events {
		if among(helpEvents, e.Type) {
			events = append(events, toldEvent(e))
		}
		if e.Notice {
			mails = append(mails, r.rules.recipients(e)...)
		}
	}
	slices.Sort(mails)
	slices.Sort(r.out.notices)
	for what, same := range map[string][2][]string{"events": {r.rules.events, events}, "mails": {mails, r.out.notices}} {
		if !slices.Equal(same[0], same[1]) {
			require.Equal(r.t, same[0], same[1], "call %d of seed %d: %s\n%s", r.steps, r.seed, what, r.story(r.trace[len(r.trace)-1].what))
		}
	}
	r.rules.events, r.rules.noting, r.out.events, r.out.notices = nil, nil, r.out.events[:0], r.out.notices[:0]
}

// knowing lets a process answer the next call that knows it.
func (r *modelRun) knowing() {
	if r.rules.at.older {
		r.rules.at = r.fleet.full()
	}
}

// mayReset says that a call which the model has answered has reset the user.
func (r *modelRun) mayReset(user string, before int64) {
	if r.fleet != nil && !r.rules.at.next && r.rules.user(user).coolsUntil != before {
		r.fleet.resets(user)
	}
}

// settle makes a user a member of these accounts alone.
func (r *modelRun) settle(id string, accounts ...string) {
	u := r.rules.dir[id]
	u.Members = nil
	for _, account := range accounts {
		u.Members = append(u.Members, r.member(id, account))
	}
	if len(u.Emails) == 0 && id != "cyd" && r.chance(65) {
		u.Emails = []string{id + "@example.com"}
	}
	u.Disabled = false
	r.direct(u)
}

// direct changes the directory.
func (r *modelRun) direct(u twofa.User) {
	r.rules.dir[u.ID] = u
	r.trace = append(r.trace, modelLine{r.rules.now, u.ID + " is in " + strings.Join(accountsOf(u), " and ") + " with " + strings.Join(u.Emails, " and "), ""})
}

// deviceFor returns one of the devices of a user.
func (r *modelRun) deviceFor(id string) *modelDevice {
	for _, i := range r.rng.Perm(len(r.devices)) {
		if r.devices[i].user == id {
			return r.devices[i]
		}
	}
	return r.device()
}

// arrive signs a user in, and returns the caller, who may have to enroll first.
func (r *modelRun) arrive(d *modelDevice, account string) (c modelCall, ok bool) {
	h := r.answer(r.begin(d, twofa.FirstFactor{UserID: d.user, Account: account, By: twofa.ByPassword, Client: d.client}, nil))
	switch {
	case h == nil:
		return c, false
	case h.pass.kind == "session":
		return modelCall{session: h, account: account, client: d.client}, true
	case h.pass.kind == "enroll":
		return modelCall{challenge: h, account: account, client: d.client}, true
	}
	return c, false
}

// comeBack signs a user in and enrolls a factor.
func (r *modelRun) comeBack(id, account string) {
	c, ok := r.arrive(r.deviceFor(id), account)
	if !ok {
		return
	}
	if c.session != nil {
		r.prove(c, twofa.ActionFactors, "")
		c.session = r.newest(c.session)
	}
	r.setUpBy(c)
}

// Resets and members who leave.

// actor returns an actor, and its name in events: the user of c, the host or staff.
func (r *modelRun) actor(c modelCall, host bool, reason string) (by twofa.Actor, name string) {
	switch {
	case !host:
		return r.by(c, host, reason), "user " + c.user()
	case reason == "" || r.chance(50):
		return twofa.AsStaff("sam", reason), "staff sam"
	}
	return twofa.AsHost(reason), "host"
}

func (r *modelRun) reason() string {
	return oneOf(r, "ill", "lost", "lost", "lost", "lost", "called back", "called back", "")
}

// resetMember lets an admin or the host reset a member, who then returns.
func (r *modelRun) resetMember() {
	c, host := r.acting()
	user := oneOf(r, append(slices.Clone(modelUsers), "nobody")...)
	if r.chance(20) {
		user = r.someAdmin(c.account)
	}
	if !host && r.chance(5) {
		user = c.user()
	}
	if user != "nobody" && r.chance(70) {
		r.settle(user, c.account)
	}
	if r.fleet == nil && r.chance(25) {
		p := r.rules.policy(c.account)
		p.Reset = oneOf(r, twofa.RoleAdmin, twofa.RoleOwner, twofa.RoleSupport, "", "")
		r.set(c.account, p)
	}
	c = r.provenFor(c, host, twofa.ActionReset)
	for range 1 + r.rng.IntN(2) {
		r.resetIn(c, host, user)
	}
	if user != "nobody" && r.chance(60) {
		r.comeBack(user, c.account)
		r.actCooling(user, c.account)
	}
	if user != "nobody" && r.chance(60) {
		r.settle(user, "acme", "beta")
	}
}

// actCooling lets a user who was just reset act as an admin.
func (r *modelRun) actCooling(user, account string) {
	for _, h := range slices.Backward(r.sessions) {
		if h.pass.user == user && r.rules.alive(h.pass) {
			c := modelCall{session: h, account: account, client: h.device.client}
			if r.chance(30) {
				r.wait(max(0, r.rules.user(user).coolsUntil-r.rules.now-int64(r.rng.IntN(2))))
			}
			r.resetIn(c, false, oneOf(r, modelUsers...))
			r.statusesOf(c, false)
			return
		}
	}
}

func (r *modelRun) resetIn(c modelCall, host bool, user string) {
	r.knowing()
	reason, inPerson := r.reason(), r.chance(15)
	by, name := r.actor(c, host, reason)
	if r.chance(30) {
		r.agree(who(c, host)+name+" asks whether to reset in "+c.account+" "+user, r.rules.peek(c.rules(), name, r.rules.resetting(c.rules(), user)),
			told(r.server().Account(by, c.account).PeekReset(r.t.Context(), user)))
		r.knowing()
		by, name = r.actor(c, host, reason)
	}
	before := r.rules.user(user).coolsUntil
	want := r.rules.resetMember(c.rules(), name, user, reason, inPerson)
	r.mayReset(user, before)
	r.agree(who(c, host)+name+" resets in "+c.account+" "+user, want,
		told(r.server().Account(by, c.account).Reset(r.t.Context(), user, twofa.ResetRequest{InPerson: inPerson})))
}

// resetByHost resets a user while a case is open, at an older release if there is one.
func (r *modelRun) resetByHost(user string) {
	if r.fleet != nil {
		r.rules.at = r.fleet.older()
	}
	before := r.rules.user(user).coolsUntil
	want := r.rules.resets(user, true)
	r.mayReset(user, before)
	r.agree(user+" reset by the host", want, told(r.server().User(twofa.AsHost("ticket"), user).Reset(r.t.Context(), twofa.ResetRequest{InPerson: true})))
}

// resetAtOnce lets somebody who is not the host reset a user.
func (r *modelRun) resetAtOnce(user string) {
	by := twofa.AsStaff("sam", "ticket")
	if h := r.some(r.sessions); h != nil && r.chance(50) {
		by = twofa.AsUser(r.real(modelCall{session: h, client: h.device.client}), "ticket")
	}
	r.agree("* reset "+user+" at once", saysNotAllowed, told(r.server().User(by, user).Reset(r.t.Context(), twofa.ResetRequest{InPerson: true})))
}

// removeMember removes a user from an account, or deletes the user, and adds the
// user again.
func (r *modelRun) removeMember() {
	id, account := oneOf(r, modelUsers...), oneOf(r, "acme", "beta")
	if r.chance(30) {
		r.comeBack(id, account) // something ends here
	}
	c, ok := r.arrive(r.deviceFor(id), account)
	if ok = ok && c.session != nil; ok {
		r.prove(c, "export", "")
		c.session = r.newest(c.session)
	}
	if r.chance(20) {
		r.giveTimeTo(modelCall{account: account}, true, id, aDay+r.rng.Int64N(aDay))
	}
	before := r.rules.dir[id]
	after := before
	switch r.rng.IntN(10) {
	case 0: // still a member
	case 1:
		delete(r.rules.users, id)
		r.agree(id+" erased", saysFine, told(r.server().User(twofa.AsHost("test"), id).Delete(r.t.Context())))
		after.Members = nil
	case 2, 3, 4:
		after.Members = nil
	default:
		after.Members = slices.DeleteFunc(slices.Clone(before.Members), func(in twofa.Member) bool { return in.Account == account })
	}
	if r.direct(after); len(after.Members) == 0 && r.chance(20) {
		delete(r.rules.dir, id)
	}
	r.reportRemoved(account, id)
	for r.chance(40) {
		r.reportRemoved(oneOf(r, "acme", "beta"), id)
	}
	if _, there := r.rules.dir[id]; !there || r.chance(90) {
		r.direct(before)
		if ok {
			c.client = c.session.device.client
			r.use(c, "export", "", true)
		}
		r.statusesOf(modelCall{account: account}, true)
		r.comeBack(id, account)
	}
}

func (r *modelRun) reportRemoved(account, user string) {
	r.knowing()
	if h := r.some(r.sessions); h != nil && r.chance(3) {
		r.agree("* a user removes "+user, saysNotAllowed, told(r.server().Account(twofa.AsUser(r.real(modelCall{session: h}), "left"), account).MemberRemoved(r.t.Context(), user)))
		return
	}
	by, name := twofa.AsHost("left"), "host"
	if r.chance(10) {
		by, name = twofa.AsStaff("sam", "left"), "staff sam"
	}
	before := r.rules.user(user).coolsUntil
	want := r.rules.removed(account, user, name)
	r.mayReset(user, before)
	r.agree(user+" was removed from "+account, want, told(r.server().Account(by, account).MemberRemoved(r.t.Context(), user)))
}

// Locks.

// lockOut enters wrong codes in an unknown browser until the method is locked, and
// returns the method.
func (r *modelRun) lockOut(user string, most int) twofa.Method {
	d := r.stranger(user)
	var h *modelHold
	var method twofa.Method
	for i := range most {
		if h == nil || !r.rules.alive(h.pass) {
			h = r.begin(d, twofa.FirstFactor{UserID: user, Account: "acme", By: twofa.ByPassword, Client: d.client}, nil)
		}
		if h == nil || h.pass.kind != "login" {
			return ""
		}
		_, offered, _ := r.rules.resume(d.client, h.pass)
		if len(offered) == 0 {
			return ""
		}
		if method == "" {
			method = oneOf(r, offered[0], offered[0], offered[len(offered)-1])
		}
		r.verifyOnce(h, nil, d.client, twofa.Proof{Method: method, Code: twofa.NewSecret(r.wrongCode(method, i))})
		if r.rules.waits(r.rules.user(user), d.client, user, method) != "" {
			break
		}
	}
	return method
}

// wrongCode returns a code that is probably wrong, another one for each i.
func (r *modelRun) wrongCode(method twofa.Method, i int) string {
	if method == twofa.RecoveryCode {
		return "0000-0000-0000-0000-0000-000" + strconv.Itoa(i%10)
	}
	return strings.Repeat(strconv.Itoa(i%10), r.digits(method)-1) + strconv.Itoa(i/10%10)
}

// unlockSomehow lets the host, staff or an admin unlock a user whom somebody has
// locked out, most of the time.
func (r *modelRun) unlockSomehow() {
	user := r.enrolledUser()
	method := oneOf(r, twofa.TOTP, twofa.SMS, twofa.RecoveryCode, twofa.EmailLink)
	if r.chance(80) {
		if locked := r.lockOut(user, 6); locked != "" && r.chance(85) {
			method = locked
		}
	}
	if r.chance(60) {
		r.unlock(user, method)
		for range oneOf(r, 0, 0, 0, 1, 3) {
			r.lockOut(user, 6)
			r.unlock(user, method)
		}
		return
	}
	c, host := r.acting()
	if r.chance(60) {
		r.settle(user, c.account)
	}
	c = r.proven(c, host)
	r.knowing()
	reason := r.reason()
	by, name := r.actor(c, host, reason)
	if r.chance(30) {
		r.agree(who(c, host)+name+" asks whether to unlock in "+c.account+" "+user, r.rules.peek(c.rules(), name, r.rules.unlocking(c.rules(), user)),
			told(r.server().Account(by, c.account).PeekUnlock(r.t.Context(), user)))
		r.knowing()
		by, name = r.actor(c, host, reason)
	}
	want := r.rules.unlockIn(c.rules(), name, user, method, reason)
	r.agree(who(c, host)+name+" unlocks in "+c.account+" "+user, want, told(r.server().Account(by, c.account).Unlock(r.t.Context(), user, method)))
	r.statusesOf(c, host)
	r.settle(user, "acme", "beta")
}

func (r *modelRun) unlock(user string, method twofa.Method) {
	r.knowing()
	reason := r.reason()
	by, name := r.actor(modelCall{}, true, reason)
	want := r.rules.unlock(user, method, reason, "", name)
	r.agree(user+" is unlocked, "+string(method), want, told(r.server().User(by, user).Unlock(r.t.Context(), method)))
}

// besiege guesses for weeks, while support unlocks the method as often as it can.
func (r *modelRun) besiege() {
	user := r.enrolledUser()
	for range 150 {
		method := r.lockOut(user, 5)
		if method == "" || method == twofa.EmailLink || method == twofa.RecoveryCode {
			return
		}
		n := r.rules.counter(r.rules.user(user), string(method))
		switch off, wait := r.rules.switchedOff(method, n); {
		case !off && n.until > r.rules.now:
			r.wait(n.until - r.rules.now)
		case off && wait > 0 && len(r.rules.since(r.rules.user(user).eased, 30*aDay)) >= 3:
			r.wait(wait + aDay*int64(r.rng.IntN(10)))
		case off:
			if r.unlock(user, method); wait == 0 {
				return
			}
		}
	}
}
