package twofahttp

import (
	"net/url"
	"time"
)

// dueData is the data of the page "due".
type dueData struct {
	Due  time.Time
	Next string // address to go to later
}

// duePage returns the address of the page "due", which leads to next.
func (x *exchange) duePage(next string) string {
	return x.path("due") + "?" + url.Values{"next": {next}}.Encode()
}

// getDue tells a user, once after each login, by when the account requires a
// factor that they do not have. If nothing is missing, it goes on.
func (x *exchange) getDue() (view, error) {
	factors, err := x.m.Factors(x.ctx(), x.caller())
	if err != nil {
		return view{}, err
	}
	if factors.Due.IsZero() {
		return redirectTo(x.nextURL())
	}
	return view{page: "due", data: dueData{factors.Due, x.nextURL()}}, nil
}
