package twofahttp

import (
	"net/url"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
)

// What a flow is.
const (
	kindLogin  = "login"
	kindAction = "action"
	kindEnroll = "enroll" // demanded set-up
	kindPhone  = "phone"  // a number to confirm, in a live session
)

// flow is what the browser carries from page to page. Only the challenge is
// sealed. The rest decides what is shown: which account's policy, which
// action's name, where to go afterwards. Who changes it in the own browser
// gains nothing, for what counts is in the challenge and asked at the guard.
type flow struct {
	kind      string
	challenge twofa.Challenge
	account   string
	next      string
	action    string
	resource  string
	sent      twofa.Method // what was sent last
	retryAt   time.Time    // until when the login could not send anything
}

func (x *exchange) flow(name string) flow {
	c, err := x.r.Cookie(name)
	if err != nil {
		return flow{}
	}
	q, err := url.ParseQuery(c.Value)
	if err != nil {
		return flow{}
	}
	retryAt, _ := strconv.ParseInt(q.Get("w"), 10, 64)
	return flow{kind: q.Get("k"), retryAt: time.Unix(retryAt, 0), challenge: twofa.ParseChallenge(q.Get("c")), account: q.Get("a"),
		next: SafeRedirect(q.Get("n"), x.cfg.HomeURL), action: q.Get("t"), resource: q.Get("r"), sent: twofa.Method(q.Get("s"))}
}

func (x *exchange) setFlow(name string, f flow) {
	q := url.Values{"k": {f.kind}, "c": {f.challenge.Reveal()}}
	for key, value := range map[string]string{"a": f.account, "n": f.next, "t": f.action, "r": f.resource, "s": string(f.sent)} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if f.retryAt.Unix() > 0 {
		q.Set("w", strconv.FormatInt(f.retryAt.Unix(), 10))
	}
	if len(q.Encode()) > maxCookie {
		q.Del("n") // ends at home instead
	}
	age := challengeAge
	if name == enrollmentCookie {
		age = enrollmentAge
	}
	x.setCookie(name, q.Encode(), age)
}

// clearFlow ends a flow in this browser, if there is one.
func (x *exchange) clearFlow(name string) {
	if _, err := x.r.Cookie(name); err == nil {
		x.setCookie(name, "", -time.Second)
	}
}
