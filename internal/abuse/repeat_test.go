package abuse

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// proofs lists how to get a challenge and a right proof for it, by method.
var proofs = []struct {
	method twofa.Method
	edit   func(*twofa.Config)
	asked  func(w *world) (login *person, code string)
}{
	{twofa.TOTP, nil, func(w *world) (*person, string) {
		login := w.enrolled("ada").another()
		return login, login.code()
	}},
	{twofa.RecoveryCode, nil, func(w *world) (*person, string) {
		login := w.enrolled("ada").another()
		return login, login.codes[3]
	}},
	{twofa.SMS, byText, func(w *world) (*person, string) { return w.texted("ada") }},
	{twofa.EmailLink, byLink, func(w *world) (*person, string) { return w.linked("ada") }},
}

// The same proof on the same challenge leads to the same session. It is one
// login: one write, one event, one code.
func TestAbuse_A01_H01_I05_RepeatedProofIsOneLogin(t *testing.T) {
	for _, c := range proofs {
		t.Run(string(c.method), func(t *testing.T) {
			edit := c.edit
			if edit == nil {
				edit = func(*twofa.Config) {}
			}
			w, store := newFault(t, edit)
			login, code := c.asked(w)
			swaps := 0
			store.Seen = func(string, twofa.Record) { swaps++ }
			form := *login
			require.NoError(t, login.verify(c.method, code))
			stored := w.record("ada")
			for range 3 {
				w.clock.Add(3 * time.Second)
				again := form
				require.NoError(t, again.verify(c.method, code))
				require.Equal(t, login.sessionID(), again.sessionID())
				require.Equal(t, login.client.Browser.Reveal(), again.client.Browser.Reveal(), "the browser gets the same token")
				before, err := w.DescribeSession(login.session)
				require.NoError(t, err)
				after, err := w.DescribeSession(again.session)
				require.NoError(t, err)
				require.Equal(t, before, after, "also the same expiry and times of proof")
				require.NoError(t, again.Check(t.Context(), again.caller()))
			}
			require.Equal(t, 1, swaps)
			require.Equal(t, stored, w.record("ada"))
			require.Equal(t, 1, w.count(event.Login, login.sessionID()))
			require.NotContains(t, w.types(), event.Reused)
			if c.method == twofa.RecoveryCode {
				f, err := login.Factors(t.Context(), login.caller())
				require.NoError(t, err)
				require.Equal(t, 9, f.CodesLeft)
			}
			w.clock.Add(time.Second)
			require.ErrorIs(t, form.verify(c.method, code), twofa.ErrExpired, "ten seconds")
		})
	}
}

// Where and when a proof is repeated, and what has happened in between.
func TestAbuse_A05_A06_RepeatedProof(t *testing.T) {
	for name, c := range map[string]struct {
		between func(t *testing.T, w *world, login, form *person)
		want    error // nil is the same session
	}{
		"at once":            {func(*testing.T, *world, *person, *person) {}, nil},
		"after nine seconds": {func(_ *testing.T, w *world, _, _ *person) { w.clock.Add(9 * time.Second) }, nil},
		"after ten seconds":  {func(_ *testing.T, w *world, _, _ *person) { w.clock.Add(10 * time.Second) }, twofa.ErrExpired},
		"after an hour":      {func(_ *testing.T, w *world, _, _ *person) { w.clock.Add(time.Hour) }, twofa.ErrExpired},
		"on another server":  {func(_ *testing.T, w *world, _, form *person) { *form = *form.on(w.again()) }, nil},
		"on a server whose clock is behind": {func(_ *testing.T, w *world, _, form *person) {
			*form = *form.on(w.off(-3 * time.Second))
		}, nil},
		"on a server whose clock is ahead": {func(_ *testing.T, w *world, _, form *person) {
			*form = *form.on(w.off(3 * time.Second))
		}, nil},
		"after the clock went back by a minute": {func(_ *testing.T, w *world, _, _ *person) { w.clock.Add(-time.Minute) }, twofa.ErrExpired},
		"with the token that the browser was handed": {func(_ *testing.T, _ *world, login, form *person) {
			form.client.Browser = login.client.Browser
		}, nil},
		"in another browser": {func(_ *testing.T, _ *world, _, form *person) {
			form.client.Browser = twofa.NewSecret("elsewhere")
		}, twofa.ErrExpired},
		"in no browser": {func(_ *testing.T, _ *world, _, form *person) { form.client.Browser = twofa.Secret{} }, twofa.ErrExpired},
		"on another challenge": {func(t *testing.T, _ *world, _, form *person) {
			require.Equal(t, twofa.NextChallenge, form.begin())
		}, twofa.ErrInvalidCode},
		"after Cancel": {func(t *testing.T, w *world, _, form *person) {
			require.ErrorIs(t, w.Cancel(t.Context(), form.client, form.login.Challenge), twofa.ErrExpired, "it was used up")
		}, twofa.ErrExpired},
		"after SignedOut": {func(t *testing.T, w *world, login, _ *person) {
			require.NoError(t, w.SignedOut(t.Context(), login.caller()))
		}, twofa.ErrExpired},
		"after Revoke": {func(t *testing.T, w *world, _, _ *person) {
			require.NoError(t, w.User(twofa.AsHost("test"), "ada").Revoke(t.Context()))
		}, twofa.ErrExpired},
		"after Revoke by the user": {func(t *testing.T, w *world, login, _ *person) {
			require.NoError(t, w.User(twofa.AsUser(login.caller(), ""), "ada").Revoke(t.Context()))
		}, twofa.ErrExpired},
		"after CredentialsChanged": {func(t *testing.T, w *world, _, _ *person) {
			require.NoError(t, w.User(twofa.AsHost("test"), "ada").CredentialsChanged(t.Context()))
		}, twofa.ErrExpired},
		"after CredentialsChanged by the user": {func(t *testing.T, w *world, login, _ *person) {
			require.NoError(t, w.User(twofa.AsUser(login.caller(), ""), "ada").CredentialsChanged(t.Context()))
		}, twofa.ErrExpired},
		"after Reset": {func(t *testing.T, w *world, _, _ *person) {
			require.NoError(t, w.User(twofa.AsHost("test"), "ada").Reset(t.Context(), twofa.ResetRequest{}))
		}, twofa.ErrExpired},
		"after Delete": {func(t *testing.T, w *world, _, _ *person) {
			require.NoError(t, w.User(twofa.AsHost("test"), "ada").Delete(t.Context()))
		}, twofa.ErrExpired},
		"after a change of factors": {func(_ *testing.T, _ *world, login, _ *person) { login.second(twofa.EnrollRequest{}) }, twofa.ErrExpired},
		"after a new password that the host did not report": {func(_ *testing.T, w *world, _, _ *person) {
			w.setUser("ada", func(u *twofa.User) { u.SecurityStamp = "2" })
		}, twofa.ErrExpired},
		"after the user was disabled": {func(_ *testing.T, w *world, _, _ *person) {
			w.setUser("ada", func(u *twofa.User) { u.Disabled = true })
		}, twofa.ErrNotAllowed},
		"while the directory is down": {func(_ *testing.T, w *world, _, form *person) {
			*form = *form.on(w.with(func(c *twofa.Config) {
				c.Directory = twofa.LookUp(func(context.Context, string) (twofa.User, error) { return twofa.User{}, errDown })
			}))
		}, twofa.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			login := w.enrolled("ada").another()
			code := login.code()
			form := *login
			require.NoError(t, login.verify(twofa.TOTP, code))
			other := form
			require.ErrorIs(t, other.verify(twofa.TOTP, other.wrongCode(twofa.TOTP)), twofa.ErrExpired, "another code on the same challenge")
			c.between(t, w, login, &form)
			err := form.verify(twofa.TOTP, code)
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				require.True(t, form.session.IsZero())
				return
			}
			require.NoError(t, err)
			require.Equal(t, login.sessionID(), form.sessionID())
		})
	}
}

// off returns a server whose clock is off.
func (w *world) off(by time.Duration) *twofa.Manager {
	return w.with(func(c *twofa.Config) { c.Now = func() time.Time { return w.clock.Now().Add(by) } })
}

// with returns a server with another configuration.
func (w *world) with(edit func(*twofa.Config)) *twofa.Manager {
	w.t.Helper()
	cfg := w.cfg
	edit(&cfg)
	m, err := twofa.New(cfg)
	require.NoError(w.t, err)
	return m
}

// A repeated step-up gives no second use of its proof.
func TestAbuse_L13_RepeatedStepUpRenewsNothing(t *testing.T) {
	w, store := newFault(t)
	ada := w.enrolled("ada")
	other := ada.another()
	require.NoError(t, other.verify(twofa.TOTP, other.code()))
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), export, "")))
	code, form := ada.code(), *ada
	swaps := 0
	store.Seen = func(string, twofa.Record) { swaps++ }
	require.NoError(t, ada.verify(twofa.TOTP, code))
	repeat := func() error {
		again := form
		err := again.verify(twofa.TOTP, code)
		if err == nil {
			require.Equal(t, ada.sessionID(), again.sessionID())
			require.Equal(t, export, again.login.Action)
		}
		return err
	}
	require.NoError(t, repeat())
	require.Equal(t, 1, swaps)
	require.NoError(t, ada.use(export, ""))
	require.NoError(t, repeat(), "the page goes on, but there is nothing to use")
	denied(t, ada.use(export, ""), twofa.ReasonMissing)
	require.Equal(t, 1, w.count(event.StepUp, ada.sessionID()))
	w.clock.Add(5 * time.Second)
	require.NoError(t, repeat())
	denied(t, ada.use(export, ""), twofa.ReasonMissing)

	for name, change := range map[string]func(p *person){
		"no session":      func(p *person) { p.session = twofa.Session{} },
		"another session": func(p *person) { p.session = other.session },
		"another browser": func(p *person) { p.client = other.client },
	} {
		stolen := form
		change(&stolen)
		require.ErrorIs(t, stolen.verify(twofa.TOTP, code), twofa.ErrExpired, name)
	}
	require.NoError(t, w.SignedOut(t.Context(), ada.caller()))
	require.ErrorIs(t, repeat(), twofa.ErrExpired)
}

// The same wrong code gets the same answer for ten seconds and is counted once.
func TestAbuse_B06_B07_RepeatedWrongCode(t *testing.T) {
	for _, m := range []twofa.Method{twofa.TOTP, twofa.RecoveryCode, twofa.SMS} {
		t.Run(string(m), func(t *testing.T) {
			var login *person
			w := newWorld(t, func(c *twofa.Config) {
				if m == twofa.SMS {
					byText(c)
				}
			})
			if m == twofa.SMS {
				login, _ = w.texted("ada")
			} else {
				login = w.enrolled("ada").another()
			}
			wrong := login.wrongCode(m)
			try := func(p *person) int {
				t.Helper()
				err := p.verify(m, wrong)
				require.ErrorIs(t, err, twofa.ErrInvalidCode)
				left, _ := twofa.AttemptsLeft(err)
				return left
			}
			require.Equal(t, 4, try(login))
			stored := w.record("ada")
			for range 3 {
				w.clock.Add(3 * time.Second)
				require.Equal(t, 4, try(login))
				require.Equal(t, 4, try(login.on(w.again())), "on another server, too")
			}
			require.Equal(t, stored, w.record("ada"))
			w.clock.Add(time.Second)
			require.Equal(t, 3, try(login), "after ten seconds, it is another attempt")
			require.Equal(t, 2, try(login.another()), "and on another challenge")
			left, _ := twofa.AttemptsLeft(login.verify(m, login.wrongCode(m)))
			require.Equal(t, 1, left, "and so is another code")
			left, _ = twofa.AttemptsLeft(login.verify(m, login.wrongCode(m)))
			require.Zero(t, left)
			require.ErrorIs(t, login.verify(m, login.wrongCode(m)), twofa.ErrLocked)
		})
	}
}

// Text that cannot be a code is refused without being counted, also while the
// method is locked.
func TestAbuse_D01_D03_MalformedCodesAreNotCounted(t *testing.T) {
	w := newWorld(t)
	login := w.enrolled("ada").another()
	stored := w.record("ada")
	malformed := func() {
		t.Helper()
		for _, m := range []twofa.Method{twofa.TOTP, twofa.RecoveryCode} {
			for _, code := range []string{"", "12", "abcdef", "1234567", "12345678901234567890", "\x00\x00\x00\x00\x00\x00"} {
				err := login.verify(m, code)
				require.ErrorIs(t, err, twofa.ErrMalformedCode, "%q", code)
				require.ErrorIs(t, err, twofa.ErrInvalidCode)
			}
		}
	}
	malformed()
	require.Equal(t, stored, w.record("ada"))
	require.False(t, errors.Is(login.verify(twofa.TOTP, login.wrongCode(twofa.TOTP)), twofa.ErrMalformedCode))
	for range 4 {
		require.ErrorIs(t, login.verify(twofa.TOTP, login.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
	}
	require.ErrorIs(t, login.verify(twofa.TOTP, login.wrongCode(twofa.TOTP)), twofa.ErrLocked)
	stored = w.record("ada")
	malformed()
	require.Equal(t, stored, w.record("ada"))
}

// The code from the newest message is right, although it was just wrong in the
// page from before it was sent.
func TestRepeat_CodeInTheWrongPageAndThenInTheRightOne(t *testing.T) {
	w := newWorld(t, byText)
	ada, _ := w.texted("ada")
	before := *ada
	w.clock.Add(time.Minute)
	require.NoError(t, ada.send(twofa.SMS))
	code := w.out.TextCode(t, adasPhone)
	require.ErrorIs(t, before.verify(twofa.SMS, code), twofa.ErrInvalidCode)
	require.NoError(t, ada.verify(twofa.SMS, code))
}

// A challenge that is bound to no browser gets its answer again only from the
// browser that gave the proof.
func TestAbuse_E07_RepeatedProofWithoutABoundBrowser(t *testing.T) {
	w := newWorld(t)
	app := w.enrolled("ada").browser("app")
	app.client.Browser = twofa.Secret{}
	require.Equal(t, twofa.NextChallenge, app.begin())
	code, form := app.code(), *app
	app.client.Browser = twofa.NewSecret("the first cookie of this browser")
	require.NoError(t, app.verify(twofa.TOTP, code))
	stolen := form
	stolen.client.Browser = twofa.NewSecret("elsewhere")
	require.ErrorIs(t, stolen.verify(twofa.TOTP, code), twofa.ErrExpired)
	form.client.Browser = twofa.NewSecret("the first cookie of this browser")
	require.NoError(t, form.verify(twofa.TOTP, code))
	require.Equal(t, app.sessionID(), form.sessionID())
}

// Cancel also uses up a required enrollment in which a code was tried.
func TestAbuse_E14_CanceledEnrollment(t *testing.T) {
	w := newWorld(t, requiring)
	ada := pendingPage(w, true)
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	require.ErrorIs(t, ada.confirm(ada.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
	require.NoError(t, w.Cancel(t.Context(), ada.client, ada.login.Challenge))
	denied(t, ada.confirm(ada.now()), twofa.ReasonSignedOut)
	require.Equal(t, twofa.NextEnroll, ada.begin(), "nothing was enrolled")
	ada.enroll()
}
