package abuse

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// byMailedCode configures a host that mails a code with each link.
func byMailedCode(c *twofa.Config) {
	byLink(c)
	c.Mail.CodeBesideLink = true
}

// coded returns a user to whom a link and a code were just mailed, and the code.
func (w *world) coded(id string) (p *person, code string) {
	p, _ = w.linked(id)
	return p, w.out.MailCode(w.t, id+"@example.com")
}

// sentCode reports whether the page should ask for a code.
func (p *person) sentCode() bool {
	p.t.Helper()
	r, err := p.DescribeChallenge(p.t.Context(), p.client, p.login.Challenge)
	require.NoError(p.t, err)
	return r.SentCode
}

// newestMail returns the text of the newest mail.
func (w *world) newestMail() string {
	mails := w.out.Mails()
	return mails[len(mails)-1].Text.Reveal()
}

func TestAbuse_I22_WrongMailedCodesLockTheCodeOnly(t *testing.T) {
	w := newWorld(t, byMailedCode)
	ada, code := w.coded("ada")
	require.True(t, ada.sentCode())
	for i := range 5 {
		err := ada.verify(twofa.EmailLink, ada.wrongCode(twofa.EmailLink))
		require.ErrorIs(t, err, twofa.ErrInvalidCode)
		left, counted := twofa.AttemptsLeft(err)
		require.True(t, counted)
		require.Equal(t, 4-i, left)
	}
	require.Contains(t, w.types(), event.Locked)
	right, wrong := ada.verify(twofa.EmailLink, code), ada.verify(twofa.EmailLink, ada.wrongCode(twofa.EmailLink))
	locked(t, right, time.Minute)
	require.Equal(t, wrong, right, "the answer does not reveal whether the code is right")
	require.False(t, ada.sentCode())

	other := ada.browser("laptop")
	require.Equal(t, twofa.NextChallenge, other.begin())
	require.ErrorIs(t, other.send(twofa.EmailLink), twofa.ErrLocked, "the cool-down of mails")
	w.clock.Add(time.Minute)
	require.ErrorIs(t, ada.verify(twofa.EmailLink, code), twofa.ErrInvalidCode, "the lock has ended, and the code is invalid")
	require.NoError(t, other.send(twofa.EmailLink))
	require.NotRegexp(t, `(?m)^[0-9]{6}$`, w.newestMail(), "a sixth failure has locked codes again")
	require.False(t, other.sentCode())
	require.NoError(t, other.verify(twofa.EmailLink, other.token()), "the link works while codes are locked")

	w.clock.Add(time.Minute)
	ada, code = w.coded("ada")
	require.NoError(t, ada.verify(twofa.EmailLink, code), "the opened link has ended the lock")
}

// The ceilings are those of text messages, also if the owner signs in by link all
// the time.
func TestAbuse_I22_MailedCodesHaveACeiling(t *testing.T) {
	w := newWorld(t, byMailedCode)
	wrong := 0
	for day := range 60 {
		for range 12 {
			eve := w.person("ada").browser(w.clock.Now().String())
			require.Equal(t, twofa.NextChallenge, eve.begin())
			if err := eve.verify(twofa.EmailLink, eve.wrongCode(twofa.EmailLink)); errors.Is(err, twofa.ErrInvalidCode) {
				wrong++
			}
			w.clock.Add(2 * time.Hour)
		}
		if day == 29 {
			require.LessOrEqual(t, wrong, 100, "in 30 days")
		}
		ada, token := w.linked("ada")
		require.NoError(t, ada.verify(twofa.EmailLink, token))
		w.clock.Add(time.Hour)
	}
	require.LessOrEqual(t, wrong, 140)
	require.Contains(t, w.types(), event.Disabled)
}

func TestAbuse_I23_MailedCodeOfAnotherLogin(t *testing.T) {
	w := newWorld(t, byMailedCode)
	ada, code := w.coded("ada")
	bob, bobs := w.coded("bob")
	require.NotEqual(t, code, bobs, "equal by chance once in a million")
	require.ErrorIs(t, bob.verify(twofa.EmailLink, code), twofa.ErrInvalidCode, "another user")
	stolen := ada.browser("thief")
	stolen.login = ada.login
	require.ErrorIs(t, stolen.verify(twofa.EmailLink, code), twofa.ErrExpired, "another browser")
	other := ada.browser("laptop")
	other.begin()
	require.ErrorIs(t, other.verify(twofa.EmailLink, code), twofa.ErrInvalidCode, "another login")
	w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"ada@elsewhere.example"} })
	require.ErrorIs(t, ada.verify(twofa.EmailLink, code), twofa.ErrInvalidCode, "another address")
	w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"ada@example.com"} })
	w.clock.Add(time.Minute)
	require.NoError(t, ada.verify(twofa.EmailLink, code))
}

// A step-up whose rule accepts a link accepts the code of its own mail.
func TestAbuse_I23_MailedCodeOfAnotherAction(t *testing.T) {
	w := newWorld(t, byMailedCode, func(c *twofa.Config) {
		rule := twofa.ActionRule{Methods: []twofa.Method{twofa.EmailLink}}
		c.Policy.Actions = map[string]twofa.ActionRule{"export": rule, "invite": rule, "read": {MaxAge: time.Hour, Methods: rule.Methods}}
	})
	ada, code := w.coded("ada")
	require.NoError(t, ada.verify(twofa.EmailLink, code))
	require.NoError(t, ada.CheckAction(t.Context(), ada.caller(), "read", ""), "the proof of the login counts, as that of a link does")
	w.clock.Add(time.Minute)
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), "export", "")))
	require.ErrorIs(t, ada.verify(twofa.EmailLink, code), twofa.ErrInvalidCode, "the code of the login")
	require.NoError(t, ada.send(twofa.EmailLink))
	require.NoError(t, ada.verify(twofa.EmailLink, w.out.MailCode(t, "ada@example.com")))
	denied(t, ada.UseAction(t.Context(), ada.caller(), "invite", ""), twofa.ReasonMissing)
	require.NoError(t, ada.UseAction(t.Context(), ada.caller(), "export", ""))
	denied(t, ada.UseAction(t.Context(), ada.caller(), "export", ""), twofa.ReasonMissing)
}

func TestAbuse_I24_MailedCodeAndLinkUseUpEachOther(t *testing.T) {
	for name, first := range map[string]bool{"the code first": true, "the link first": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, byMailedCode)
			ada, code := w.coded("ada")
			open, used, unused := ada.login, code, ada.token()
			if !first {
				used, unused = unused, used
			}
			require.NoError(t, ada.verify(twofa.EmailLink, used))
			session, stored := ada.sessionID(), w.record("ada")
			ada.login = open
			require.ErrorIs(t, ada.verify(twofa.EmailLink, unused), twofa.ErrExpired)
			require.NoError(t, ada.verify(twofa.EmailLink, used), "a form that was sent twice")
			require.Equal(t, session, ada.sessionID())
			require.Equal(t, stored, w.record("ada"), "a repetition writes nothing")
			w.clock.Add(10 * time.Second)
			ada.login = open
			require.ErrorIs(t, ada.verify(twofa.EmailLink, used), twofa.ErrExpired)
			ada.begin()
			require.ErrorIs(t, ada.verify(twofa.EmailLink, used), twofa.ErrInvalidCode, "a new login")
		})
	}
}

func TestAbuse_I24_MailedCodeAndLinkAtOnceGiveOneSession(t *testing.T) {
	bursts(t, byMailedCode, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada, code := w.coded("ada")
		proofs := []string{ada.token(), code}
		got := burst(2, func(m *twofa.Manager, i int) error {
			_, err := m.Verify(t.Context(), ada.caller(), ada.login.Challenge, twofa.Proof{Method: twofa.EmailLink, Code: twofa.NewSecret(proofs[i])})
			return err
		})
		require.Equal(t, tally{ok: 1, expired: 1}, got)
	})
}

func TestAbuse_I25_OlderMailedCodeIsInvalid(t *testing.T) {
	t.Run("handed over", func(t *testing.T) {
		w := newWorld(t, byMailedCode)
		ada, older := w.coded("ada")
		before := ada.login
		w.clock.Add(time.Minute)
		require.NoError(t, ada.send(twofa.EmailLink))
		after, newer := ada.login, w.out.MailCode(t, "ada@example.com")
		require.ErrorIs(t, ada.verify(twofa.EmailLink, older), twofa.ErrInvalidCode)
		ada.login = before
		require.ErrorIs(t, ada.verify(twofa.EmailLink, older), twofa.ErrInvalidCode)
		require.ErrorIs(t, ada.verify(twofa.EmailLink, newer), twofa.ErrInvalidCode, "the old challenge cannot use the new code")
		ada.login = after
		require.NoError(t, ada.verify(twofa.EmailLink, newer))
	})
	t.Run("not handed over", func(t *testing.T) {
		refuse := error(nil)
		w := newWorld(t, byMailedCode, func(c *twofa.Config) {
			c.AllowSend = func(ctx context.Context, s twofa.SendRequest) error { return refuse }
		})
		ada, older := w.coded("ada")
		w.clock.Add(time.Minute)
		refuse = errors.New("no")
		require.ErrorIs(t, ada.send(twofa.EmailLink), twofa.ErrUnavailable)
		require.NoError(t, ada.verify(twofa.EmailLink, older))
	})
}

func TestAbuse_I26_MailedCodeIsNoTextMessage(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) {
		c.Policy = twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS, twofa.EmailLink}, Fallback: []twofa.Method{twofa.EmailLink}, Required: true, EnrollWithoutLink: true}
		c.Mail.CodeBesideLink = true
	})
	ada, code := w.coded("ada")
	require.NoError(t, ada.verify(twofa.EmailLink, code))
	require.NoError(t, ada.took(ada.Resume(t.Context(), ada.caller())))
	ada = ada.setUpPhone(adasPhone).browser("laptop")
	ada.begin()
	start := ada.login
	require.NoError(t, ada.send(twofa.EmailLink))
	mailed, byMail := w.out.MailCode(t, "ada@example.com"), ada.login
	ada.login = start
	require.NoError(t, ada.send(twofa.SMS))
	texted := w.out.TextCode(t, adasPhone)
	require.ErrorIs(t, ada.verify(twofa.EmailLink, texted), twofa.ErrInvalidCode)
	require.ErrorIs(t, ada.verify(twofa.EmailLink, mailed), twofa.ErrInvalidCode)
	require.ErrorIs(t, ada.verify(twofa.SMS, mailed), twofa.ErrInvalidCode)
	ada.login = byMail
	require.ErrorIs(t, ada.verify(twofa.SMS, mailed), twofa.ErrInvalidCode)
	require.ErrorIs(t, ada.verify(twofa.SMS, texted), twofa.ErrInvalidCode)
	require.ErrorIs(t, ada.verify(twofa.EmailLink, texted), twofa.ErrInvalidCode)
	require.NoError(t, ada.verify(twofa.EmailLink, mailed))
}

// A link stands between a stolen password and a new factor, so no code does.
func TestAbuse_I27_MailedCodeEnrollsNothing(t *testing.T) {
	t.Run("a required authenticator", func(t *testing.T) {
		w := newWorld(t, byMailedCode, func(c *twofa.Config) { c.Policy = twofa.PolicyAuthenticator() })
		ada, token := w.linked("ada")
		require.NotRegexp(t, `(?m)^[0-9]{6}$`, w.newestMail())
		require.False(t, ada.sentCode())
		stored := w.record("ada")
		require.ErrorIs(t, ada.verify(twofa.EmailLink, "012345"), twofa.ErrInvalidCode)
		require.Equal(t, stored, w.record("ada"), "there is no code to guess")
		require.NoError(t, ada.verify(twofa.EmailLink, token))
		require.Equal(t, twofa.NextEnroll, ada.login.Next)
	})
	for name, reset := range map[string]bool{"the first authenticator": false, "after a reset": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, byMailedCode)
			if reset {
				ada, token := w.linked("ada")
				require.NoError(t, ada.verify(twofa.EmailLink, token))
				ada.enroll()
				require.NoError(t, w.User(twofa.AsHost("test"), "ada").Reset(t.Context(), twofa.ResetRequest{}))
				w.clock.Add(time.Hour)
			}
			ada, code := w.coded("ada")
			require.NoError(t, ada.verify(twofa.EmailLink, code))
			_, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
			denied(t, err, twofa.ReasonMissing)
			if reset {
				denied(t, ada.CheckPerson(t.Context(), ada.caller()), twofa.ReasonEnroll)
			}
			w.clock.Add(time.Minute)
			require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), twofa.ActionFactors, "")))
			require.Equal(t, []twofa.Method{twofa.EmailLink}, ada.login.Methods)
			require.NoError(t, ada.send(twofa.EmailLink))
			require.NotRegexp(t, `(?m)^[0-9]{6}$`, w.newestMail())
			require.ErrorIs(t, ada.verify(twofa.EmailLink, "012345"), twofa.ErrInvalidCode)
			require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
			require.NoError(t, ada.CheckPerson(t.Context(), ada.caller()))
			ada.enroll()
		})
	}
	t.Run("a stricter account", func(t *testing.T) {
		w := newWorld(t, byMailedCode)
		require.NoError(t, w.Account(twofa.AsHost("test"), "beta").SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
		ada, code := w.coded("ada")
		require.NoError(t, ada.verify(twofa.EmailLink, code))
		ada.account = "beta"
		require.NoError(t, ada.took(ada.Resume(t.Context(), ada.caller())))
		require.Equal(t, twofa.NextChallenge, ada.login.Next)
		w.clock.Add(time.Minute)
		require.NoError(t, ada.send(twofa.EmailLink))
		require.False(t, ada.sentCode())
	})
}

func TestAbuse_I28_ServerWithoutMailedCodes(t *testing.T) {
	w := newWorld(t, byMailedCode)
	ada, code := w.coded("ada")
	with := w.Manager
	w.cfg.Mail.CodeBesideLink = false
	w.Manager = w.again()
	stored := w.record("ada")
	for range 10 {
		require.ErrorIs(t, ada.verify(twofa.EmailLink, code), twofa.ErrInvalidCode)
		w.clock.Add(10 * time.Second)
	}
	require.Equal(t, stored, w.record("ada"), "nothing is compared or counted")
	require.False(t, ada.sentCode())
	require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))

	_, _ = w.linked("ada")
	require.NotRegexp(t, `(?m)^[0-9]{6}$`, w.newestMail())
	w.clock.Add(time.Minute)
	w.Manager = with
	ada, code = w.coded("ada")
	require.NoError(t, ada.verify(twofa.EmailLink, code))
	w.Manager = w.again()
	require.NoError(t, ada.Check(t.Context(), ada.caller()), "a session that was opened with a code is still valid")
}

func TestAbuse_I29_CodeIsNotAtTheBeginningOfTheMail(t *testing.T) {
	w := newWorld(t, byMailedCode)
	ada, code := w.coded("ada")
	mail := w.out.Mails()[0]
	require.NotContains(t, mail.Subject, code)
	for _, text := range []string{mail.Text.Reveal(), mail.HTML.Reveal()} {
		require.Equal(t, 1, strings.Count(text, code))
		require.Greater(t, strings.Index(text, code), strings.LastIndex(text, ada.token()), "phones show the first lines while they are locked")
		require.Contains(t, text, "Nobody will ask you for this code")
	}
	require.Equal(t, "email_code", string(w.proven(ada, code)))
}

// proven verifies a code, and returns the method that the session lists.
func (w *world) proven(p *person, code string) twofa.Method {
	w.t.Helper()
	require.NoError(w.t, p.verify(twofa.EmailLink, code))
	d, err := w.DescribeSession(p.session)
	require.NoError(w.t, err)
	return d.Proofs[0].Method
}

func TestAbuse_I30_MalformedMailedCodeIsNotCounted(t *testing.T) {
	w := newWorld(t, byMailedCode)
	ada, code := w.coded("ada")
	stored := w.record("ada")
	malformed := []string{"", "12345", "1234567", "abcdef", "１２３４５６", code + "0", strings.Repeat("0", 500), strings.Repeat(" ", 60) + code}
	for _, typed := range malformed {
		require.ErrorIs(t, ada.verify(twofa.EmailLink, typed), twofa.ErrMalformedCode, typed)
	}
	require.ErrorIs(t, ada.verify(twofa.EmailLink, strings.Repeat("A", 43)), twofa.ErrInvalidCode, "a token")
	require.Equal(t, stored, w.record("ada"))
	require.NoError(t, ada.verify(twofa.EmailLink, " "+code[:3]+" "+code[3:]))
}

func TestMailedCode_IsRefusedWithoutItsConfiguration(t *testing.T) {
	for name, edit := range map[string]func(*twofa.Config){
		"Mail.LinkURL: is missing, but Mail.CodeBesideLink is true":                func(c *twofa.Config) { c.Mail.LinkURL, c.Policy = nil, twofa.PolicyOptional() },
		"Lifetimes.Link: must be at most 10m0s with Mail.CodeBesideLink, is 11m0s": func(c *twofa.Config) { c.Lifetimes.Link = 11 * time.Minute },
		"Mail.Mailer: is missing, but Mail.LinkURL is set":                         func(c *twofa.Config) { c.Mail.Mailer = nil },
	} {
		w := newWorld(t, byMailedCode)
		edit(&w.cfg)
		_, err := twofa.New(w.cfg)
		require.ErrorContains(t, err, name)
	}
}
