package twofahttp

import (
	"net/url"
	"slices"

	"github.com/twofa-go/twofa"
)

// Changes of the settings that have a page of their own, which says what the
// change means. Its form makes the change.
const (
	changeRename    = "factors/rename"
	changeRemove    = "factors/remove"
	changeForget    = "browsers/forget"
	changeForgetAll = "browsers/forget-all"
	changeNewCodes  = "codes/new"
	changeRevoke    = "revoke"
)

// changeData is the data of the page "change".
type changeData struct {
	Change  string         // path of the form, one of the constants above
	Factors twofa.Factors  // all factors of the user
	Factor  twofa.Factor   // factor that is renamed or removed
	Others  []twofa.Factor // factors that remain after Factor is removed
	Browser twofa.Browser  // browser that is forgotten
	Name    string         // name in a form that failed; empty otherwise
}

// changeNeedsProof lists the changes for which the Manager always demands a fresh
// proof. The user gives it before the page, and not between the page and its
// form.
var changeNeedsProof = []string{changeRename, changeRemove, changeNewCodes}

// getChange returns the handler that shows the page of a change.
func getChange(change string) handler {
	return func(x *exchange) (view, error) {
		x.retryURL = x.currentURL()
		v, err := x.showChange(change, x.r.URL.Query().Get("id"), nil)
		if err == nil && slices.Contains(changeNeedsProof, change) {
			err = x.m.PeekAction(x.ctx(), x.caller(), twofa.ActionFactors, "")
		}
		if err != nil && isFormError(err) {
			return x.showSettings(err)
		}
		return v, err
	}
}

// showChange shows the page of a change. failed is the reason why it is shown
// again after its form, or nil.
func (x *exchange) showChange(change, id string, failed error) (view, error) {
	settings, err := x.showSettings(nil)
	if err != nil {
		return view{}, err
	}
	all := settings.data.(settingsData)
	d := changeData{Change: change, Factors: all.Factors, Name: x.form.Get("name")}
	switch change {
	case changeRename, changeRemove:
		i := slices.IndexFunc(all.Factors.List, func(f twofa.Factor) bool { return f.ID == id })
		if i < 0 {
			return view{}, twofa.ErrNotEnrolled
		}
		d.Factor = all.Factors.List[i]
		d.Others = slices.Delete(slices.Clone(all.Factors.List), i, i+1)
		if change == changeRemove && !d.Factor.Removable {
			return view{}, twofa.ErrNotAllowed
		}
	case changeNewCodes:
		if len(all.Factors.List) == 0 {
			return view{}, twofa.ErrNotEnrolled
		}
	case changeForget:
		i := slices.IndexFunc(all.Browsers, func(b twofa.Browser) bool { return b.ID == id })
		if i < 0 {
			return view{}, twofa.ErrNotEnrolled
		}
		d.Browser = all.Browsers[i]
	}
	return view{page: "change", data: d, err: failed}, nil
}

// change runs the form of a page. If a fresh proof is missing, the page that asks
// for it comes first, and the user returns to the page of the change. If the form
// fails, that page is shown again, or the settings if there is none.
func (x *exchange) change(change string, handle func() (view, error)) (view, error) {
	id := x.form.Get("id")
	x.retryURL = x.path(change)
	if id != "" {
		x.retryURL += "?" + url.Values{"id": {id}}.Encode()
	}
	v, err := handle()
	if err == nil || !isFormError(err) {
		return v, err
	}
	if v, again := x.showChange(change, id, err); again == nil {
		return v, nil
	}
	return x.showSettings(err)
}

// changeSettings makes a change and redirects to the settings page, which shows
// the message.
func (x *exchange) changeSettings(change, success string, do func(twofa.Caller) error) (view, error) {
	return x.change(change, func() (view, error) {
		if err := do(x.caller()); err != nil {
			return view{}, err
		}
		x.notify(success)
		return redirectTo(x.path(""))
	})
}

func (x *exchange) postFactorRename() (view, error) {
	return x.changeSettings(changeRename, "renamed", func(c twofa.Caller) error {
		return x.m.Rename(x.ctx(), c, x.form.Get("id"), x.form.Get("name"))
	})
}

func (x *exchange) postFactorRemove() (view, error) {
	v, err := x.changeSettings(changeRemove, "removed", func(c twofa.Caller) error { return x.m.Remove(x.ctx(), c, x.form.Get("id")) })
	if err == nil && v.redirect == x.path("") {
		if left, err := x.m.Factors(x.ctx(), x.caller()); err == nil && len(left.List) == 0 {
			x.notify("turned_off")
		}
	}
	return v, err
}

func (x *exchange) postBrowserForget() (view, error) {
	return x.changeSettings(changeForget, "forgotten", func(c twofa.Caller) error { return x.m.ForgetBrowser(x.ctx(), c, x.form.Get("id")) })
}

func (x *exchange) postBrowserForgetAll() (view, error) {
	return x.changeSettings(changeForgetAll, "all_forgotten", func(c twofa.Caller) error { return x.m.ForgetBrowsers(x.ctx(), c) })
}
