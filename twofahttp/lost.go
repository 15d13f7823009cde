package twofahttp

import (
	"errors"
	"slices"

	"github.com/twofa-go/twofa"
)

const lostNotice = "lost_reported"

// canReportLost reports whether the challenge is one for which a user may have lost
// the device: a login that accepts codes from one. The user must have given a first
// factor of their own, because no admin of one account may report it.
func canReportLost(f flow, methods []twofa.Method) bool {
	return f.kind == kindLogin && f.InPerson && (slices.Contains(methods, twofa.TOTP) || slices.Contains(methods, twofa.SMS))
}

// lostData is the data of the page "lost".
type lostData struct {
	Back string // address to go back to
}

// getLost says what a report does, before it is made.
func (x *exchange) getLost() (view, error) {
	back := x.path("challenge")
	f := x.flow(challengeCookie)
	if f.kind != kindLogin {
		return redirectTo(back)
	}
	result, err := x.m.DescribeChallenge(x.ctx(), x.client(), f.challenge)
	switch {
	case err != nil:
		return view{}, x.dropExpiredChallenge(f, err)
	case !canReportLost(f, result.Methods):
		return redirectTo(back)
	}
	return view{page: "lost", data: lostData{back}}, nil
}

// postLost reports the device as lost. The login goes on where it was.
func (x *exchange) postLost() (view, error) {
	x.retryURL = x.path("challenge")
	f := x.flow(challengeCookie)
	if f.kind != kindLogin {
		return view{}, twofa.ErrExpired
	}
	err := x.m.ReportLost(x.ctx(), x.client(), f.challenge)
	if errors.Is(err, twofa.ErrNotEnrolled) {
		err = twofa.ErrNotAllowed // an attacker who has the password must not learn which factors exist
	}
	if err != nil {
		return view{}, x.dropExpiredChallenge(f, err)
	}
	x.notify(lostNotice)
	return redirectTo(x.path("challenge"))
}
