package model

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofatest"
)

// Counting.

func lockAfter(method twofa.Method, fails int) int64 {
	if fails < 5 {
		return 0
	}
	wait := int64(aMinute)
	for range fails - 5 {
		wait = min(2*wait, anHour)
	}
	if method == twofa.RecoveryCode {
		wait = aMinute
	}
	return wait
}

func switchedOff(method twofa.Method, known bool, fails int) bool {
	return method != twofa.RecoveryCode && (fails >= 90 || known && fails >= 10)
}

// waits returns how long a method is locked in this browser.
func (m *model) waits(u *modelUser, c twofa.Client, method twofa.Method) string {
	known := m.known(u, c)
	n := u.counters[bucketOf(method, known)]
	if switchedOff(method, known, n.fails) {
		return saysLocked(0)
	}
	if n.until > m.now {
		return saysLocked(n.until - m.now)
	}
	return ""
}

func (m *model) attempt(u *modelUser, c twofa.Client, method twofa.Method, try func() bool) string {
	if why := m.waits(u, c, method); why != "" {
		return why
	}
	known := m.known(u, c)
	here, there := bucketOf(method, known), bucketOf(method, !known)
	if try() {
		delete(u.counters, here)
		if switchedOff(method, !known, u.counters[there].fails) {
			delete(u.counters, there)
		}
		return ""
	}
	fails := u.counters[here].fails + 1
	n := modelCounter{fails: fails}
	if wait := lockAfter(method, fails); wait > 0 {
		n.until = m.now + wait
		u.unsend(func(x *modelSent) bool { return x.bucket == here })
	}
	u.counters[here] = n
	return saysInvalid(max(0, 5-fails))
}

// The methods.

type appStep struct {
	uri  string
	step int64
}

func (m *model) appCode(uri string, step int64) string {
	at := appStep{uri, step}
	if m.app[at] == "" {
		m.app[at] = twofatest.Code(m.t, uri, time.Unix(step*int64(m.cfg.TOTP.Period/time.Second), 0))
	}
	return m.app[at]
}

// plainDigits removes the separators that apps show for readability.
func plainDigits(code string) string {
	return strings.NewReplacer(" ", "", "-", "").Replace(code)
}

// matching returns the step within the skew for which a code is right.
func (m *model) matching(uri, code string) (step int64, ok bool) {
	reach := []int64{0, -1, 1}
	if m.cfg.TOTP.Strict {
		reach = reach[:1]
	}
	for _, d := range reach {
		if step = m.now/int64(m.cfg.TOTP.Period/time.Second) + d; m.appCode(uri, step) == plainDigits(code) {
			return step, true
		}
	}
	return 0, false
}

func (m *model) tryTOTP(u *modelUser, code string) bool {
	for i, f := range u.factors {
		if m.shown(f) != twofa.TOTP || !m.checks(f) {
			continue
		}
		if step, ok := m.matching(f.what, code); ok && step > f.step {
			u.factors[i].step, m.matched = step, f.kind
			return true
		}
	}
	return false
}

func (m *model) tryText(u *modelUser, p *pass, code string) bool {
	x := m.liveSent(u, p, twofa.SMS)
	if x == nil {
		return false
	}
	if x.secret != plainDigits(code) {
		if len(plainDigits(code)) == 6 {
			x.tries++
		}
		if x.tries == 5 {
			u.unsend(func(o *modelSent) bool { return o == x })
		}
		return false
	}
	u.unsend(func(o *modelSent) bool { return o == x })
	return true
}

func (u *modelUser) redeem(code string) bool {
	code = strings.ToUpper(plainDigits(code))
	if !u.codes[code] {
		return false
	}
	u.codes[code] = false
	return true
}

// deadlines returns the moments at which something of a user ends.
func (m *model) deadlines(user string) (l []int64) {
	u := m.user(user)
	for _, b := range u.browsers {
		l = append(l, b.expires, b.rotated+30, b.proven+30*aDay, b.proven+aDay)
	}
	for _, x := range u.sent {
		l = append(l, x.expires)
	}
	for _, g := range u.grants {
		l = append(l, g.at+5*aMinute, g.at+10*aMinute, g.at+15*aMinute, g.at+anHour)
	}
	for _, method := range []twofa.Method{twofa.TOTP, twofa.SMS, twofa.RecoveryCode} {
		l = append(l, u.counters[bucketOf(method, true)].until, u.counters[bucketOf(method, false)].until)
	}
	if u.setup != nil {
		l = append(l, u.setup.expires)
	}
	return slices.DeleteFunc(l, func(at int64) bool { return at <= m.now })
}

// Sending.

func (m *model) liveSent(u *modelUser, p *pass, method twofa.Method) *modelSent {
	for _, x := range u.sent {
		if x.id == p.sent && m.now < x.expires && (method == "" || x.method == method) {
			return x
		}
	}
	return nil
}

func (u *modelUser) unsend(which func(*modelSent) bool) { u.sent = slices.DeleteFunc(u.sent, which) }

// mayGo returns the time until the next message may be sent. After a message
// there is a pause of a minute, which grows for text messages. There are also
// limits per hour and per day.
func (m *model) mayGo(times []int64, method twofa.Method) (seconds int64) {
	recent := func(span int64) (l []int64) {
		for _, at := range times {
			if m.now < at+span {
				l = append(l, at)
			}
		}
		return l
	}
	pauses, daily := []int64{60, 60, 60}, 20
	if method == twofa.SMS {
		pauses, daily = []int64{60, 120, 300}, 10
	}
	inHour, inDay := recent(anHour), recent(aDay)
	if n := len(inHour); n > 0 {
		seconds = inHour[n-1] + pauses[min(n, 3)-1] - m.now
	}
	if n := len(inHour); n >= 5 {
		seconds = max(seconds, inHour[n-5]+anHour-m.now)
	}
	if n := len(inDay); n >= daily {
		seconds = max(seconds, inDay[n-daily]+aDay-m.now)
	}
	return max(0, seconds)
}

func (m *model) claim(u *modelUser, name string, method twofa.Method) string {
	if wait := m.mayGo(u.sends[name], method); wait > 0 {
		return saysLocked(wait)
	}
	u.sends[name] = append(u.sends[name], m.now)
	return ""
}

// claimNumber counts a message against the limits of a number, which all users
// share. Each purpose has its own.
func (m *model) claimNumber(name string) string {
	if wait := m.mayGo(m.texts[name], twofa.SMS); wait > 0 {
		return saysLocked(wait)
	}
	m.texts[name] = append(m.texts[name], m.now)
	return ""
}

func (m *model) deliver(number string) string {
	if number != "" {
		if why := m.claimNumber(number); why != "" {
			return why
		}
	}
	if m.down {
		return saysUnavailable
	}
	return ""
}

func (m *model) send(c twofa.Client, p *pass, method twofa.Method) (string, gift) {
	u, offered, why := m.resume(c, p)
	if why != "" {
		return why, gift{}
	}
	if !among(offered, method) || method != twofa.SMS && method != twofa.EmailLink {
		return saysNotAllowed, gift{}
	}
	if why := m.waits(u, c, method); why != "" {
		return why, gift{}
	}
	if why := m.claim(u, bucketOf(method, m.known(u, c)), method); why != "" {
		return why, gift{}
	}
	x := &modelSent{id: m.id(), attempt: p.attempt, method: method, bucket: bucketOf(method, m.known(u, c)),
		browser: p.browser, expires: m.now + 10*aMinute}
	number := ""
	if method == twofa.SMS {
		x.expires = m.now + 5*aMinute
		number = u.number() + ", known " + strconv.FormatBool(m.known(u, c))
	} else {
		x.to = m.dir[p.user].Emails[0]
	}
	u.unsend(func(o *modelSent) bool { // only the newest stays: one text message per bucket, and one link per browser
		return method == twofa.SMS && o.bucket == x.bucket || o.method == method && (o.attempt == x.attempt || o.browser != "" && o.browser == x.browser)
	})
	u.sent = append(u.sent, x)
	if why := m.deliver(number); why != "" {
		return why, gift{}
	}
	q := *p
	q.sent, q.expires = x.id, m.now+10*aMinute
	g := gift{next: twofa.NextChallenge, methods: offered, challenge: &q, sent: x}
	return g.String(), g
}

func (u *modelUser) number() string {
	for _, f := range u.factors {
		if f.method == twofa.SMS {
			return f.what
		}
	}
	return ""
}

func (m *model) cancel(c twofa.Client, p *pass) string {
	if !m.opens(p, c, "login", "action", "enroll") {
		return saysExpired
	}
	if why := m.load(p.user, ""); why != "" { // no policy is needed to take something away
		return why
	}
	u := m.user(p.user)
	if !u.live(p) || u.spent[p.attempt] {
		return saysExpired
	}
	u.spent[p.attempt] = true
	return saysFine
}
