package twofahttp

import (
	"slices"
	"time"

	"github.com/twofa-go/twofa"
)

// settingsData is the data of the page "settings".
type settingsData struct {
	Factors  twofa.Factors
	Browsers []twofa.Browser
	Apps     bool             // an authenticator app can be added
	Phones   bool             // a phone can be added
	Stays    bool             // some factor cannot be removed
	Days     bool             // some browser is remembered
	Pending  twofa.Enrollment // enrollment that is not finished; the zero Enrollment if there is none
	Replace  time.Duration    // time left to replace a factor without its code; zero if there is none
	Asked    *question        // question about the open support case; nil if there is none
	Recent   []entry          // newest events of the user
	Lost     time.Time        // when the device was reported as lost; zero if it was not
}

func (x *exchange) getSettings() (view, error) {
	v, err := x.showSettings(nil)
	if err != nil {
		return view{}, err
	}
	v.alert = x.takeNotice()
	switch d := v.data.(settingsData); {
	case v.alert == nil:
	case v.alert.Code == "set_up" && len(d.Factors.List) > 1:
		v.alert = x.alert(problem{message: messageOf("added", "")})
	case v.alert.Code == "replaced" && d.Factors.CodesLeft > 0:
		v.alert.Text = sentences(x.locale(), v.alert.Text, x.locale().Text("page.settings.replaced.codes", nil))
	}
	return v, nil
}

// showSettings shows the page. failed is the reason why it is shown again after
// a form, or nil.
func (x *exchange) showSettings(failed error) (view, error) {
	c := x.caller()
	factors, err := x.m.Factors(x.ctx(), c)
	if err != nil {
		return view{}, err
	}
	browsers, err := x.m.Browsers(x.ctx(), c)
	if err != nil {
		return view{}, err
	}
	standing, err := x.m.Standing(x.ctx(), c)
	if err != nil {
		return view{}, err
	}
	var pending twofa.Enrollment
	if factors.PendingEnrollment {
		pending = x.pendingEnrollment(c)
	}
	return view{page: "settings", err: failed, data: settingsData{
		Factors:  factors,
		Browsers: browsers,
		Apps:     slices.Contains(factors.Methods, twofa.TOTP),
		Phones:   slices.Contains(factors.Methods, twofa.SMS) && !slices.ContainsFunc(factors.List, isPhone),
		Stays:    slices.ContainsFunc(factors.List, func(f twofa.Factor) bool { return !f.Removable }),
		Days:     slices.ContainsFunc(browsers, func(b twofa.Browser) bool { return b.Remembered }),
		Pending:  pending,
		Replace:  x.timeToReplace(factors),
		Asked:    x.questionAbout(standing.Case, x.path("")),
		Recent:   x.recent(c),
		Lost:     standing.Lost,
	}}, nil
}

func isPhone(f twofa.Factor) bool { return f.Method == twofa.SMS }
