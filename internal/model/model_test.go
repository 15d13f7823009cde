package model

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
	modelSteps = flag.Int("model.steps", 100_000, "calls that TestModel makes in all")
)

// TestModel makes calls at random, by three people in several browsers, under
// policies that change, while time passes, and compares every answer with that
// of the model. After each call a sample of all sessions and challenges ever
// given is looked at, the dead ones too.
func TestModel(t *testing.T) {
	seeds := []uint64{1, 2, 3, 1197237341495462055} // the last found a browser that had expired and could be forgotten
	if *modelSeed != 0 {
		seeds = []uint64{*modelSeed}
	}
	steps := *modelSteps / len(seeds) / len(modelWorlds)
	if testing.Short() {
		steps /= 10
	}
	for _, world := range modelWorlds {
		for _, seed := range seeds {
			t.Run(world.name+"/"+strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				newModelRun(t, seed, world.edit).run(steps)
			})
		}
	}
}

var modelWorlds = []struct {
	name string
	edit func(*twofa.Config)
}{
	{"optional", func(c *twofa.Config) { c.Policy = twofa.PolicyOptional(); c.Recovery.Viewable = true }},
	{"authenticator", func(c *twofa.Config) { c.Policy = twofa.PolicyAuthenticator(); c.Recovery.Codes = 1 }},
	{"email link", func(c *twofa.Config) { c.Policy = twofa.PolicyEmailLink(); c.Lifetimes.Session = 90 * 24 * time.Hour }},
	{"sms", func(c *twofa.Config) { c.Policy = twofa.PolicySMS(); c.Recovery.Codes = 3 }},
	{"strict", func(c *twofa.Config) {
		c.Policy, c.Recovery.Codes = modelPolicies()[5], twofa.NoRecoveryCodes
		c.TOTP = twofa.TOTPConfig{Algorithm: "SHA256", Digits: 8, Period: time.Minute, Strict: true}
	}},
}

// modelPolicies are the presets, and others that use what these do not.
func modelPolicies() []twofa.Policy {
	actions := map[string]twofa.ActionRule{
		"report": {MaxAge: 10 * time.Minute},
		"any":    {MaxAge: time.Hour, Methods: []twofa.Method{twofa.EmailLink, twofa.SMS, twofa.RecoveryCode}},
	}
	link, sms := twofa.PolicyEmailLink(), twofa.PolicySMS()
	link.Fallback, link.Actions, link.Remember = link.Methods, actions, 24*time.Hour
	sms.Fallback, sms.Actions = []twofa.Method{twofa.SMS}, actions
	return []twofa.Policy{
		twofa.PolicyOptional(), twofa.PolicyAuthenticator(), twofa.PolicyEmailLink(), twofa.PolicySMS(), link, sms,
		{Methods: []twofa.Method{twofa.TOTP}, TurnOff: twofa.TurnOffBySupport, Remember: 90 * 24 * time.Hour, Actions: actions},
		{Methods: []twofa.Method{twofa.SMS, twofa.TOTP, twofa.EmailLink}, Required: true, ExemptSSO: true,
			Actions: map[string]twofa.ActionRule{twofa.ActionFactors: {MaxAge: 5 * time.Minute, Methods: []twofa.Method{twofa.TOTP}}}},
	}
}

// modelRun is one random walk.
type modelRun struct {
	t          *testing.T
	seed       uint64
	rng        *rand.Rand
	rules      *model
	servers    [2]*twofa.Manager // over one store
	clock      *twofatest.Clock
	out        modelOutbox
	devices    []*modelDevice
	challenges []*modelHold
	sessions   []*modelHold
	setups     map[string]modelCall                 // who began the last set-up
	seen       map[string]map[twofa.Method][]string // all codes and links a user was ever given
	uris       map[string][]string
	steps      int
	trace      []modelLine
}

// modelDevice is a browser or an app of one user.
type modelDevice struct {
	user, name string
	client     twofa.Client
	past       []string // tokens it had before
}

// modelHold is a token and what it stands for.
type modelHold struct {
	pass   *pass
	token  string
	device *modelDevice
}

// modelCall is a caller, as the library and as the model see it.
type modelCall struct {
	session, challenge *modelHold
	account            string
	client             twofa.Client
}

type modelLine struct {
	at         int64
	what, said string
}

// modelOutbox keeps the newest message only.
type modelOutbox struct {
	rules      *model
	link, code string
}

func (o *modelOutbox) SendMail(_ context.Context, m twofa.Email) error {
	o.link = strings.TrimPrefix(m.Text, "https://app.example.com/")
	return o.taken()
}

func (o *modelOutbox) SendSMS(_ context.Context, m twofa.TextMessage) error {
	if m.Body != "" {
		o.code = m.Body
	}
	return o.taken()
}

func (o *modelOutbox) taken() error {
	if o.rules.down {
		return errors.New("gateway is down")
	}
	return nil
}

func newModelRun(t *testing.T, seed uint64, edit func(*twofa.Config)) *modelRun {
	r := &modelRun{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), clock: twofatest.NewClock(harness.Start),
		setups: map[string]modelCall{}, seen: map[string]map[twofa.Method][]string{}, uris: map[string][]string{}}
	r.rules = &model{t: t, now: harness.Start.Unix(), dir: map[string]twofa.User{}, policies: map[string]twofa.Policy{},
		users: map[string]*modelUser{}, texts: map[string][]int64{}, app: map[appStep]string{}}
	r.out.rules = r.rules
	for _, id := range []string{"ada", "bob", "cyd"} {
		r.newcomer(id)
	}
	r.rules.dir["cyd"] = twofa.User{ID: "cyd", Members: []twofa.Member{{Account: "acme"}}} // no address, no stamp
	r.configure(edit)
	return r
}

func (r *modelRun) newcomer(id string) {
	r.rules.dir[id] = twofa.User{ID: id, Emails: []string{id + "@example.com"}, SecurityStamp: "1", Members: []twofa.Member{{Account: "acme"}, {Account: "beta"}}}
	r.seen[id] = map[twofa.Method][]string{}
	for i, name := range []string{"laptop", "phone", "tablet", "app"} {
		c := twofa.Client{Browser: twofa.NewSecret(id + "'s " + name)}
		if i == 2 {
			c.HostSession = twofa.NewSecret(id + "'s host session")
		}
		if i == 3 {
			c.Browser = twofa.Secret{}
		}
		r.devices = append(r.devices, &modelDevice{user: id, name: name, client: c})
	}
}

func (r *modelRun) configure(edit func(*twofa.Config)) {
	cfg := twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: twofatest.KeyRing(r.t, "model"), Now: r.clock.Now,
		User: func(_ context.Context, id string) (twofa.User, error) { return r.rules.dir[id], nil },
		Mail: twofa.MailConfig{Mailer: &r.out, LinkURL: func(l twofa.LinkRequest) string { return "https://app.example.com/" + l.Token.Reveal() },
			LinkEmail:   func(l twofa.LinkEmail) twofa.Email { return twofa.Email{Text: l.URL.Reveal()} },
			NoticeEmail: func(twofa.NoticeEmail) twofa.Email { return twofa.Email{} }},
		SMS: twofa.SMSConfig{Sender: &r.out, Phone: harness.Numbers{}, Countries: []string{"CH"}, CodeText: func(c twofa.CodeText) string { return c.Code.Reveal() }}, Recovery: twofa.RecoveryConfig{Codes: 10}, Lifetimes: twofa.Lifetimes{Session: 24 * time.Hour},
		TOTP: twofa.TOTPConfig{Period: 30 * time.Second, Digits: 6},
	}
	edit(&cfg)
	r.rules.cfg = cfg
	for i := range r.servers {
		m, err := twofa.New(cfg)
		require.NoError(r.t, err)
		r.servers[i] = m
	}
}

// run walks until so many calls were made. The weights keep people signed in
// for most of the time, so that there is something to lose.
func (r *modelRun) run(steps int) {
	moves := []struct {
		weight int
		move   func()
	}{
		{100, r.pass}, {40, r.wakeAtAnEnd}, {70, r.beginSomehow}, {110, r.verifySomehow}, {40, r.sendSomehow}, {8, r.cancelSomehow}, {15, r.resumeSomehow},
		{60, r.signIn}, {35, r.setUp}, {25, r.enrollSomehow}, {35, r.confirmSomehow}, {25, r.saveSomehow}, {8, r.regenerate},
		{25, r.stepUpSomehow}, {40, r.proveFresh}, {25, r.useSomehow}, {8, r.view}, {6, r.rename}, {12, r.remove},
		{6, r.forget}, {3, r.revoke}, {3, r.credentials}, {8, r.edit}, {1, r.crowd}, {6, r.outlive}, {2, r.moveHouse}, {10, r.setPolicy}, {1, r.erase}, {6, r.guess}, {1, r.siege},
	}
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

// agree compares an answer with the model's.
func (r *modelRun) agree(what, want, said string) {
	r.steps++
	r.trace = append(r.trace, modelLine{r.rules.now, what, said})
	if len(r.trace) > 400 {
		r.trace = slices.Delete(r.trace, 0, 200)
	}
	if want == said || slices.Contains(strings.Split(want, "|"), said) {
		return
	}
	r.t.Fatalf("call %d of seed %d: %s\n  the model says  %s\n  the library says %s\nreplay with -run '^%s$' -model.seed %d\nwhat happened:\n%s",
		r.steps, r.seed, what, want, said, r.t.Name(), r.seed, r.story(what))
}

// story tells the last calls for the user it went wrong with.
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

// told is an error in the model's words.
func told(err error) string {
	var d *twofa.DeniedError
	switch {
	case err == nil:
		return saysFine
	case errors.As(err, &d):
		return saysDenied(d.Reason)
	case errors.Is(err, twofa.ErrInvalidCode):
		left, _ := twofa.AttemptsLeft(err)
		return saysInvalid(left)
	case errors.Is(err, twofa.ErrLocked):
		return saysLocked(int64(twofa.RetryAfter(err) / time.Second))
	}
	for is, words := range map[error]string{twofa.ErrExpired: saysExpired, twofa.ErrNotAllowed: saysNotAllowed,
		twofa.ErrNotEnrolled: saysNotEnrolled, twofa.ErrUnavailable: saysUnavailable} {
		if errors.Is(err, is) {
			return words
		}
	}
	return err.Error()
}

// toldLogin is a Login in the model's words. With an error there is none.
func toldLogin(l twofa.Result, err error) string {
	gave := gave(!l.Session.IsZero(), !l.Challenge.IsZero(), !l.Browser.IsZero(), l.Sent != "")
	if err != nil && l.Next == "" {
		return told(err) + gave
	}
	s := string(l.Next) + listed(l.Methods) + gave
	if err != nil {
		s += " and " + told(err)
	}
	return s
}

// Choices.

func (r *modelRun) chance(percent int) bool { return r.rng.IntN(100) < percent }

func (r *modelRun) server() *twofa.Manager { return r.servers[r.rng.IntN(2)] }

func oneOf[T any](r *modelRun, list ...T) T { return list[r.rng.IntN(len(list))] }

// some picks one, mostly a live one, mostly a new one; nil where there is none.
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

// client is a device's, rarely with the token of another time or device.
func (r *modelRun) client(d *modelDevice) twofa.Client {
	c := d.client
	switch n := r.rng.IntN(100); {
	case n < 5 && len(d.past) > 0: // a copy, from before
		c.Browser = twofa.NewSecret(oneOf(r, d.past...))
	case n == 5:
		c.Browser = r.device().client.Browser
	case n == 6:
		c.HostSession = twofa.NewSecret("another host session")
	}
	return c
}

// caller is mostly a session, in its account.
func (r *modelRun) caller() (c modelCall, ok bool) {
	h := r.some(r.sessions)
	if h == nil {
		return c, false
	}
	c = modelCall{session: h, account: h.pass.account, client: h.device.client, challenge: r.some(r.challenges)}
	if r.chance(10) {
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

func (c modelCall) real() twofa.Caller {
	real := twofa.Caller{Account: c.account, Client: c.client}
	if c.session != nil {
		real.Session = twofa.ParseSession(c.session.token)
	}
	if c.challenge != nil {
		real.Challenge = twofa.ParseChallenge(c.challenge.token)
	}
	return real
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

// keep learns the tokens that an answer gave.
func (r *modelRun) keep(d *modelDevice, l twofa.Result, g gift) *modelHold {
	if g.browser != nil {
		d.past = append(d.past[max(0, len(d.past)-5):], d.client.Browser.Reveal())
		d.client.Browser, g.browser.token = l.Browser, l.Browser.Reveal()
	}
	switch {
	case g.session != nil:
		r.sessions = append(r.sessions, &modelHold{g.session, l.Session.Reveal(), d})
		r.sessions = r.sessions[max(0, len(r.sessions)-300):]
		return r.sessions[len(r.sessions)-1]
	case g.challenge != nil:
		r.challenges = append(r.challenges, &modelHold{g.challenge, l.Challenge.Reveal(), d})
		r.challenges = r.challenges[max(0, len(r.challenges)-60):]
		return r.challenges[len(r.challenges)-1]
	}
	return nil
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

// wakeAtAnEnd moves to the moment at which something ends, or the second before.
func (r *modelRun) wakeAtAnEnd() {
	user := r.device().user
	ends := r.rules.deadlines(user)
	for _, h := range []*modelHold{r.some(r.challenges), r.some(r.sessions)} {
		if h != nil && h.pass.expires > r.rules.now && r.chance(10) {
			ends = append(ends, h.pass.expires, h.pass.at+15*aMinute)
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
		if d.user == user && len(d.past) > 0 && r.chance(30) {
			c := d.client
			c.Browser = twofa.NewSecret(d.past[len(d.past)-1])
			r.begin(d, twofa.FirstFactor{UserID: user, Account: r.account(), By: twofa.ByPassword, Client: c})
		}
	}
}

// look compares what can be seen without a change.
func (r *modelRun) look() {
	for range 2 {
		if len(r.sessions) > 0 {
			h := oneOf(r, r.sessions[oneOf(r, 0, max(0, len(r.sessions)-12)):]...)
			r.check(modelCall{session: h, account: oneOf(r, h.pass.account, r.account()), client: h.device.client})
		}
	}
	c, ok := r.caller()
	if !ok {
		return
	}
	switch r.rng.IntN(5) {
	case 0:
		r.check(c)
	case 1:
		f, err := r.server().Factors(r.t.Context(), c.real())
		r.agree(c.who()+"factors", r.rules.factors(c.rules()), toldFactors(f, err))
	case 2:
		if c.session != nil {
			r.browsers(c)
		}
	case 3:
		e, err := r.server().PendingEnrollment(r.t.Context(), c.real())
		want, s := r.rules.enrollment(c.rules())
		r.agree(c.who()+"enrollment", want, told(err))
		r.sameSetup(e, s)
	case 4:
		h := r.some(r.challenges)
		if h == nil {
			return
		}
		client := r.client(h.device)
		l, err := r.server().DescribeChallenge(r.t.Context(), client, twofa.ParseChallenge(h.token))
		r.agree(h.who()+"offer", r.rules.offer(client, h.pass), toldLogin(l, err))
	}
}

func (r *modelRun) check(c modelCall) {
	if c.session == nil {
		return
	}
	r.agree(c.who()+"check in "+c.account, r.rules.check(c.rules()), told(r.server().Check(r.t.Context(), c.real())))
}

func toldFactors(f twofa.Factors, err error) string {
	if err != nil {
		return told(err)
	}
	s := strconv.Itoa(f.CodesLeft) + " of " + strconv.Itoa(f.CodesTotal) + " codes, pending " + strconv.FormatBool(f.PendingEnrollment)
	for _, f := range f.List {
		s += ", " + string(f.Method) + " " + f.Name
	}
	return s
}

func (r *modelRun) browsers(c modelCall) []twofa.Browser {
	list, err := r.server().Browsers(r.t.Context(), c.real())
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
	require.Equal(r.t, s.codes, revealed(e.Codes))
	require.Equal(r.t, []bool{s.confirmed, s.saved}, []bool{e.Confirmed, e.Saved})
	if s.method == twofa.TOTP {
		require.Equal(r.t, s.what, e.URI.Reveal())
	}
}

func revealed(secrets []twofa.Secret) (l []string) {
	for _, s := range secrets {
		l = append(l, s.Reveal())
	}
	return l
}

// Login.

func (r *modelRun) beginSomehow() {
	d := r.device()
	f := twofa.FirstFactor{UserID: d.user, Account: r.account(), By: twofa.ByPassword, Client: r.client(d)}
	if r.chance(25) {
		f.By = oneOf(r, twofa.BySSO, twofa.BySSO, twofa.ByEmail, twofa.ByToken)
	}
	if f.By == twofa.BySSO {
		f.ProviderOf = oneOf(r, "acme", "beta")
	}
	r.begin(d, f)
}

func (r *modelRun) begin(d *modelDevice, f twofa.FirstFactor) *modelHold {
	want, g := r.rules.begin(f)
	l, err := r.server().Begin(r.t.Context(), f)
	r.agree(d.user+" ("+d.name+") begin by "+string(f.By)+" in "+f.Account, want, toldLogin(l, err))
	return r.keep(d, l, g)
}

func (r *modelRun) verifySomehow() {
	h := r.some(r.challenges)
	if h == nil {
		return
	}
	method := oneOf(r, twofa.TOTP, twofa.SMS, twofa.EmailLink, twofa.RecoveryCode)
	if _, offered, _ := r.rules.resume(h.device.client, h.pass); len(offered) > 0 && r.chance(95) {
		method = oneOf(r, offered...)
	}
	code := r.right(h.pass, method)
	if code == "" || r.chance(40) {
		code = r.other(h.pass.user, method)
	}
	r.verify(h, r.client(h.device), twofa.Proof{Method: method, Code: code, Remember: r.chance(40)})
}

func (r *modelRun) verify(h *modelHold, c twofa.Client, p twofa.Proof) *modelHold {
	want, g := r.rules.verify(c, h.pass, p)
	l, err := r.server().Verify(r.t.Context(), c, twofa.ParseChallenge(h.token), p)
	r.agree(h.who()+"verify "+string(p.Method)+" "+p.Code+" for "+h.pass.kind+" "+h.pass.action, want, toldLogin(l, err))
	return r.keep(h.device, l, g)
}

// right is a code that is good, or was until it was used; "" where there is none.
func (r *modelRun) right(p *pass, method twofa.Method) string {
	u := r.rules.user(p.user)
	switch method {
	case twofa.TOTP:
		var uris []string
		for _, f := range u.factors {
			if f.method == twofa.TOTP {
				uris = append(uris, f.what)
			}
		}
		if len(uris) > 0 {
			return r.shown(oneOf(r, uris...), 0)
		}
	case twofa.RecoveryCode:
		for _, code := range r.seen[p.user][method] {
			if u.codes[plainDigits(code)] {
				return code
			}
		}
	default:
		if x := r.rules.liveSent(u, p, method); x != nil {
			return x.secret
		}
	}
	return ""
}

// shown is what an app shows so many steps from now.
func (r *modelRun) shown(uri string, steps int64) string {
	return r.rules.appCode(uri, r.rules.now/int64(r.rules.cfg.TOTP.Period/time.Second)+steps)
}

// other is a code that is likely wrong: of another time, app, browser, set or
// spelling, used before, or nonsense.
func (r *modelRun) other(user string, method twofa.Method) string {
	if r.chance(15) {
		return oneOf(r, "", "000000", "12345", "１２３４５６", "zzzz-zzzz-zzzz-zzzz-zzzz-zzzz", strings.Repeat("0", 500))
	}
	code := ""
	if method == twofa.TOTP && len(r.uris[user]) > 0 {
		uris := r.uris[user][max(0, len(r.uris[user])-3):]
		code = r.shown(oneOf(r, uris...), oneOf[int64](r, -2, -1, -1, -1, 0, 1, 1, 2))
	} else if seen := r.seen[user][method]; len(seen) > 0 {
		code = seen[max(0, len(seen)-1-r.rng.IntN(12))]
	}
	if method == twofa.SMS && len(code) == 6 && r.chance(60) {
		return code[:5] + string('0'+(code[5]-'0'+1)%10) // one digit off
	}
	if method != twofa.EmailLink && len(code) > 3 && r.chance(30) {
		code = oneOf(r, code[:3]+" "+code[3:], " "+code, strings.ToLower(code), code[1:], code+"0")
	}
	return code
}

func (r *modelRun) sendSomehow() {
	h := r.some(r.challenges)
	if h == nil {
		return
	}
	method := oneOf(r, twofa.SMS, twofa.EmailLink, twofa.EmailLink, twofa.TOTP)
	if _, offered, _ := r.rules.resume(h.device.client, h.pass); len(offered) > 0 && r.chance(80) {
		method = oneOf(r, offered...)
	}
	r.send(h, r.client(h.device), method)
}

func (r *modelRun) send(h *modelHold, c twofa.Client, method twofa.Method) *modelHold {
	r.rules.down = r.chance(3)
	want, g := r.rules.send(c, h.pass, method)
	l, err := r.server().Send(r.t.Context(), c, twofa.ParseChallenge(h.token), method)
	r.agree(h.who()+"send "+string(method), want, toldLogin(l, err))
	r.rules.down = false
	r.learnSent(h.pass.user, g)
	return r.keep(h.device, l, g)
}

func (r *modelRun) learnSent(user string, g gift) {
	if g.sent == nil {
		return
	}
	g.sent.secret = r.out.link
	if g.sent.method == twofa.SMS {
		g.sent.secret = r.out.code
		require.Regexp(r.t, sixDigits, r.out.code)
	}
	r.seen[user][g.sent.method] = append(r.seen[user][g.sent.method], g.sent.secret)
}

var sixDigits = regexp.MustCompile(`^[0-9]{6}$`)

func (r *modelRun) cancelSomehow() {
	h := r.some(r.challenges)
	if h == nil {
		return
	}
	c := r.client(h.device)
	r.agree(h.who()+"cancel", r.rules.cancel(c, h.pass), told(r.server().Cancel(r.t.Context(), c, twofa.ParseChallenge(h.token))))
}

func (r *modelRun) resumeSomehow() {
	c, ok := r.caller()
	if !ok || c.session == nil {
		return
	}
	want, g := r.rules.resumeSession(c.rules())
	l, err := r.server().Resume(r.t.Context(), c.real())
	r.agree(c.who()+"resume in "+c.account, want, toldLogin(l, err))
	r.keep(c.session.device, l, g)
}

// signIn goes through a whole login.
func (r *modelRun) signIn() {
	d := r.device()
	h := r.begin(d, twofa.FirstFactor{UserID: d.user, Account: r.account(), By: twofa.ByPassword, Client: d.client})
	if h = r.answer(h); h != nil && h.pass.kind == "enroll" && r.chance(70) {
		r.setUpBy(modelCall{challenge: h, account: h.pass.account, client: d.client})
	}
}

// answer proves what a challenge asks for.
func (r *modelRun) answer(h *modelHold) *modelHold {
	if h == nil || h.pass.kind != "login" && h.pass.kind != "action" {
		return h
	}
	_, offered, why := r.rules.resume(h.device.client, h.pass)
	if why != "" {
		return nil
	}
	method := oneOf(r, offered[0], offered[0], offered[0], oneOf(r, offered...))
	if method == twofa.SMS || method == twofa.EmailLink {
		if h = r.send(h, h.device.client, method); h == nil {
			return nil
		}
	}
	if r.chance(70) {
		r.wait(int64(r.rules.cfg.TOTP.Period / time.Second)) // the code before may be spent
	}
	return r.verify(h, h.device.client, twofa.Proof{Method: method, Code: r.right(h.pass, method), Remember: r.chance(40)})
}

// outlive uses a remembered browser until it is asked again, and its token
// from before a rotation until that is a copy.
func (r *modelRun) outlive() {
	remember := int64(r.rules.policy("acme").Remember / time.Second)
	var d *modelDevice
	var b *modelBrowser
	for _, i := range r.rng.Perm(len(r.devices)) {
		d = r.devices[i]
		b, _ = r.rules.browser(r.rules.user(d.user), d.client.Browser.Reveal())
		if b != nil && b.remember && b.proven+remember-aMinute > r.rules.now {
			break
		}
		b = nil
	}
	if b == nil {
		return
	}
	f := twofa.FirstFactor{UserID: d.user, Account: "acme", By: twofa.ByPassword, Client: d.client}
	if r.chance(50) {
		r.begin(d, f)
		r.wait(29 + int64(r.rng.IntN(2)))
		r.begin(d, f) // with the token before
		return
	}
	r.wait(b.proven + remember - int64(r.rng.IntN(2)) - r.rules.now)
	r.begin(d, f)
}

// moveHouse changes the address while a link is on its way.
func (r *modelRun) moveHouse() {
	d := r.device()
	h := r.begin(d, twofa.FirstFactor{UserID: d.user, Account: r.account(), By: twofa.ByPassword, Client: d.client})
	if h == nil || h.pass.kind != "login" {
		return
	}
	if h = r.send(h, d.client, twofa.EmailLink); h == nil {
		return
	}
	u := r.rules.dir[d.user]
	u.Emails = []string{d.user + strconv.Itoa(r.steps) + "@example.com"}
	r.rules.dir[d.user] = u
	r.verify(h, d.client, twofa.Proof{Method: twofa.EmailLink, Code: r.right(h.pass, twofa.EmailLink)})
}

// crowd signs in from a dozen browsers.
func (r *modelRun) crowd() {
	d := r.device()
	for i := range 12 {
		d.client.Browser, d.past = twofa.NewSecret(d.user+"'s browser "+strconv.Itoa(r.steps+i)), nil
		r.answer(r.begin(d, twofa.FirstFactor{UserID: d.user, Account: "acme", By: twofa.ByPassword, Client: d.client}))
	}
	if h := r.some(r.sessions); h != nil {
		r.browsers(modelCall{session: h, account: h.pass.account, client: h.device.client})
	}
}

// Set-up.

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
	if f := r.rules.user(c.user()).factors; len(f) > 0 && r.chance(40) {
		e.Replaces = oneOf(r, f...).id
	}
	return e
}

func (r *modelRun) enroll(c modelCall, e twofa.EnrollRequest) bool {
	r.rules.down = r.chance(3)
	want, s, g := r.rules.enroll(c.rules(), e)
	got, err := r.server().Enroll(r.t.Context(), c.real(), e)
	r.agree(c.who()+"enroll "+string(e.Method)+" in "+c.account+" in place of '"+e.Replaces+"'", want, told(err))
	r.rules.down = false
	if u := r.rules.user(c.user()); u.setup != nil && u.setup.id == "" && err != nil { // pending, though the text did not leave
		got, err = r.server().PendingEnrollment(r.t.Context(), c.real())
		require.NoError(r.t, err)
		r.learnSetup(c.user(), u.setup, got)
	}
	if s == nil {
		return false
	}
	r.learnSetup(c.user(), s, got)
	if h := r.keep(r.deviceOf(c), twofa.Result{Challenge: got.Challenge}, g); h != nil {
		c.challenge = h
	}
	r.learnSent(c.user(), g)
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
	s.id, s.codes = e.ID, revealed(e.Codes)
	if s.method == twofa.TOTP {
		s.what = e.URI.Reveal()
		r.uris[user] = append(r.uris[user], s.what)
	}
	n := 0
	if !s.saved {
		n = r.rules.cfg.Recovery.Codes
	}
	require.Len(r.t, s.codes, n, "recovery codes come where there are none, or were asked for")
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

// setUpBy goes through a whole set-up, the two steps in either order.
func (r *modelRun) setUpBy(c modelCall) {
	if !r.enroll(c, r.someFactor(c)) {
		return
	}
	c = r.setups[c.user()]
	for range oneOf(r, 0, 0, 0, 1, 2, 6) {
		r.confirm(c, r.other(c.user(), oneOf(r, twofa.TOTP, twofa.SMS)))
	}
	save := r.chance(50)
	for range 2 {
		switch {
		case r.chance(8): // left undone
		case save:
			r.save(c)
		default:
			r.confirm(c, r.pendingCode(c))
		}
		save = !save
	}
}

// pendingCode is the code that confirms.
func (r *modelRun) pendingCode(c modelCall) string {
	u := r.rules.user(c.user())
	switch {
	case u.setup == nil:
		return "000000"
	case u.setup.method == twofa.TOTP:
		return r.shown(u.setup.what, 0)
	}
	for _, x := range u.sent {
		if x.attempt == u.setup.attempt {
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
	want, g := r.rules.confirm(c.rules(), code)
	l, err := r.server().Confirm(r.t.Context(), c.real(), code)
	r.agree(c.who()+"confirm "+code, want, toldLogin(l, err))
	r.keep(r.deviceOf(c), l, g)
}

func (r *modelRun) saveSomehow() {
	if c, ok := r.pendingCaller(); ok {
		r.save(c)
	}
}

func (r *modelRun) save(c modelCall) {
	want, g := r.rules.saveCodes(c.rules())
	l, err := r.server().SaveCodes(r.t.Context(), c.real())
	r.agree(c.who()+"save codes", want, toldLogin(l, err))
	r.keep(r.deviceOf(c), l, g)
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
	codes, err := r.server().RecoveryCodes(r.t.Context(), c.real())
	r.agree(c.who()+"view codes", want, told(err))
	if u == nil {
		return
	}
	require.Len(r.t, codes, u.left())
	for _, code := range codes {
		require.True(r.t, u.codes[plainDigits(code.Reveal())], "only codes that are left are shown")
	}
}

// someID is a factor of the caller's, or of another user.
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
		r.agree(c.who()+"rename", r.rules.rename(c.rules(), id, name), told(r.server().Rename(r.t.Context(), c.real(), id, name)))
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
	r.agree(c.who()+"remove "+id+" in "+c.account, r.rules.remove(c.rules(), id), told(r.server().Remove(r.t.Context(), c.real(), id)))
}

// Step-up.

func (r *modelRun) someAction() (action, resource string) {
	return oneOf(r, "export", "export", "report", "any", twofa.ActionFactors), oneOf(r, "", "", "", "42")
}

func (r *modelRun) stepUpSomehow() {
	if c, ok := r.caller(); ok && c.session != nil {
		action, resource := r.someAction()
		r.stepUp(c, action, resource)
	}
}

func (r *modelRun) stepUp(c modelCall, action, resource string) *modelHold {
	want, g := r.rules.stepUp(c.rules(), action, resource)
	l, err := r.server().StepUp(r.t.Context(), c.real(), action, resource)
	r.agree(c.who()+"step up for "+action+" "+resource+" in "+c.account, want, toldLogin(l, err))
	return r.keep(c.session.device, l, g)
}

// prove goes through a whole step-up.
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
	r.agree(c.who()+name+action+" "+resource+" in "+c.account, want, told(call(r.t.Context(), c.real(), action, resource)))
}

// Ends.

func (r *modelRun) forget() {
	c, ok := r.caller()
	if !ok || c.session == nil {
		return
	}
	if r.chance(30) {
		r.agree(c.who()+"forget browsers", r.rules.forget(c.rules(), -1), told(r.server().ForgetBrowsers(r.t.Context(), c.real())))
		return
	}
	i, id := 99, "none"
	if list := r.browsers(c); len(list) > 0 {
		i = r.rng.IntN(len(list))
		id = list[i].ID
	}
	r.agree(c.who()+"forget browser", r.rules.forget(c.rules(), i), told(r.server().ForgetBrowser(r.t.Context(), c.real(), id)))
}

func (r *modelRun) revoke() { r.end("revoke", (*twofa.Manager).Revoke, false) }

// credentials changes the password, and says so.
func (r *modelRun) credentials() {
	r.end("credentials changed", (*twofa.Manager).CredentialsChanged, true)
}

func (r *modelRun) end(name string, call func(*twofa.Manager, context.Context, twofa.Caller, string) error, changed bool) {
	c, ok := r.caller()
	if !ok || c.session == nil {
		return
	}
	user, real, host := c.user(), c.real(), r.chance(40)
	if r.chance(10) {
		user = r.device().user
	}
	if host {
		real = twofa.Host("support")
	}
	if changed && (host || user == c.user()) {
		r.restamp(user)
	}
	r.agree(c.who()+name+" of "+user, r.rules.revoke(c.rules(), user, host, changed), told(call(r.server(), r.t.Context(), real, user)))
}

func (r *modelRun) restamp(user string) {
	u := r.rules.dir[user]
	u.SecurityStamp = strconv.Itoa(r.steps)
	r.rules.dir[user] = u
}

// edit changes the directory behind the library's back.
func (r *modelRun) edit() {
	id := r.device().user
	u := r.rules.dir[id]
	what := ""
	switch r.rng.IntN(4) {
	case 0:
		u.SecurityStamp, what = strconv.Itoa(r.steps), "has a new password"
	case 1:
		u.Emails, what = []string{id + strconv.Itoa(r.steps) + "@example.com"}, "has a new address"
	case 2:
		u.Members, what = []twofa.Member{{Account: oneOf(r, "acme", "beta")}}, "left an account"
	default:
		u.Disabled, what = true, "is disabled"
	}
	if u.Disabled && what == "is disabled" && r.rules.dir[id].Disabled || r.chance(30) {
		u.Disabled, u.Members, what = false, []twofa.Member{{Account: "acme"}, {Account: "beta"}}, "is back"
	}
	r.rules.dir[id] = u
	r.trace = append(r.trace, modelLine{r.rules.now, id + " " + what, ""})
	for _, h := range r.challenges {
		if h.pass.user == id && r.rules.alive(h.pass) && r.chance(50) { // as if nothing had happened
			method := oneOf(r, twofa.EmailLink, twofa.TOTP)
			r.verify(h, h.device.client, twofa.Proof{Method: method, Code: r.right(h.pass, method)})
		}
	}
}

func (r *modelRun) setPolicy() {
	account, p := oneOf(r, "acme", "beta"), oneOf(r, modelPolicies()...)
	r.rules.policies[account] = p
	r.agree("* policy of "+account+": "+p.String(), saysFine, told(r.server().SetPolicy(r.t.Context(), twofa.Host("test"), account, p)))
}

func (r *modelRun) erase() {
	id := r.device().user
	delete(r.rules.users, id)
	r.agree(id+" erased", saysFine, told(r.server().Erase(r.t.Context(), twofa.Host("test"), id)))
}

// guess enters wrong codes until the method is locked, in a browser of the
// person's own or one with nothing but the password.
func (r *modelRun) guess() { r.guessUntil(r.device(), 1+r.rng.IntN(12)) }

// siege goes on until the method is switched off.
func (r *modelRun) siege() { r.guessUntil(r.device(), 200) }

func (r *modelRun) guessUntil(d *modelDevice, n int) {
	f := twofa.FirstFactor{UserID: d.user, Account: "acme", By: twofa.ByPassword, Client: d.client}
	h := r.begin(d, f)
	method := oneOf(r, twofa.TOTP, twofa.TOTP, twofa.SMS, twofa.RecoveryCode)
	for range n {
		if h == nil || h.pass.kind != "login" {
			return
		}
		if sent := r.guessText(h, method); sent != nil {
			h = sent
		}
		r.verify(h, d.client, twofa.Proof{Method: method, Code: "000000"})
		u := r.rules.user(d.user)
		known := r.rules.known(u, d.client)
		counter := u.counters[bucketOf(method, known)]
		if wait := counter.until - r.rules.now; wait > 0 {
			r.wait(wait - int64(r.rng.IntN(2)))
			if seen := r.seen[d.user][method]; len(seen) > 0 && r.chance(70) {
				r.verify(h, d.client, twofa.Proof{Method: method, Code: seen[len(seen)-1]}) // void since the lock
			}
			h = r.begin(d, f)
		}
	}
}

// guessText has a code texted, for those who guess one.
func (r *modelRun) guessText(h *modelHold, method twofa.Method) *modelHold {
	if method != twofa.SMS || r.chance(50) {
		return nil
	}
	return r.send(h, h.device.client, method)
}
