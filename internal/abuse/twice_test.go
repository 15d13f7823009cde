package abuse

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// form is a form of the host or of twofahttp that a user sends twice: by a
// double click, or because a connection was slow.
type form struct {
	name   string
	edit   func(*twofa.Config)
	page   func(w *world) *person // returns the user on the page with the form
	post   func(p *person) error  // sends it
	second string                 // where the second one leads, if elsewhere
	after  func(p *person)        // checks that nothing was lost, with the page after the first answer
}

// led describes where an answer leads.
func (p *person) led(err error) string {
	denied, _ := errors.AsType[*twofa.DeniedError](err)
	switch {
	case denied != nil:
		return string(denied.Reason)
	case errors.Is(err, twofa.ErrInvalidCode):
		left, _ := twofa.AttemptsLeft(err)
		return fmt.Sprintf("wrong, %d left", left)
	case errors.Is(err, twofa.ErrLocked):
		return "locked"
	case errors.Is(err, twofa.ErrExpired):
		return "expired"
	case errors.Is(err, twofa.ErrNotEnrolled):
		return "gone"
	case err != nil:
		return err.Error()
	}
	if p.login.Session.IsZero() {
		return string(p.login.Next)
	}
	return string(p.login.Next) + " " + p.idOf(p.login.Session)
}

// signsIn checks that the user is not locked out.
func signsIn(p *person) {
	p.t.Helper()
	p.clock.Add(time.Minute)
	q := p.browser("after all")
	if q.begin() == twofa.NextChallenge {
		require.NoError(p.t, q.verify(twofa.TOTP, q.code()))
	}
	require.NoError(p.t, q.Check(p.t.Context(), q.caller()))
}

// signedIn is the page of a user who has an authenticator and a fresh proof.
func signedIn(w *world) *person { return w.enrolled("ada") }

// byForm answers a challenge with a code that was typed once.
func byForm(m twofa.Method, code *string) func(p *person) error {
	return func(p *person) error { return p.verify(m, *code) }
}

// pendingPage is the page of a user who enrolls the first authenticator. With
// required, the account requires it.
func pendingPage(w *world, required bool) *person {
	p := w.person("ada")
	want := map[bool]twofa.Next{true: twofa.NextEnroll, false: twofa.NextDone}[required]
	require.Equal(w.t, want, p.begin())
	e, err := p.Enroll(w.t.Context(), p.caller(), twofa.EnrollRequest{})
	require.NoError(w.t, err)
	p.uri = e.URI.Reveal()
	p.keep(e)
	w.clock.Add(30 * time.Second)
	return p
}

func requiring(c *twofa.Config) {
	c.Policy, c.Mail.Mailer, c.Mail.LinkURL = twofa.PolicyAuthenticator(), nil, nil
}

// finish completes the enrollment that the user can see.
func finish(p *person) {
	p.t.Helper()
	e, err := p.PendingEnrollment(p.t.Context(), p.caller())
	require.NoError(p.t, err)
	p.uri = e.URI.Reveal()
	if !e.Saved {
		p.keep(e)
		require.NoError(p.t, p.took(p.SaveCodes(p.t.Context(), p.caller())))
	}
	if !e.Confirmed {
		require.NoError(p.t, p.confirm(p.code()))
	}
	require.Equal(p.t, twofa.NextDone, p.login.Next)
	hasTheCodes(p)
}

// hasTheCodes checks that the codes that the user saw are the ones that count.
func hasTheCodes(p *person) {
	p.t.Helper()
	f, err := p.Factors(p.t.Context(), p.caller())
	require.NoError(p.t, err)
	require.Equal(p.t, len(p.codes), f.CodesLeft)
	require.NoError(p.t, p.another().verify(twofa.RecoveryCode, p.codes[0]))
	signsIn(p)
}

func postedForms() []form {
	var code string
	typed := func(w *world, p *person) *person { code = p.code(); return p }
	var id string
	save := func(p *person) error { return p.took(p.SaveCodes(p.t.Context(), p.caller())) }
	confirm := func(p *person) error { return p.confirm(code) }
	enroll := func(e twofa.EnrollRequest) func(p *person) error {
		return func(p *person) error {
			started, err := p.Enroll(p.t.Context(), p.caller(), e)
			if err == nil {
				p.login = twofa.Result{Next: twofa.NextEnroll, Challenge: started.Challenge}
			}
			return err
		}
	}
	list := []form{
		{name: "Begin that ends the login", page: func(w *world) *person { return w.person("ada") },
			post: func(p *person) error { p.begin(); p.login.Session = twofa.Session{}; return nil }},
		{name: "Begin that asks for a code", page: func(w *world) *person { return w.enrolled("ada").browser("laptop") },
			post: func(p *person) error { p.begin(); return nil },
			after: func(p *person) {
				require.NoError(p.t, p.verify(twofa.TOTP, p.code()))
				signsIn(p)
			}},
		{name: "Begin in a remembered browser", edit: remembering, page: func(w *world) *person { _, p := w.remembered("ada"); return p },
			post: func(p *person) error { p.begin(); p.login.Session = twofa.Session{}; return nil },
			after: func(p *person) {
				require.Equal(p.t, twofa.NextDone, p.begin(), "the browser has the token of either answer")
				require.NotContains(p.t, p.types(), event.BrowserReplay)
			}},
		{name: "Send a link", edit: byLink, page: func(w *world) *person { p := w.person("ada"); p.begin(); return p },
			post: func(p *person) error { return p.send(twofa.EmailLink) }, second: "locked",
			after: func(p *person) { require.NoError(p.t, p.verify(twofa.EmailLink, p.token())) }},
		{name: "Send a code", edit: byText, page: func(w *world) *person { p := w.withPhone("ada", adasPhone); p.begin(); return p },
			post: func(p *person) error { return p.send(twofa.SMS) }, second: "locked",
			after: func(p *person) { require.NoError(p.t, p.verify(twofa.SMS, p.out.TextCode(p.t, adasPhone))) }},
		{name: "Verify a wrong code", page: func(w *world) *person {
			p := w.enrolled("ada").another()
			code = p.wrongCode(twofa.TOTP)
			return p
		}, post: byForm(twofa.TOTP, &code), after: signsIn},
		{name: "Verify for an action", page: func(w *world) *person {
			p := w.enrolled("ada")
			require.NoError(w.t, p.took(p.StepUp(w.t.Context(), p.caller(), export, "")))
			return typed(w, p)
		}, post: byForm(twofa.TOTP, &code), after: func(p *person) { require.NoError(p.t, p.use(export, "")) }},
		{name: "Verify a link before a required enrollment", edit: func(c *twofa.Config) { c.Policy = twofa.PolicyAuthenticator() },
			page: func(w *world) *person { p, token := w.linked("ada"); code = token; return p }, post: byForm(twofa.EmailLink, &code),
			after: func(p *person) { p.enroll(); signsIn(p) }},
		{name: "Enroll", page: func(w *world) *person { p := w.person("ada"); p.begin(); return p }, post: enroll(twofa.EnrollRequest{}), after: finish},
		{name: "Enroll as required", edit: requiring, page: func(w *world) *person { p := w.person("ada"); p.begin(); return p },
			post: enroll(twofa.EnrollRequest{}), after: finish},
		{name: "Enroll another", page: signedIn, post: enroll(twofa.EnrollRequest{Name: "tablet"}), after: func(p *person) {
			e, err := p.PendingEnrollment(p.t.Context(), p.caller())
			require.NoError(p.t, err)
			p.uri = e.URI.Reveal()
			require.NoError(p.t, p.confirm(p.code()))
			signsIn(p)
		}},
		{name: "Enroll a phone", edit: byText, page: func(w *world) *person { p := w.person("ada"); p.begin(); return p },
			post: enroll(twofa.EnrollRequest{Method: twofa.SMS, Phone: adasPhone}), second: "locked", after: func(p *person) {
				require.NoError(p.t, p.confirm(p.out.TextCode(p.t, adasPhone)))
				require.NoError(p.t, save(p))
				require.Equal(p.t, twofa.NextDone, p.login.Next)
			}},
		{name: "Confirm a phone", edit: byText, page: func(w *world) *person {
			p := w.person("ada")
			p.begin()
			require.NoError(w.t, enroll(twofa.EnrollRequest{Method: twofa.SMS, Phone: adasPhone})(p))
			code = p.out.TextCode(w.t, adasPhone)
			return p
		}, post: confirm, after: func(p *person) {
			require.NoError(p.t, save(p))
			require.Equal(p.t, twofa.NextDone, p.login.Next)
		}},
		{name: "RegenerateCodes", page: signedIn, post: func(p *person) error {
			_, err := p.RegenerateCodes(p.t.Context(), p.caller())
			p.login = twofa.Result{}
			return err
		}, after: func(p *person) {
			e, err := p.PendingEnrollment(p.t.Context(), p.caller())
			require.NoError(p.t, err)
			p.keep(e)
			require.NoError(p.t, save(p))
			hasTheCodes(p)
		}},
		{name: "SaveCodes of new codes", page: func(w *world) *person {
			p := w.enrolled("ada")
			e, err := p.RegenerateCodes(w.t.Context(), p.caller())
			require.NoError(w.t, err)
			p.keep(e)
			return p
		}, post: save, after: hasTheCodes},
		{name: "StepUp", page: signedIn, post: func(p *person) error { return p.took(p.StepUp(p.t.Context(), p.caller(), export, "")) },
			after: func(p *person) {
				require.NoError(p.t, p.verify(twofa.TOTP, p.code()))
				require.NoError(p.t, p.use(export, ""))
			}},
		{name: "Remove one of two", page: func(w *world) *person {
			p := w.enrolled("ada")
			uri := p.uri
			p = p.second(twofa.EnrollRequest{})
			p.uri, id = uri, p.factor(1)
			return p
		}, post: func(p *person) error { return p.Remove(p.t.Context(), p.caller(), id) }, second: "gone", after: signsIn},
		{name: "Remove the last one", page: func(w *world) *person { p := w.enrolled("ada"); id = p.factor(0); return p },
			post: func(p *person) error { return p.Remove(p.t.Context(), p.caller(), id) }, second: "gone", after: signsIn},
		{name: "Remove the last one, long after the login", page: func(w *world) *person {
			p := w.enrolled("ada")
			id = p.factor(0)
			w.clock.Add(time.Hour)
			require.NoError(w.t, p.stepUp(twofa.ActionFactors))
			return p
		}, post: func(p *person) error { return p.Remove(p.t.Context(), p.caller(), id) }, second: "gone", after: signsIn},
		{name: "Rename", page: func(w *world) *person { p := w.enrolled("ada"); id = p.factor(0); return p },
			post: func(p *person) error { return p.Rename(p.t.Context(), p.caller(), id, "mine") }, after: func(p *person) {
				f, err := p.Factors(p.t.Context(), p.caller())
				require.NoError(p.t, err)
				require.Equal(p.t, "mine", f.List[0].Name)
			}},
		{name: "ForgetBrowser", page: func(w *world) *person {
			p := w.enrolled("ada")
			list, err := p.Browsers(w.t.Context(), p.caller())
			require.NoError(w.t, err)
			id = list[0].ID
			return p
		}, post: func(p *person) error { return p.ForgetBrowser(p.t.Context(), p.caller(), id) }, second: "gone", after: signsIn},
		{name: "ForgetBrowsers", page: signedIn, post: func(p *person) error { return p.ForgetBrowsers(p.t.Context(), p.caller()) }, second: "gone", after: signsIn},
		{name: "Revoke", page: signedIn, post: func(p *person) error { return p.User(twofa.AsUser(p.caller(), ""), "ada").Revoke(p.t.Context()) },
			second: "signed_out", after: signsIn}, // as the first one has asked
		{name: "CredentialsChanged", page: signedIn,
			post: func(p *person) error {
				return p.User(twofa.AsUser(p.caller(), ""), "ada").CredentialsChanged(p.t.Context())
			},
			after: func(p *person) { require.NoError(p.t, p.Check(p.t.Context(), p.caller())); signsIn(p) }},
		{name: "Resume", page: func(w *world) *person {
			p := w.person("ada")
			require.Equal(w.t, twofa.NextDone, p.begin())
			require.NoError(w.t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(w.t.Context(), twofa.PolicyEmailLink(), ""))
			p.account = "acme"
			return p
		}, post: func(p *person) error { return p.took(p.Resume(p.t.Context(), p.caller())) }, after: func(p *person) {
			require.NoError(p.t, p.send(twofa.EmailLink))
			require.NoError(p.t, p.verify(twofa.EmailLink, p.token()))
		}},
		{name: "Cancel before anything was tried", page: func(w *world) *person { return w.enrolled("ada").another() },
			post: func(p *person) error { return p.Cancel(p.t.Context(), p.client, p.login.Challenge) }, after: signsIn},
		{name: "Cancel after a wrong code", page: func(w *world) *person {
			p := w.enrolled("ada").another()
			require.Error(w.t, p.verify(twofa.TOTP, p.wrongCode(twofa.TOTP)))
			return p
		}, post: func(p *person) error { return p.Cancel(p.t.Context(), p.client, p.login.Challenge) }, second: "expired", after: signsIn},
		{name: "SignedOut", page: signedIn, post: func(p *person) error { return p.SignedOut(p.t.Context(), p.caller()) }, after: signsIn},
		{name: "UseAction", page: func(w *world) *person { p := w.enrolled("ada"); require.NoError(w.t, p.stepUp(export)); return p },
			post: func(p *person) error { return p.use(export, "") }, second: "proof_missing", after: signsIn},
	}
	for _, c := range proofs {
		list = append(list, form{name: "Verify by " + string(c.method), edit: c.edit, post: byForm(c.method, &code),
			page:  func(w *world) *person { p, right := c.asked(w); code = right; return p },
			after: func(p *person) { require.NoError(p.t, p.Check(p.t.Context(), p.caller())) }})
	}
	for _, required := range []bool{false, true} {
		name, edit := "", func(*twofa.Config) {}
		if required {
			name, edit = " as required", requiring
		}
		page := func(w *world) *person { p := pendingPage(w, required); code = p.now(); return p }
		list = append(list,
			form{name: "Confirm first" + name, edit: edit, page: page, post: confirm, after: finish},
			form{name: "SaveCodes first" + name, edit: edit, page: page, post: save, after: finish},
			form{name: "Confirm last" + name, edit: edit, page: func(w *world) *person { p := page(w); require.NoError(w.t, save(p)); return p }, post: confirm, after: hasTheCodes},
			form{name: "SaveCodes last" + name, edit: edit, page: func(w *world) *person { p := page(w); require.NoError(w.t, confirm(p)); return p }, post: save, after: hasTheCodes},
			form{name: "Confirm a wrong code" + name, edit: edit, page: func(w *world) *person { p := page(w); code = p.wrongCode(twofa.TOTP); return p }, post: confirm,
				after: func(p *person) {
					left, _ := twofa.AttemptsLeft(p.confirm(p.wrongCode(twofa.TOTP)))
					require.Equal(p.t, 3, left)
					finish(p)
				}})
	}
	return list
}

// A form that is sent twice loses nothing and locks nobody out, and its second
// answer leads where the first one did.
func TestTwice_OneAfterTheOther(t *testing.T) {
	for _, f := range postedForms() {
		t.Run(f.name, func(t *testing.T) {
			w := newTwiceWorld(t, f)
			page := f.page(w)
			first, second := *page, *page.on(w.again())
			led := first.led(f.post(&first))
			again := second.led(f.post(&second))
			if f.second == "" {
				require.Equal(t, led, again)
			} else {
				require.Equal(t, f.second, again)
				require.NotEqual(t, led, again)
			}
			f.check(&first)
		})
	}
}

// The two can also arrive at two servers at once.
func TestTwice_AtOnce(t *testing.T) {
	for _, f := range postedForms() {
		t.Run(f.name, func(t *testing.T) {
			w := newTwiceWorld(t, f)
			page := f.page(w)
			tabs, leads := []*person{page.on(w.again()), page.on(w.again())}, make([]string, 2)
			var done sync.WaitGroup
			for i, tab := range tabs {
				done.Go(func() { leads[i] = tab.led(f.post(tab)) })
			}
			done.Wait()
			winner := 0
			if f.second != "" {
				if winner = slices.IndexFunc(leads, func(led string) bool { return led != f.second }); winner < 0 {
					require.Fail(t, "nobody succeeded")
				}
				require.Equal(t, f.second, leads[1-winner])
			} else {
				require.Equal(t, leads[0], leads[1])
			}
			tabs[winner].world = w
			f.check(tabs[winner])
		})
	}
}

func newTwiceWorld(t *testing.T, f form) *world {
	if f.edit == nil {
		return newWorld(t)
	}
	return newWorld(t, f.edit)
}

func (f form) check(p *person) {
	if f.after != nil {
		f.after(p)
	}
}
