package model

import (
	"context"
	"slices"
	"strconv"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// Enrollment.

func (r *modelRun) enrollSomehow() {
	c, ok := r.caller()
	if !ok {
		return
	}
	r.enroll(c, r.someFactor(c))
}

func (r *modelRun) someFactor(c modelCall) twofa.EnrollRequest {
	e := twofa.EnrollRequest{Method: twofa.TOTP, Name: oneOf(r, "", "Work", "Home")}
	if among(r.rules.policy(c.account).Methods, twofa.SMS) && r.chance(60) || r.chance(5) {
		e.Method = twofa.SMS
		e.Phone = oneOf(r, "+41790000001", "+41790000002", "+41790000003", "+41790000004", "+33612345678")
	}
	if r.rules.at.next && e.Method == twofa.TOTP && r.chance(50) {
		e.Name = oneOf(r, namePasskey, namePasskey, nameNewHash)
	}
	if f := r.rules.user(c.user()).factors; len(f) > 0 && r.chance(40) {
		e.Replaces = oneOf(r, f...).id
	}
	return e
}

func (r *modelRun) enroll(c modelCall, e twofa.EnrollRequest) bool {
	user := c.user()
	if c.challenge != nil && r.rules.opens(c.challenge.pass, c.client, "enroll") { // it comes before the session, which may be of another user
		user = c.challenge.pass.user
	}
	r.rules.down = r.outage()
	want, s, g := r.rules.enroll(c.rules(), e)
	got, err := r.server().Enroll(r.t.Context(), r.real(c), e)
	r.agree(c.who()+"enroll "+string(e.Method)+" in "+c.account+" in place of '"+e.Replaces+"'", want, told(err))
	r.rules.down = allWell
	if u := r.rules.user(user); u.setup != nil && u.setup.id == "" && err != nil { // pending, although the text message was not sent
		asked := r.was // on another, the session may have ended
		if r.fleet != nil {
			r.rules.at = r.fleet.full() // others may not be able to read it
			asked = r.rules.at
		}
		got, err = asked.server.PendingEnrollment(r.t.Context(), r.real(c))
		require.NoError(r.t, err)
		r.learnSetup(user, u.setup, got)
	}
	if s == nil {
		return false
	}
	r.learnSetup(user, s, got)
	if h := r.keep(r.deviceOf(c), twofa.Result{Challenge: got.Challenge}, g); h != nil {
		c.challenge = h
	}
	require.Equal(r.t, g.challenge != nil, !got.Challenge.IsZero(), "a required enrollment and that of a phone have a challenge")
	r.learnSent(user, g)
	r.setups[c.user()] = c
	return true
}

func (r *modelRun) deviceOf(c modelCall) *modelDevice {
	if c.session != nil {
		return c.session.device
	}
	return c.challenge.device
}

func (r *modelRun) learnSetup(user string, s *modelSetup, e twofa.Enrollment) {
	if s.id == e.ID { // another code for the same number
		return
	}
	s.id, s.codes = e.ID, revealed(e.Codes)
	if s.method == twofa.TOTP {
		s.what = e.URI.Reveal()
		r.uris[user] = append(r.uris[user], s.what)
	}
	n := 0
	if !s.saved {
		n = r.rules.cfg.Recovery.Codes
	}
	require.Len(r.t, s.codes, n, "recovery codes are returned if there are none, or if they were requested")
	r.seen[user][twofa.RecoveryCode] = append(r.seen[user][twofa.RecoveryCode], s.codes...)
}

func (r *modelRun) setUp() {
	if c, ok := r.caller(); ok {
		if c.session != nil && len(r.rules.user(c.user()).factors) > 0 && r.chance(70) {
			r.prove(c, twofa.ActionFactors, "")
		}
		r.setUpBy(c)
	}
}

// setUpBy makes a whole enrollment, with its two steps in either order.
func (r *modelRun) setUpBy(c modelCall) {
	if !r.enroll(c, r.someFactor(c)) {
		return
	}
	c = r.setups[c.user()]
	if s := r.rules.user(c.user()).setup; s != nil && s.method == twofa.SMS && r.chance(30) { // another code
		r.wait(60)
		r.enroll(c, twofa.EnrollRequest{Method: twofa.SMS, Phone: s.what, Replaces: s.replaces})
		c = r.setups[c.user()]
	}
	for range oneOf(r, 0, 0, 0, 1, 2, 6) {
		r.confirm(c, r.other(c.user(), oneOf(r, twofa.TOTP, twofa.SMS)))
	}
	save := r.chance(50)
	for range 2 {
		switch {
		case r.chance(8): // not done
		case save:
			r.save(c)
		default:
			r.confirm(c, r.pendingCode(c))
		}
		save = !save
	}
}

// pendingCode returns the code that confirms the enrollment.
func (r *modelRun) pendingCode(c modelCall) string {
	u := r.rules.user(c.user())
	switch {
	case u.setup == nil:
		return "000000"
	case u.setup.method == twofa.TOTP:
		return r.shown(u.setup.what, 0)
	}
	for _, x := range u.sent {
		if x.attempt == u.setup.attempt && (c.challenge == nil || c.challenge.pass.sent == x.id || r.chance(20)) {
			return x.secret
		}
	}
	return "000000"
}

func (r *modelRun) pendingCaller() (modelCall, bool) {
	c, ok := r.setups[r.device().user]
	if !ok || r.chance(15) {
		return r.caller()
	}
	return c, ok
}

func (r *modelRun) confirmSomehow() {
	c, ok := r.pendingCaller()
	if !ok {
		return
	}
	code := r.pendingCode(c)
	if r.chance(40) {
		code = r.other(c.user(), oneOf(r, twofa.TOTP, twofa.SMS))
	}
	r.confirm(c, code)
}

func (r *modelRun) confirm(c modelCall, code string) {
	r.twice(c, func(c modelCall) {
		want, g := r.rules.confirm(c.rules(), code)
		l, err := r.server().Confirm(r.t.Context(), r.real(c), code)
		r.agree(c.who()+"confirm "+code, want, toldLogin(l, err))
		r.keepStep(c, l, g)
	})
}

// twice takes a step of an enrollment, and sometimes again, from the same browser
// or another one.
func (r *modelRun) twice(c modelCall, step func(modelCall)) {
	device, cookie := r.deviceOf(c), c.client.Browser
	step(c)
	for r.chance(20) {
		if r.chance(70) {
			r.wait(int64(r.rng.IntN(12)))
		}
		switch r.rng.IntN(4) {
		case 0:
			c.client.Browser = cookie
		case 1:
			c.client = r.client(device)
		case 2:
			if c.session != nil && r.chance(30) {
				r.signOutOf(c.session)
			}
		case 3:
			if c.challenge != nil && r.chance(80) {
				r.cancel(c.challenge, c.client)
			}
		}
		step(c)
	}
}

// keepStep records what a step of an enrollment returned.
func (r *modelRun) keepStep(c modelCall, l twofa.Result, g gift) {
	if g.next == twofa.NextEnroll && c.challenge != nil && !r.rules.opens(c.challenge.pass, c.client, "enroll") {
		g.challenge = nil // it is the caller's
	}
	if h := r.keep(r.deviceOf(c), l, g); h != nil && h.pass.kind == "enroll" && r.chance(70) {
		c.challenge = h
		r.setups[c.user()] = c
	}
}

func (r *modelRun) saveSomehow() {
	if c, ok := r.pendingCaller(); ok {
		r.save(c)
	}
}

func (r *modelRun) save(c modelCall) {
	r.twice(c, func(c modelCall) {
		want, g := r.rules.saveCodes(c.rules())
		l, err := r.server().SaveCodes(r.t.Context(), r.real(c))
		r.agree(c.who()+"save codes", want, toldLogin(l, err))
		r.keepStep(c, l, g)
	})
}

func (r *modelRun) regenerate() {
	c, ok := r.caller()
	if !ok {
		return
	}
	if r.chance(70) {
		r.prove(c, twofa.ActionFactors, "")
	}
	if r.enroll(c, twofa.EnrollRequest{Method: twofa.RecoveryCode}) && r.chance(80) {
		r.save(c)
	}
}

func (r *modelRun) view() {
	c, ok := r.caller()
	if !ok {
		return
	}
	want, u := r.rules.viewCodes(c.rules())
	codes, err := r.server().RecoveryCodes(r.t.Context(), r.real(c))
	r.agree(c.who()+"view codes", want, told(err))
	if u == nil {
		return
	}
	require.Len(r.t, codes, u.left())
	for _, code := range codes {
		require.True(r.t, u.codes[plainDigits(code.Reveal())], "only unused codes are shown")
	}
}

// someID returns the ID of a factor of the caller or of another user.
func (r *modelRun) someID(c modelCall) string {
	user := c.user()
	if r.chance(10) {
		user = "ada"
	}
	if f := r.rules.user(user).factors; len(f) > 0 {
		return oneOf(r, f...).id
	}
	return "none"
}

func (r *modelRun) rename() {
	if c, ok := r.caller(); ok {
		id, name := r.someID(c), oneOf(r, "", "Old phone")
		r.agree(c.who()+"rename", r.rules.rename(c.rules(), id, name), told(r.server().Rename(r.t.Context(), r.real(c), id, name)))
	}
}

func (r *modelRun) remove() {
	c, ok := r.caller()
	if !ok {
		return
	}
	if r.chance(70) {
		r.prove(c, twofa.ActionFactors, "")
	}
	id := r.someID(c)
	r.agree(c.who()+"remove "+id+" in "+c.account, r.rules.remove(c.rules(), id), told(r.server().Remove(r.t.Context(), r.real(c), id)))
}

// Step-up.

func (r *modelRun) someAction() (action, resource string) {
	return oneOf(r, "export", "export", "report", "any", twofa.ActionFactors, twofa.ActionPolicy, twofa.ActionReset), oneOf(r, "", "", "", "42")
}

func (r *modelRun) stepUpSomehow() {
	if c, ok := r.caller(); ok && c.session != nil {
		action, resource := r.someAction()
		r.stepUp(c, action, resource)
	}
}

func (r *modelRun) stepUp(c modelCall, action, resource string) *modelHold {
	want, g := r.rules.stepUp(c.rules(), action, resource)
	l, err := r.server().StepUp(r.t.Context(), r.real(c), action, resource)
	r.agree(c.who()+"step up for "+action+" "+resource+" in "+c.account, want, toldLogin(l, err))
	return r.keep(c.session.device, l, g)
}

// prove makes a whole step-up.
func (r *modelRun) prove(c modelCall, action, resource string) {
	if c.session != nil {
		r.answer(r.stepUp(c, action, resource))
	}
}

func (r *modelRun) proveFresh() {
	c, ok := r.caller()
	if !ok || c.session == nil {
		return
	}
	action, resource := r.someAction()
	r.prove(c, action, resource)
	for range r.rng.IntN(3) {
		r.use(c, action, resource, r.chance(70))
	}
}

func (r *modelRun) useSomehow() {
	if c, ok := r.caller(); ok {
		action, resource := r.someAction()
		r.use(c, action, resource, r.chance(50))
	}
}

func (r *modelRun) use(c modelCall, action, resource string, spend bool) {
	call, name := r.server().CheckAction, "check action "
	if spend {
		call, name = r.server().UseAction, "use action "
	}
	want := r.rules.action(c.rules(), action, resource, spend)
	r.agree(c.who()+name+action+" "+resource+" in "+c.account, want, told(call(r.t.Context(), r.real(c), action, resource)))
}

// Ends.

func (r *modelRun) forget() {
	c, ok := r.caller()
	if !ok || c.session == nil {
		return
	}
	if r.chance(30) {
		r.agree(c.who()+"forget browsers", r.rules.forget(c.rules(), -1), told(r.server().ForgetBrowsers(r.t.Context(), r.real(c))))
		return
	}
	i, id := 99, "none"
	if list := r.browsers(c); len(list) > 0 {
		i = r.rng.IntN(len(list))
		id = list[i].ID
	}
	r.agree(c.who()+"forget browser", r.rules.forget(c.rules(), i), told(r.server().ForgetBrowser(r.t.Context(), r.real(c), id)))
}

func (r *modelRun) revoke() { r.end("revoke", (*twofa.ManagedUser).Revoke, false) }

// credentials changes the password and reports it.
func (r *modelRun) credentials() {
	r.end("credentials changed", (*twofa.ManagedUser).CredentialsChanged, true)
}

func (r *modelRun) end(name string, call func(*twofa.ManagedUser, context.Context) error, changed bool) {
	c, ok := r.caller()
	if !ok || c.session == nil {
		return
	}
	user := c.user()
	if r.chance(10) {
		user = r.device().user
	}
	r.endBy(c, user, r.chance(40), name, call, changed)
}

func (r *modelRun) endBy(c modelCall, user string, host bool, name string, call func(*twofa.ManagedUser, context.Context) error, changed bool) {
	by := twofa.AsUser(r.real(c), "")
	if host {
		by = twofa.AsStaff("eve", "ticket")
	}
	if changed && (host || user == c.user()) {
		r.restamp(user)
	}
	r.agree(c.who()+name+" of "+user, r.rules.revoke(c.rules(), user, host, changed), told(call(r.server().User(by, user), r.t.Context())))
}

func (r *modelRun) restamp(user string) {
	u := r.rules.dir[user]
	u.SecurityStamp = strconv.Itoa(r.steps)
	r.rules.dir[user] = u
}

// edit changes the directory without a call to the library.
func (r *modelRun) edit() {
	id := r.device().user
	u := r.rules.dir[id]
	what := ""
	switch r.rng.IntN(5) {
	case 0:
		u.SecurityStamp, what = strconv.Itoa(r.steps), "has a new password"
	case 1:
		u.Emails, what = []string{id + strconv.Itoa(r.steps) + "@example.com"}, "has a new address"
	case 2:
		u.Members, what = []twofa.Member{r.member(id, oneOf(r, "acme", "beta"))}, "left an account"
	case 3:
		u.Emails, what = nil, "has no address"
	default:
		u.Disabled, what = true, "is disabled"
	}
	if u.Disabled && what == "is disabled" && r.rules.dir[id].Disabled || r.chance(30) {
		u.Disabled, u.Members, what = false, r.bothMemberships(id), "is back"
		if len(u.Emails) == 0 && id != "cyd" {
			u.Emails = []string{id + "@example.com"}
		}
	}
	r.rules.dir[id] = u
	r.trace = append(r.trace, modelLine{r.rules.now, id + " " + what, ""})
	for _, h := range r.challenges {
		if h.pass.user == id && r.rules.alive(h.pass) && r.chance(50) { // as if nothing had happened
			method := oneOf(r, twofa.EmailLink, twofa.TOTP)
			r.verify(h, h.device.client, twofa.Proof{Method: method, Code: twofa.NewSecret(r.right(h.pass, method))})
		}
	}
}

func (r *modelRun) setPolicy() {
	if r.fleet != nil {
		r.fleet.setPolicy()
		return
	}
	account := oneOf(r, "acme", "beta")
	r.set(account, r.somePolicy(account))
}

func (r *modelRun) set(account string, p twofa.Policy) {
	r.rules.putPolicy(account, &p)
	r.agree("* policy of "+account+": "+p.String(), saysFine, told(r.server().Account(twofa.AsHost("test"), account).SetPolicy(r.t.Context(), p, "")))
}

// lag changes a password, after which the directory returns the stamp from
// before for a while.
func (r *modelRun) lag() {
	d := r.device()
	f := twofa.FirstFactor{UserID: d.user, Account: r.account(), By: twofa.ByPassword, Client: d.client}
	r.begin(d, f, nil)
	before := r.rules.dir[d.user].SecurityStamp
	r.restamp(d.user)
	after := r.rules.dir[d.user].SecurityStamp
	r.answer(r.begin(d, f, nil))
	r.setStamp(d.user, before)
	for range 3 {
		r.wait(r.rng.Int64N(25))
		f.Client = d.client
		r.answer(r.begin(d, f, nil))
		if h := r.some(r.challenges); h != nil {
			r.verify(h, h.device.client, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(r.right(h.pass, twofa.TOTP))})
		}
		r.resumeSomehow()
		r.saveSomehow()
	}
	if r.chance(80) {
		r.setStamp(d.user, after)
	}
}

func (r *modelRun) setStamp(user, stamp string) {
	u := r.rules.dir[user]
	u.SecurityStamp = stamp
	r.rules.dir[user] = u
	r.trace = append(r.trace, modelLine{r.rules.now, user + " has the stamp '" + stamp + "' again", ""})
}

// joinBySSO lets a user without a factor enroll one after a login that an
// account's own provider vouched for, or by an API token.
func (r *modelRun) joinBySSO() {
	d := r.device()
	if len(r.rules.user(d.user).factors) > 0 && r.chance(50) {
		return
	}
	f := twofa.FirstFactor{UserID: d.user, Account: oneOf(r, "acme", "beta"), By: twofa.BySSO, Client: d.client}
	f.ProviderOf = f.Account
	if r.chance(10) {
		f.By, f.ProviderOf = twofa.ByToken, ""
	}
	h := r.begin(d, f, nil)
	if h = r.answer(h); h == nil {
		return
	}
	c := modelCall{challenge: h, account: h.pass.account, client: d.client}
	if h.pass.kind == "session" {
		c.session, c.challenge = h, nil
		if r.chance(30) {
			r.endBy(c, d.user, false, "credentials changed", (*twofa.ManagedUser).CredentialsChanged, true)
		}
		r.prove(c, twofa.ActionFactors, "")
		if r.chance(30) {
			r.joinInTwo(h)
			return
		}
		if c.session = r.newest(h); r.chance(20) {
			r.wait(14*aMinute + r.rng.Int64N(2*aMinute))
		}
	}
	r.setUpBy(c)
}

// joinInTwo begins an enrollment after a password, and ends it with what the
// session was before the password.
func (r *modelRun) joinInTwo(before *modelHold) {
	d := before.device
	h := r.begin(d, twofa.FirstFactor{UserID: d.user, Account: before.pass.account, By: twofa.ByPassword, Client: d.client}, before)
	if h == nil || h.pass.kind != "session" {
		return
	}
	c := modelCall{session: h, account: h.pass.account, client: d.client}
	if !r.enroll(c, twofa.EnrollRequest{Method: twofa.TOTP}) {
		return
	}
	c.session = before
	r.save(c)
	r.confirm(c, r.pendingCode(c))
}

// rejoin signs in where the user's phone is no longer accepted, with a session
// whose proof is old, in a browser that is remembered for a newer one.
func (r *modelRun) rejoin() {
	d := r.device()
	if r.fleet != nil {
		return
	}
	r.set("beta", twofa.PolicySMS())
	r.set("acme", modelPolicies()[8]) // an authenticator is required, and browsers are remembered
	if len(r.rules.user(d.user).factors) == 0 {
		h := r.answer(r.begin(d, twofa.FirstFactor{UserID: d.user, Account: "beta", By: twofa.ByPassword, Client: d.client}, nil))
		if h == nil || h.pass.kind != "enroll" {
			return
		}
		phone := "+4179000001" + strconv.Itoa(r.rng.IntN(10))
		if !r.enroll(modelCall{challenge: h, account: "beta", client: d.client}, twofa.EnrollRequest{Method: twofa.SMS, Phone: phone}) {
			return
		}
		c := r.setups[d.user]
		r.save(c)
		r.confirm(c, r.pendingCode(c))
	}
	f := twofa.FirstFactor{UserID: d.user, Account: "beta", By: twofa.ByEmail, Client: d.client}
	prove := func(session *modelHold) *modelHold {
		f.Client = d.client
		h := r.begin(d, f, session)
		if h == nil || h.pass.kind != "login" {
			return nil
		}
		if h = r.sendDuring(allWell, h, d.client, twofa.SMS); h == nil {
			return nil
		}
		return r.verifyOnce(h, nil, d.client, twofa.Proof{Method: twofa.SMS, Code: twofa.NewSecret(r.right(h.pass, twofa.SMS)), Remember: true})
	}
	old := prove(nil)
	r.wait(oneOf[int64](r, 10*aMinute, 20*aMinute, 3*anHour))
	if prove(nil) == nil || old == nil {
		return
	}
	f.Account, f.By, f.Client = "acme", twofa.ByPassword, d.client
	if h := r.begin(d, f, old); h != nil && h.pass.kind == "enroll" {
		r.rules.reach("an old proof and a remembered browser lead to an enrollment")
		r.setUpBy(modelCall{challenge: h, account: "acme", client: d.client})
	}
}

// newest returns the newest token of a session.
func (r *modelRun) newest(h *modelHold) *modelHold {
	for _, s := range slices.Backward(r.sessions) {
		if s.pass.sid == h.pass.sid {
			return s
		}
	}
	return h
}

func (r *modelRun) resetUser(id string, inPerson bool) {
	server := r.server()
	want := r.rules.resets(id, inPerson)
	if r.fleet != nil && want == saysFine && !r.rules.at.next {
		r.fleet.resets(id)
	}
	r.agree(id+" reset, in person "+strconv.FormatBool(inPerson), want,
		told(server.User(twofa.AsHost("ticket"), id).Reset(r.t.Context(), twofa.ResetRequest{InPerson: inPerson})))
}

// resetSomehow resets a user, who then enrolls again.
func (r *modelRun) resetSomehow() {
	id := r.device().user
	r.resetUser(id, r.chance(50))
	for _, d := range r.devices {
		if d.user != id || r.chance(50) {
			continue
		}
		by := oneOf(r, twofa.ByPassword, twofa.ByPassword, twofa.BySSO)
		f := twofa.FirstFactor{UserID: id, Account: r.account(), By: by, Client: d.client}
		if by == twofa.BySSO {
			f.ProviderOf = f.Account
		}
		h := r.begin(d, f, nil)
		if r.chance(30) {
			r.wait(r.rng.Int64N(2 * aDay))
		}
		if h = r.answer(h); h == nil {
			continue
		}
		c := modelCall{challenge: h, account: h.pass.account, client: d.client}
		if h.pass.kind == "session" {
			c.session, c.challenge = h, nil
			r.prove(c, twofa.ActionFactors, "")
		}
		r.setUpBy(c)
	}
}

func (r *modelRun) erase() {
	id := r.device().user
	delete(r.rules.users, id)
	r.agree(id+" erased", saysFine, told(r.server().User(twofa.AsHost("test"), id).Delete(r.t.Context())))
}

// guess enters wrong codes until the method is locked, in a browser of the user
// or in one of an attacker who has only the password.
func (r *modelRun) guess() { r.guessUntil(r.device(), 1+r.rng.IntN(12)) }

// siege continues until the method is off.
func (r *modelRun) siege() { r.guessUntil(r.stranger(r.enrolledUser()), 60) }

// longSiege guesses for weeks, whenever the method is on, while the owner
// changes the password or signs in now and then.
func (r *modelRun) longSiege() {
	d := r.stranger(r.enrolledUser())
	for range 2 + r.rng.IntN(14) {
		r.guessUntil(d, 3+r.rng.IntN(25))
		r.wait(oneOf(r, int64(aDay), int64(aDay), 2*aDay, 5*aDay) - int64(r.rng.IntN(2)))
		switch {
		case r.chance(30):
			r.restamp(d.user)
		case r.chance(5):
			r.signIn()
		}
	}
}

func (r *modelRun) guessUntil(d *modelDevice, n int) {
	f := twofa.FirstFactor{UserID: d.user, Account: "acme", By: twofa.ByPassword, Client: d.client}
	h := r.begin(d, f, nil)
	method := oneOf(r, twofa.TOTP, twofa.TOTP, twofa.SMS, twofa.EmailLink, twofa.RecoveryCode)
	if h != nil {
		if _, offered, _ := r.rules.resume(d.client, h.pass); len(offered) > 0 && r.chance(90) {
			method = offered[0]
		}
	}
	again := r.verify
	if d.name == "stranger" { // nobody else interferes
		again = func(h *modelHold, c twofa.Client, p twofa.Proof) *modelHold { return r.verifyOnce(h, nil, c, p) }
	}
	for range n {
		if h == nil || h.pass.kind != "login" {
			return
		}
		if sent := r.guessText(h, method); sent != nil {
			h = sent
		}
		again(h, d.client, twofa.Proof{Method: method, Code: twofa.NewSecret(r.wrongFor(method))})
		if r.chance(10) {
			r.verifyOnce(h, nil, d.client, twofa.Proof{Method: method, Code: twofa.NewSecret(r.other(d.user, method))})
		}
		if r.chance(80) {
			r.wait(10 + r.rng.Int64N(3)) // the next one is not a repetition
		}
		u := r.rules.user(d.user)
		name, _ := r.rules.bucket(u, d.client, d.user, method)
		counter := r.rules.counter(u, name)
		if off, _ := r.rules.switchedOff(method, counter); off && r.chance(90) {
			return
		}
		if wait := counter.until - r.rules.now; wait > 0 {
			r.wait(wait - int64(r.rng.IntN(2)))
			if seen := r.seen[d.user][method]; len(seen) > 0 && r.chance(70) {
				r.verify(h, d.client, twofa.Proof{Method: method, Code: twofa.NewSecret(seen[len(seen)-1])}) // invalid since the lock
			}
			h = r.begin(d, f, nil)
		}
	}
}

// guessText requests a text message for a caller that guesses its code.
func (r *modelRun) guessText(h *modelHold, method twofa.Method) *modelHold {
	if method != twofa.SMS && method != twofa.EmailLink || r.chance(50) {
		return nil
	}
	return r.send(h, h.device.client, method)
}
