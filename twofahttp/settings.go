package twofahttp

import (
	"net/http"
	"slices"

	"github.com/twofa-go/twofa"
)

// settingsData is what the page "settings" gets.
type settingsData struct {
	Factors  twofa.Factors
	Browsers []twofa.Browser
	Apps     bool // an authenticator app can be added
	Phones   bool // a phone can be added
	Stays    bool // some factor cannot be removed
	Days     bool // some browser is remembered
}

// doneCodes lists what the settings page reports as done. The code comes in the
// query, so it only picks a sentence.
var doneCodes = []string{"set_up", "codes_saved", "renamed", "removed", "forgotten"}

func (x *exchange) getSettings() error {
	c := x.caller()
	factors, err := x.m.Factors(x.ctx(), c)
	if err != nil {
		return err
	}
	browsers, err := x.m.Browsers(x.ctx(), c)
	if err != nil {
		return err
	}
	d := settingsData{Factors: factors, Browsers: browsers, Apps: slices.Contains(factors.Methods, twofa.TOTP),
		Phones: slices.Contains(factors.Methods, twofa.SMS) && !slices.ContainsFunc(factors.List, isPhone)}
	d.Stays = slices.ContainsFunc(factors.List, func(f twofa.Factor) bool { return !f.Removable })
	d.Days = slices.ContainsFunc(browsers, func(b twofa.Browser) bool { return b.Remembered })
	var a *alert
	if code := x.r.URL.Query().Get("done"); slices.Contains(doneCodes, code) {
		a = &alert{Code: code, Good: true}
	}
	return x.render(http.StatusOK, "settings", a, d)
}

func isPhone(f twofa.Factor) bool { return f.Method == twofa.SMS }

// changeSettings does something from the settings page and goes back there. Where a
// fresh proof is missing, the page that asks for it comes first, and the person
// presses the button again.
func (x *exchange) changeSettings(code string, do func(twofa.Caller) error) error {
	x.retryURL = x.path("")
	if err := do(x.caller()); err != nil {
		return err
	}
	return x.redirect(x.path("") + "?done=" + code)
}

func (x *exchange) postFactorRename() error {
	return x.changeSettings("renamed", func(c twofa.Caller) error {
		return x.m.Rename(x.ctx(), c, x.form.Get("id"), x.form.Get("name"))
	})
}

func (x *exchange) postFactorRemove() error {
	return x.changeSettings("removed", func(c twofa.Caller) error { return x.m.Remove(x.ctx(), c, x.form.Get("id")) })
}

func (x *exchange) postBrowserForget() error {
	return x.changeSettings("forgotten", func(c twofa.Caller) error { return x.m.ForgetBrowser(x.ctx(), c, x.form.Get("id")) })
}

func (x *exchange) postBrowserForgetAll() error {
	return x.changeSettings("forgotten", func(c twofa.Caller) error { return x.m.ForgetBrowsers(x.ctx(), c) })
}

// postRevoke ends everything the person has open, everywhere, this session too.
func (x *exchange) postRevoke() error {
	x.retryURL = x.path("")
	c := x.caller()
	d, err := x.m.DescribeSession(c.Session)
	if err != nil {
		return err
	}
	if err := x.m.Revoke(x.ctx(), c, d.User); err != nil {
		return err
	}
	if err := x.cfg.Sessions.SignOut(x.w, x.r); err != nil {
		return err
	}
	return x.redirect(x.cfg.LoginURL)
}
