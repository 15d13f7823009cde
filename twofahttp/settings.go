package twofahttp

import (
	"slices"

	"github.com/twofa-go/twofa"
)

// settingsData is the data of the page "settings".
type settingsData struct {
	Factors  twofa.Factors
	Browsers []twofa.Browser
	Apps     bool // an authenticator app can be added
	Phones   bool // a phone can be added
	Stays    bool // some factor cannot be removed
	Days     bool // some browser is remembered
}

// doneCodes lists the actions whose success the settings page reports. The code
// comes from the query, so anyone can choose it, but it only selects a sentence.
var doneCodes = []string{"set_up", "codes_saved", "renamed", "removed", "forgotten"}

func (x *exchange) getSettings() (view, error) {
	c := x.caller()
	factors, err := x.m.Factors(x.ctx(), c)
	if err != nil {
		return view{}, err
	}
	browsers, err := x.m.Browsers(x.ctx(), c)
	if err != nil {
		return view{}, err
	}
	v := view{page: "settings", data: settingsData{
		Factors:  factors,
		Browsers: browsers,
		Apps:     slices.Contains(factors.Methods, twofa.TOTP),
		Phones:   slices.Contains(factors.Methods, twofa.SMS) && !slices.ContainsFunc(factors.List, isPhone),
		Stays:    slices.ContainsFunc(factors.List, func(f twofa.Factor) bool { return !f.Removable }),
		Days:     slices.ContainsFunc(browsers, func(b twofa.Browser) bool { return b.Remembered }),
	}}
	if code := x.r.URL.Query().Get("done"); slices.Contains(doneCodes, code) {
		v.alert = &alert{Code: code, Good: true}
	}
	return v, nil
}

func isPhone(f twofa.Factor) bool { return f.Method == twofa.SMS }

// changeSettings makes a change and redirects to the settings page. If a fresh
// proof is missing, the page that asks for it comes first, and the user presses
// the button again.
func (x *exchange) changeSettings(doneCode string, change func(twofa.Caller) error) (view, error) {
	x.retryURL = x.path("")
	if err := change(x.caller()); err != nil {
		return view{}, err
	}
	return redirectTo(x.path("") + "?done=" + doneCode)
}

func (x *exchange) postFactorRename() (view, error) {
	return x.changeSettings("renamed", func(c twofa.Caller) error {
		return x.m.Rename(x.ctx(), c, x.form.Get("id"), x.form.Get("name"))
	})
}

func (x *exchange) postFactorRemove() (view, error) {
	return x.changeSettings("removed", func(c twofa.Caller) error { return x.m.Remove(x.ctx(), c, x.form.Get("id")) })
}

func (x *exchange) postBrowserForget() (view, error) {
	return x.changeSettings("forgotten", func(c twofa.Caller) error { return x.m.ForgetBrowser(x.ctx(), c, x.form.Get("id")) })
}

func (x *exchange) postBrowserForgetAll() (view, error) {
	return x.changeSettings("forgotten", func(c twofa.Caller) error { return x.m.ForgetBrowsers(x.ctx(), c) })
}

// postRevoke ends all sessions of the user, including this one.
func (x *exchange) postRevoke() (view, error) {
	x.retryURL = x.path("")
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
	return redirectTo(x.cfg.LoginURL)
}
