package model

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/internal/harness"
	"github.com/twofa-go/twofa/twofatest"
)

var (
	modelSeed  = flag.Uint64("model.seed", 0, "run TestModel with this seed alone; others look where the fixed ones do not, so try some before a release")
	modelSteps = flag.Int("model.steps", 30_000, "calls that TestModel makes in all; make more after a change of a rule, and before a release")
)

// TestModel makes random calls as five users in several browsers, two of which
// they share, under changing policies, while time passes. One of two processes
// answers each call: one has a clock that is ahead, and lets sessions live for
// half as long. It compares every answer with that of the model. After each call
// it also checks a sample of all sessions and challenges ever returned, including
// invalid ones.
func TestModel(t *testing.T) {
	seeds := []uint64{1, 2, 3, 1197237341495462055} // the last one found an expired browser that could be forgotten
	if *modelSeed != 0 {
		seeds = []uint64{*modelSeed}
	}
	steps := *modelSteps / len(seeds) / len(modelWorlds)
	if testing.Short() {
		steps /= 10
	}
	met := &met{count: map[string]int{}}
	t.Cleanup(func() {
		met.report(t, *modelSteps >= 100_000 && *modelSeed == 0 && !testing.Short(), slices.Concat(modelMust, helpMust))
	})
	for _, world := range modelWorlds {
		for _, seed := range seeds {
			t.Run(world.name+"/"+strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				r := newModelRun(t, seed, world.edit)
				r.rules.reach = met.add
				r.run(steps)
			})
		}
	}
}

// modelMust are rules that the walks of TestModel must reach.
var modelMust = []string{"a browser becomes unknown", "a cookie copied for the first time", "a fifth user of one browser", "a known browser counts as unknown", "a level drains",
	"a login ends another user's session", "a message is given back", "a proof from another browser", "a proof from before a change, or after a recovery code", "a proof that counts once",
	"a replaced cookie in time", "a right proof is answered again: action", "a right proof is answered again: login", "a session that does not know the account",
	"a session that does not survive", "a session with several first factors", "a sign-out within ten seconds", "a step-up without its session", "a wrong code is answered again",
	"a wrong first code is answered again", "an activation is answered again: enroll, totp", "an activation is answered again: session, totp", "an answer that was canceled: action",
	"an answer that was canceled: enroll", "an answer that was canceled: login", "canceled because of an earlier step: enroll",
	"canceled with the challenge from before a message", "an answer by a clock that is ahead", "a lock by a clock that is ahead", "a fifth answer",
	"a session that ends before the login may", "removed already",
	"an earlier proof counts", "an enrollment that no step renews", "another code for the same number", "canceled too often", "eased by a changed first factor",
	"no code, while locked", "no first factor counts here", "nobody in person", "not eased a fourth time", "not given back a third time", "nothing to cancel",
	"off at level 40", "only support can help", "remembering ended with the epoch", "reset, link needed: false, in person: true",
	"reset, link needed: true, in person: false", "an enrollment is put off", "an extension", "extended too often", "no grace that begins in the future",
	"a role too low:  of admin", "a role too low: admin of owner", "a member of no lower role", "admins enroll first", "an act on a user who has never signed in",
	"a policy of an admin", "a policy of an owner", "a policy that is set already", "a policy that was changed since", "a weaker policy: nothing is required",
	"a weaker policy: later", "a weaker policy: with more grace", "a weaker policy: with a grace that starts again", "a weaker policy: with a grace for those whose method is no longer accepted", "a weaker policy: no link where it was accepted",
	"a weaker policy: nothing after SSO", "a weaker policy: a method more",
	"a member who is on", "a member who is weak", "a member who is grace", "a member who is overdue", "a member who is off", "a member who is sso", "a member who is locked",
	"a number is assigned", "a number after the link", "a number that the member asks a code for", "a number that was replaced or has ended", "a number of a member who has joined another account",
	"a number that the policy or the process cannot use", "no number for a member of two accounts", "no number for a member with a factor",
	"a reminder", "a second reminder", "no reminder twice", "a reminder that is lost", "a summary", "the directory lags", "a mailed code: login", "a mail without a code, while codes are locked", "a mail without a code, before an enrollment", "the first factor needs a link", "the first factor needs a link that nobody can get"}

// met counts what walks met, so that a walk that no longer leads there is
// noticed.
type met struct {
	mu    sync.Mutex
	count map[string]int
}

func (m *met) add(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count[what]++
}

func (m *met) report(t *testing.T, enforce bool, must []string) {
	for _, what := range slices.Sorted(maps.Keys(m.count)) {
		t.Logf("%7d times %s", m.count[what], what)
	}
	for _, what := range must { // in a cleanup, FailNow would lose what is logged
		if enforce && m.count[what] == 0 {
			t.Errorf("no walk met: %s", what)
		}
	}
}

var modelWorlds = []struct {
	name string
	edit func(*twofa.Config)
}{
	{"optional", func(c *twofa.Config) { c.Policy = twofa.PolicyOptional(); c.Recovery.Viewable = true }},
	{"authenticator", func(c *twofa.Config) { c.Policy = twofa.PolicyAuthenticator(); c.Recovery.Codes = 1 }},
	{"email link", func(c *twofa.Config) {
		c.Policy = twofa.PolicyEmailLink()
		c.Lifetimes = twofa.Lifetimes{Session: 90 * 24 * time.Hour, Enrollment: 2 * time.Hour, Link: 5 * time.Minute}
	}},
	{"sms", func(c *twofa.Config) {
		c.Policy, c.Recovery.Codes, c.Mail.CodeBesideLink = twofa.PolicySMS(), 3, false
	}},
	{"strict", func(c *twofa.Config) {
		c.Policy, c.Recovery.Codes = modelPolicies()[5], twofa.NoRecoveryCodes
		c.TOTP = twofa.TOTPConfig{Algorithm: "SHA256", Digits: 8, Period: time.Minute, Strict: true}
	}},
}

// modelPolicies returns the presets and policies that use other features.
func modelPolicies() []twofa.Policy {
	actions := map[string]twofa.ActionRule{
		"report": {MaxAge: 10 * time.Minute},
		"any":    {MaxAge: time.Hour, Methods: []twofa.Method{twofa.EmailLink, twofa.SMS, twofa.RecoveryCode}},
	}
	link, sms := twofa.PolicyEmailLink(), twofa.PolicySMS()
	link.Fallback, link.Actions, link.Remember = link.Methods, actions, 24*time.Hour
	sms.Fallback, sms.Actions = []twofa.Method{twofa.SMS}, actions
	unlinked := twofa.PolicyAuthenticator()
	unlinked.EnrollWithoutLink, unlinked.TurnOff, unlinked.Remember = true, twofa.TurnOffByUser, 30*24*time.Hour
	unlinked.Actions = map[string]twofa.ActionRule{twofa.ActionFactors: {}, "report": {MaxAge: time.Hour}}
	return []twofa.Policy{
		twofa.PolicyOptional(), twofa.PolicyAuthenticator(), twofa.PolicyEmailLink(), twofa.PolicySMS(), link, sms,
		{Methods: []twofa.Method{twofa.TOTP}, TurnOff: twofa.TurnOffBySupport, Remember: 90 * 24 * time.Hour, Actions: actions},
		{Methods: []twofa.Method{twofa.SMS, twofa.TOTP, twofa.EmailLink}, Required: true, ExemptSSO: true,
			Actions: map[string]twofa.ActionRule{twofa.ActionFactors: {MaxAge: 5 * time.Minute, Methods: []twofa.Method{twofa.TOTP}}}},
		unlinked,
	}
}

// modelRun is one random walk.
type modelRun struct {
	t          *testing.T
	seed       uint64
	rng        *rand.Rand
	rules      *model
	fleet      *fleet     // nil if all processes agree
	servers    []*process // on one store
	store      twofa.Store
	was        *process // the process that answered the last call
	clock      *twofatest.Clock
	out        modelOutbox
	devices    []*modelDevice
	challenges []*modelHold
	sessions   []*modelHold
	setups     map[string]modelCall                 // caller that began the last enrollment
	seen       map[string]map[twofa.Method][]string // all codes and links that a user ever received
	ids        map[int]string                       // of the sessions
	known      map[string][]modelVersion            // of the policies
	home       map[string]twofa.Member              // memberships that a user has or had
	cookies    map[string]string                    // text of the cookies, by content
	versions   map[string]string                    // of the users' records
	uris       map[string][]string
	steps      int
	trace      []modelLine
}

// modelDevice is a browser or an app, as one user uses it.
type modelDevice struct {
	user, name string
	*modelJar
}

// modelJar is what a browser keeps for all its users.
type modelJar struct {
	client twofa.Client
	past   []string // cookies it had before
}

// modelHold is a token and its meaning.
type modelHold struct {
	pass   *pass
	token  string
	device *modelDevice
}

// modelCall is a caller in the terms of both the library and the model.
type modelCall struct {
	session, challenge *modelHold
	account            string
	client             twofa.Client
}

type modelLine struct {
	at         int64
	what, said string
}

// modelOutbox keeps only the newest message.
type modelOutbox struct {
	rules      *model
	link, code string
	mailed     string   // code in the mail with the link
	notices    []string // mails that are no link, by toldMail
	links      []modelLink
	events     []twofa.Event   // of the last call
	reached    map[string]bool // subjects of accepted notices
}

func (o *modelOutbox) SendMail(_ context.Context, m twofa.Email) error {
	if m.Subject != "" {
		return o.notice(m)
	}
	o.link, o.mailed, _ = strings.Cut(strings.TrimPrefix(m.Text.Reveal(), "https://app.example.com/"), " ")
	return o.taken()
}

func (o *modelOutbox) SendSMS(_ context.Context, m twofa.TextMessage) error {
	if !m.Body.IsZero() {
		o.code = m.Body.Reveal()
	}
	return o.taken()
}

func (o *modelOutbox) taken() error {
	switch o.rules.down {
	case nothingSent:
		return errors.New("gateway is down")
	case noRecipient:
		return twofa.ErrUndeliverable
	}
	return nil
}

func newModelRun(t *testing.T, seed uint64, edit func(*twofa.Config)) *modelRun {
	r := &modelRun{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), clock: twofatest.NewClock(harness.Start),
		setups: map[string]modelCall{}, seen: map[string]map[twofa.Method][]string{}, uris: map[string][]string{},
		ids: map[int]string{}, cookies: map[string]string{}, versions: map[string]string{}, known: map[string][]modelVersion{}, home: map[string]twofa.Member{}}
	r.rules = &model{t: t, now: harness.Start.Unix(), dir: map[string]twofa.User{}, policies: map[string]twofa.Policy{},
		harder: map[string]int64{}, versions: map[string]int{}, told: map[string]int64{},
		users: map[string]*modelUser{}, texts: map[string]modelSends{}, app: map[appStep]string{},
		cookies: map[string]modelCookie{}, follows: map[int]int{}, born: map[string]modelEntry{}, reach: func(string) {}}
	r.rules.plain = func(string) bool { return r.rules.cfg.Recovery.Viewable }
	r.out.rules, r.out.reached = r.rules, map[string]bool{}
	shared := []*modelJar{{client: twofa.Client{Browser: twofa.NewSecret("kiosk")}}, {client: twofa.Client{Browser: twofa.NewSecret("family computer")}}}
	for i, id := range modelUsers {
		r.newcomer(id, i < 3)
		for i, jar := range shared {
			r.devices = append(r.devices, &modelDevice{id, []string{"kiosk", "family computer"}[i], jar})
		}
	}
	r.rules.dir["cyd"] = twofa.User{ID: "cyd", Members: []twofa.Member{r.member("cyd", "acme")}} // no address, no stamp
	r.configure(edit)
	return r
}

// modelUsers are the users. The last two have no browser of their own.
var modelUsers = []string{"ada", "bob", "cyd", "dan", "eve"}

func (r *modelRun) newcomer(id string, own bool) {
	r.rules.dir[id] = twofa.User{ID: id, Emails: []string{id + "@example.com"}, SecurityStamp: "1", Members: r.bothMemberships(id)}
	r.seen[id] = map[twofa.Method][]string{}
	for i, name := range []string{"laptop", "phone", "tablet", "app"} {
		if !own {
			break
		}
		c := twofa.Client{Browser: twofa.NewSecret(id + "'s " + name)}
		if i == 2 {
			c.HostSession = twofa.NewSecret(id + "'s host session")
		}
		if i == 3 {
			c.Browser = twofa.Secret{}
		}
		r.devices = append(r.devices, &modelDevice{id, name, &modelJar{client: c}})
	}
}

func (r *modelRun) configure(edit func(*twofa.Config)) {
	cfg := r.config()
	edit(&cfg)
	r.rules.cfg = cfg
	r.store = cfg.Store
	p := process{link: true, codes: cfg.Mail.CodeBesideLink, cases: true, sms: true, viewable: cfg.Recovery.Viewable, session: inSeconds(cfg.Lifetimes.Session)}
	r.start(cfg, p)
	p.skew, p.session = 5, p.session/2 // its clock is ahead, and sessions live for half as long
	cfg.Now = func() time.Time { return r.clock.Now().Add(5 * time.Second) }
	cfg.Lifetimes.Session /= 2
	r.start(cfg, p)
	r.rules.at = r.servers[0]
}

// start starts a process.
func (r *modelRun) start(cfg twofa.Config, p process) {
	m, err := twofa.New(cfg)
	require.NoError(r.t, err)
	p.server = m
	r.servers = append(r.servers, &p)
}

func (r *modelRun) config() twofa.Config {
	return twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: twofatest.KeyRing(r.t, "model"), Now: r.clock.Now,
		Directory: modelDirectory{r.rules}, OnEvent: r.out.hear,
		Mail: twofa.MailConfig{Mailer: &r.out, LinkURL: func(l twofa.LinkRequest) string { return "https://app.example.com/" + l.Token.Reveal() },
			LinkEmail: func(l twofa.LinkEmail) twofa.Email {
				return twofa.Email{Text: twofa.NewSecret(l.URL.Reveal() + " " + l.Code.Reveal())}
			}, CodeBesideLink: true,
			CaseURL: caseURL, NoticeEmail: r.out.write},
		SMS: twofa.SMSConfig{Sender: &r.out, Phone: harness.Numbers{}, Countries: []string{"CH"}, CodeText: func(c twofa.CodeText) string { return c.Code.Reveal() }}, Recovery: twofa.RecoveryConfig{Codes: 10}, Lifetimes: twofa.Lifetimes{Session: 24 * time.Hour, Enrollment: 30 * time.Minute, Link: 10 * time.Minute},
		TOTP: twofa.TOTPConfig{Period: 30 * time.Second, Digits: 6},
	}
}

// modelMove is something that may happen next, and how often it does.
type modelMove struct {
	weight int
	move   func()
}

// run makes the given number of calls. The weights keep users signed in most of
// the time, so that most calls have something to change.
func (r *modelRun) run(steps int) {
	moves := []modelMove{
		{100, r.pass}, {40, r.wakeAtAnEnd}, {70, r.beginSomehow}, {110, r.verifySomehow}, {40, r.sendSomehow}, {12, r.cancelSomehow}, {15, r.resumeSomehow},
		{60, r.signIn}, {35, r.setUp}, {25, r.enrollSomehow}, {35, r.confirmSomehow}, {25, r.saveSomehow}, {8, r.regenerate},
		{25, r.stepUpSomehow}, {40, r.proveFresh}, {25, r.useSomehow}, {8, r.view}, {6, r.rename}, {12, r.remove},
		{6, r.forget}, {3, r.revoke}, {3, r.credentials}, {8, r.edit}, {1, r.crowd}, {2, r.queue}, {6, r.outlive}, {2, r.moveHouse}, {10, r.setPolicy}, {1, r.erase}, {6, r.guess}, {1, r.siege},
		{6, r.signOut}, {3, r.resetSomehow}, {2, r.lag}, {1, r.cancelAll}, {1, r.longSiege}, {5, r.changeMind}, {6, r.joinBySSO}, {3, r.rejoin}, {4, r.copyCookie}, {2, r.outstay}, {3, r.fumble}, {3, r.revive},
		{14, r.administrate}, {5, r.giveTime}, {5, r.remindSomehow}, {6, r.statuses}, {3, r.changeRole}, {2, r.lastDays}, {3, r.tighten}, {1, r.thereAndBack}, {8, r.assignPhones},
	}
	if r.fleet != nil {
		moves = append(moves, r.fleet.moves()...)
	}
	moves = append(moves, r.helpMoves()...)
	total := 0
	for _, m := range moves {
		total += m.weight
	}
	for r.steps < steps {
		n := r.rng.IntN(total)
		for _, m := range moves {
			if n -= m.weight; n < 0 {
				m.move()
				break
			}
		}
		r.look()
	}
}

// agree compares an answer with that of the model.
func (r *modelRun) agree(what, want, said string) {
	r.steps++
	if r.fleet != nil {
		what += " [" + r.rules.at.name + "]"
	}
	r.trace = append(r.trace, modelLine{r.rules.now, what, said})
	if len(r.trace) > 400 {
		r.trace = slices.Delete(r.trace, 0, 200)
	}
	wrote := r.recordsWritten()
	if want == said || slices.Contains(strings.Split(want, "|"), said) {
		require.False(r.t, wrote && r.rules.still, "call %d of seed %d: %s was answered without a change, but wrote a record:\n%s", r.steps, r.seed, what, r.story(what))
		r.sameNotices(what)
		r.was, r.rules.still = r.rules.at, false
		if r.fleet != nil {
			r.fleet.called(said)
			return
		}
		r.rules.at = oneOf(r, r.servers...)
		r.rules.now += r.rules.at.skew - r.was.skew
		return
	}
	r.t.Fatalf("call %d of seed %d: %s\n  the model says  %s\n  the library says %s\nreplay with -run '^%s$' -model.seed %d\nwhat happened:\n%s",
		r.steps, r.seed, what, want, said, r.t.Name(), r.seed, r.story(what))
}

// recordsWritten reports whether the last call wrote the record of a user.
func (r *modelRun) recordsWritten() (wrote bool) {
	for _, id := range modelUsers {
		version := ""
		records, err := r.store.Get(r.t.Context(), "user/"+id)
		require.NoError(r.t, err)
		for _, record := range records {
			version = record.Version
		}
		if version != r.versions[id] {
			isNew := r.versions[id] == ""
			r.versions[id], wrote = version, true
			r.rules.stored(id, isNew)
		}
	}
	return wrote
}

// story returns the last calls of the user for whom the answers differ.
func (r *modelRun) story(what string) string {
	user, _, _ := strings.Cut(what, " ")
	var lines []string
	for _, l := range slices.Backward(r.trace) {
		if strings.HasPrefix(l.what, user) || strings.HasPrefix(l.what, "*") {
			lines = append(lines, fmt.Sprintf("  %6ds %-70s %s", l.at-harness.Start.Unix(), l.what, l.said))
		}
		if len(lines) == 40 {
			break
		}
	}
	slices.Reverse(lines)
	return strings.Join(lines, "\n")
}

// told describes an error in the words of the model.
func told(err error) string {
	var d *twofa.DeniedError
	var record *twofa.RecordError
	switch {
	case err == nil:
		return saysFine
	case errors.As(err, &record):
		return saysRefused
	case errors.As(err, &d):
		return saysDenied(d.Reason)
	case errors.Is(err, twofa.ErrInvalidCode):
		left, _ := twofa.AttemptsLeft(err)
		return saysInvalid(left, int64(twofa.RetryAfter(err)/time.Second))
	case errors.Is(err, twofa.ErrLocked):
		return saysLocked(int64(twofa.RetryAfter(err) / time.Second))
	}
	for is, words := range map[error]string{twofa.ErrExpired: saysExpired, twofa.ErrNotAllowed: saysNotAllowed,
		twofa.ErrNotEnrolled: saysNotEnrolled, twofa.ErrUnavailable: saysUnavailable, twofa.ErrConflict: saysConflict, twofa.ErrInvalid: saysBadArgument, twofa.ErrUndeliverable: saysUndeliverable} {
		if errors.Is(err, is) {
			return words
		}
	}
	return err.Error()
}

// toldLogin describes a Result in the words of the model. With an error there
// is none.
func toldLogin(l twofa.Result, err error) string {
	gave := gave(!l.Session.IsZero(), !l.Challenge.IsZero(), !l.Browser.IsZero(), l.Sent != "")
	if err != nil && l.Next == "" {
		return told(err) + gave
	}
	s := string(l.Next) + listed(l.Methods) + gave
	if !l.Due.IsZero() {
		s += dueBy(l.Due.Unix())
	}
	s += withCase(l.Case) + withCode(l.SentCode)
	if err != nil {
		s += " and " + told(err)
	}
	return s
}

// Random choices.

func (r *modelRun) chance(percent int) bool { return r.rng.IntN(100) < percent }

// server returns the process that answers the next call.
func (r *modelRun) server() *twofa.Manager { return r.rules.at.server }

func oneOf[T any](r *modelRun, list ...T) T { return list[r.rng.IntN(len(list))] }

// some returns one token, usually a valid and recent one, or nil if there is
// none.
func (r *modelRun) some(list []*modelHold) *modelHold {
	if r.chance(85) {
		list = slices.DeleteFunc(slices.Clone(list), func(h *modelHold) bool { return !r.rules.alive(h.pass) })
	}
	if len(list) == 0 {
		return nil
	}
	if r.chance(20) {
		return oneOf(r, list...)
	}
	return list[max(0, len(list)-1-int(r.rng.ExpFloat64()*2))]
}

func (r *modelRun) device() *modelDevice { return oneOf(r, r.devices...) }

func (r *modelRun) account() string {
	return oneOf(r, "acme", "acme", "acme", "beta", "beta", "")
}

// client returns the client of a device, rarely with an older token or that of
// another device.
func (r *modelRun) client(d *modelDevice) twofa.Client {
	c := d.client
	switch n := r.rng.IntN(100); {
	case n < 5 && len(d.past) > 0: // a copy of an older token
		c.Browser = twofa.NewSecret(oneOf(r, d.past...))
	case n == 5:
		c.Browser = r.device().client.Browser
	case n == 6:
		c.HostSession = twofa.NewSecret("another host session")
	}
	return c
}

// caller returns a caller, usually with a session in its own account.
func (r *modelRun) caller() (c modelCall, ok bool) {
	h := r.some(r.sessions)
	if h == nil {
		return c, false
	}
	c = modelCall{session: h, account: h.pass.account, client: h.device.client, challenge: r.some(r.challenges)}
	if r.chance(15) {
		c.account = r.account()
	}
	if e := r.enrolling(); e != nil && r.chance(30) {
		c = modelCall{challenge: e, account: e.pass.account, client: r.client(e.device)}
	}
	return c, true
}

func (r *modelRun) enrolling() *modelHold {
	for _, h := range slices.Backward(r.challenges[max(0, len(r.challenges)-8):]) {
		if h.pass.kind == "enroll" {
			return h
		}
	}
	return nil
}

func (c modelCall) user() string {
	if c.session != nil {
		return c.session.pass.user
	}
	return c.challenge.pass.user
}

func (c modelCall) who() string {
	if c.session != nil {
		return c.session.who()
	}
	return c.challenge.who()
}

func (h *modelHold) who() string {
	return h.pass.user + " (" + h.device.name + ", session " + strconv.Itoa(h.pass.sid) + ") "
}

func (r *modelRun) real(c modelCall) twofa.Caller {
	real := twofa.Caller{Account: c.account, Client: c.client}
	if c.session != nil {
		real.Session = twofa.ParseSession(r.present(c.session.token))
	}
	if c.challenge != nil {
		real.Challenge = r.challenge(c.challenge)
	}
	return real
}

func (r *modelRun) challenge(h *modelHold) twofa.Challenge {
	return twofa.ParseChallenge(r.present(h.token))
}

// present returns a token as the process that answers next understands it.
func (r *modelRun) present(token string) string {
	if r.rules.at.next {
		return r.fleet.next.presentToken(token)
	}
	return token
}

// issued returns a token as the process that answered last issued it.
func (r *modelRun) issued(token string, p *pass) string {
	if r.fleet != nil {
		return r.fleet.issued(token, p)
	}
	return token
}

func (c modelCall) rules() modelCaller {
	m := modelCaller{account: c.account, client: c.client}
	if c.session != nil {
		m.session = c.session.pass
	}
	if c.challenge != nil {
		m.challenge = c.challenge.pass
	}
	return m
}

// keep records the tokens of an answer.
func (r *modelRun) keep(d *modelDevice, l twofa.Result, g gift) *modelHold {
	if g.cookie != nil {
		r.learnCookie(l.Browser.Reveal(), *g.cookie)
		if d.client.Browser.Reveal() != l.Browser.Reveal() && r.chance(95) { // else the answer is lost
			d.past = append(d.past[max(0, len(d.past)-5):], d.client.Browser.Reveal())
			d.client.Browser = l.Browser
		}
	}
	switch {
	case g.session != nil:
		r.sameSession(l.Session, g.session)
		r.sessions = append(r.sessions, &modelHold{g.session, r.issued(l.Session.Reveal(), g.session), d})
		r.sessions = r.sessions[max(0, len(r.sessions)-300):]
		return r.sessions[len(r.sessions)-1]
	case g.challenge != nil:
		r.challenges = append(r.challenges, &modelHold{g.challenge, r.issued(l.Challenge.Reveal(), g.challenge), d})
		r.challenges = r.challenges[max(0, len(r.challenges)-60):]
		return r.challenges[len(r.challenges)-1]
	}
	return nil
}

// learnCookie records what is in a cookie. Equal cookies have equal texts.
func (r *modelRun) learnCookie(text string, k modelCookie) {
	content := fmt.Sprint(k)
	if known, ok := r.cookies[content]; ok {
		require.Equal(r.t, known, text, "call %d of seed %d: two texts of one cookie: %s\n%s", r.steps, r.seed, content, r.story(r.trace[len(r.trace)-1].what))
	}
	r.cookies[content], r.rules.cookies[text] = text, k
}

// sameSession compares a session with the model's. One session has one ID,
// however often its answer is given.
func (r *modelRun) sameSession(session twofa.Session, p *pass) {
	was := *r.rules
	was.at = r.was
	as := was.as // the process that answered knows its own words
	info, err := r.was.server.DescribeSession(session)
	was.now += was.at.skew - r.rules.at.skew
	if was.now >= was.end(p) || err != nil && r.fleet != nil {
		return
	}
	require.NoError(r.t, err)
	if r.ids[p.sid] == "" {
		r.ids[p.sid] = info.ID
	}
	want, has := []string{r.ids[p.sid], p.user, p.account, strconv.FormatInt(p.expires, 10)}, []string{info.ID, info.User, info.Account, strconv.FormatInt(info.Expires.Unix(), 10)}
	for _, f := range p.first {
		want = append(want, fmt.Sprint(f.by, " of ", f.of, " at ", f.at))
	}
	for _, f := range info.FirstFactors {
		has = append(has, fmt.Sprint(f.By, " of ", f.ProviderOf, " at ", f.At.Unix()))
	}
	for _, x := range p.proofs {
		want = append(want, fmt.Sprint(as(x.method), " at ", x.at))
	}
	for _, x := range info.Proofs {
		has = append(has, fmt.Sprint(x.Method, " at ", x.At.Unix()))
	}
	require.Equal(r.t, want, has, "call %d of seed %d: the session of %s\n%s", r.steps, r.seed, p.user, r.story(p.user))
}

// Time.

func (r *modelRun) pass() {
	span := []int{28, 120, 20 * 60, 5 * 3600, 15 * 86400}
	d := 1 + r.rng.IntN(span[min(4, int(r.rng.ExpFloat64()*0.9))])
	r.wait(int64(oneOf(r, d, d, 30, 60, 300)))
}

func (r *modelRun) wait(seconds int64) {
	r.clock.Add(time.Duration(seconds) * time.Second)
	r.rules.now += seconds
}

// wakeAtAnEnd moves the clock to the moment at which something ends, or to the
// second before.
func (r *modelRun) wakeAtAnEnd() {
	user := r.device().user
	ends := r.rules.deadlines(user)
	for _, h := range []*modelHold{r.some(r.challenges), r.some(r.sessions)} {
		if h != nil && h.pass.expires > r.rules.now && r.chance(10) {
			ends = append(ends, h.pass.expires, h.pass.first[len(h.pass.first)-1].at+15*aMinute)
		}
	}
	slices.Sort(ends)
	if ends = slices.DeleteFunc(ends, func(at int64) bool { return at <= r.rules.now }); len(ends) == 0 {
		return
	}
	end := ends[0]
	if r.chance(10) {
		end = oneOf(r, ends...)
	}
	if end -= int64(r.rng.IntN(2)); end-r.rules.now < anHour || r.chance(10) {
		r.wait(end - r.rules.now)
	}
	for _, d := range r.devices {
		if d.user == user && len(d.past) > 0 && r.chance(20) {
			c := d.client
			c.Browser = twofa.NewSecret(d.past[len(d.past)-1])
			r.begin(d, twofa.FirstFactor{UserID: user, Account: r.account(), By: twofa.ByPassword, Client: c}, nil)
		}
	}
}

// look compares what can be read without a change.
func (r *modelRun) look() {
	for range 2 {
		if len(r.sessions) > 0 {
			h := oneOf(r, r.sessions[oneOf(r, 0, max(0, len(r.sessions)-12)):]...)
			r.check(modelCall{session: h, account: oneOf(r, h.pass.account, r.account()), client: h.device.client})
		}
	}
	if r.fleet != nil {
		r.fleet.look()
	}
	c, ok := r.caller()
	if !ok {
		return
	}
	switch r.rng.IntN(5) {
	case 0:
		r.check(c)
	case 1:
		f, err := r.server().Factors(r.t.Context(), r.real(c))
		r.agree(c.who()+"factors", r.rules.factors(c.rules()), toldFactors(f, err))
	case 2:
		if c.session != nil {
			r.browsers(c)
		}
	case 3:
		e, err := r.server().PendingEnrollment(r.t.Context(), r.real(c))
		want, s := r.rules.enrollment(c.rules())
		r.agree(c.who()+"enrollment", want, told(err))
		r.sameSetup(e, s)
	case 4:
		h := r.some(r.challenges)
		if h == nil {
			return
		}
		client := r.client(h.device)
		l, err := r.server().DescribeChallenge(r.t.Context(), client, r.challenge(h))
		r.agree(h.who()+"offer", r.rules.offer(client, h.pass), toldLogin(l, err))
	}
}

func (r *modelRun) check(c modelCall) {
	if c.session == nil {
		return
	}
	r.agree(c.who()+"check in "+c.account, r.rules.check(c.rules()), told(r.server().Check(r.t.Context(), r.real(c))))
	if r.chance(10) {
		r.agree(c.who()+"check person in "+c.account, r.rules.checkPerson(c.rules()), told(r.server().CheckPerson(r.t.Context(), r.real(c))))
	}
}

func toldFactors(f twofa.Factors, err error) string {
	if err != nil {
		return told(err)
	}
	s := strconv.Itoa(f.CodesLeft) + " of " + strconv.Itoa(f.CodesTotal) + " codes, pending " + strconv.FormatBool(f.PendingEnrollment)
	for _, f := range f.List {
		s += ", " + string(f.Method) + " " + f.Name
	}
	if f.Assigned != nil {
		s += toldAssigned(f.Assigned.Phone)
	}
	return s
}

func (r *modelRun) browsers(c modelCall) []twofa.Browser {
	list, err := r.server().Browsers(r.t.Context(), r.real(c))
	said := "browsers"
	for _, b := range list {
		said += " " + strconv.FormatBool(b.Remembered) + "/" + strconv.FormatBool(b.Current)
	}
	if err != nil {
		said = told(err)
	}
	r.agree(c.who()+"browsers", r.rules.knownBrowsers(c.rules()), said)
	return list
}

func (r *modelRun) sameSetup(e twofa.Enrollment, s *modelSetup) {
	if s == nil {
		return
	}
	require.Equal(r.t, s.codes, revealed(e.Codes), "call %d of seed %d: the codes of an enrollment\n%s", r.steps, r.seed, r.story(r.trace[len(r.trace)-1].what))
	require.Equal(r.t, []bool{s.confirmed, s.saved}, []bool{e.Confirmed, e.Saved})
	if s.method != twofa.TOTP {
		return
	}
	want, has := s.what, e.URI.Reveal()
	if r.fleet != nil { // the label depends on the apps that a release knows
		_, want, _ = strings.Cut(want, "?")
		_, has, _ = strings.Cut(has, "?")
	}
	require.Equal(r.t, want, has)
}

func revealed(secrets []twofa.Secret) (l []string) {
	for _, s := range secrets {
		l = append(l, s.Reveal())
	}
	return l
}
