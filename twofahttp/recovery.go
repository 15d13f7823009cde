package twofahttp

import (
	"time"

	"github.com/twofa-go/twofa"
)

// codesFile is the template of the text file with recovery codes.
const codesFile = "codes.txt"

// codesData is the data of the page "codes" and of the file.
type codesData struct {
	Issuer string
	User   string // name of the user; empty if it is not known
	Codes  []string
	Saved  time.Time // today
}

// showCodes returns the codes on a page or as a file.
func (x *exchange) showCodes(page, user string, codes []twofa.Secret) (view, error) {
	return view{page: page, data: codesData{x.cfg.Issuer, user, revealAll(codes), x.cfg.Now()}}, nil
}

// postCodes shows the unused codes if the deployment keeps them viewable. It is
// a POST because viewing them records an event and notifies the user.
func (x *exchange) postCodes() (view, error) {
	return x.change("", func() (view, error) {
		codes, err := x.m.RecoveryCodes(x.ctx(), x.caller())
		if err != nil {
			return view{}, err
		}
		if x.form.Get("format") == "text" {
			return x.showCodes(codesFile, "", codes)
		}
		return x.showCodes("codes", "", codes)
	})
}

// postNewCodes generates a new set of codes. The old set stays valid until the
// user confirms that the new one is saved.
func (x *exchange) postNewCodes() (view, error) {
	return x.change(changeNewCodes, func() (view, error) {
		if _, err := x.m.RegenerateCodes(x.ctx(), x.caller()); err != nil {
			return view{}, err
		}
		x.clearFlow(enrollmentCookie)
		return redirectTo(x.path("setup"))
	})
}

// recoveredData is the data of the page "recovered".
type recoveredData struct {
	Factors twofa.Factors
	Replace time.Duration // time left to replace a factor without its code; zero if there is none
	Next    string
}

// getRecovered follows a login with a recovery code. The page shows how many
// codes are left and offers to replace the lost factor.
func (x *exchange) getRecovered() (view, error) {
	factors, err := x.m.Factors(x.ctx(), x.caller())
	if err != nil {
		return view{}, err
	}
	return view{page: "recovered", data: recoveredData{factors, x.timeToReplace(factors), x.nextURL()}}, nil
}

// timeToReplace returns how long a recovery code still lets the user replace a
// factor without a code of it.
func (x *exchange) timeToReplace(f twofa.Factors) time.Duration {
	return max(0, f.RecoveredUntil.Sub(x.cfg.Now()))
}

// noCodesData is the data of the page "nocodes".
type noCodesData struct {
	Next string
}

// getCodesMissing follows a login of a user who has a factor but no recovery
// code, as after an import. The page offers to generate codes.
func (x *exchange) getCodesMissing() (view, error) {
	if err := x.m.Check(x.ctx(), x.caller()); err != nil {
		return view{}, err
	}
	return view{page: "nocodes", data: noCodesData{x.nextURL()}}, nil
}

func revealAll(codes []twofa.Secret) []string {
	texts := make([]string, len(codes))
	for i, code := range codes {
		texts[i] = code.Reveal()
	}
	return texts
}
