package abuse

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

var exportForm = twofa.Form{URL: "/contacts/export", Page: "/contacts", Body: twofa.NewSecret("format=csv")}

// sameForm fails the test unless two forms are equal. Secrets are functions,
// which cannot be compared.
func sameForm(t testing.TB, want, got twofa.Form) {
	t.Helper()
	require.Equal(t, [3]string{want.URL, want.Page, want.Body.Reveal()}, [3]string{got.URL, got.Page, got.Body.Reveal()})
}

// sending returns the caller of a request that sends a form.
func (p *person) sending(form string) twofa.Caller {
	c := p.caller()
	c.Form = form
	return c
}

// held starts a step-up for a form and returns the sealed text.
func (p *person) held(action, form string) twofa.Secret {
	p.t.Helper()
	require.NoError(p.t, p.took(p.StepUp(p.t.Context(), p.caller(), action, "")))
	held, bound, err := p.HoldForm(p.sending(form), p.login.Challenge, exportForm)
	require.NoError(p.t, err)
	p.login.Challenge = bound
	return held
}

func TestAbuse_L13_FormSentTwiceIsDoneOnce(t *testing.T) {
	bursts(t, stepping, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada := w.enrolled("ada")
		ada.held(export, "form")
		require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
		errs := make([]error, 6)
		burst(len(errs), func(m *twofa.Manager, i int) error {
			errs[i] = m.UseAction(t.Context(), ada.sending("form"), export, "")
			return nil
		})
		done := 0
		for _, err := range errs {
			if err == nil {
				done++
				continue
			}
			denied(t, err, twofa.ReasonAlreadyDone)
		}
		require.Equal(t, 1, done)
	})
}

// Only the same form of the same session for the same action is a repetition,
// and only for ten seconds.
func TestAbuse_L13_OtherFormsAreNotTakenForRepetitions(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	other := ada.browser("laptop")
	other.begin()
	require.NoError(t, other.verify(twofa.TOTP, other.code()))
	require.NoError(t, ada.stepUp(export))
	require.NoError(t, ada.UseAction(t.Context(), ada.sending("form"), export, ""), "no proof needs to be given for a form")
	again := ada.sending("form")
	denied(t, ada.UseAction(t.Context(), again, export, ""), twofa.ReasonAlreadyDone)
	denied(t, ada.UseAction(t.Context(), ada.sending("another form"), export, ""), twofa.ReasonMissing)
	denied(t, ada.UseAction(t.Context(), ada.caller(), export, ""), twofa.ReasonMissing)
	denied(t, ada.UseAction(t.Context(), again, export, "7"), twofa.ReasonMissing)
	denied(t, ada.UseAction(t.Context(), again, "contacts.delete", ""), twofa.ReasonMissing)
	denied(t, ada.UseAction(t.Context(), other.sending("form"), export, ""), twofa.ReasonMissing)

	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "")))
	require.NoError(t, ada.verify(twofa.TOTP, ada.codeIn(30)))
	denied(t, ada.UseAction(t.Context(), again, export, ""), twofa.ReasonAlreadyDone, "a second proof, for another form, is not used up")
	require.NoError(t, ada.UseAction(t.Context(), ada.sending("another form"), export, ""))
	w.clock.Add(time.Minute)
	denied(t, ada.UseAction(t.Context(), again, export, ""), twofa.ReasonMissing, "after ten seconds")
}

// If the rule has a MaxAge, the form that the proof was given for is done once,
// and everything else as often as the proof allows.
func TestAbuse_L13_HeldFormOfALastingProof(t *testing.T) {
	w, store := newFault(t)
	cfg := w.with(stepping)
	ada := w.enrolled("ada").on(cfg)
	w.clock.Add(time.Hour)
	ada.held("reports", "form")
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	writes := 0
	store.Seen = func(string, twofa.Record) { writes++ }
	use := func(form string) error { return ada.UseAction(t.Context(), ada.sending(form), "reports", "") }
	require.NoError(t, use("before it"))
	require.NoError(t, use("form"))
	require.Equal(t, 2, writes, "one event each")
	denied(t, use("form"), twofa.ReasonAlreadyDone)
	require.Equal(t, 2, writes)
	require.NoError(t, use("after it"))
	require.NoError(t, ada.use("reports", ""))
	w.clock.Add(10 * time.Second)
	require.NoError(t, use("form"), "the user has pressed the button again")
	require.NoError(t, use("form"))
	require.Equal(t, 6, writes)
}

func TestAbuse_L11_HeldFormOpensOnlyForItsOwner(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { stepping(c); c.Policy.EnrollWithoutLink = true })
	w.setUser("ada", func(u *twofa.User) { u.Members = []twofa.Member{{Account: "acme"}, {Account: "beta"}} })
	ada := w.person("ada")
	ada.account = "acme"
	ada.begin()
	ada.enroll()
	bob := w.enrolled("bob")
	session := ada.another()
	require.NoError(t, session.verify(twofa.TOTP, session.code()))
	held := ada.held(export, "form")

	opens := func(c twofa.Caller, text twofa.Secret) error {
		form, ch, err := ada.HeldForm(c, text)
		if err == nil {
			sameForm(t, exportForm, form)
			require.Equal(t, ada.login.Challenge.Reveal(), ch.Reveal())
		} else {
			require.Empty(t, form)
			require.Empty(t, ch)
		}
		return err
	}
	caller := ada.caller()
	require.NoError(t, opens(caller, held))
	caller.Account = "acme"
	require.NoError(t, opens(caller, held))
	for name, change := range map[string]func(*twofa.Caller){
		"another account":            func(c *twofa.Caller) { c.Account = "beta" },
		"an account that is no ID":   func(c *twofa.Caller) { c.Account = "\x00" },
		"another browser":            func(c *twofa.Caller) { c.Client.Browser = twofa.NewSecret("binding of ada in another") },
		"no browser":                 func(c *twofa.Caller) { c.Client.Browser = twofa.Secret{} },
		"no session":                 func(c *twofa.Caller) { c.Session = twofa.Session{} },
		"another session":            func(c *twofa.Caller) { c.Session = session.session },
		"the session of another":     func(c *twofa.Caller) { c.Session = bob.session },
		"everything of another user": func(c *twofa.Caller) { *c = bob.caller() },
	} {
		c := ada.caller()
		change(&c)
		require.ErrorIs(t, opens(c, held), twofa.ErrExpired, name)
		_, err := ada.ProvenForm(t.Context(), c, held)
		require.ErrorIs(t, err, twofa.ErrExpired, name)
		c.Form = "form"
		text, ch, err := ada.HoldForm(c, ada.login.Challenge, exportForm)
		require.ErrorIs(t, err, twofa.ErrExpired, name)
		require.Empty(t, text)
		require.Empty(t, ch)
	}
	text := held.Reveal()
	for i := range text {
		changed := []byte(text)
		changed[i] = 'A' + (changed[i]+1)%26
		require.ErrorIs(t, opens(caller, twofa.NewSecret(string(changed))), twofa.ErrExpired)
	}
	for _, other := range []string{"", "x", text[:len(text)-1], text + "A", text + "\n", ada.login.Challenge.Reveal(), ada.session.Reveal(), strings.Repeat(text, 60)} {
		require.ErrorIs(t, opens(caller, twofa.NewSecret(other)), twofa.ErrExpired)
	}
	_, err := ada.DescribeChallenge(t.Context(), ada.client, twofa.Challenge{Secret: held})
	require.ErrorIs(t, err, twofa.ErrExpired, "a held form is no challenge")
	denied(t, ada.Check(t.Context(), twofa.Caller{Session: twofa.Session{Secret: held}, Client: ada.client}), twofa.ReasonUnreadable)

	_, later, err := ada.HoldForm(ada.sending("another form"), ada.login.Challenge, exportForm)
	require.NoError(t, err)
	caller.Challenge = later
	require.NoError(t, opens(caller, held), "its own challenge, not that of another form")

	w.clock.Add(10 * time.Minute)
	require.ErrorIs(t, opens(caller, held), twofa.ErrExpired, "with its challenge")
}

func TestAbuse_L11_HeldFormHasLimits(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "")))
	hold := func(c twofa.Caller, ch twofa.Challenge, f twofa.Form) error {
		held, bound, err := ada.HoldForm(c, ch, f)
		if err == nil {
			back, _, err := ada.HeldForm(ada.caller(), held)
			require.NoError(t, err)
			sameForm(t, f, back)
			return nil
		}
		require.Empty(t, held)
		require.Empty(t, bound)
		return err
	}
	long := func(n int) twofa.Secret { return twofa.NewSecret(strings.Repeat("x", n)) }
	form, ch := ada.sending("form"), ada.login.Challenge
	require.NoError(t, hold(form, ch, twofa.Form{URL: long(4 << 10).Reveal(), Page: long(4 << 10).Reveal(), Body: long(16 << 10)}))
	require.NoError(t, hold(form, ch, twofa.Form{}))
	require.ErrorIs(t, hold(form, ch, twofa.Form{Body: long(16<<10 + 1)}), twofa.ErrNotAllowed)
	require.ErrorIs(t, hold(form, ch, twofa.Form{URL: long(4<<10 + 1).Reveal()}), twofa.ErrNotAllowed)
	require.ErrorIs(t, hold(form, ch, twofa.Form{Page: long(4<<10 + 1).Reveal()}), twofa.ErrNotAllowed)
	require.ErrorIs(t, hold(ada.caller(), ch, exportForm), twofa.ErrNotAllowed, "without a name, a repetition would not be recognized")
	login := ada.another()
	require.ErrorIs(t, hold(form, login.login.Challenge, exportForm), twofa.ErrExpired, "a login holds no form")
	require.ErrorIs(t, hold(form, twofa.Challenge{}, exportForm), twofa.ErrExpired)
}

// A form leaves again only if the proof was given for it.
func TestAbuse_L11_ProvenFormNeedsItsOwnProof(t *testing.T) {
	w := newWorld(t, stepping)
	ada := w.enrolled("ada")
	proven := func(held twofa.Secret) error {
		form, err := ada.ProvenForm(t.Context(), ada.caller(), held)
		if err == nil {
			sameForm(t, exportForm, form)
		} else {
			require.Empty(t, form)
		}
		return err
	}
	canceled := ada.held(export, "canceled")
	require.ErrorIs(t, proven(canceled), twofa.ErrExpired, "nothing was proven")
	require.Error(t, ada.verify(twofa.TOTP, "000000"))
	require.NoError(t, ada.Cancel(t.Context(), ada.client, ada.login.Challenge))
	first := ada.held(export, "first")
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	require.ErrorIs(t, proven(canceled), twofa.ErrExpired, "the proof of another form does not count")
	require.NoError(t, proven(first))
	require.NoError(t, proven(first), "nothing is used up")
	require.NoError(t, ada.UseAction(t.Context(), ada.sending("first"), export, ""))
	denied(t, proven(first), twofa.ReasonAlreadyDone)
	w.clock.Add(10 * time.Second)
	require.ErrorIs(t, proven(first), twofa.ErrExpired)

	second := ada.held(export, "second")
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	require.NoError(t, ada.User(twofa.AsHost("test"), "ada").Revoke(t.Context()))
	denied(t, proven(second), twofa.ReasonSignedOut)
}

// Of an account's switch between the form and the proof: the proof counts in the
// account of the form only.
func TestAbuse_L11_ProofStaysInTheAccountOfTheForm(t *testing.T) {
	w := newWorld(t, stepping)
	w.setUser("ada", func(u *twofa.User) { u.Members = []twofa.Member{{Account: "acme"}, {Account: "beta"}} })
	ada := w.person("ada")
	ada.account = "acme"
	ada.begin()
	ada.enroll()
	held := ada.held(export, "form")
	ada.account = "beta"
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	inBeta := ada.sending("form")
	inBeta.Account = "beta"
	_, err := ada.ProvenForm(t.Context(), inBeta, held)
	require.ErrorIs(t, err, twofa.ErrExpired)
	denied(t, ada.UseAction(t.Context(), inBeta, export, ""), twofa.ReasonMissing)
	inAcme := ada.sending("form")
	inAcme.Account = "acme"
	require.NoError(t, ada.UseAction(t.Context(), inAcme, export, ""))
	denied(t, ada.UseAction(t.Context(), inBeta, export, ""), twofa.ReasonMissing, "a repetition belongs to its account, too")
}
