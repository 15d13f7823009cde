package twofahttp

import (
	"encoding/base64"
	"net/url"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
)

// Kinds of flows.
const (
	kindLogin  = "login"
	kindAction = "action"
	kindEnroll = "enroll" // required enrollment
	kindPhone  = "phone"  // confirmation of a phone number in a live session
)

// flow is the state that the browser carries from page to page. Only the
// challenge is sealed. The other values decide what is shown: the account whose
// policy applies, the title of the action, and the next page. Users can change
// these values in their own browser but gain nothing: everything that matters is
// in the sealed challenge and is checked again by the guard.
type flow struct {
	kind      string
	challenge twofa.Challenge
	account   string
	next      string
	action    string
	resource  string
	sent      twofa.Method // method of the last message
	retryAt   time.Time    // time before which no message can be sent
	failed    string       // code of the alert that says why no message was sent
}

func (x *exchange) flow(name string) flow {
	q, err := url.ParseQuery(x.readCookie(name))
	if err != nil || len(q) == 0 {
		return flow{}
	}
	if long := x.readCookie(name + longNext); long != "" && q.Get("n") == "" {
		next, _ := base64.RawURLEncoding.DecodeString(long)
		q.Set("n", string(next))
	}
	retryAt, _ := strconv.ParseInt(q.Get("w"), 10, 64)
	return flow{kind: q.Get("k"), retryAt: time.Unix(retryAt, 0), challenge: twofa.ParseChallenge(q.Get("c")), account: q.Get("a"),
		next: SafeRedirect(q.Get("n"), x.cfg.HomeURL), action: q.Get("t"), resource: q.Get("r"), sent: twofa.Method(q.Get("s")), failed: q.Get("f")}
}

func (x *exchange) setFlow(name string, f flow) {
	q := url.Values{"k": {f.kind}, "c": {f.challenge.Reveal()}}
	for key, value := range map[string]string{"a": f.account, "n": f.next, "t": f.action, "r": f.resource, "s": string(f.sent), "f": f.failed} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if f.retryAt.Unix() > 0 {
		q.Set("w", strconv.FormatInt(f.retryAt.Unix(), 10))
	}
	age := challengeAge
	if name == enrollmentCookie {
		age = enrollmentAge
	}
	if len(q.Encode()) > maxFlow {
		q.Del("n")
		x.setCookie(name+longNext, base64.RawURLEncoding.EncodeToString([]byte(f.next)), age)
	}
	x.setCookie(name, q.Encode(), age)
}

// longNext is the end of the name of the cookie for a next page whose address is
// long.
const longNext = "-next"

// maxFlow leaves room for the longest challenge.
const maxFlow = 2000

// clearFlow deletes the cookie of a flow, if there is one.
func (x *exchange) clearFlow(name string) {
	for _, name := range []string{name, name + longNext} {
		if x.readCookie(name) != "" {
			x.setCookie(name, "", -time.Second)
		}
	}
}
