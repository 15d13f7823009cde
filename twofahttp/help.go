package twofahttp

import (
	"slices"

	"github.com/twofa-go/twofa"
)

// helpData is the data of the page "help".
type helpData struct {
	SignedIn bool     // whether the user is signed in, so that the page is not about signing in
	Methods  []string // methods that the login or step-up of this browser accepts; empty if there is none
	Advice   []string // methods with something to try: "recovery", "totp" and "email", if they are accepted or nothing is known
	Admins   bool     // whether an admin may be able to help; false only if there is no account
	Lost     bool     // whether the user can report the device as lost
	Back     string   // address to go back to
}

// getHelp shows the page for users who cannot give the code or link that a page
// asks for. It changes nothing. It must work even if nothing else does, so an error
// only makes it show less. It shows no method of the user that the page
// "challenge" would not show.
func (x *exchange) getHelp() (view, error) {
	f, c := x.flow(challengeCookie), x.caller()
	live := x.m.Check(x.ctx(), c)
	d := helpData{SignedIn: live == nil, Admins: c.Account != "" || c.Session.IsZero() && f.kind == "", Back: x.cfg.LoginURL}
	if d.SignedIn {
		d.Back = x.path("")
	}
	if f.kind == kindLogin || f.kind == kindAction {
		result, err := x.m.DescribeChallenge(x.ctx(), x.client(), f.challenge)
		if err == nil {
			d.Methods, d.Admins, d.Back = methodNames(result.Methods), f.Account != "", x.path("challenge")
			d.Lost = canReportLost(f, result.Methods)
		} else {
			x.log(err)
		}
	}
	for _, m := range []twofa.Method{twofa.RecoveryCode, twofa.TOTP, twofa.EmailLink} {
		if len(d.Methods) == 0 || slices.Contains(d.Methods, string(m)) {
			d.Advice = append(d.Advice, string(m))
		}
	}
	return view{page: "help", data: d}, nil
}
