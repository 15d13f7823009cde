package model

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/harness"
)

// modelDirectory returns what the model knows of the users.
type modelDirectory struct{ *model }

func (d modelDirectory) Users(_ context.Context, ids ...string) (found []twofa.User, err error) {
	for _, id := range ids {
		if u, ok := d.dir[id]; ok {
			found = append(found, u)
		}
	}
	return found, nil
}

func (d modelDirectory) Admins(_ context.Context, account string) (ids []string, err error) {
	for id := range d.dir {
		if d.role(id, account) != twofa.RoleMember {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Memberships.

// member returns a membership as it was before the user left, or the first one.
func (r *modelRun) member(id, account string) twofa.Member {
	in, ok := r.home[id+" in "+account]
	if !ok {
		in = twofa.Member{Account: account, Since: map[string]time.Time{"ada": harness.Start.Add(-30 * 24 * time.Hour), "bob": harness.Start,
			"dan": harness.Start.Add(48 * time.Hour), "eve": harness.Start}[id]} // cyd joined at an unknown time
		in.Role = map[string]twofa.Role{"ada in acme": twofa.RoleOwner, "bob in acme": twofa.RoleAdmin, "bob in beta": twofa.RoleOwner, "dan in beta": twofa.RoleAdmin}[id+" in "+account]
	}
	r.home[id+" in "+account] = in
	return in
}

func (r *modelRun) bothMemberships(id string) []twofa.Member {
	return []twofa.Member{r.member(id, "acme"), r.member(id, "beta")}
}

// changeRole changes what a user may do in an account, and rarely since when the
// user is a member, or lists an account twice.
func (r *modelRun) changeRole() {
	id := oneOf(r, modelUsers...)
	u := r.rules.dir[id]
	if len(u.Members) == 0 {
		return
	}
	in := oneOf(r, u.Members...)
	in.Role = oneOf(r, twofa.RoleMember, twofa.RoleAdmin, twofa.RoleAdmin, twofa.RoleOwner, twofa.RoleOwner, "auditor")
	if r.chance(15) {
		in.Since = oneOf(r, time.Time{}, time.Unix(r.rules.now-3*aDay, 0), time.Unix(r.rules.now, 0), time.Unix(r.rules.now+aDay, 0))
	}
	others := slices.DeleteFunc(slices.Clone(u.Members), func(o twofa.Member) bool { return o.Account == in.Account && r.chance(95) })
	u.Members = append(others, in)
	r.rules.dir[id], r.home[id+" in "+in.Account] = u, in
	r.trace = append(r.trace, modelLine{r.rules.now, fmt.Sprintf("%s is now %+v", id, u.Members), ""})
}

// Acts.

// acting returns a caller who acts in an account: an admin, somebody else, or the
// host.
func (r *modelRun) acting() (c modelCall, host bool) {
	c.account = oneOf(r, "acme", "beta")
	if r.chance(15) {
		return c, true
	}
	h := r.some(r.sessions)
	if r.chance(85) {
		h = r.adminSession(c.account)
	}
	if h == nil {
		return c, true
	}
	c.session, c.client = h, r.client(h.device)
	return c, false
}

// adminSession returns a session of somebody who has a role in an account, who
// signs in if there is none.
func (r *modelRun) adminSession(account string) *modelHold {
	most := 2
	if r.chance(60) {
		most = 1 // an admin, who may do less than an owner
	}
	isAdmin := func(user string) bool {
		have := rank(r.rules.role(user, account))
		return have > 0 && have <= most && !r.rules.dir[user].Disabled
	}
	for _, h := range slices.Backward(r.sessions) {
		if isAdmin(h.pass.user) && r.rules.alive(h.pass) && r.chance(60) {
			return h
		}
	}
	for _, i := range r.rng.Perm(len(r.devices)) {
		d := r.devices[i]
		if !isAdmin(d.user) {
			continue
		}
		h := r.answer(r.begin(d, twofa.FirstFactor{UserID: d.user, Account: account, By: twofa.ByPassword, Client: d.client}, nil))
		if h != nil && h.pass.kind == "session" {
			return h
		}
		return nil
	}
	return nil
}

// proven lets an admin give the proof that a change needs, most of the time.
func (r *modelRun) proven(c modelCall, host bool) modelCall {
	return r.provenFor(c, host, twofa.ActionPolicy)
}

func (r *modelRun) provenFor(c modelCall, host bool, action string) modelCall {
	if host || !r.chance(85) {
		return c
	}
	if len(r.rules.user(c.user()).factors) == 0 && r.chance(70) {
		r.setUpBy(c)
	}
	c.session = r.newest(c.session)
	if !r.rules.alive(c.session.pass) {
		return c
	}
	r.prove(c, action, "")
	c.session, c.client = r.newest(c.session), c.session.device.client
	return c
}

func (r *modelRun) by(c modelCall, host bool, reason string) twofa.Actor {
	if host {
		return twofa.AsHost(reason)
	}
	return twofa.AsUser(r.real(c), reason)
}

func who(c modelCall, host bool) string {
	if host {
		return "* "
	}
	return c.who()
}

// modelVersion is a version of a policy, and its number in the model.
type modelVersion struct {
	text   string
	number int
}

// readPolicy reads a policy, and remembers its version.
func (r *modelRun) readPolicy(c modelCall, host bool) {
	want := r.rules.readPolicy(c.rules(), host)
	number := r.rules.versions[c.account]
	info, err := r.server().Account(r.by(c, host, ""), c.account).Policy(r.t.Context())
	said := told(err)
	if err == nil {
		said = toldPolicy(info.Policy, info.Default)
		seen := r.known[c.account]
		r.known[c.account] = append(seen[max(0, len(seen)-5):], modelVersion{info.Version, number})
	}
	r.agree(who(c, host)+"reads the policy of "+c.account, want, said)
}

// administrate changes a policy, based on what was read.
func (r *modelRun) administrate() {
	c, host := r.acting()
	r.readPolicy(c, host)
	c = r.proven(c, host)
	seen := r.known[c.account]
	var version modelVersion
	number := &version.number
	switch {
	case len(seen) == 0 || r.chance(5):
		number = nil
	case r.chance(10):
		version = oneOf(r, seen...)
	default:
		version = seen[len(seen)-1]
	}
	var p *twofa.Policy
	if some := r.somePolicy(c.account); r.chance(90) {
		p = &some
	}
	for range 1 + r.rng.IntN(2) { // sent twice, it is a conflict
		r.change(c, host, p, version, number)
	}
	r.statusesOf(c, host)
}

// tighten lets an admin change one thing in a policy with a grace. Some of these
// changes look stricter, but let in members whose grace has ended.
func (r *modelRun) tighten() {
	c, host := r.acting()
	before := twofa.PolicySMS()
	before.Grace, before.EnrollWithoutLink = 7*24*time.Hour, r.chance(50)
	if r.chance(30) {
		before = twofa.PolicyEmailLink()
		before.EnrollWithoutLink, before.Grace = true, oneOf(r, 0, 7*24*time.Hour)
	}
	r.change(modelCall{account: c.account}, true, &before, modelVersion{}, nil)
	r.readPolicy(c, host)
	after := before
	switch r.rng.IntN(5) {
	case 0, 1:
		after.Methods = []twofa.Method{twofa.TOTP}
	case 2:
		after.ExemptSSO = false
	case 3:
		after.Grace /= 2
	case 4:
		after.TurnOff = twofa.TurnOffBySupport
	}
	c = r.proven(c, host)
	if seen := r.known[c.account]; len(seen) > 0 {
		version := seen[len(seen)-1]
		r.change(c, host, &after, version, &version.number)
	}
}

// thereAndBack requires more, returns to the policy of the product, and sets that
// with a grace, which does not begin with any of these changes.
func (r *modelRun) thereAndBack() {
	c := modelCall{account: oneOf(r, "acme", "beta")}
	some, product := r.somePolicy(c.account), r.rules.cfg.Policy
	some.Required, some.ExemptSSO = true, false
	product.Grace = time.Duration(7+r.rng.IntN(30)) * 24 * time.Hour
	for _, p := range []*twofa.Policy{{Methods: []twofa.Method{twofa.TOTP}}, &some, nil, &product} {
		r.change(c, true, p, modelVersion{}, nil)
		if p == &some {
			r.wait(anHour)
		}
	}
	r.statusesOf(c, true)
}

func (r *modelRun) change(c modelCall, host bool, p *twofa.Policy, version modelVersion, number *int) {
	want := r.rules.setPolicy(c.rules(), host, p, number)
	a, what := r.server().Account(r.by(c, host, "test"), c.account), "no policy"
	var err error
	if p == nil {
		err = a.UnsetPolicy(r.t.Context(), version.text)
	} else {
		err, what = a.SetPolicy(r.t.Context(), *p, version.text), "policy "+p.String()
	}
	r.agree(who(c, host)+"sets in "+c.account+" based on '"+version.text+"' "+what, want, told(err))
}

// somePolicy returns a policy, often the one in force with one change.
func (r *modelRun) somePolicy(account string) twofa.Policy {
	p := oneOf(r, modelPolicies()...)
	if r.fleet != nil {
		p = oneOf(r, fleetPolicies()...)
	}
	if now, ok := r.rules.policies[account]; ok && r.chance(50) {
		p = now
	}
	inForce := p
	switch r.rng.IntN(12) {
	case 0, 1:
		p.Grace = oneOf(r, 0, time.Hour, 24*time.Hour, 7*24*time.Hour, 30*24*time.Hour)
	case 2:
		p.Deadline = time.Unix(r.rules.now+oneOf[int64](r, -aDay, anHour, aDay, 7*aDay, 9*aDay, 30*aDay), 0).UTC()
	case 3:
		p.Deadline = time.Time{}
	case 4:
		p.Weaken = oneOf(r, twofa.RoleAdmin, twofa.RoleAdmin, "", twofa.RoleOwner)
	case 5:
		p.Actions = maps.Clone(p.Actions)
		if p.Actions == nil {
			p.Actions = map[string]twofa.ActionRule{}
		}
		p.Actions[oneOf(r, twofa.ActionPolicy, "export")] = twofa.ActionRule{MaxAge: oneOf(r, 0, 2*time.Minute)}
	case 6:
		p.ExemptSSO, p.Grace = !p.ExemptSSO, oneOf(r, p.Grace, 24*time.Hour)
	case 7:
		p.TurnOff = oneOf(r, turnOffs...)
	case 8:
		p.EnrollWithoutLink = !p.EnrollWithoutLink
		p.Reset = oneOf(r, resetters...)
	case 9:
		p.Required = true
	case 10, 11:
		toggled := oneOf(r, twofa.SMS, twofa.EmailLink)
		if p.Fallback = nil; among(p.Methods, toggled) {
			p.Methods = except(p.Methods, toggled)
		} else {
			p.Methods = append(slices.Clone(p.Methods), toggled)
		}
	}
	if !p.Required && among(p.Methods, twofa.EmailLink) {
		return inForce
	}
	return p
}

// giveTime gives a member more time, rarely more often than is allowed.
func (r *modelRun) giveTime() {
	c, host := r.acting()
	c = r.proven(c, host)
	user, times := oneOf(r, append(slices.Clone(modelUsers), "nobody")...), 1
	if r.chance(25) {
		user = r.someAdmin(c.account)
	}
	if r.chance(12) {
		times = 22
	}
	for range times {
		r.giveTimeTo(c, host, user, oneOf[int64](r, anHour, aDay, 3*aDay, 8*aDay, 30*aDay, 90*aDay, 90*aDay+1, 0)+r.rng.Int64N(2))
	}
	if r.chance(30) {
		r.giveTimeTo(c, host, user, 0)
	}
	r.statusesOf(c, host)
}

// someAdmin returns a user who has a role in an account, if there is one.
func (r *modelRun) someAdmin(account string) string {
	for _, i := range r.rng.Perm(len(modelUsers)) {
		if id := modelUsers[i]; rank(r.rules.role(id, account)) > 0 {
			return id
		}
	}
	return "nobody"
}

func (r *modelRun) giveTimeTo(c modelCall, host bool, user string, more int64) {
	until, reason := r.rules.now+more, oneOf(r, "ill", "ill", "ill", "ill", "ill", "ill", "")
	if r.rules.user(user).extended[c.account] == until { // the records could not tell it from the one before
		until--
	}
	by := twofa.AsStaff("eve", reason)
	if !host {
		by = r.by(c, host, reason)
	}
	want := r.rules.giveTime(c.rules(), host, user, reason, until)
	r.agree(who(c, host)+"gives time in "+c.account+" to "+user, want, told(r.server().Account(by, c.account).Extend(r.t.Context(), user, time.Unix(until, 0))))
}

func (r *modelRun) statuses() {
	c, host := r.acting()
	r.statusesOf(c, host)
}

func (r *modelRun) statusesOf(c modelCall, host bool) {
	ids := r.someMembers()
	want := r.rules.statuses(c.rules(), host, ids)
	list, err := r.server().Account(r.by(c, host, ""), c.account).Statuses(r.t.Context(), ids...)
	said := told(err)
	if err == nil {
		said = "statuses"
		for _, st := range list {
			said += toldStatus(st)
		}
	}
	r.agree(who(c, host)+"asks for statuses in "+c.account, want, said)
}

func (r *modelRun) someMembers() (ids []string) {
	all := append(slices.Clone(modelUsers), "nobody")
	for _, i := range r.rng.Perm(len(all)) {
		ids = append(ids, all[i])
	}
	return ids[:1+r.rng.IntN(len(ids))]
}

func (r *modelRun) remindSomehow() { r.remind(oneOf(r, "acme", "beta"), r.someMembers()) }

func (r *modelRun) remind(account string, ids []string) {
	if r.rules.down = r.outage(); r.chance(10) {
		r.rules.down = nothingSent
	}
	want, done := r.rules.remind(account, ids)
	by := oneOf(r, twofa.AsHost("cron"), twofa.AsStaff("eve", "cron"))
	r.out.reached = map[string]bool{}
	got, err := r.server().Account(by, account).Remind(r.t.Context(), func(yield func(string, error) bool) {
		for _, id := range ids {
			if !yield(id, nil) {
				return
			}
		}
	})
	r.agree("* remind in "+account, fmt.Sprintf("%s %+v", want, done), fmt.Sprintf("%s %+v", told(err), got))
	require.Len(r.t, r.out.reached, done.Mailed+done.Admins, "mails that left")
	r.rules.down = allWell
}

// lastDays requires a factor in some days, and reminds everybody once a day until
// it is due.
func (r *modelRun) lastDays() {
	account := oneOf(r, "acme", "beta")
	p := oneOf(r, modelPolicies()...)
	p.Required, p.Grace = true, time.Duration(7+r.rng.IntN(4))*24*time.Hour
	if r.chance(50) {
		p.Grace, p.Deadline = 0, time.Unix(r.rules.now+7*aDay+r.rng.Int64N(4*aDay), 0).UTC()
	}
	c := modelCall{account: account}
	if want := r.rules.cannotSet(p); want != "" {
		return
	}
	r.change(c, true, &p, modelVersion{}, nil)
	for range 12 {
		for range 1 + r.rng.IntN(2) {
			r.remind(account, modelUsers)
		}
		r.statusesOf(c, true)
		switch r.rng.IntN(12) {
		case 0:
			r.signIn()
		case 1:
			r.giveTimeTo(c, true, r.device().user, aDay+r.rng.Int64N(9*aDay))
		case 2:
			r.changeRole()
		}
		r.wait(aDay - 300 + r.rng.Int64N(600))
	}
}

// assignPhones assigns numbers to some members, and lets one of them sign in and
// confirm it.
func (r *modelRun) assignPhones() {
	c, host := r.acting()
	if r.chance(60) {
		r.change(modelCall{account: c.account}, true, oneOf(r, ptr(twofa.PolicySMS()), ptr(modelPolicies()[7]), nil), modelVersion{}, nil)
	}
	ids := r.someMembers()
	for _, id := range ids {
		if id != "nobody" && r.chance(75) {
			r.joins(id, c.account)
		}
		if id != "nobody" && r.chance(80) && len(r.rules.user(id).factors) > 0 {
			r.resetUser(id, r.chance(20))
		}
	}
	c = r.proven(c, host)
	var list []twofa.PhoneAssignment
	for i, id := range append(ids, oneOf(r, ids...)) {
		n := twofa.PhoneAssignment{User: id, Phone: oneOf(r, "+41790000005", "+41790000006", "+41790000007")}
		switch r.rng.IntN(10) {
		case 0:
			n.Phone = oneOf(r, "12", "+33612345678", "+41900123456")
		case 1:
			n.Phone, n.Withdraw = "", true
		}
		if i < len(ids) || r.chance(5) { // rarely, one is there twice
			list = append(list, n)
		}
	}
	reason := oneOf(r, "list", "list", "list", "list", "list", "list", "")
	for range 1 + r.rng.IntN(2) {
		r.assign(c, host, list, reason)
	}
	for _, n := range list {
		if r.chance(60) {
			r.confirmAssigned(n.User, c.account)
		}
	}
	for _, id := range ids {
		if id != "nobody" && r.chance(50) {
			r.joins(id, "acme", "beta")
		}
	}
}

func ptr[T any](v T) *T { return &v }

// joins makes a user a member of these accounts alone.
func (r *modelRun) joins(id string, accounts ...string) {
	u := r.rules.dir[id]
	u.Members = nil
	for _, account := range accounts {
		u.Members = append(u.Members, r.member(id, account))
	}
	r.rules.dir[id] = u
	r.trace = append(r.trace, modelLine{r.rules.now, fmt.Sprintf("%s is in %v", id, accounts), ""})
}

func (r *modelRun) assign(c modelCall, host bool, list []twofa.PhoneAssignment, reason string) {
	by := twofa.AsStaff("eve", reason)
	if !host {
		by = r.by(c, host, reason)
	}
	want := r.rules.assign(c.rules(), host, list, reason)
	done, err := r.server().Account(by, c.account).AssignPhones(r.t.Context(), list)
	said := told(err)
	if err == nil {
		var all []string
		for i, item := range done {
			require.Equal(r.t, list[i].User, item.User)
			if item.Err != nil {
				item.Outcome = twofa.PhoneOutcome(told(item.Err))
			}
			all = append(all, string(item.Outcome))
		}
		said = strings.Join(all, ", ")
	}
	r.agree(who(c, host)+"assigns numbers in "+c.account+fmt.Sprintf(" %+v", list), want, said)
}

// confirmAssigned signs a member in, who asks for a code for the number on the page,
// or for one that was there before, and confirms it.
func (r *modelRun) confirmAssigned(user, account string) {
	i := slices.IndexFunc(r.devices, func(d *modelDevice) bool { return d.user == user })
	if i < 0 {
		return
	}
	d := r.devices[i]
	h := r.answer(r.begin(d, twofa.FirstFactor{UserID: user, Account: account, By: twofa.ByPassword, Client: d.client}, nil))
	if h == nil {
		return
	}
	c := modelCall{session: h, account: account, client: d.client}
	if h.pass.kind == "enroll" {
		c = modelCall{challenge: h, account: account, client: d.client}
	}
	f, err := r.server().Factors(r.t.Context(), r.real(c))
	r.agree(c.who()+"factors", r.rules.factors(c.rules()), toldFactors(f, err))
	if f.Assigned != nil && f.Assigned.ID == "" && c.session != nil {
		r.prove(c, twofa.ActionFactors, "")
		c.session = r.newest(c.session)
		f, err = r.server().Factors(r.t.Context(), r.real(c))
		r.agree(c.who()+"factors", r.rules.factors(c.rules()), toldFactors(f, err))
	}
	if f.Assigned == nil || f.Assigned.ID == "" {
		return
	}
	if a := r.rules.user(user).assigned; a.id == "" {
		a.id = f.Assigned.ID
	} else {
		require.Equal(r.t, a.id, f.Assigned.ID, "the number is still the same")
	}
	switch r.rng.IntN(8) {
	case 0:
		r.assign(modelCall{account: account}, true, []twofa.PhoneAssignment{{User: user, Phone: oneOf(r, "+41790000008", "+41790000009")}}, "another")
	case 1:
		r.wait(oneOf[int64](r, anHour/3, 30*aDay))
	case 2:
		r.joins(user, "acme", "beta")
	}
	if !r.enroll(c, twofa.EnrollRequest{Method: twofa.SMS, Assigned: f.Assigned.ID, Phone: oneOf(r, "", "+41790000001")}) {
		return
	}
	c = r.setups[user]
	r.save(c)
	r.confirm(c, r.pendingCode(c))
}
