package abuse

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// byText configures a host that sends text messages and no mail.
func byText(c *twofa.Config) {
	c.Policy = twofa.PolicySMS()
	c.Mail.Mailer, c.Mail.LinkURL = nil, nil
}

const (
	adasPhone  = "+41791234567"
	otherPhone = "+41797654321"
)

// setUpPhone enrolls a number and moves the clock until the sending limits
// allow more.
func (p *person) setUpPhone(number string) *person {
	p.t.Helper()
	e, err := p.Enroll(p.t.Context(), p.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: number})
	require.NoError(p.t, err)
	if !e.Saved {
		p.keep(e)
		require.NoError(p.t, p.took(p.SaveCodes(p.t.Context(), p.caller())))
	}
	p.login.Challenge = e.Challenge
	require.NoError(p.t, p.took(p.Confirm(p.t.Context(), p.caller(), p.out.TextCode(p.t, number))))
	require.Equal(p.t, twofa.NextDone, p.login.Next)
	p.clock.Add(25 * time.Hour)
	return p
}

// withPhone returns a user who has enrolled a phone, in a new browser.
func (w *world) withPhone(id, number string) *person {
	p := w.person(id)
	require.Equal(w.t, twofa.NextEnroll, p.begin())
	return p.setUpPhone(number).browser("laptop")
}

// texted returns such a user just after a code has arrived.
func (w *world) texted(id string) (p *person, code string) {
	p = w.withPhone(id, adasPhone)
	require.Equal(w.t, twofa.NextChallenge, p.begin())
	require.NoError(w.t, p.send(twofa.SMS))
	return p, w.out.TextCode(w.t, adasPhone)
}

func TestAbuse_J02_CodeExpires(t *testing.T) {
	diesAt(t, 5*time.Minute, twofa.ErrInvalidCode, func(t *testing.T, after time.Duration) error {
		w := newWorld(t, byText)
		ada, code := w.texted("ada")
		w.clock.Add(after)
		return ada.verify(twofa.SMS, code)
	})
}

func TestAbuse_J03_FiveWrongGuessesInvalidateTheCode(t *testing.T) {
	w := newWorld(t, byText)
	ada, code := w.texted("ada")
	for i := range 5 {
		err := ada.verify(twofa.SMS, ada.wrongCode(twofa.SMS))
		require.ErrorIs(t, err, twofa.ErrInvalidCode)
		left, _ := twofa.AttemptsLeft(err)
		require.Equal(t, 4-i, left)
	}
	require.ErrorIs(t, ada.verify(twofa.SMS, code), twofa.ErrLocked)
	require.ErrorIs(t, ada.send(twofa.SMS), twofa.ErrLocked, "nothing is sent that could not be used")
	w.clock.Add(61 * time.Second)
	require.ErrorIs(t, ada.verify(twofa.SMS, code), twofa.ErrInvalidCode, "the lock has ended, and the code is invalid (J-15)")
	w.clock.Add(3 * time.Minute)
	require.NoError(t, ada.send(twofa.SMS))
	require.ErrorIs(t, ada.verify(twofa.SMS, ada.wrongCode(twofa.SMS)), twofa.ErrInvalidCode)
	require.ErrorIs(t, ada.verify(twofa.SMS, w.out.TextCode(t, adasPhone)), twofa.ErrLocked, "the count continues with a new code")
}

// An attacker who has only the password cannot use up the owner's text
// messages.
func TestAbuse_J06_KnownBrowserHasAnAllowanceOfItsOwn(t *testing.T) {
	w := newWorld(t, byText)
	own := w.withPhone("ada", adasPhone)
	own.begin()
	require.NoError(t, own.send(twofa.SMS))
	require.NoError(t, own.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
	for range 24 * 60 {
		thief := w.person("ada").browser(w.clock.Now().String())
		thief.begin()
		_ = thief.send(twofa.SMS)
		w.clock.Add(time.Minute)
	}
	own.begin()
	require.NoError(t, own.send(twofa.SMS))
	require.NoError(t, own.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
}

func TestAbuse_J04_NoSecondMessageWithinTheCoolDown(t *testing.T) {
	w := newWorld(t, byText)
	ada, _ := w.texted("ada")
	sent := len(w.out.Texts())
	for i, wait := range []time.Duration{60, 120, 300, 300} {
		wait *= time.Second
		err := ada.send(twofa.SMS)
		require.ErrorIs(t, err, twofa.ErrLocked)
		require.Equal(t, wait, twofa.RetryAfter(err))
		w.clock.Add(wait - time.Second)
		require.ErrorIs(t, ada.send(twofa.SMS), twofa.ErrLocked)
		require.Len(t, w.out.Texts(), sent+i)
		w.clock.Add(time.Second)
		require.NoError(t, ada.send(twofa.SMS))
	}
}

func TestAbuse_J05_OlderCodeIsInvalid(t *testing.T) {
	w := newWorld(t, byText)
	ada, older := w.texted("ada")
	before := ada.login
	w.clock.Add(time.Minute)
	require.NoError(t, ada.send(twofa.SMS))
	after, newer := ada.login, w.out.TextCode(t, adasPhone)
	require.NotEqual(t, older, newer, "equal by chance once in a million")
	require.ErrorIs(t, ada.verify(twofa.SMS, older), twofa.ErrInvalidCode)
	ada.login = before
	require.ErrorIs(t, ada.verify(twofa.SMS, older), twofa.ErrInvalidCode)
	require.ErrorIs(t, ada.verify(twofa.SMS, newer), twofa.ErrInvalidCode, "the old challenge cannot use the new code")
	ada.login = after
	require.NoError(t, ada.verify(twofa.SMS, newer))
}

func TestAbuse_J06_LimitsHoldOverADay(t *testing.T) {
	t.Run("per user", func(t *testing.T) {
		w := newWorld(t, byText)
		ada := w.withPhone("ada", adasPhone)
		before := len(w.out.Texts())
		hour := before
		for minute := range 24*60 - 1 {
			other := ada.browser(w.clock.Now().String())
			other.begin()
			_ = other.send(twofa.SMS)
			if w.clock.Add(time.Minute); minute%60 == 59 {
				require.LessOrEqual(t, len(w.out.Texts())-hour, 5, "the limit of an hour")
				hour = len(w.out.Texts())
			}
		}
		require.Equal(t, 10, len(w.out.Texts())-before, "the limit of a day")
	})
	t.Run("per number over all users", func(t *testing.T) {
		w := newWorld(t, byText)
		crowd := []*person{w.withPhone("ada", adasPhone), w.withPhone("bob", adasPhone)}
		w.clock.Add(24 * time.Hour)
		before := len(w.out.Texts())
		for i := range 40 {
			p := crowd[i%2].browser(w.clock.Now().String())
			p.begin()
			_ = p.send(twofa.SMS)
			w.clock.Add(35 * time.Minute)
		}
		require.Equal(t, 10, len(w.out.Texts())-before, "two users share the allowance of one number")
	})
	t.Run("entering the number of another user does not use up its allowance", func(t *testing.T) {
		w := newWorld(t, byText)
		ada := w.withPhone("ada", adasPhone)
		bob := w.person("bob")
		before := len(w.out.Texts())
		for range 20 {
			bob.begin()
			_, _ = bob.Enroll(t.Context(), bob.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: adasPhone})
			w.clock.Add(61 * time.Minute)
		}
		require.LessOrEqual(t, len(w.out.Texts())-before, 10, "unconfirmed numbers have a limit of their own")
		ada.begin()
		require.NoError(t, ada.send(twofa.SMS))
	})
	t.Run("AllowSend of the host decides", func(t *testing.T) {
		var asked []twofa.SendRequest
		refuse := error(nil)
		w := newWorld(t, byText, func(c *twofa.Config) {
			c.AllowSend = func(_ context.Context, s twofa.SendRequest) error {
				asked = append(asked, s)
				return refuse
			}
		})
		ada := w.withPhone("ada", adasPhone)
		require.Equal(t, []twofa.SendRequest{{User: "ada", Method: twofa.SMS, Country: "CH", Unconfirmed: true}}, asked)
		before := len(w.out.Texts())
		refuse = context.DeadlineExceeded
		ada.begin()
		require.ErrorIs(t, ada.send(twofa.SMS), twofa.ErrUnavailable)
		require.Len(t, w.out.Texts(), before)
		require.Equal(t, twofa.SendRequest{User: "ada", Method: twofa.SMS, Country: "CH"}, asked[1])
	})
}

func TestAbuse_J07_CodeIsInvalidAfterTheNumberChanged(t *testing.T) {
	w := newWorld(t, byText)
	ada := w.withPhone("ada", adasPhone)
	ada.begin()
	require.NoError(t, ada.send(twofa.SMS))
	require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))

	w.clock.Add(time.Hour)
	require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), twofa.ActionFactors, "")))
	require.NoError(t, ada.send(twofa.SMS))
	require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	w.clock.Add(2 * time.Minute)
	pending := ada.browser("tablet")
	pending.begin()
	require.NoError(t, pending.send(twofa.SMS), "the last message to the old number was a moment ago")
	code := w.out.TextCode(t, adasPhone)
	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: otherPhone, Replaces: f.List[0].ID})
	require.NoError(t, err)
	ada.login.Challenge = e.Challenge
	require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), w.out.TextCode(t, otherPhone))))
	require.ErrorIs(t, pending.verify(twofa.SMS, code), twofa.ErrExpired)

	last := w.out.Texts()[len(w.out.Texts())-1]
	require.Equal(t, adasPhone, last.To, "the old number is notified, whatever was sent to it before")
	require.Contains(t, last.Body.Reveal(), "another phone")
}

// A code is valid only for the purpose it was sent for.
func TestAbuse_J07_CodeOfALoginConfirmsNoPhoneAndNoAction(t *testing.T) {
	w := newWorld(t, byText)
	ada, _ := w.texted("ada")
	signedIn := w.person("ada")
	signedIn.begin()
	w.clock.Add(time.Minute)
	require.NoError(t, signedIn.send(twofa.SMS))
	require.NoError(t, signedIn.verify(twofa.SMS, w.out.TextCode(t, adasPhone)))
	w.clock.Add(2 * time.Minute)

	ada.begin()
	require.NoError(t, ada.send(twofa.SMS))
	code := w.out.TextCode(t, adasPhone)
	login := ada.login
	require.NoError(t, signedIn.took(signedIn.StepUp(t.Context(), signedIn.caller(), "contacts.export", "")))
	require.ErrorIs(t, signedIn.verify(twofa.SMS, code), twofa.ErrInvalidCode)
	denied(t, signedIn.UseAction(t.Context(), signedIn.caller(), "contacts.export", ""), twofa.ReasonMissing)

	bob := w.person("bob")
	bob.begin()
	_, err := bob.Enroll(t.Context(), bob.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: otherPhone})
	require.NoError(t, err)
	mixed := bob.caller()
	mixed.Challenge = login.Challenge
	_, err = w.Confirm(t.Context(), mixed, code)
	denied(t, err, twofa.ReasonSignedOut)
}

func TestAbuse_J10_OnlyAllowedMobileNumbersAreTexted(t *testing.T) {
	w := newWorld(t, byText)
	ada := w.person("ada")
	ada.begin()
	for _, c := range []struct{ name, number string }{
		{"country not on the list", "+33612345678"},
		{"premium rate", "+41900123456"},
		{"satellite", "+881612345678"},
		{"no country code", "0791234567"},
		{"forty digits", "+" + strings.Repeat("4179", 10)},
		{"letters", "+41 79 CALL NOW"},
		{"extension", "+1;ext=9"},
		{"two numbers", adasPhone + "," + otherPhone},
		{"line break", adasPhone + "\r\n"},
		{"ten thousand bytes", strings.Repeat("4", 10_000)},
		{"empty", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: c.number})
			require.ErrorIs(t, err, twofa.ErrNotAllowed)
		})
	}
	require.Empty(t, w.out.Texts())

	// The same list applies at login. A number in a country that was removed
	// from it is no longer texted.
	moved := w.withPhone("bob", adasPhone)
	w.cfg.SMS.Countries = []string{"FR"}
	w.Manager = w.again()
	before := len(w.out.Texts())
	moved.begin()
	require.ErrorIs(t, moved.send(twofa.SMS), twofa.ErrNotAllowed)
	require.Len(t, w.out.Texts(), before)
}

// A parser that is less strict than its contract causes no message to other
// numbers.
func TestAbuse_J10_ResultOfAParserIsCheckedAgain(t *testing.T) {
	for _, p := range []twofa.Phone{
		{E164: "0791234567", Country: "CH", Mobile: true}, {E164: "+0791234567", Country: "CH", Mobile: true},
		{E164: "+41 79 123", Country: "CH", Mobile: true}, {E164: "+" + strings.Repeat("1", 16), Country: "CH", Mobile: true},
		{E164: "+4179123456٧", Country: "CH", Mobile: true}, {E164: adasPhone, Country: "ch", Mobile: true},
		{E164: adasPhone, Country: "", Mobile: true}, {E164: adasPhone, Country: "CH"}, {},
	} {
		w := newWorld(t, byText, func(c *twofa.Config) { c.SMS.Phone = lax{p} })
		ada := w.person("ada")
		ada.begin()
		_, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: "any"})
		require.ErrorIs(t, err, twofa.ErrNotAllowed, "%+v", p)
		require.Empty(t, w.out.Texts())
	}
}

type lax struct{ answer twofa.Phone }

func (l lax) ParsePhone(string, string) (twofa.Phone, error) { return l.answer, nil }

func TestAbuse_J12_NumberIsMaskedEverywhere(t *testing.T) {
	w := newWorld(t, byText)
	ada, code := w.texted("ada")
	require.Equal(t, "•••• 67", ada.login.Sent)
	offer, err := ada.DescribeChallenge(t.Context(), ada.client, ada.login.Challenge)
	require.NoError(t, err)
	require.Equal(t, "•••• 67", offer.Sent)
	require.NoError(t, ada.verify(twofa.SMS, code))
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Equal(t, "•••• 67", f.List[0].Phone)
	require.NotContains(t, fmt.Sprintf("%+v", w.events), adasPhone[4:])
	require.NotContains(t, string(w.record("ada")), adasPhone[1:])
}

func TestAbuse_J13_TextContainsOnlyTheAppAndTheCode(t *testing.T) {
	w := newWorld(t, byText)
	_, code := w.texted("ada")
	body := w.out.Texts()[1].Body.Reveal()
	require.Equal(t, code+" is your Acme code. It expires in 5 minutes. Don't share it with anyone.\n\n@app.example.com #"+code, body)
	require.NotContains(t, body, "http")
	require.Contains(t, w.out.Texts()[0].Body.Reveal(), "confirms this phone for Acme", "the message for an enrollment names it as one")

	own := newWorld(t, byText, func(c *twofa.Config) {
		c.SMS.CodeText = func(m twofa.CodeText) string {
			return "code\x1b[31m " + m.Code.Reveal() + "\u202e\r\n@evil.example #" + strings.Repeat("9", 1000)
		}
	})
	own.texted("ada")
	lines := strings.Split(own.out.Texts()[1].Body.Reveal(), "\n")
	require.Len(t, lines, 3, "one line of text, an empty line, and one line that names the host")
	require.NotContains(t, lines[0], "\x1b")
	require.NotContains(t, lines[0], "\u202e")
	require.LessOrEqual(t, len(lines[0]), 400)
	require.Regexp(t, `^@app\.example\.com #`, lines[2])
}

func TestAbuse_J14_TextMessagesAreNeverTheOnlyMethod(t *testing.T) {
	w := newWorld(t)
	alone := twofa.Policy{Methods: []twofa.Method{twofa.SMS}, Required: true}
	require.ErrorContains(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), alone, ""), "SMS is restricted")
	w.cfg.Policy = alone
	_, err := twofa.New(w.cfg)
	require.ErrorContains(t, err, "SMS is restricted")
	w.cfg.Policy, w.cfg.SMS.Sender = twofa.PolicySMS(), nil
	_, err = twofa.New(w.cfg)
	require.ErrorContains(t, err, "SMS needs Config.SMS")
	w.cfg.SMS.Sender, w.cfg.SMS.Countries = w.out, nil
	_, err = twofa.New(w.cfg)
	require.ErrorContains(t, err, "SMS.Countries: is empty")
}

// Text messages are off unless a policy names them.
func TestAbuse_J14_TextMessagesAreOffByDefault(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	_, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: adasPhone})
	require.ErrorIs(t, err, twofa.ErrNotAllowed)
	require.Empty(t, w.out.Texts())
}

// Fifty wrong codes at once give five results (B-06), and the code is invalid.
func TestAbuse_J03_FiftyWrongCodesAtOnceGiveFiveResults(t *testing.T) {
	bursts(t, byText, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada, code := w.texted("ada")
		got := burst(50, func(m *twofa.Manager, _ int) error {
			_, err := m.Verify(t.Context(), ada.caller(), ada.login.Challenge, twofa.Proof{Method: twofa.SMS, Code: twofa.NewSecret(ada.wrongCode(twofa.SMS))})
			return err
		})
		require.Equal(t, tally{wrong: 5, locked: 45}, got)
		w.clock.Add(61 * time.Second)
		require.ErrorIs(t, ada.verify(twofa.SMS, code), twofa.ErrInvalidCode)
	})
}

// If two users share a number, they share its limits, even at the same moment.
func TestAbuse_J06_LimitOfANumberHoldsForUsersAtOnce(t *testing.T) {
	bursts(t, byText, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		pair := []*person{w.withPhone("ada", adasPhone), w.withPhone("bob", adasPhone)}
		for _, p := range pair {
			p.begin()
		}
		before := len(w.out.Texts())
		got := burst(2, func(m *twofa.Manager, i int) error {
			_, err := m.Send(t.Context(), pair[i].client, pair[i].login.Challenge, twofa.SMS)
			return err
		})
		require.Equal(t, tally{ok: 1, locked: 1}, got)
		require.Len(t, w.out.Texts(), before+1)
	})
}

// A stranger who has the password cannot invalidate the owner's code, neither
// by requesting another one nor by guessing, because codes for known browsers
// are separate.
func TestAbuse_J16_StrangerDoesNotInvalidateTheOwnersCode(t *testing.T) {
	w := newWorld(t, byText)
	ada := w.person("ada")
	require.Equal(t, twofa.NextEnroll, ada.begin())
	ada.setUpPhone(adasPhone) // from here on her browser is known
	require.Equal(t, twofa.NextChallenge, ada.begin())
	require.NoError(t, ada.send(twofa.SMS))
	code := w.out.TextCode(t, adasPhone)

	thief := ada.browser("elsewhere")
	require.Equal(t, twofa.NextChallenge, thief.begin())
	require.NoError(t, thief.send(twofa.SMS))
	for range 5 {
		require.ErrorIs(t, thief.verify(twofa.SMS, thief.wrongCode(twofa.SMS)), twofa.ErrInvalidCode)
	}
	require.ErrorIs(t, thief.verify(twofa.SMS, w.out.TextCode(t, adasPhone)), twofa.ErrLocked)
	require.NoError(t, ada.verify(twofa.SMS, code))
}

func TestAbuse_J15_CodeFromBeforeTheLockIsInvalid(t *testing.T) {
	w := newWorld(t, byText)
	ada, code := w.texted("ada")
	for range 5 {
		require.ErrorIs(t, ada.verify(twofa.SMS, ada.wrongCode(twofa.SMS)), twofa.ErrInvalidCode)
	}
	w.clock.Add(time.Minute) // the lock has ended, but the code would not have expired
	require.ErrorIs(t, ada.verify(twofa.SMS, code), twofa.ErrInvalidCode)
}
