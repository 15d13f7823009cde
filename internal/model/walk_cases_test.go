package model

import (
	"slices"
	"strconv"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// Lost devices.

// loseDevice reports a device as lost, and then does what the user or a thief might.
func (r *modelRun) loseDevice() {
	user := r.enrolledUser()
	d := oneOf(r, r.deviceFor(user), r.stranger(user))
	f := twofa.FirstFactor{UserID: user, Account: oneOf(r, "acme", "beta"), By: twofa.ByPassword, Client: d.client}
	if r.chance(20) {
		f.By, f.ProviderOf = twofa.BySSO, f.Account
	}
	h := r.begin(d, f, nil)
	r.reportLost(h, d.client)
	for r.chance(40) {
		r.wait(oneOf(r, r.rng.Int64N(anHour), aDay-1, aDay))
		f.Client = d.client
		h = r.begin(d, f, nil)
		r.reportLost(h, d.client)
	}
	r.standing()
	switch c, ok := r.sessionOf(user); r.rng.IntN(5) {
	case 0:
		r.answer(h)
	case 1:
		if h != nil && h.pass.kind == "login" {
			h = r.verify(h, d.client, twofa.Proof{Method: twofa.RecoveryCode, Code: twofa.NewSecret(r.right(h.pass, twofa.RecoveryCode))})
		}
		if h != nil && h.pass.kind == "session" {
			r.setUpBy(modelCall{session: h, account: h.pass.account, client: d.client})
		}
	case 2:
		if ok {
			r.prove(c, "export", "")
		}
	case 3:
		if ok {
			r.setUpBy(c)
		}
	}
	r.standing()
	r.statusesOf(modelCall{account: f.Account}, true)
}

// reportLost reports that the device is lost. In place of h, it rarely uses another
// challenge.
func (r *modelRun) reportLost(h *modelHold, c twofa.Client) {
	r.knowing()
	if other := r.some(r.challenges); h == nil || h.pass.kind == "session" || r.chance(10) {
		h = other
	}
	if h == nil {
		return
	}
	r.agree(h.who()+"reports the device as lost", r.rules.reportLost(c, h.pass), told(r.server().ReportLost(r.t.Context(), c, r.challenge(h))))
}

// sessionOf returns a caller with a session of a user that is alive.
func (r *modelRun) sessionOf(user string) (c modelCall, ok bool) {
	for _, h := range slices.Backward(r.sessions) {
		if h.pass.user == user && r.rules.alive(h.pass) {
			return modelCall{session: h, account: h.pass.account, client: h.device.client}, true
		}
	}
	return c, false
}

func (r *modelRun) standing() {
	c, ok := r.caller()
	if !ok || c.session == nil {
		return
	}
	r.knowing()
	want := r.rules.standing(c.rules())
	s, err := r.server().Standing(r.t.Context(), r.real(c))
	said := told(err)
	if err == nil {
		said = toldStanding(s)
	}
	r.agree(c.who()+"standing in "+c.account, want, said)
}

// Support cases.

// wholeCase opens a case and sees it through, while time passes and the user, staff
// and others do what they may.
func (r *modelRun) wholeCase() {
	user := r.enrolledUser()
	if r.chance(10) {
		user = oneOf(r, modelUsers...)
	}
	switch r.rng.IntN(10) {
	case 0, 1:
		r.setAddresses(user)
	case 2, 3:
		u := r.rules.dir[user]
		u.Emails = nil
		r.direct(u)
	}
	u := r.rules.user(user)
	if wait := r.rules.caseWait(u); wait > 0 && r.chance(85) {
		r.wait(wait - int64(r.rng.IntN(2)))
	}
	r.openCase(user, false)
	if x := r.rules.openCase(u); x != nil && r.chance(50) { // one approves, and then another or again on the third day
		staff := map[string]string{"sam": "nora", "nora": "otto", "otto": "sam"}
		second, days := staff[staff[x.by]], int64(1)
		if r.chance(50) {
			second, days = staff[x.by], 3
		}
		r.wait(max(0, x.opened+aDay-oneOf[int64](r, 0, 0, 0, 1)-r.rules.now))
		r.approveBy(user, staff[x.by])
		switch {
		case r.chance(20):
			r.setAddresses(user)
		case r.chance(15):
			r.addAddresses(user)
		}
		r.wait(max(0, x.opened+days*aDay-oneOf[int64](r, 0, 0, 0, 1)-r.rules.now))
		r.approveBy(user, second)
	}
	for range 4 + r.rng.IntN(8) {
		x := r.rules.openCase(u)
		if x == nil {
			if r.chance(50) {
				r.comeBack(user, oneOf(r, "acme", "beta"))
			}
			return
		}
		switch r.rng.IntN(12) {
		case 0, 1, 2, 3:
			end := x.opened + oneOf[int64](r, aDay, 3*aDay)
			if r.chance(10) {
				end = x.opened + 7*aDay
			}
			r.wait(max(0, end-int64(r.rng.IntN(2))-r.rules.now))
		case 4, 5, 6, 7:
			r.approve(user)
		default:
			r.inCase(user)
		}
	}
}

// caseSomehow makes one step of the case of some user.
func (r *modelRun) caseSomehow() {
	for _, i := range r.rng.Perm(len(modelUsers)) {
		if user := modelUsers[i]; r.rules.user(user).open != nil || r.chance(5) {
			r.openCase(user, true)
			for range 1 + r.rng.IntN(3) {
				r.approve(user)
				r.inCase(user)
			}
			return
		}
	}
}

// inCase is what may happen while a case is open.
func (r *modelRun) inCase(user string) {
	switch r.rng.IntN(15) {
	case 0, 1:
		if c, ok := r.arrive(r.deviceFor(user), oneOf(r, "acme", "beta")); ok && c.session != nil && r.chance(60) {
			r.respond(c, r.chance(65))
		}
	case 2, 3:
		if c, ok := r.sessionOf(user); ok {
			r.respond(c, r.chance(65))
		} else if c, ok := r.caller(); ok && c.session != nil {
			r.respond(c, r.chance(50))
		}
	case 4, 12:
		r.setAddresses(user)
	case 5, 6, 7:
		r.followLink(r.chance(35))
	case 8:
		r.standing()
	case 9:
		r.seeCase(user)
		r.statusesOf(modelCall{account: oneOf(r, "acme", "beta")}, true)
	case 10:
		if r.chance(40) {
			r.cancelCase(user)
		}
		r.resetAtOnce(user)
		if r.chance(25) {
			r.resetByHost(user)
		}
	case 11:
		r.openCase(user, true)
	case 13:
		r.arriveBySSO(user)
	case 14:
		r.provesInCase(user)
	}
}

// arriveBySSO signs a user in by the provider of one account, who then answers.
func (r *modelRun) arriveBySSO(user string) {
	d, account := r.deviceFor(user), oneOf(r, "acme", "beta")
	h := r.answer(r.begin(d, twofa.FirstFactor{UserID: user, Account: account, By: twofa.BySSO, ProviderOf: account, Client: d.client}, nil))
	if h != nil && h.pass.kind == "session" && r.chance(60) {
		r.respond(modelCall{session: h, account: account, client: d.client}, r.chance(65))
	}
}

// provesInCase lets a user prove a factor in a session, or change something, and then
// answer in that session or another.
func (r *modelRun) provesInCase(user string) {
	c, ok := r.sessionOf(user)
	if !ok {
		return
	}
	switch r.rng.IntN(6) {
	case 0:
		r.endBy(c, user, false, "revoke", (*twofa.ManagedUser).Revoke, false)
	case 1:
		r.endBy(c, user, false, "credentials changed", (*twofa.ManagedUser).CredentialsChanged, true)
	case 2:
		r.setUpBy(c)
	default:
		r.prove(c, oneOf(r, "export", twofa.ActionFactors), "")
		if r.chance(50) {
			c.session = r.newest(c.session)
		}
		if r.chance(30) {
			c.client = r.device().client
		}
		r.respond(c, r.chance(80))
	}
}

func (r *modelRun) openCase(user string, again bool) {
	r.knowing()
	u, inPerson := r.rules.user(user), !r.rules.canMailCase(user)
	if r.chance(6) {
		inPerson = !inPerson
	}
	if again != (r.rules.openCase(u) != nil) && r.chance(70) {
		return
	}
	staff, reason := r.staff(), r.reason()
	if r.chance(12) {
		r.rules.down = nothingSent
	}
	want := r.rules.request(user, staff, reason, inPerson)
	got, err := r.server().User(twofa.AsStaff(staff, reason), user).OpenCase(r.t.Context(), twofa.ResetRequest{InPerson: inPerson})
	r.rules.down = allWell
	id := got.ID
	r.sameCase(user+" case opened by "+staff, want, r.rules.caseOf(u), &got, err, true)
	if want == saysFine {
		u.open.id = id
	}
}

func (r *modelRun) staff() string { return oneOf(r, "sam", "nora", "otto") }

// caseID returns the ID of the last case of a user, or another one.
func (r *modelRun) caseID(user string) string {
	if x := r.rules.user(user).open; x != nil && r.chance(95) {
		return x.id
	}
	if n := len(r.out.links); n > 0 {
		return r.out.links[r.rng.IntN(n)].id
	}
	return "none"
}

func (r *modelRun) approve(user string) {
	staff := r.staff()
	if x := r.rules.user(user).open; x != nil && staff == x.by {
		staff = r.staff() // they cannot
	} else if x != nil && len(x.approvals) > 0 && r.chance(30) {
		staff = x.approvals[0].By
	}
	r.approveBy(user, staff)
}

func (r *modelRun) approveBy(user, staff string) {
	r.knowing()
	reason, id := r.reason(), r.caseID(user)
	before := r.rules.user(user).coolsUntil
	want, x := r.rules.approve(user, staff, reason, id)
	r.mayReset(user, before)
	got, err := r.server().User(twofa.AsStaff(staff, reason), user).ApproveCase(r.t.Context(), id)
	r.sameCase(user+" case approved by "+staff, want, x, &got, err, false)
}

// sameCase compares the answer of a call that returns a case, of which the ID may be
// new.
func (r *modelRun) sameCase(what, want string, x, got *twofa.Case, err error, isNew bool) {
	said := told(err)
	if err == nil {
		if isNew {
			got.ID = ""
		}
		want, said = want+" "+toldCase(x), said+" "+toldCase(got)
	}
	r.agree(what, want, said)
}

func (r *modelRun) seeCase(user string) {
	r.knowing()
	want, u := orFine(r.rules.load(user, "")), r.rules.user(user)
	got, err := r.server().User(oneOf(r, twofa.AsHost("x"), twofa.AsStaff("sam", "")), user).Case(r.t.Context())
	r.sameCase(user+" case", want, r.rules.caseOf(u), got, err, false)
}

func (r *modelRun) cancelCase(user string) {
	r.knowing()
	id := r.caseID(user)
	by, name := r.actor(modelCall{}, true, "x")
	r.agree(user+" case canceled by "+name, r.rules.endCase(user, id, "", name, "by staff"), told(r.server().User(by, user).CancelCase(r.t.Context(), id)))
}

// followLink looks at the case that a link of a mail belongs to, and may end it.
func (r *modelRun) followLink(end bool) {
	n := len(r.out.links)
	if n == 0 {
		return
	}
	r.knowing()
	l := r.out.links[max(0, n-1-int(r.rng.ExpFloat64()))]
	want, x := r.rules.linked(l)
	got, err := r.server().LinkedCase(r.t.Context(), l.token)
	r.sameCase(l.user+" case by its link", want, x, &got, err, false)
	if !end {
		return
	}
	r.knowing()
	r.agree(l.user+" case canceled by its link", r.rules.endLinked(l), told(r.server().CancelCase(r.t.Context(), twofa.Client{}, l.token)))
}

// respond says in a session whether the case is the user's.
func (r *modelRun) respond(c modelCall, isMine bool) {
	r.knowing()
	id := r.caseID(c.user())
	r.agree(c.who()+"case is theirs: "+strconv.FormatBool(isMine)+" in "+c.account, r.rules.respond(c.rules(), id, isMine),
		told(r.server().AnswerCase(r.t.Context(), r.real(c), id, isMine)))
}

// Addresses.

// changeAddresses changes the addresses of a user more than once, with days in
// between, and tells the user of something.
func (r *modelRun) changeAddresses() {
	user := oneOf(r, modelUsers...)
	for range 1 + r.rng.IntN(4) {
		r.setAddresses(user)
		switch r.rng.IntN(3) {
		case 0:
			c, ok := r.sessionOf(user)
			if ok {
				r.endBy(c, user, true, "revoke", (*twofa.ManagedUser).Revoke, false)
			}
		case 1:
			r.arrive(r.deviceFor(user), oneOf(r, "acme", "beta"))
		}
		if r.chance(40) {
			r.wait(oneOf(r, r.rng.Int64N(30*aDay), 30*aDay))
		}
	}
	if r.chance(60) {
		u := r.rules.dir[user]
		u.Emails = []string{user + "@example.com"}
		r.direct(u)
	}
}

// setAddresses gives a user other addresses, of which one may have been there before.
func (r *modelRun) setAddresses(user string) {
	u := r.rules.dir[user]
	require.Equal(r.t, user, u.ID)
	some := func() string { return user + strconv.Itoa(r.rng.IntN(12)) + "@example.com" }
	emails := slices.Clone(u.Emails)
	switch r.rng.IntN(8) {
	case 0:
		emails = []string{some()}
	case 1:
		emails = append([]string{some()}, emails...)
	case 2, 3:
		emails = append(emails, some())
	case 4:
		emails = emails[min(1, len(emails)):]
	case 5, 7:
		r.addAddresses(user)
		return
	case 6:
		emails = []string{user + "@example.com"}
	}
	u.Emails = unique(emails)
	r.direct(u)
}

// addAddresses gives a user more addresses than are kept.
func (r *modelRun) addAddresses(user string) {
	u := r.rules.dir[user]
	u.Emails = slices.Clone(u.Emails)
	for i := range 10 {
		u.Emails = append(u.Emails, user+strconv.Itoa(i)+"@example.com")
	}
	u.Emails = unique(u.Emails)
	r.direct(u)
}

func unique(list []string) (l []string) {
	for _, s := range list {
		if !among(l, s) {
			l = append(l, s)
		}
	}
	return l
}
