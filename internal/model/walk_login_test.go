package model

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

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
	if r.fleet != nil && r.chance(3) {
		method = passkey // a word of the next release
	}
	code := r.right(h.pass, method)
	if code == "" || r.chance(40) {
		code = r.other(h.pass.user, method)
	}
	r.verify(h, r.client(h.device), twofa.Proof{Method: method, Code: twofa.NewSecret(code), Remember: r.chance(40)})
}

func (r *modelRun) verify(h *modelHold, c twofa.Client, p twofa.Proof) *modelHold {
	want, g := r.rules.verify(c, h.pass, p)
	l, err := r.server().Verify(r.t.Context(), twofa.Caller{Client: c}, r.challenge(h), p)
	r.agree(h.who()+"verify "+string(p.Method)+" "+p.Code.Reveal()+" for "+h.pass.kind+" "+h.pass.action, want, toldLogin(l, err))
	return r.keep(h.device, l, g)
}

// right returns a code that is valid or was valid until its use, or "" if there
// is none.
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

// shown returns the code that an app shows the given number of steps from now.
func (r *modelRun) shown(uri string, steps int64) string {
	return r.rules.appCode(uri, r.rules.now/int64(r.rules.cfg.TOTP.Period/time.Second)+steps)
}

// other returns a code that is probably wrong: of another time, app, browser,
// set or spelling, used before, or nonsense.
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
		return code[:5] + string('0'+(code[5]-'0'+1)%10) // one digit is wrong
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
	l, err := r.server().Send(r.t.Context(), c, r.challenge(h), method)
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
	r.agree(h.who()+"cancel", r.rules.cancel(c, h.pass), told(r.server().Cancel(r.t.Context(), c, r.challenge(h))))
}

func (r *modelRun) resumeSomehow() {
	c, ok := r.caller()
	if !ok || c.session == nil {
		return
	}
	want, g := r.rules.resumeSession(c.rules())
	l, err := r.server().Resume(r.t.Context(), r.real(c))
	r.agree(c.who()+"resume in "+c.account, want, toldLogin(l, err))
	r.keep(c.session.device, l, g)
}

// signIn makes a whole login.
func (r *modelRun) signIn() {
	d := r.device()
	h := r.begin(d, twofa.FirstFactor{UserID: d.user, Account: r.account(), By: twofa.ByPassword, Client: d.client})
	if h = r.answer(h); h != nil && h.pass.kind == "enroll" && r.chance(70) {
		r.setUpBy(modelCall{challenge: h, account: h.pass.account, client: d.client})
	}
}

// answer proves what a challenge demands.
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
		r.wait(int64(r.rules.cfg.TOTP.Period / time.Second)) // the previous code may be used up
	}
	return r.verify(h, h.device.client, twofa.Proof{Method: method, Code: twofa.NewSecret(r.right(h.pass, method)), Remember: r.chance(40)})
}

// outlive uses a remembered browser until it is challenged again, and its token
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
		r.begin(d, f) // with the previous token
		return
	}
	r.wait(b.proven + remember - int64(r.rng.IntN(2)) - r.rules.now)
	r.begin(d, f)
}

// moveHouse changes the address after a link was sent.
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
	r.verify(h, d.client, twofa.Proof{Method: twofa.EmailLink, Code: twofa.NewSecret(r.right(h.pass, twofa.EmailLink))})
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
