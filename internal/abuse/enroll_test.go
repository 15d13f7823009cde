package abuse

import (
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// setUp starts an enrollment and returns the user with the app that has the new
// key.
func (p *person) setUp(e twofa.EnrollRequest) *person {
	p.t.Helper()
	started, err := p.Enroll(p.t.Context(), p.caller(), e)
	require.NoError(p.t, err)
	q := *p
	q.uri = started.URI.Reveal()
	return &q
}

// confirm confirms the enrollment with a code.
func (p *person) confirm(code string) error {
	return p.took(p.Confirm(p.t.Context(), p.caller(), code))
}

func TestAbuse_F01_PendingEnrollmentChangesNothing(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	for _, e := range []twofa.EnrollRequest{{}, {Replaces: ada.factor(0)}, {Method: twofa.RecoveryCode}} {
		pending, err := ada.Enroll(t.Context(), ada.caller(), e)
		require.NoError(t, err)
		w.clock.Add(30 * time.Second)
		if e.Method != twofa.RecoveryCode {
			app := *ada
			app.uri = pending.URI.Reveal()
			require.ErrorIs(t, ada.another().verify(twofa.TOTP, app.now()), twofa.ErrInvalidCode)
		}
		for _, code := range pending.Codes {
			require.ErrorIs(t, ada.another().verify(twofa.RecoveryCode, code.Reveal()), twofa.ErrInvalidCode)
			break
		}
		require.NoError(t, ada.another().verify(twofa.TOTP, ada.now()))
		require.NoError(t, ada.Check(t.Context(), ada.caller()))
	}
}

// For a user who has a factor, a password alone enrolls, shows and creates
// nothing.
func TestAbuse_F02_F03_H07_EnrollmentFromAPendingLogin(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	pending := ada.another()
	for _, request := range []string{"Enroll", "Enroll phone", "Enrollment", "Confirm", "SaveCodes", "RegenerateCodes", "RecoveryCodes", "Factors"} {
		denied(t, callerRequests[request](pending, pending.caller()), twofa.ReasonSignedOut)
	}
	require.Equal(t, []twofa.Method{twofa.TOTP, twofa.RecoveryCode}, pending.login.Methods)
}

// An enrollment that was started with the password before the owner enrolled is
// invalid afterwards.
func TestAbuse_F02_EnrollmentStartedBeforeTheOwners(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy, c.Mail.Mailer, c.Mail.LinkURL = twofa.PolicyAuthenticator(), nil, nil })
	ada, eve := w.person("ada"), w.person("ada").browser("elsewhere")
	require.Equal(t, twofa.NextEnroll, ada.begin())
	require.Equal(t, twofa.NextEnroll, eve.begin())
	app := eve.setUp(twofa.EnrollRequest{})
	ada.enroll()
	denied(t, failure(eve.Confirm(t.Context(), eve.caller(), app.now())), twofa.ReasonSignedOut)
	denied(t, failure(eve.Enroll(t.Context(), eve.caller(), twofa.EnrollRequest{})), twofa.ReasonSignedOut)
	denied(t, failure(ada.Enroll(t.Context(), twofa.Caller{Challenge: eve.login.Challenge, Client: eve.client}, twofa.EnrollRequest{})), twofa.ReasonSignedOut)
}

func TestAbuse_F04_SecretIsShownOnlyWhilePending(t *testing.T) {
	ada := newWorld(t).enrolled("ada")
	require.ErrorIs(t, failure(ada.PendingEnrollment(t.Context(), ada.caller())), twofa.ErrExpired)
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	require.ErrorIs(t, failure(ada.PendingEnrollment(t.Context(), ada.caller())), twofa.ErrExpired)
	require.ErrorIs(t, failure(ada.RecoveryCodes(t.Context(), ada.caller())), twofa.ErrNotAllowed)
}

func TestAbuse_F06_EnrollmentOfAnotherSession(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.enrolled("ada"), w.enrolled("bob")
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	other := ada.another()
	require.NoError(t, other.verify(twofa.TOTP, other.code()))
	require.NoError(t, other.stepUp(twofa.ActionFactors), "even if that session has a proof of its own")
	require.NoError(t, bob.stepUp(twofa.ActionFactors))
	app := ada.setUp(twofa.EnrollRequest{Name: "tablet"})
	for _, p := range []*person{other, bob} {
		require.ErrorIs(t, p.confirm(app.now()), twofa.ErrExpired)
		require.ErrorIs(t, failure(p.SaveCodes(t.Context(), p.caller())), twofa.ErrExpired)
		require.ErrorIs(t, failure(p.PendingEnrollment(t.Context(), p.caller())), twofa.ErrExpired)
		mixed := p.caller()
		mixed.Challenge = ada.login.Challenge
		require.ErrorIs(t, failure(p.Confirm(t.Context(), mixed, app.now())), twofa.ErrExpired)
	}
	require.NoError(t, app.confirm(app.now()))
}

func TestAbuse_F07_LifetimeOfAnEnrollment(t *testing.T) {
	for after, want := range map[time.Duration]error{30*time.Minute - time.Second: nil, 30 * time.Minute: twofa.ErrExpired, time.Hour: twofa.ErrExpired} {
		w := newWorld(t)
		ada := w.enrolled("ada")
		require.NoError(t, ada.stepUp(twofa.ActionFactors))
		app := ada.setUp(twofa.EnrollRequest{})
		before := len(w.record("ada"))
		w.clock.Add(after)
		require.ErrorIs(t, app.confirm(app.now()), want, after)
		if want != nil {
			require.NoError(t, ada.hit())
			require.Less(t, len(w.record("ada")), before, "its secret is deleted with the next write")
		}
	}
}

func TestAbuse_F08_WrongCodeEnablesNothing(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	ada.begin()
	app := ada.setUp(twofa.EnrollRequest{})
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	for range 4 {
		require.ErrorIs(t, app.confirm(app.wrongCode(twofa.TOTP)), twofa.ErrInvalidCode)
		f, err := ada.Factors(t.Context(), ada.caller())
		require.NoError(t, err)
		require.Empty(t, f.List)
		require.Zero(t, f.CodesLeft)
		require.Equal(t, twofa.NextDone, ada.browser("another").begin())
	}
	require.NoError(t, app.confirm(app.now()), "the enrollment continues")
	require.NotContains(t, w.types(), event.TurnedOff)
}

// Each of the two steps alone changes nothing, because the other may never be
// taken.
func TestAbuse_F08_HalfAnEnrollment(t *testing.T) {
	for name, half := range map[string]func(p *person) error{
		"confirmed": func(p *person) error { return p.confirm(p.now()) },
		"saved":     func(p *person) error { return p.took(p.SaveCodes(p.t.Context(), p.caller())) },
	} {
		w := newWorld(t)
		ada := w.person("ada")
		ada.begin()
		app := ada.setUp(twofa.EnrollRequest{})
		require.NoError(t, half(app), name)
		require.Equal(t, twofa.NextEnroll, app.login.Next)
		require.Equal(t, twofa.NextDone, ada.browser("another").begin(), "there is no factor yet")
		require.NotContains(t, w.types(), event.Enrolled)
	}
}

func TestAbuse_F09_FreshProofBeforeAFactor(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	ada.begin()
	w.clock.Add(15*time.Minute - time.Second)
	require.NoError(t, failure(ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})))
	w.clock.Add(time.Second)
	denied(t, failure(ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})), twofa.ReasonSignedOut)
	ada.begin()
	ada.enroll()
	id := ada.factor(0)
	needsProof := map[string]func(p *person) error{
		"Enroll":          func(p *person) error { return callerRequests["Enroll"](p, p.caller()) },
		"RegenerateCodes": func(p *person) error { return callerRequests["RegenerateCodes"](p, p.caller()) },
		"RecoveryCodes":   func(p *person) error { return callerRequests["RecoveryCodes"](p, p.caller()) },
		"Rename":          func(p *person) error { return p.Rename(t.Context(), p.caller(), id, "mine") },
		"Remove":          func(p *person) error { return p.Remove(t.Context(), p.caller(), id) },
	}
	w.clock.Add(15*time.Minute - 31*time.Second) // the enrollment was a proof
	require.NoError(t, needsProof["Enroll"](ada))
	stolen := *ada
	stolen.client.Browser = twofa.NewSecret("has a copy of the session")
	for name, request := range needsProof {
		denied(t, request(&stolen), twofa.ReasonMissing, name)
	}
	w.clock.Add(31 * time.Second)
	for name, request := range needsProof {
		denied(t, request(ada), twofa.ReasonMissing, name)
	}
	require.NoError(t, ada.stepUp("contacts.export"))
	require.NoError(t, needsProof["Enroll"](ada), "a proof for an action counts as well")
	w.clock.Add(15 * time.Minute)
	for name, request := range needsProof {
		denied(t, request(ada), twofa.ReasonMissing, name)
	}
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	w.clock.Add(15 * time.Minute)
	for name, request := range needsProof {
		denied(t, request(ada), twofa.ReasonStale, name)
	}
}

// Each verified address is notified of a change, with time and place. So is a
// number that is replaced.
func TestAbuse_F10_G09_ChangesAreNotified(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil; c.Policy = twofa.PolicySMS() })
	w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"ada@example.com", "ada@example.org"} })
	told := func(what string, change func()) {
		before := len(w.out.Mails())
		change()
		to := map[string]string{}
		for _, m := range w.out.Mails()[before:] {
			to[m.To] += m.Text.Reveal()
		}
		require.Len(t, to, 2, what)
		for _, text := range to {
			require.Contains(t, text, what)
			require.Contains(t, text, "192.0.2.7")
			require.Contains(t, text, w.clock.Now().Format("2 January 2006, 15:04 UTC"))
		}
	}
	ada := w.person("ada")
	ada.begin()
	require.NoError(t, ada.send(twofa.EmailLink))
	require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
	told("An authenticator app was added to your account.", func() { ada.enroll() })
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	phone := func(e twofa.EnrollRequest) {
		e.Method = twofa.SMS
		started, err := ada.Enroll(t.Context(), ada.caller(), e)
		require.NoError(t, err)
		ada.login.Challenge = started.Challenge
		require.NoError(t, ada.confirm(w.out.TextCode(t, e.Phone)))
	}
	told("A phone was added to your account.", func() { phone(twofa.EnrollRequest{Phone: number}) })
	w.clock.Add(time.Hour)
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	texts := len(w.out.Texts())
	told("A phone was added to your account, in place of another one.", func() { phone(twofa.EnrollRequest{Phone: "+41799999999", Replaces: ada.factor(1)}) })
	last := w.out.Texts()[len(w.out.Texts())-1]
	require.Len(t, w.out.Texts(), texts+2)
	require.Equal(t, number, last.To)
	require.Contains(t, last.Body.Reveal(), "codes now go to another phone")
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	told("New recovery codes were generated.", func() {
		_, err := ada.RegenerateCodes(t.Context(), ada.caller())
		require.NoError(t, err)
		require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	})
	told("A phone was removed from your account.", func() {
		require.NoError(t, ada.Remove(t.Context(), ada.caller(), ada.factor(1)))
	})
}

// The old number stays until the new one is confirmed. A code that was sent to
// one number does not confirm the other.
func TestAbuse_G09_PendingNumberChange(t *testing.T) {
	w := newWorld(t, bySMS)
	ada := w.smsUser("ada")
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), twofa.ActionFactors, "")))
	require.NoError(t, ada.send(twofa.SMS))
	require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, number)))
	w.clock.Add(10 * time.Minute)
	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: "+41799999999", Replaces: ada.factor(0)})
	require.NoError(t, err)
	fresh := w.out.TextCode(t, "+41799999999")
	login := ada.another()
	require.NoError(t, login.send(twofa.SMS))
	require.ErrorIs(t, login.verify(twofa.SMS, fresh), twofa.ErrInvalidCode)
	require.NoError(t, login.verify(twofa.SMS, w.out.TextCode(t, number)))
	ada.login.Challenge = e.Challenge
	require.ErrorIs(t, ada.confirm(w.out.TextCode(t, number)), twofa.ErrInvalidCode)
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Equal(t, "•••• 67", f.List[0].Phone)
}

func TestAbuse_F12_LimitOfAuthenticators(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	for range 4 {
		ada = ada.second(twofa.EnrollRequest{})
	}
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	for range 20 {
		require.ErrorIs(t, failure(ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})), twofa.ErrNotAllowed)
	}
	ada = ada.second(twofa.EnrollRequest{Replaces: ada.factor(4)})
	require.NoError(t, ada.hit())
}

// brokenRandom is an environment variable that makes this test run with a
// random source that fails.
const brokenRandom = "TWOFA_TEST_BROKEN_RANDOM"

type brokenReader struct{ short bool }

func (r brokenReader) Read(b []byte) (int, error) {
	if r.short && len(b) > 1 {
		return len(b) / 2, errors.New("entropy is out")
	}
	return 0, errors.New("entropy is out")
}

// A random source that fails ends the program before a secret exists.
func TestAbuse_F13_RandomSourceFails(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	ada.begin()
	if how := os.Getenv(brokenRandom); how != "" {
		rand.Reader = brokenReader{how == "short"}
		_, _ = ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
		os.Exit(0)
	}
	for _, how := range []string{"short", "none"} {
		again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		again.Env = append(os.Environ(), brokenRandom+"="+how)
		output, err := again.CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(output), "failed to read random data")
	}
}

// All secrets of an enrollment come from the system's random source, so a known
// source makes them known.
func TestAbuse_F13_SecretsComeFromTheSystemsSource(t *testing.T) {
	made := func(seed uint64) (secrets []string) {
		cryptotest.SetGlobalRandom(t, seed)
		w := newWorld(t)
		ada := w.person("ada")
		ada.begin()
		e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
		require.NoError(t, err)
		secrets = append(secrets, e.Key.Reveal())
		for _, code := range e.Codes {
			secrets = append(secrets, code.Reveal())
		}
		return secrets
	}
	first := made(1)
	require.Equal(t, first, made(1))
	for i, other := range made(2) {
		require.NotEqual(t, first[i], other)
	}
}

func TestAbuse_F15_ShortSecrets(t *testing.T) {
	cfg := newWorld(t).cfg
	for _, size := range []int{-1, 1, 10, 15, 65, 1 << 20} {
		cfg.TOTP.SecretSize = size
		_, err := twofa.New(cfg)
		require.ErrorContains(t, err, "TOTP.SecretSize")
	}
}

// The ID of another user's factor is treated like an ID that does not exist.
func TestAbuse_G05_FactorsAndBrowsersOfOthers(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.enrolled("ada"), w.enrolled("bob")
	require.NoError(t, bob.stepUp(twofa.ActionFactors))
	browsers, err := ada.Browsers(t.Context(), ada.caller())
	require.NoError(t, err)
	stored, id := w.record("ada"), ada.factor(0)
	for _, id := range []string{id, "", "x", id[:5]} {
		require.ErrorIs(t, bob.Remove(t.Context(), bob.caller(), id), twofa.ErrNotEnrolled)
		require.ErrorIs(t, bob.Rename(t.Context(), bob.caller(), id, "x"), twofa.ErrNotEnrolled)
		if id != "" { // means no factor
			require.ErrorIs(t, failure(bob.Enroll(t.Context(), bob.caller(), twofa.EnrollRequest{Replaces: id})), twofa.ErrNotEnrolled)
		}
	}
	require.ErrorIs(t, bob.ForgetBrowser(t.Context(), bob.caller(), browsers[0].ID), twofa.ErrNotEnrolled)
	require.ErrorIs(t, bob.User(twofa.AsUser(bob.caller(), ""), "ada").Revoke(t.Context()), twofa.ErrNotAllowed)
	require.ErrorIs(t, bob.User(twofa.AsUser(bob.caller(), ""), "ada").CredentialsChanged(t.Context()), twofa.ErrNotAllowed)
	require.ErrorIs(t, bob.User(twofa.AsUser(bob.caller(), ""), "ada").Delete(t.Context()), twofa.ErrNotAllowed)
	require.Equal(t, stored, w.record("ada"))
}

// The last factor is removed only after a fresh proof, and not at all if the
// policy requires one.
func TestAbuse_G01_G06_LastFactor(t *testing.T) {
	for name, c := range map[string]struct {
		policy twofa.Policy
		want   error
	}{
		"optional":       {twofa.PolicyOptional(), nil},
		"required":       {twofa.Policy{Required: true}, twofa.ErrNotAllowed},
		"by an admin":    {twofa.Policy{TurnOff: twofa.TurnOffByAdmin}, twofa.ErrNotAllowed},
		"by support":     {twofa.Policy{TurnOff: twofa.TurnOffBySupport}, twofa.ErrNotAllowed},
		"a link will do": {twofa.PolicyEmailLink(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ada := w.person("ada")
			ada.account = "acme"
			ada.begin()
			ada.enroll()
			require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), c.policy, ""))
			id := ada.factor(0)
			stolen := *ada
			stolen.client.Browser = twofa.NewSecret("has a copy of the session")
			denied(t, stolen.Remove(t.Context(), stolen.caller(), id), twofa.ReasonMissing)
			w.clock.Add(15 * time.Minute)
			denied(t, ada.Remove(t.Context(), ada.caller(), id), twofa.ReasonMissing)
			require.NoError(t, ada.stepUp(twofa.ActionFactors))
			require.ErrorIs(t, ada.Remove(t.Context(), ada.caller(), id), c.want)
			require.Equal(t, c.want == nil, ada.codesGone())
		})
	}
}

// codesGone reports whether the user has neither factors nor codes.
func (p *person) codesGone() bool {
	p.t.Helper()
	q := p.browser("looking")
	q.begin()
	return !slices.Contains(q.login.Methods, twofa.RecoveryCode)
}

func TestAbuse_G07_G08_NothingOutlivesTurningOff(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.Policy{Remember: 24 * time.Hour} })
	ada := w.enrolled("ada")
	old := ada.another()
	l, err := old.Verify(t.Context(), old.caller(), old.login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(old.code()), Remember: true})
	require.NoError(t, old.took(l, err))
	require.Equal(t, twofa.NextDone, old.begin(), "the browser is remembered")
	full, session := len(w.record("ada")), old.session
	ada.stranger().misses(5, twofa.TOTP)
	pending := ada.another()
	require.NoError(t, ada.stepUp("contacts.export"))
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	require.NoError(t, ada.Remove(t.Context(), ada.caller(), ada.factor(0)))

	require.Less(t, len(w.record("ada")), full/2, "the record is nearly empty")
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Empty(t, f.List)
	require.Zero(t, f.CodesLeft)
	list, err := ada.Browsers(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Empty(t, list)
	denied(t, ada.UseAction(t.Context(), ada.caller(), "contacts.export", ""), twofa.ReasonMissing)
	require.ErrorIs(t, pending.verify(twofa.RecoveryCode, ada.codes[0]), twofa.ErrExpired)
	denied(t, w.Check(t.Context(), twofa.Caller{Session: session}), twofa.ReasonSignedOut)

	codes, uri := ada.codes, ada.uri
	require.Equal(t, twofa.NextDone, ada.begin())
	ada.enroll()
	require.NotEqual(t, uri, ada.uri)
	require.Equal(t, twofa.NextChallenge, old.begin(), "the remembered browser is challenged")
	for _, code := range codes[:4] {
		require.ErrorIs(t, old.verify(twofa.RecoveryCode, code), twofa.ErrInvalidCode)
	}
}

// Each change of factors ends all sessions except the one that made it.
func TestAbuse_G10_OtherSessionsEnd(t *testing.T) {
	for name, change := range map[string]func(p *person) error{
		"a further factor": func(p *person) error { p.second(twofa.EnrollRequest{}); return nil },
		"a replacement":    func(p *person) error { p.second(twofa.EnrollRequest{Replaces: p.factor(0)}); return nil },
		"a removal":        func(p *person) error { return p.Remove(p.t.Context(), p.caller(), p.factor(0)) },
		"the password": func(p *person) error {
			return p.User(twofa.AsUser(p.caller(), ""), p.id).CredentialsChanged(p.t.Context())
		},
	} {
		ada := newWorld(t).enrolled("ada")
		other := ada.another()
		require.NoError(t, other.verify(twofa.TOTP, other.code()))
		require.NoError(t, ada.stepUp(twofa.ActionFactors))
		require.NoError(t, change(ada), name)
		denied(t, other.Check(t.Context(), other.caller()), twofa.ReasonSignedOut)
		require.NoError(t, ada.Check(t.Context(), ada.caller()), name)
	}
}

// A session that has proven less than this account demands cannot open its
// settings either. The user must prove an existing factor before a new one can
// be enrolled.
func TestAbuse_F17_EnrollmentBeforeTheAccountsChallenge(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
	ada := w.person("ada")
	require.Equal(t, twofa.NextDone, ada.begin(), "a password is enough in the other account")
	ada.account = "acme"
	for _, request := range []string{"Enroll", "Enroll phone", "Enrollment", "SaveCodes", "RegenerateCodes", "RecoveryCodes", "Factors", "Rename", "Remove"} {
		denied(t, callerRequests[request](ada, ada.caller()), twofa.ReasonChallenge)
	}
	require.NoError(t, ada.took(ada.Resume(t.Context(), ada.caller())))
	require.Equal(t, []twofa.Method{twofa.EmailLink}, ada.login.Methods)
	require.NoError(t, ada.send(twofa.EmailLink))
	require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
	require.Equal(t, twofa.NextEnroll, ada.login.Next)
	ada.session = twofa.Session{} // the challenge contains the new proof
	ada.enroll()
}

// A session has an old proof, and its account no longer accepts any factor of
// the user. The user must give that proof again and can then finish enrollment.
func TestAbuse_F18_OldProofBeforeRequiredEnrollment(t *testing.T) {
	w := newWorld(t, byText)
	ada := w.person("ada")
	ada.account = "acme"
	require.Equal(t, twofa.NextEnroll, ada.begin())
	ada.setUpPhone(adasPhone)
	ada.begin()
	require.NoError(t, ada.send(twofa.SMS))
	require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
	w.policy("acme", twofa.PolicyAuthenticator())
	w.clock.Add(time.Hour)
	denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonEnroll)
	require.NoError(t, ada.took(ada.Resume(t.Context(), ada.caller())))
	require.Equal(t, twofa.NextChallenge, ada.login.Next)
	require.NoError(t, ada.send(twofa.SMS))
	require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
	require.Equal(t, twofa.NextEnroll, ada.login.Next)
	ada.enroll()
	require.NoError(t, ada.Check(t.Context(), ada.caller()))
}

// An enrollment is notified once, whatever comes with it. The same holds for
// new recovery codes.
func TestNotice_OneMailForAnEnrollment(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	ada := w.enrolled("ada")
	require.Len(t, w.out.Mails(), 1)
	require.Contains(t, w.out.Mails()[0].Text.Reveal(), "An authenticator app was added to your account.")
	require.NotContains(t, w.out.Mails()[0].Text.Reveal(), "\r")
	ada.renew()
	require.Len(t, w.out.Mails(), 2)
	require.Contains(t, w.out.Mails()[1].Text.Reveal(), "New recovery codes were generated.")
}
