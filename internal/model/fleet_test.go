package model

import (
	"cmp"
	"flag"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

var fleetSteps = flag.Int("fleet.steps", 30_000, "calls that TestFleet makes in all; make more before a release")

// TestFleet makes the calls of TestModel to processes that differ: one runs the
// next release, one runs an older release that knows neither cases nor lost devices
// nor former addresses, and others of this release lack a part of the configuration.
// Any of them may answer any call. The rules say what each must answer. After
// each call, the records are checked for fields of the next release that are
// lost, and a session is shown to all processes.
func TestFleet(t *testing.T) {
	seeds := []uint64{1, 2, 3, 4}
	if *modelSeed != 0 {
		seeds = []uint64{*modelSeed}
	}
	steps := *fleetSteps / len(seeds) / len(fleetWorlds)
	if testing.Short() {
		steps /= 10
	}
	met := &met{count: map[string]int{}}
	t.Cleanup(func() { met.report(t, steps >= 8_000, fleetMust) })
	for _, world := range fleetWorlds {
		for _, seed := range seeds {
			t.Run(world.name+"/"+strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				r := newModelRun(t, seed, world.edit)
				r.rules.reach = met.add
				newFleet(r, met)
				r.run(steps)
			})
		}
	}
}

const (
	metPasskeyProof = "a token with a proof by passkey"
	metTurnedOff    = "the last factor was removed from a record of the next release"
)

var fleetMust = []string{saysRefused, saysUnavailable, saysDenied(twofa.ReasonUnreadable), metPasskeyProof, metTurnedOff,
	"a member who is unreadable", "a member who is unknown", "a reminder", "a summary",
	metOlderKeepsCase, metOlderSuspends, metOlderResets, "a case is opened", "a case is canceled by its link", "a lost device is found by a proof of login", "a former address is told"}

// Policies of Config name TOTP alone, because a process without a gateway or a
// mailer must have them, too. Those of accounts name all methods.
var fleetWorlds = []struct {
	name string
	edit func(*twofa.Config)
}{
	{"optional", func(c *twofa.Config) { c.Policy = twofa.PolicyOptional(); c.Recovery.Viewable = true }},
	{"authenticator", func(c *twofa.Config) {
		c.Policy, c.Recovery.Viewable, c.Recovery.Codes = twofa.PolicyAuthenticator(), true, 3
		c.Policy.EnrollWithoutLink = true
	}},
	{"no codes", func(c *twofa.Config) {
		c.Policy, c.Recovery.Codes = twofa.PolicyOptional(), twofa.NoRecoveryCodes
	}},
}

// fleetPolicies adds rules in which an email link is weaker than another
// accepted method.
func fleetPolicies() []twofa.Policy {
	mixed := twofa.PolicyEmailLink()
	mixed.Remember = 30 * 24 * time.Hour
	mixed.Actions = map[string]twofa.ActionRule{
		"report": {MaxAge: 10 * time.Minute, Methods: []twofa.Method{twofa.TOTP, twofa.EmailLink}},
		"export": {Methods: []twofa.Method{twofa.TOTP, twofa.SMS, twofa.EmailLink, twofa.RecoveryCode}},
	}
	return append(modelPolicies(), mixed)
}

// fleet is the processes of a run.
type fleet struct {
	*modelRun
	next  *nextStore
	plain map[string]bool   // whether the stored recovery codes of a user are viewable
	read  map[string]string // versions of the users' records that were checked
	met   *met
}

func newFleet(r *modelRun, met *met) {
	ring, key := fleetKey(r.t)
	cfg := r.rules.cfg
	cfg.Keys = ring
	next := &nextStore{Store: cfg.Store, t: r.t, key: key, hash: "SHA1", seen: map[string]nextSeen{}, shown: map[string]twofa.Record{}, checked: map[string]nextChecked{}, kept: map[string]string{}}
	r.fleet = &fleet{r, next, map[string]bool{}, map[string]string{}, met}
	r.rules.refused = func(key string) bool { return next.refusedBy(key, r.rules.at.older) }
	r.rules.plain = func(user string) bool { return r.fleet.plain[user] }
	all := process{link: true, codes: cfg.Mail.CodeBesideLink, cases: true, sms: true, viewable: cfg.Recovery.Viewable, session: inSeconds(cfg.Lifetimes.Session)}

	r.servers = nil
	of := func(name string, edit func(*twofa.Config, *process)) {
		c, p := cfg, all
		p.name = name
		edit(&c, &p)
		r.start(c, p)
	}
	of("next", func(c *twofa.Config, p *process) { c.Store, p.next = next, true })
	of("this", func(*twofa.Config, *process) {})
	of("no gateway", func(c *twofa.Config, p *process) { c.SMS, p.sms = twofa.SMSConfig{}, false })
	of("no mailer", func(c *twofa.Config, p *process) { c.Mail, p.link, p.codes = twofa.MailConfig{}, false, false })
	of("no codes in mails", func(c *twofa.Config, p *process) { c.Mail.CodeBesideLink, p.codes = false, false })
	of("no view", func(c *twofa.Config, p *process) { c.Recovery.Viewable, p.viewable = false, false })
	of("no case page", func(c *twofa.Config, p *process) { c.Mail.CaseURL, p.cases = nil, false })
	of("older", func(c *twofa.Config, p *process) { c.Store, p.older = &olderStore{cfg.Store, next}, true })
	r.fleet.choose()
}

// full returns the process that can do everything.
func (f *fleet) full() *process { return f.servers[0] }

// choose chooses the process that answers the next call.
func (f *fleet) choose() {
	f.rules.at = oneOf(f.modelRun, f.full(), f.full(), oneOf(f.modelRun, f.servers[1:]...))
}

// called checks what a call left behind, and moves on to the next process. Each
// call has a second of its own, so that a proof can be recognized by its time.
func (f *fleet) called(said string) {
	if among(fleetMust, said) {
		f.met.add(said)
	}
	for _, id := range modelUsers {
		f.checkUser(id)
	}
	for _, key := range []string{"account/acme", "account/beta", "config/"} {
		f.next.verify(key)
	}
	f.wait(1)
	f.choose()
}

// checkUser checks that the record of a user has the factors and codes that it
// must have.
func (f *fleet) checkUser(id string) {
	key := "user/" + id
	r, version := f.next.get(key)
	if version == f.read[id] {
		return
	}
	f.read[id] = version
	var w wires
	if version != "" {
		w = f.next.open(r)
	}
	u := f.rules.user(id)
	if before := f.next.seen[key]; before.factors > 0 && len(before.extras) > 0 && version != before.version && w.factors() == 0 && w != nil {
		f.met.add(metTurnedOff)
	}
	f.next.verify(key)
	var has, want []string
	w.eachOf(25, func(x *wires) { has = append(has, x.text(4)+" "+x.text(8)) })
	for _, x := range u.factors {
		method := x.method
		if x.kind == passkey {
			method = passkey
		}
		want = append(want, x.id+" "+string(method))
	}
	require.Equal(f.t, want, has, "factors of %s after a call to %s", id, f.rules.at.name)
	f.checkHelp(id, w)
	codes := parseWires(w.text(28))
	require.Equal(f.t, u.left(), len(codes.text(8))/16, "codes of %s", id)
	plain := codes.has(20)
	require.False(f.t, plain && !f.rules.at.viewable, "a process without Viewable removes the codes of %s", id)
	f.plain[id] = plain
}

// issued returns the token as the process issued it. A token that was made from
// another must have the other's fields.
func (f *fleet) issued(token string, p *pass) string {
	if f.was.next {
		token = f.next.issueToken(token, p.extras == nil && f.chance(8))
	}
	extras := shapeToken.extras(f.next.openToken(token))
	for id, x := range p.extras {
		method, isProof := strings.CutPrefix(id, "proof/")
		if isProof && !f.hasProof(p, method) {
			continue // a newer proof replaced it
		}
		if isProof && p.again {
			continue // the same proof replaced it
		}
		if first, ok := strings.CutPrefix(id, "first/"); ok && !p.has(func(x modelFirst) bool { return first == x.id() }) {
			continue
		}
		require.Equal(f.t, x, extras[id], "%s of a token by %s", id, f.was.name)
	}
	if !f.was.next {
		for id := range extras {
			if strings.HasPrefix(id, "proof/"+string(passkey)) {
				f.met.add(metPasskeyProof)
			}
			require.Contains(f.t, p.extras, id, "a field of the next release by %s", f.was.name)
		}
	}
	p.again = false
	p.extras, p.must = extras, parseWires(extras["token"]).has(fieldMust)
	return token
}

func (f *fleet) hasProof(p *pass, id string) bool {
	return slices.ContainsFunc(p.proofs, func(x modelProof) bool {
		return id == string(x.method)+"/"+strconv.FormatInt(x.at, 10)
	})
}

func (f modelFirst) id() string {
	return string(f.by) + "/" + f.of + "/" + strconv.FormatInt(f.at, 10)
}

// resets says that the next write may be a reset, which drops what a reset must
// drop even if there was no factor.
func (f *fleet) resets(user string) {
	if seen := f.next.seen["user/"+user]; seen.extras != nil {
		seen.reset = true
		f.next.seen["user/"+user] = seen
	}
}

// look shows a session to all processes. If one of them lets it in, the full one
// of its release does so as well, and none denies it as signed out.
func (f *fleet) look() {
	h := f.some(f.sessions)
	if h == nil {
		return
	}
	c := modelCall{session: h, account: oneOf(f.modelRun, h.pass.account, f.account()), client: h.device.client}
	var in, out []string
	for _, p := range f.servers {
		f.rules.at = p
		want, said := f.rules.check(c.rules()), told(p.server.Check(f.t.Context(), f.real(c)))
		if want != said {
			f.agree(c.who()+"check everywhere in "+c.account, want, said)
		}
		switch said {
		case saysFine:
			if !p.older || !f.next.refused("user/"+h.pass.user) { // it may refuse what an older release does not see
				in = append(in, p.name)
			}
		case saysDenied(twofa.ReasonSignedOut):
			out = append(out, p.name)
		}
	}
	require.True(f.t, len(in) == 0 || in[0] == "next" || f.provedPhone(h.pass), "%s is let in by %v, but not by the next release", c.who(), in)
	require.True(f.t, len(in) == 0 || among(in, "this") || in[0] == "next" && len(in) == 1, "%s is let in by %v, but not with the full Config", c.who(), in)
	require.True(f.t, len(in) == 0 || len(out) == 0, "%s is let in by %v and signed out by %v", c.who(), in, out)
	f.choose()
}

// provedPhone reports whether a user of a passkey has proven a phone. This
// release asks for it, because it is another enrolled factor. The next one may
// ask for the passkey.
func (f *fleet) provedPhone(p *pass) bool {
	factors := f.rules.user(p.user).factors
	has := func(match func(modelFactor) bool) bool { return slices.ContainsFunc(factors, match) }
	return has(func(x modelFactor) bool { return x.kind == passkey }) && has(func(x modelFactor) bool { return x.method == twofa.SMS }) &&
		slices.ContainsFunc(p.proofs, func(x modelProof) bool {
			return x.method == twofa.SMS || x.method == byBrowser(twofa.SMS)
		})
}

func (f *fleet) moves() []modelMove {
	return []modelMove{{8, f.restrict}, {10, f.lift}, {6, f.ready}, {4, f.overwrite}, {25, f.setUpAtNext}, {4, f.turnOff}, {4, f.comeToOlder}}
}

// restrict writes a field that this release must refuse.
func (f *fleet) restrict() { f.restrictOr(false) }

// lift removes such a field.
func (f *fleet) lift() { f.restrictOr(true) }

func (f *fleet) restrictOr(lift bool) {
	key := oneOf(f.modelRun, "user/ada", "user/bob", "user/cyd", "account/acme", "account/beta")
	if f.next.refused(key) != lift {
		return
	}
	what := f.next.restrict(key, func(ids []string) string { return oneOf(f.modelRun, ids...) })
	_, who, _ := strings.Cut(key, "/")
	if _, version := f.next.get(key); strings.HasPrefix(key, "user/") {
		f.read[who], f.versions[who] = version, version // nothing else has changed, and this release forgot nothing
	}
	f.trace = append(f.trace, modelLine{f.rules.now, who + ": the next release " + what, ""})
}

// ready calls Ready. The configurations differ, but nobody destroys what
// another wrote.
func (f *fleet) ready() {
	said := "ready"
	if err := f.server().Ready(f.t.Context()); err != nil {
		require.ErrorContains(f.t, err, "Config differs")
		said = "differs"
	}
	f.agree("* ready", "ready|differs", said)
}

// setUpAtNext makes the next release enroll a factor of a new kind.
func (f *fleet) setUpAtNext() {
	f.rules.at = f.full()
	d := f.device()
	h := f.answer(f.begin(d, twofa.FirstFactor{UserID: d.user, Account: f.account(), By: twofa.ByPassword, Client: d.client}, nil))
	if h == nil {
		return
	}
	c := modelCall{session: h, account: h.pass.account, client: d.client}
	if h.pass.kind == "enroll" {
		c.session, c.challenge = nil, h
	}
	if f.rules.at = f.full(); c.session != nil && len(f.rules.user(d.user).factors) > 0 {
		f.prove(c, twofa.ActionFactors, "")
	}
	f.rules.at = f.full()
	if !f.enroll(c, twofa.EnrollRequest{Method: twofa.TOTP, Name: oneOf(f.modelRun, namePasskey, namePasskey, nameNewHash)}) {
		return
	}
	c = f.setups[d.user]
	if f.chance(80) {
		f.rules.at = f.full()
	}
	f.save(c)
	if f.chance(80) {
		f.rules.at = f.full()
	}
	f.confirm(c, f.pendingCode(c))
}

// turnOff removes all factors of a user, most of them by this release.
func (f *fleet) turnOff() {
	for _, account := range []string{"acme", "beta"} {
		f.rules.at = f.full()
		f.set(account, twofa.PolicyOptional())
	}
	f.rules.at = f.full()
	d := f.device()
	h := f.answer(f.begin(d, twofa.FirstFactor{UserID: d.user, Account: "acme", By: twofa.ByPassword, Client: d.client}, nil))
	if h == nil || h.pass.kind != "session" {
		return
	}
	c := modelCall{session: h, account: "acme", client: d.client}
	for range len(f.rules.user(d.user).factors) {
		f.rules.at = f.full()
		f.prove(c, twofa.ActionFactors, "")
		if f.chance(80) {
			f.rules.at = f.servers[1]
		}
		id := f.someID(c)
		f.agree(c.who()+"remove "+id+" in acme", f.rules.remove(c.rules(), id), told(f.server().Remove(f.t.Context(), f.real(c), id)))
	}
}

// comeToOlder signs in a user for whom a case is open, or resets the user, at an
// older release.
func (f *fleet) comeToOlder() {
	user := f.enrolledUser()
	f.openCase(user, f.chance(50))
	if f.chance(50) {
		f.resetByHost(user)
		return
	}
	d := f.deviceFor(user)
	h := f.begin(d, twofa.FirstFactor{UserID: user, Account: f.account(), By: twofa.ByPassword, Client: d.client}, nil)
	f.rules.at = f.older()
	f.answer(h)
	f.approve(user)
}

// older returns the process of an older release.
func (f *fleet) older() *process { return f.servers[len(f.servers)-1] }

// setPolicy sets or unsets a policy by whichever process.
func (f *fleet) setPolicy() {
	account := oneOf(f.modelRun, "acme", "beta")
	p := f.somePolicy(account)
	a := f.server().Account(twofa.AsHost("test"), account)
	refused := f.rules.load("", account)
	_, set := f.rules.policies[account]
	switch n := f.rng.IntN(100); {
	case n < 10:
		f.agree("* no policy of "+account, orFine(refused), told(a.UnsetPolicy(f.t.Context(), "")))
		if refused == "" {
			f.rules.putPolicy(account, nil)
		}
	case n < 20:
		want := cmp.Or(f.rules.cannotSet(p), refused)
		if want == "" && !set {
			f.rules.putPolicy(account, &p)
		}
		f.agree("* policy of "+account+" if it has none: "+p.String(), orFine(want), told(a.EnsurePolicy(f.t.Context(), p)))
	default:
		f.set(account, p)
	}
}

func (f *fleet) set(account string, p twofa.Policy) {
	want := cmp.Or(f.rules.cannotSet(p), f.rules.load("", account))
	if want == "" {
		f.rules.putPolicy(account, &p)
	}
	f.agree("* policy of "+account+": "+p.String(), orFine(want),
		told(f.server().Account(twofa.AsHost("test"), account).SetPolicy(f.t.Context(), p, "")))
}

// overwrite replaces a policy, even one that this release cannot read.
func (f *fleet) overwrite() {
	account, p := oneOf(f.modelRun, "acme", "beta"), twofa.PolicyOptional()
	key := "account/" + account
	if !f.next.refused(key) || f.rules.at.next {
		return
	}
	delete(f.next.seen, key)
	delete(f.rules.policies, account) // nobody knows what it was
	f.rules.harder[account], f.rules.told[account] = 0, 0
	f.rules.putPolicy(account, &p)
	f.agree("* policy of "+account+" replaced: "+p.String(), saysFine,
		told(f.server().Account(twofa.AsHost("test"), account).SetPolicy(f.t.Context(), p, twofa.Overwrite)))
}
