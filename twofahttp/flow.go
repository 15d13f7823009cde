package twofahttp

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"
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

// flow is the state that the browser carries from page to page: the sealed
// challenge, what it contains, and three values that are not sealed. Users can
// change those in their own browser but gain nothing. The next page is checked
// each time it is read, and the others select a sentence about a message that
// was not sent. The Manager decides when one can be sent.
type flow struct {
	kind      string // one of the kinds, or "" if there is no challenge of this browser
	challenge twofa.Challenge
	twofa.ChallengeInfo
	next    string
	retryAt time.Time // time before which no message can be sent
	failed  string    // code of the alert that says why no message was sent
}

// flow returns the flow in a cookie. Its challenge may have expired or be used
// up.
func (x *exchange) flow(name string) flow {
	q, err := url.ParseQuery(x.readCookie(name))
	if err != nil || len(q) == 0 {
		return flow{}
	}
	f := flow{challenge: twofa.ParseChallenge(q.Get("c")), next: SafeRedirect(cmp.Or(q.Get("n"), readNext(x.readCookie(name+longNext))), x.cfg.HomeURL), failed: q.Get("f")}
	if f.ChallengeInfo, err = x.m.ChallengeInfo(x.client(), f.challenge); err != nil && f.ChallengeInfo == (twofa.ChallengeInfo{}) {
		return flow{}
	}
	f.kind = kindOf(f.ChallengeInfo)
	if retryAt, err := strconv.ParseInt(q.Get("w"), 10, 64); err == nil {
		f.retryAt = time.Unix(retryAt, 0)
	}
	return f
}

func kindOf(info twofa.ChallengeInfo) string {
	switch {
	case info.Next == twofa.NextEnroll:
		return kindEnroll
	case info.Next == "":
		return kindPhone
	case info.Action != "":
		return kindAction
	}
	return kindLogin
}

// setFlow sets the cookie of a flow. Of f, it keeps the challenge and the values
// that are not sealed.
func (x *exchange) setFlow(name string, f flow) {
	q := url.Values{"c": {f.challenge.Reveal()}}
	for key, value := range map[string]string{"n": f.next, "f": f.failed} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if !f.retryAt.IsZero() {
		q.Set("w", strconv.FormatInt(f.retryAt.Unix(), 10))
	}
	age := challengeAge
	if name == enrollmentCookie {
		age = enrollmentAge
	}
	if len(q.Encode()) > maxFlow {
		q.Del("n")
		x.setCookie(name+longNext, writeNext(f.next), age)
	} else {
		x.deleteCookie(name + longNext) // of an earlier flow
	}
	x.setCookie(name, q.Encode(), age)
}

// longNext is the end of the name of the cookie for a next page whose address is
// long.
const longNext = "-next"

// maxFlow leaves room for the longest challenge.
const maxFlow = 2000

// clearFlow deletes the cookies of a flow, if there are any.
func (x *exchange) clearFlow(name string) {
	x.deleteCookie(name)
	x.deleteCookie(name + longNext)
}

func (x *exchange) deleteCookie(name string) {
	if x.readCookie(name) != "" {
		x.setCookie(name, "", -time.Second)
	}
}

// readNext and writeNext convert an address to a cookie value of about the same
// length. Because base64 would be longer by a third, the answer to a login would
// not fit into the 4 KB that nginx reserves for headers.
func readNext(value string) string { return nextReader.Replace(value) }
func writeNext(next string) string { return nextWriter.Replace(next) }

var (
	nextWriter = strings.NewReplacer("~", "~t", `"`, "~q", ",", "~c", ";", "~s")
	nextReader = strings.NewReplacer("~t", "~", "~q", `"`, "~c", ",", "~s", ";")
)
