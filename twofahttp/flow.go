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
	retryAt time.Time // time before which no message can be sent; zero if unknown
	failed  string    // code and method of the message that says why the last attempt to send failed
}

// notSent returns why nothing was sent for a method, or nil if it can be sent
// now. Users can change the cookie in their own browser, but it only selects a
// text.
func (f flow) notSent(method twofa.Method, now time.Time) error {
	code, _ := strings.CutSuffix(f.failed, "."+string(method))
	wait := f.retryAt.Sub(now)
	switch {
	case code == "undeliverable":
		return about(method, twofa.ErrUndeliverable)
	case code == "send_failed" && wait > 0:
		return about(method, waitError{"send_paused", wait})
	case code == "send_failed":
		return about(method, errSend)
	case code == "messages_limited" && wait > 0:
		return about(method, waitError{code, wait})
	case code == "too_soon" && wait > 0:
		return about(method, waitError{"not_sent", wait})
	}
	return nil
}

// failSend notes that sending failed, because the next attempt may have to wait.
// It returns the error to show.
func (f *flow) failSend(method twofa.Method, err error, now time.Time) error {
	err = sendError(method, err, f.sendFailed(method))
	p := problemOf(err)
	if p.Code != "send_paused" { // the failure before is still the reason
		f.failed = p.Code + "." + string(method)
	}
	f.retryAt = time.Time{}
	if p.Wait > 0 {
		f.retryAt = now.Add(p.Wait)
	}
	return err
}

// sendFailed reports whether the last attempt to send failed on our side.
func (f flow) sendFailed(method twofa.Method) bool { return f.failed == "send_failed."+string(method) }

// isUndelivered reports whether the last message did not leave, and cannot have
// left before.
func (f flow) isUndelivered(method twofa.Method) bool {
	return f.sendFailed(method) || f.failed == "undeliverable."+string(method)
}

// flow returns the flow in a cookie. Its challenge may have expired or be used
// up. If there is none of this browser, it contains only what was not sent.
func (x *exchange) flow(name string) flow {
	q, err := url.ParseQuery(x.readCookie(name))
	if err != nil || len(q) == 0 {
		return flow{}
	}
	f := flow{failed: q.Get("f")}
	if retryAt, err := strconv.ParseInt(q.Get("w"), 10, 64); err == nil {
		f.retryAt = time.Unix(retryAt, 0)
	}
	challenge := twofa.ParseChallenge(q.Get("c"))
	info, err := x.m.ChallengeInfo(x.client(), challenge)
	if err != nil && info == (twofa.ChallengeInfo{}) {
		return f
	}
	f.kind, f.challenge, f.ChallengeInfo = kindOf(info), challenge, info
	f.next = SafeRedirect(cmp.Or(q.Get("n"), readNext(x.readCookie(name+longNext))), x.cfg.HomeURL)
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
