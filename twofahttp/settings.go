package twofahttp

import (
	"slices"

	"github.com/twofa-go/twofa"
)

// settingsData is the data of the page "settings".
type settingsData struct {
	Factors  twofa.Factors
	Browsers []twofa.Browser
	Apps     bool   // an authenticator app can be added
	Phones   bool   // a phone can be added
	Stays    bool   // some factor cannot be removed
	Days     bool   // some browser is remembered
	Renaming string // ID in a form that failed; empty otherwise
	Name     string // name in that form
}

func (x *exchange) getSettings() (view, error) {
	v, err := x.showSettings(nil)
	if err != nil {
		return view{}, err
	}
	v.alert = x.takeNotice()
	if d := v.data.(settingsData); v.alert != nil && v.alert.Code == "set_up" && len(d.Factors.List) > 1 {
		v.alert = x.alert(problem{message: messageOf("added", "")})
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
	return view{page: "settings", err: failed, data: settingsData{
		Factors:  factors,
		Browsers: browsers,
		Apps:     slices.Contains(factors.Methods, twofa.TOTP),
		Phones:   slices.Contains(factors.Methods, twofa.SMS) && !slices.ContainsFunc(factors.List, isPhone),
		Stays:    slices.ContainsFunc(factors.List, func(f twofa.Factor) bool { return !f.Removable }),
		Days:     slices.ContainsFunc(browsers, func(b twofa.Browser) bool { return b.Remembered }),
		Renaming: x.form.Get("id"),
		Name:     x.form.Get("name"),
	}}, nil
}

func isPhone(f twofa.Factor) bool { return f.Method == twofa.SMS }

// change runs a form of the settings page. If it fails, the page is shown again.
// If a fresh proof is missing, the page that asks for it comes first, and the user
// presses the button again.
func (x *exchange) change(handle func() (view, error)) (view, error) {
	x.retryURL = x.path("")
	v, err := handle()
	if err != nil && isFormError(err) {
		return x.showSettings(err)
	}
	return v, err
}

// changeSettings makes a change and redirects to the settings page, which shows
// the message.
func (x *exchange) changeSettings(success string, change func(twofa.Caller) error) (view, error) {
	return x.change(func() (view, error) {
		if err := change(x.caller()); err != nil {
			return view{}, err
		}
		x.notify(success)
		return redirectTo(x.path(""))
	})
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
	return x.changeSettings("all_forgotten", func(c twofa.Caller) error { return x.m.ForgetBrowsers(x.ctx(), c) })
}
