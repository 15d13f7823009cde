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

// counter returns a counter as it is now. In unknown browsers, failures in a
// row are forgotten after a day without one, and the level drains by one a day.
// It drains from now at the latest, because a clock may have been ahead.
func (m *model) counter(u *modelUser, name string) modelCounter {
	n := u.counters[name]
	if strings.Contains(name, "/") {
		return n
	}
	if m.now-n.last >= aDay {
		n.fails, n.until = 0, 0
	}
	n.since = min(n.since, m.now)
	for n.level > 0 && m.now-n.since >= aDay {
		m.reach("a level drains")
		n.level, n.since = n.level-1, n.since+aDay
	}
	return n
}

// switchedOff returns whether a method is off in unknown browsers, and for how
// long, which is 0 if waiting does not help.
func (m *model) switchedOff(method twofa.Method, n modelCounter) (off bool, wait int64) {
	switch {
	case method == twofa.RecoveryCode:
		return false, 0
	case n.streak >= 100:
		m.reach("off after 100 failures")
		return true, 0
	case n.level >= 40:
		m.reach("off at level 40")
		return true, n.since + aDay - m.now + int64(n.level-40)*aDay
	}
	return false, 0
}

// throttled returns how long a method is locked in this browser. If that is
// longer than it would be after a failure now, a clock was ahead, and the lock
// is shortened for good.
func (m *model) throttled(u *modelUser, c twofa.Client, user string, method twofa.Method) string {
	why := m.waits(u, c, user, method)
	name, _ := m.bucket(u, c, user, method)
	if n := m.counter(u, name); why == saysLocked(lockAfter(method, n.fails)) && n.until-m.now > lockAfter(method, n.fails) {
		m.reach("a lock by a clock that is ahead")
		n.until = m.now + lockAfter(method, n.fails)
		u.counters[name] = n
	}
	return why
}

// waits is throttled without a change.
func (m *model) waits(u *modelUser, c twofa.Client, user string, method twofa.Method) string {
	name, known := m.bucket(u, c, user, method)
	n := m.counter(u, name)
	if off, wait := m.switchedOff(method, n); off && !known {
		return saysLocked(wait)
	}
	if wait := min(n.until-m.now, lockAfter(method, n.fails)); wait > 0 {
		return saysLocked(wait)
	}
	return ""
}

func triesLeft(method twofa.Method, known bool, n modelCounter) int {
	left := 5 - n.fails
	if !known && method != twofa.RecoveryCode {
		left = min(left, 40-n.level, 100-n.streak)
	}
	return max(0, left)
}

// counted is what a wrong code left behind.
type counted struct {
	left int
	wait int64
}

// attempt tries a code. Text that cannot be one is refused before anything else
// and is not counted.
func (m *model) attempt(u *modelUser, c twofa.Client, user string, method twofa.Method, canBe bool, try func() bool) (string, *counted) {
	name, known := m.bucket(u, c, user, method)
	n := m.counter(u, name)
	if !canBe {
		if m.waits(u, c, user, method) != "" {
			m.reach("no code, while locked")
		}
		m.still = true
		return saysInvalid(triesLeft(method, known, n), 0), nil
	}
	if why := m.throttled(u, c, user, method); why != "" {
		return why, nil
	}
	if try() {
		m.succeeded(u, c, user, method)
		return "", nil
	}
	n.fails, n.last, n.until = n.fails+1, m.now, 0
	if wait := lockAfter(method, n.fails); wait > 0 {
		n.until = m.now + wait
		u.voidCodes(func(x *modelSent) bool { return x.bucket == name })
	}
	if method != twofa.RecoveryCode && known {
		other := u.counters[string(method)] // of all unknown browsers
		other.streak++
		u.counters[string(method)] = other
	} else if method != twofa.RecoveryCode {
		if n.level == 0 {
			n.since = m.now
		}
		n.level, n.streak = n.level+1, n.streak+1
	}
	u.counters[name] = n
	failed := &counted{triesLeft(method, known, n), max(0, n.until-m.now)}
	if off, wait := m.switchedOff(method, n); off && !known {
		failed.wait = wait
	}
	return saysInvalid(failed.left, failed.wait), failed
}

// succeeded ends the failures in a row.
func (m *model) succeeded(u *modelUser, c twofa.Client, user string, method twofa.Method) {
	name, _ := m.bucket(u, c, user, method)
	n := m.counter(u, name)
	n.fails, n.until, n.last = 0, 0, 0
	u.counters[name] = n
	if b := m.knownAs(u, c, user); b != nil {
		delete(u.counters, bucketIn(b, method))
	}
	n = u.counters[string(method)] // of all unknown browsers
	n.streak = 0
	u.counters[string(method)] = n
}

// voidCodes invalidates codes. Of a mail, the link remains valid.
func (u *modelUser) voidCodes(which func(*modelSent) bool) {
	for _, x := range u.sent {
		x.coded = x.coded && !which(x)
	}
	u.unsend(func(x *modelSent) bool { return x.method == twofa.SMS && which(x) })
}

// ease allows ten more failures after a first factor was changed, three times
// in 30 days.
func (m *model) ease(u *modelUser) {
	if u.eased = m.since(u.eased, 30*aDay); len(u.eased) >= 3 {
		m.reach("not eased a fourth time")
		return
	}
	eased := false
	for _, method := range []twofa.Method{twofa.TOTP, twofa.SMS, twofa.EmailLink} {
		if n := m.counter(u, string(method)); n.level > 0 {
			n.level, eased = max(0, n.level-10), true
			u.counters[string(method)] = n
		}
	}
	if eased {
		m.reach("eased by a changed first factor")
		u.eased = append(u.eased, m.now)
	}
}

// clear forgets the failures of a method that was enrolled again.
func (u *modelUser) clear(method twofa.Method) {
	for name := range u.counters {
		if of, _, _ := strings.Cut(name, "/"); of == string(method) {
			delete(u.counters, name)
		}
	}
}

// The methods.

type appStep struct {
	uri  string
	step int64
}

func (m *model) appCode(uri string, step int64) string {
	at := appStep{uri, step}
	if m.app[at] == "" {
		m.app[at] = twofatest.Code(m.t, uri, time.Unix(step*inSeconds(m.cfg.TOTP.Period), 0))
	}
	return m.app[at]
}

// plainDigits removes the separators that apps show for readability.
func plainDigits(code string) string {
	return strings.NewReplacer(" ", "", "-", "").Replace(code)
}

// isDigits reports whether text has the form of a code of n digits.
func isDigits(code string, n int) bool {
	plain := plainDigits(code)
	return len(code) <= 4*n && len(plain) == n && strings.Trim(plain, "0123456789") == ""
}

func plainRecovery(code string) string {
	return strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(plainDigits(code)))
}

// matching returns the step within the skew for which a code is right.
func (m *model) matching(uri, code string) (step int64, ok bool) {
	reach := []int64{0, -1, 1}
	if m.cfg.TOTP.Strict {
		reach = reach[:1]
	}
	for _, d := range reach {
		if step = m.now/inSeconds(m.cfg.TOTP.Period) + d; m.appCode(uri, step) == plainDigits(code) {
			return step, true
		}
	}
	return 0, false
}

// tryProof returns why a proof is wrong, and what was counted for it.
func (m *model) tryProof(u *modelUser, c twofa.Client, p *pass, proof twofa.Proof) (string, *counted) {
	switch proof.Method {
	case twofa.EmailLink: // the token has 256 bits and is not counted
		x, text := m.liveSent(u, p, twofa.EmailLink), proof.Code.Reveal()
		if x != nil && (!m.mailable(p.user) || x.to != m.dir[p.user].Emails[0]) {
			x = nil
		}
		if !isToken(text) && m.takesCode(u, p) {
			return m.attempt(u, c, p.user, proof.Method, isDigits(text, 6), func() bool { return x != nil && u.tryMailed(x, plainDigits(text)) })
		}
		if x == nil || x.secret != text {
			m.still = true
			return saysInvalid(0, 0), nil
		}
		m.succeeded(u, c, p.user, twofa.EmailLink)
		u.unsend(func(o *modelSent) bool { return o == x })
		return "", nil
	case twofa.TOTP:
		return m.attempt(u, c, p.user, proof.Method, isDigits(proof.Code.Reveal(), m.cfg.TOTP.Digits), func() bool { return m.tryTOTP(u, proof.Code.Reveal()) })
	case twofa.SMS:
		return m.attempt(u, c, p.user, proof.Method, isDigits(proof.Code.Reveal(), 6), func() bool { return m.tryText(u, p, proof.Code.Reveal()) })
	}
	return m.attempt(u, c, p.user, proof.Method, isRecovery(proof.Code.Reveal()), func() bool { return u.redeem(proof.Code.Reveal()) })
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

// tryText compares a code. All codes of a bucket share their failures.
func (m *model) tryText(u *modelUser, p *pass, code string) bool {
	x := m.liveSent(u, p, twofa.SMS)
	if x == nil || x.to != u.number() {
		return false
	}
	if x.secret != plainDigits(code) {
		u.missed(x.bucket)
		return false
	}
	u.unsend(func(o *modelSent) bool { return o.bucket == x.bucket })
	return true
}

// missed counts a wrong code against all those of a bucket.
func (u *modelUser) missed(bucket string) {
	for _, o := range u.sent {
		if o.bucket == bucket {
			o.tries++
		}
	}
	u.voidCodes(func(o *modelSent) bool { return o.bucket == bucket && o.tries >= 5 })
}

// tryMailed compares a code with that of a mail. Using it uses up the link, too.
func (u *modelUser) tryMailed(x *modelSent, code string) bool {
	if !x.coded {
		return false
	}
	if x.code != code {
		u.missed(x.bucket)
		return false
	}
	u.unsend(func(o *modelSent) bool { return o == x })
	return true
}

// isToken reports whether a text has the length of the token of a link.
func isToken(s string) bool { return len(s) == 43 }

// takesCode reports whether a challenge takes the code of a mail: that of an action
// other than a change of factors, or of a login under a policy that accepts links.
// Any other link comes before an enrollment.
func (m *model) takesCode(u *modelUser, p *pass) bool {
	switch pol := m.policy(p.account); {
	case !m.at.codes:
		return false
	case p.kind == "action":
		return p.action != twofa.ActionFactors
	default:
		return among(strongest(m.enrolled(u, p.account, m.mailable(p.user)), pol.Methods, pol.Fallback), twofa.EmailLink)
	}
}

func (u *modelUser) redeem(code string) bool {
	code = plainRecovery(code)
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
		l = append(l, b.expires, b.rotated+2*aMinute, b.proven+30*aDay, b.proven+aDay)
	}
	for _, x := range u.sent {
		l = append(l, x.expires)
	}
	for _, g := range u.grants {
		l = append(l, g.at+5*aMinute, g.at+10*aMinute, g.at+15*aMinute, g.at+anHour)
	}
	for _, n := range u.counters {
		l = append(l, n.until, n.last+aDay)
		if n.level > 0 {
			l = append(l, n.since+aDay)
		}
	}
	for _, a := range u.answers {
		l = append(l, a.at+10)
	}
	for _, until := range u.spent {
		l = append(l, until-aMinute) // when the challenge would have expired
	}
	if u.setup != nil {
		l = append(l, u.setup.expires, u.setup.ends)
	}
	if u.reset != nil {
		l = append(l, u.reset.at+aDay)
	}
	l = append(l, m.dues(user)...)
	l = append(l, u.helpEnds()...)
	return slices.DeleteFunc(append(l, u.stampedAt+aMinute), func(at int64) bool { return at <= m.now })
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

// addSent keeps a message, and of the others the last eleven that are valid.
func (m *model) addSent(u *modelUser, x *modelSent) {
	u.sent = append(slices.Clone(u.sent), x)
	u.unsend(func(o *modelSent) bool { return m.now >= o.expires })
	if len(u.sent) > 1 && x.method == twofa.SMS {
		m.reach("a code beside another")
	}
	u.sent = u.sent[max(0, len(u.sent)-12):]
}

// spacing is how often something may be done.
type spacing struct {
	pauses          []int64 // after the first, the second and each further one within an hour
	inHour, ofADays int
}

var (
	spacingMail = spacing{[]int64{60, 60, 60}, 5, 20}
	spacingText = spacing{[]int64{60, 120, 300}, 5, 10}
	spacingUse  = spacing{[]int64{0, 0, 0}, 20, 100}
)

func spacingOf(method twofa.Method) spacing {
	if method == twofa.SMS {
		return spacingText
	}
	return spacingMail
}

func (m *model) since(times []int64, span int64) (l []int64) {
	for _, at := range times {
		if m.now < at+span {
			l = append(l, at)
		}
	}
	return l
}

// mayGo returns the time until something may be done again.
func (m *model) mayGo(times []int64, s spacing) (seconds int64) {
	inHour, inDay := m.since(times, anHour), m.since(times, aDay)
	if n := len(inHour); n > 0 {
		seconds = inHour[n-1] + s.pauses[min(n, 3)-1] - m.now
	}
	if n := len(inHour); n >= s.inHour {
		seconds = max(seconds, inHour[n-s.inHour]+anHour-m.now)
	}
	if n := len(inDay); n >= s.ofADays {
		seconds = max(seconds, inDay[n-s.ofADays]+aDay-m.now)
	}
	return max(0, seconds)
}

func (m *model) claim(sends map[string]modelSends, name string, s spacing) string {
	x := sends[name]
	if wait := m.mayGo(x.times, s); wait > 0 {
		return saysLocked(wait)
	}
	x.times = append(m.since(x.times, aDay), m.now)
	sends[name] = x
	return ""
}

// giveBack undoes a claim for a message that can never arrive, twice a day.
func (m *model) giveBack(u *modelUser, name string) {
	x := u.sends[name]
	if x.returned = m.since(x.returned, aDay); len(x.returned) >= 2 {
		m.reach("not given back a third time")
	} else {
		m.reach("a message is given back")
		x.times, x.returned = slices.Clone(x.times[:len(x.times)-1]), append(x.returned, m.now)
		u.sends[name] = x
	}
}

// claimNumber counts a message against the limits of a number, which all users
// share. Each purpose has its own.
func (m *model) claimNumber(name string) string { return m.claim(m.texts, name, spacingText) }

// deliver hands a message over. Only then are those that it replaces invalid.
func (m *model) deliver(u *modelUser, x *modelSent, number string) string {
	if number != "" {
		if why := m.claimNumber(number); why != "" {
			return why
		}
	}
	switch m.down {
	case nothingSent:
		return saysUnavailable
	case noRecipient:
		m.giveBack(u, x.bucket)
		u.unsend(func(o *modelSent) bool { return o == x })
		return saysUndeliverable
	}
	u.unsend(func(o *modelSent) bool { // only the newest stays: one text message per bucket, and one message per login and browser
		return o != x && (x.method == twofa.SMS && o.bucket == x.bucket || o.method == x.method && (o.attempt == x.attempt || o.browser != "" && o.browser == x.browser))
	})
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
	m.notes(p.user)
	locked := m.waits(u, c, p.user, method)
	if method == twofa.SMS && locked != "" {
		return m.throttled(u, c, p.user, method), gift{}
	}
	name, known := m.bucket(u, c, p.user, method)
	if why := m.claim(u.sends, name, spacingOf(method)); why != "" {
		return why, gift{}
	}
	x := &modelSent{id: m.id(), attempt: p.attempt, sid: p.sid, method: method, bucket: name, browser: p.browser, expires: m.now + inSeconds(m.cfg.Lifetimes.Link)}
	number := ""
	if method == twofa.SMS {
		x.expires, x.to = m.now+5*aMinute, u.number()
		number = u.number() + ", known " + strconv.FormatBool(known)
	} else {
		x.to = m.dir[p.user].Emails[0]
		x.coded = m.takesCode(u, p) && locked == ""
		m.throttled(u, c, p.user, method)
		switch {
		case !m.at.codes:
		case locked != "":
			m.reach("a mail without a code, while codes are locked")
		case !x.coded:
			m.reach("a mail without a code, before an enrollment")
		}
	}
	m.addSent(u, x)
	q := *p
	q.sent, q.expires = x.id, m.now+m.lifetime(p.kind)
	g := gift{next: twofa.NextChallenge, methods: offered, challenge: &q, sent: x}
	if why := m.deliver(u, x, number); why != "" {
		return why, gift{}
	}
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

// cancel uses up a challenge for which something was sent or tried, 20 in an
// hour. Any other costs nothing and ends by itself. No answer of the same login,
// step-up or enrollment is given again.
func (m *model) cancel(c twofa.Client, p *pass) string {
	if !m.opens(p, c, "login", "action", "enroll") {
		return saysExpired
	}
	if why := m.load(p.user, ""); why != "" { // no policy is needed to take something away
		return why
	}
	u := m.user(p.user)
	sent := p.sent != 0 || slices.ContainsFunc(u.sent, func(x *modelSent) bool { return x.attempt == p.attempt })
	tried := false
	var others []modelAnswer
	for _, a := range u.answers {
		if a.to != toChallenge(p) && a.to != toStep(p) && a.sid != p.sid {
			others = append(others, a)
		} else if m.isKept(a) {
			tried = true
		}
	}
	switch over := u.isSpent(p) || !u.live(p); {
	case over && tried:
		m.reach("an answer that was canceled: " + p.kind)
		u.answers = others
		return saysExpired
	case over:
		return saysExpired
	case !tried && !sent:
		m.reach("nothing to cancel")
		m.still = true
		return saysFine
	case len(u.spent) >= 32:
		m.reach("too many used-up challenges to cancel")
		return saysLocked(anHour)
	}
	if why := m.claim(u.sends, "cancel", spacingUse); why != "" {
		m.reach("canceled too often")
		return why
	}
	if p.sent == 0 && sent {
		m.reach("canceled with the challenge from before a message")
	}
	if !sent && !slices.ContainsFunc(u.answers, func(a modelAnswer) bool { return a.to == toChallenge(p) }) {
		m.reach("canceled because of an earlier step: " + p.kind)
	}
	u.answers = others
	m.spend(u, p)
	return saysFine
}
