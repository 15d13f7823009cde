package twofahttp

import (
	"net/url"
	"time"

	"github.com/twofa-go/twofa"
)

// noticeAge is enough for a user who is asked for a code before the message is
// shown.
const noticeAge = 10 * time.Minute

// notify keeps a message about a success until the next page that shows such
// messages: the settings, or the page "done".
func (x *exchange) notify(code string) { x.setCookie(noticeCookie, code, noticeAge) }

// takeNotice returns the message of the last form, once, or nil. Users can change
// the cookie in their own browser, but it only selects a text.
func (x *exchange) takeNotice() *alert {
	m := messageOf(x.readCookie(noticeCookie), "")
	x.deleteCookie(noticeCookie)
	if !m.good() {
		return nil
	}
	return x.alert(problem{message: m})
}

// doneData is the data of the page "done".
type doneData struct {
	Title string
	Text  string
	Next  string // address to go to afterwards
	Offer string // "continue" or "login"
}

// donePage returns the address of the page "done", which leads to next.
func (x *exchange) donePage(next string) string {
	return x.path("done") + "?" + url.Values{"next": {next}}.Encode()
}

// getDone shows that something has succeeded if the way on leads to a page of the
// host, which cannot show it. If the page is loaded again, it goes on.
func (x *exchange) getDone() (view, error) {
	a := x.takeNotice()
	if a == nil {
		return redirectTo(x.nextURL())
	}
	return doneView(a, x.nextURL()), nil
}

func doneView(a *alert, next string) view {
	return view{page: "done", data: doneData{a.Title, a.Text, next, a.Next}}
}

// postRevoke ends all sessions of the user, including this one.
func (x *exchange) postRevoke() (view, error) {
	return x.change(changeRevoke, func() (view, error) {
		c := x.caller()
		d, err := x.m.DescribeSession(c.Session)
		if err != nil {
			return view{}, err
		}
		if err := x.m.User(twofa.AsUser(c, ""), d.User).Revoke(x.ctx()); err != nil {
			return view{}, err
		}
		if err := x.signOut(); err != nil {
			return view{}, err
		}
		x.notify("signed_out_everywhere")
		return redirectTo(x.path("done"))
	})
}
