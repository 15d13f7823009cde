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

// done lists what the settings page reports as done. The code comes in the
// query, so it only picks a sentence.
var done = []string{"set_up", "codes_saved", "renamed", "removed", "forgotten"}

func (v *visit) settings() error {
	c := v.caller()
	factors, err := v.m.Factors(v.ctx(), c)
	if err != nil {
		return err
	}
	browsers, err := v.m.Browsers(v.ctx(), c)
	if err != nil {
		return err
	}
	d := settingsData{Factors: factors, Browsers: browsers, Apps: slices.Contains(factors.Methods, twofa.TOTP),
		Phones: slices.Contains(factors.Methods, twofa.SMS) && !slices.ContainsFunc(factors.List, isPhone)}
	d.Stays = slices.ContainsFunc(factors.List, func(f twofa.Factor) bool { return !f.Removable })
	d.Days = slices.ContainsFunc(browsers, func(b twofa.Browser) bool { return b.Remembered })
	var a *alert
	if code := v.r.URL.Query().Get("done"); slices.Contains(done, code) {
		a = &alert{Code: code, Good: true}
	}
	return v.render(http.StatusOK, "settings", a, d)
}

func isPhone(f twofa.Factor) bool { return f.Method == twofa.SMS }

// change does something from the settings page and goes back there. Where a
// fresh proof is missing, the page that asks for it comes first, and the person
// presses the button again.
func (v *visit) change(code string, do func(twofa.Caller) error) error {
	v.back = v.path("")
	if err := do(v.caller()); err != nil {
		return err
	}
	return v.redirect(v.path("") + "?done=" + code)
}

func (v *visit) renameFactor() error {
	return v.change("renamed", func(c twofa.Caller) error {
		return v.m.Rename(v.ctx(), c, v.form.Get("id"), v.form.Get("name"))
	})
}

func (v *visit) removeFactor() error {
	return v.change("removed", func(c twofa.Caller) error { return v.m.Remove(v.ctx(), c, v.form.Get("id")) })
}

func (v *visit) forgetBrowser() error {
	return v.change("forgotten", func(c twofa.Caller) error { return v.m.ForgetBrowser(v.ctx(), c, v.form.Get("id")) })
}

func (v *visit) forgetBrowsers() error {
	return v.change("forgotten", func(c twofa.Caller) error { return v.m.ForgetBrowsers(v.ctx(), c) })
}

// revoke ends everything the person has open, everywhere, this session too.
func (v *visit) revoke() error {
	v.back = v.path("")
	c := v.caller()
	d, err := v.m.DescribeSession(c.Session)
	if err != nil {
		return err
	}
	if err := v.m.Revoke(v.ctx(), c, d.User); err != nil {
		return err
	}
	if err := v.web.cfg.Sessions.SignOut(v.w, v.r); err != nil {
		return err
	}
	return v.redirect(v.web.cfg.LoginURL)
}
