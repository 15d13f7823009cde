package twofa_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/internal/harness"
	"github.com/twofa-go/twofa/twofatest"
)

var ctx = context.Background()

// exampleClient is the browser that a request came from: its address, and a
// random text that the host keeps in a long-lived cookie.
var exampleClient = twofa.Client{IP: "192.0.2.7", UserAgent: "Firefox on Linux", Browser: twofa.NewSecret("random text of the host's")}

// Example shows the four places in which a host calls the library: behind its
// own login, where a code is typed, at every request, and in settings.
func Example() {
	clock := twofatest.NewClock(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme",
		Store:  memstore.New(), // in production a database: see adapters/sqlstore
		Keys:   twofatest.KeyRing(tb, "example"),
		User: func(_ context.Context, id string) (twofa.User, error) {
			return twofa.User{ID: id, Name: id + "@example.com", Emails: []string{id + "@example.com"}, SecurityStamp: "1"}, nil
		},
		Now: clock.Now,
	})
	if err != nil {
		panic(err)
	}

	// 1. Right after the password. Ada has no second factor yet.
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: exampleClient}))
	fmt.Println(login.Next)
	ada := twofa.Caller{Session: login.Session, Client: exampleClient}

	// 2. In settings: show the QR code and the recovery codes, take one code.
	setup := must(m.Enroll(ctx, ada, twofa.EnrollRequest{}))
	app := setup.URI.Reveal()
	must(m.Confirm(ctx, ada, twofatest.Code(tb, app, clock.Now())))
	login = must(m.SaveCodes(ctx, ada))
	fmt.Println(login.Next, len(setup.Codes), "recovery codes")

	// 3. The next login asks, here from another browser.
	clock.Add(time.Hour)
	phone := twofa.Client{Browser: twofa.NewSecret("the phone's")}
	login = must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: phone}))
	fmt.Println(login.Next, login.Methods)
	login = must(m.Verify(ctx, phone, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofatest.Code(tb, app, clock.Now())}))

	// 4. At every request.
	err = m.Check(ctx, twofa.Caller{Session: login.Session, Client: phone})
	fmt.Println(login.Next, err)
	// Output:
	// done
	// done 10 recovery codes
	// challenge [totp recovery]
	// done <nil>
}

// Everything that is missing or wrong is reported together.
func ExampleNew() {
	_, err := twofa.New(twofa.Config{Issuer: "Acme: the app", Recovery: twofa.RecoveryConfig{Codes: 50}})
	fmt.Println(err)
	// Output:
	// twofa: configuration:
	// Issuer: must be 1 to 64 bytes without a colon or control characters, is "Acme: the app"
	// Store: is missing; adapters/sqlstore has one for your database, adapters/memstore one for tests
	// Keys: is missing; see ParseKeyRing
	// User: is missing; it must look up a user by ID
	// Recovery.Codes: must be 1 to 20 or NoRecoveryCodes, is 50
}

// A ring is read from one line. To rotate, the new key comes in at the end
// everywhere, then moves to the front.
func ExampleParseKeyRing() {
	line := "k1:" + "yq3Zk0tC8uJm5xWvR1bN7sLd2fGhT4oP9aEiK6cQwXY=" // os.Getenv("TWOFA_KEYS")
	keys, err := twofa.ParseKeyRing(line)
	fmt.Println(keys, err)
	_, err = twofa.ParseKeyRing("k1:changeme")
	fmt.Println(err)
	// Output:
	// [redacted] <nil>
	// twofa: key 1: key has 6 bytes, want 32
}

// Begin ends every door: password, SSO, reset link, invitation, API token.
func ExampleManager_Begin() {
	m, _, _ := exampleHost(twofa.PolicyAuthenticator())
	for _, by := range []twofa.FirstFactorMethod{twofa.ByPassword, twofa.ByEmail, twofa.ByToken, twofa.BySSO} {
		f := twofa.FirstFactor{UserID: "ada", Account: "acme", By: by, Client: exampleClient}
		if by == twofa.BySSO {
			f.ProviderOf = "acme" // whose identity provider vouched
		}
		login, err := m.Begin(ctx, f)
		fmt.Println(by, login.Next, login.Methods, err)
	}
	// Output:
	// password challenge [email] <nil>
	// email challenge [email] <nil>
	// token challenge [email] <nil>
	// sso done [] <nil>
}

// A wrong code says how many are left; then the method waits, also for the
// right one.
func ExampleManager_Verify() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	_, app, _ := exampleSetUp(m, clock)

	stranger := twofa.Client{Browser: twofa.NewSecret("another browser")}
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: stranger}))
	for {
		_, err := m.Verify(ctx, stranger, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: "12345"})
		if left, ok := twofa.AttemptsLeft(err); ok {
			fmt.Println(err, left)
			continue
		}
		fmt.Println(err, twofa.RetryAfter(err))
		break
	}

	clock.Add(time.Minute)
	login, err := m.Verify(ctx, stranger, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofatest.Code(tb, app, clock.Now())})
	fmt.Println(login.Next, err)
	// Output:
	// twofa: code is not valid 4
	// twofa: code is not valid 3
	// twofa: code is not valid 2
	// twofa: code is not valid 1
	// twofa: code is not valid 0
	// twofa: too many attempts 1m0s
	// done <nil>
}

// What a page says of a code that was refused: in words of its own, since the
// error's text is for the log.
func ExampleRetryAfter() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	exampleSetUp(m, clock)
	phone := twofa.Client{Browser: twofa.NewSecret("the phone's")}
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: phone}))
	for range 6 {
		_, err := m.Verify(ctx, phone, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: "12345"})
		left, _ := twofa.AttemptsLeft(err)
		switch wait := twofa.RetryAfter(err); {
		case wait > 0: // first, because the last wrong code locks
			fmt.Println("try again in", wait)
		case errors.Is(err, twofa.ErrInvalidCode):
			fmt.Println("not right, tries left:", left)
		case errors.Is(err, twofa.ErrLocked): // waiting does not help
			fmt.Println("use another way to sign in")
		}
	}
	// Output:
	// not right, tries left: 4
	// not right, tries left: 3
	// not right, tries left: 2
	// not right, tries left: 1
	// try again in 1m0s
	// try again in 1m0s
}

// A recovery code stands in for the app, once.
func ExampleManager_Verify_recoveryCode() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	_, _, codes := exampleSetUp(m, clock)
	for range 2 {
		login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: exampleClient}))
		typed := strings.ToLower(codes[0].Reveal()) // as people do
		login, err := m.Verify(ctx, exampleClient, login.Challenge, twofa.Proof{Method: twofa.RecoveryCode, Code: typed})
		fmt.Println(login.Next, err)
	}
	// Output:
	// done <nil>
	//  twofa: code is not valid
}

// A link works in the browser that typed the password, and nowhere else.
func ExampleManager_Send_emailLink() {
	m, _, out := exampleHost(twofa.PolicyEmailLink())
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: exampleClient}))
	login = must(m.Send(ctx, exampleClient, login.Challenge, twofa.EmailLink)) // keep this challenge, not the one before
	fmt.Println("sent to", login.Sent)

	// The page that the link opens shows a button; its POST ends here.
	_, token, _ := strings.Cut(out.Link(tb, "ada@example.com"), "token=")
	_, err := m.Verify(ctx, twofa.Client{Browser: twofa.NewSecret("another")}, login.Challenge, twofa.Proof{Method: twofa.EmailLink, Code: token})
	fmt.Println(err)
	login, err = m.Verify(ctx, exampleClient, login.Challenge, twofa.Proof{Method: twofa.EmailLink, Code: token})
	fmt.Println(login.Next, err)
	// Output:
	// sent to a•••@example.com
	// twofa: expired, start again
	// done <nil>
}

// A number is confirmed by text; codes go to it from then on.
func ExampleManager_Send_sms() {
	m, clock, out := exampleHost(twofa.PolicySMS())
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.BySSO, ProviderOf: "acme", Client: exampleClient}))
	ada := twofa.Caller{Session: login.Session, Account: "acme", Client: exampleClient}
	setup := must(m.Enroll(ctx, ada, twofa.EnrollRequest{Method: twofa.SMS, Phone: "+41 79 123 45 67"}))
	ada.Challenge = setup.Challenge
	must(m.Confirm(ctx, ada, out.TextCode(tb, "+41791234567")))
	must(m.SaveCodes(ctx, ada))

	clock.Add(time.Hour)
	phone := twofa.Client{Browser: twofa.NewSecret("the phone's")}
	login = must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: phone}))
	fmt.Println(login.Methods)
	login = must(m.Send(ctx, phone, login.Challenge, twofa.SMS))
	fmt.Println("sent to", login.Sent)
	login = must(m.Verify(ctx, phone, login.Challenge, twofa.Proof{Method: twofa.SMS, Code: out.TextCode(tb, "+41791234567")}))
	fmt.Println(login.Next)
	// Output:
	// [sms recovery]
	// sent to •••• 67
	// done
}

// The page of a challenge is built from the challenge alone, however often it
// is loaded.
func ExampleManager_DescribeChallenge() {
	m, _, _ := exampleHost(twofa.PolicyEmailLink())
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: exampleClient}))
	login = must(m.Send(ctx, exampleClient, login.Challenge, twofa.EmailLink))
	cookie := login.Challenge.Reveal() // HttpOnly

	offer := must(m.DescribeChallenge(ctx, exampleClient, twofa.ParseChallenge(cookie)))
	fmt.Println(offer.Methods, offer.Sent)
	_, err := m.DescribeChallenge(ctx, twofa.Client{Browser: twofa.NewSecret("another")}, twofa.ParseChallenge(cookie))
	fmt.Println(err)
	// Output:
	// [email] a•••@example.com
	// twofa: expired, start again
}

// "Not you?" on the page of a challenge: that login is over, and the right code
// does not finish it either.
func ExampleManager_Cancel() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	_, app, _ := exampleSetUp(m, clock)
	clock.Add(time.Hour)
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: exampleClient}))

	fmt.Println(m.Cancel(ctx, exampleClient, login.Challenge))
	_, err := m.Verify(ctx, exampleClient, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofatest.Code(tb, app, clock.Now())})
	fmt.Println(err)
	// Output:
	// <nil>
	// twofa: expired, start again
}

// Set-up shows a key and codes, takes one code, and waits until the codes are
// saved. Nothing is active before.
func ExampleManager_Enroll() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: exampleClient}))
	ada := twofa.Caller{Session: login.Session, Account: "acme", Client: exampleClient}

	setup := must(m.Enroll(ctx, ada, twofa.EnrollRequest{Name: "Ada's phone"}))
	qr := must(setup.PNG(0))
	fmt.Println(len(qr) > 0, len(setup.Codes), setup.Codes[0])

	login = must(m.Confirm(ctx, ada, twofatest.Code(tb, setup.URI.Reveal(), clock.Now())))
	fmt.Println(login.Next)
	login = must(m.SaveCodes(ctx, ada))
	fmt.Println(login.Next)

	ada.Session = login.Session // it has proven the app
	factors := must(m.Factors(ctx, ada))
	fmt.Println(factors.List[0].Name, factors.CodesLeft)
	// Output:
	// true 10 [redacted]
	// enroll
	// done
	// Ada's phone 10
}

// A new phone takes the place of the old one in the write that makes it active.
// Until then the old one works; the recovery codes stay.
func ExampleManager_Enroll_replace() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	ada, old, _ := exampleSetUp(m, clock)

	exampleProve(m, clock, ada, old, twofa.ActionFactors, "")
	setup := must(m.Enroll(ctx, ada, twofa.EnrollRequest{Name: "New phone", Replaces: must(m.Factors(ctx, ada)).List[0].ID}))
	fmt.Println(len(setup.Codes), must(m.Factors(ctx, ada)).List[0].Name)
	login := must(m.Confirm(ctx, ada, twofatest.Code(tb, setup.URI.Reveal(), clock.Now())))
	ada.Session = login.Session
	factors := must(m.Factors(ctx, ada))
	fmt.Println(login.Next, len(factors.List), factors.List[0].Name, factors.CodesLeft)

	clock.Add(time.Minute)
	login = must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: ada.Client}))
	_, err := m.Verify(ctx, ada.Client, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofatest.Code(tb, old, clock.Now())})
	fmt.Println(err)
	// Output:
	// 0 Authenticator app
	// done 1 New phone 10
	// twofa: code is not valid
}

// A page that is loaded again shows the same key and the same codes, in the
// session that began the set-up and in no other.
func ExampleManager_PendingEnrollment() {
	m, _, _ := exampleHost(twofa.PolicyOptional())
	first := twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: exampleClient}
	ada := twofa.Caller{Session: must(m.Begin(ctx, first)).Session, Account: "acme", Client: exampleClient}
	setup := must(m.Enroll(ctx, ada, twofa.EnrollRequest{}))

	again := must(m.PendingEnrollment(ctx, ada))
	fmt.Println(again.URI.Reveal() == setup.URI.Reveal(), len(again.Codes), again.Confirmed)

	ada.Session = must(m.Begin(ctx, first)).Session
	_, err := m.PendingEnrollment(ctx, ada)
	fmt.Println(err)
	// Output:
	// true 10 false
	// twofa: expired, start again
}

// With the last factor goes everything that stood on it. The policy says who
// may do that; here the person.
func ExampleManager_Remove() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	ada, app, _ := exampleSetUp(m, clock)
	exampleProve(m, clock, ada, app, twofa.ActionFactors, "")
	factor := must(m.Factors(ctx, ada)).List[0]
	fmt.Println(m.Rename(ctx, ada, factor.ID, "Old phone"))
	factor = must(m.Factors(ctx, ada)).List[0]
	fmt.Println(factor.Name, factor.Removable)

	fmt.Println(m.Remove(ctx, ada, factor.ID))
	left := must(m.Factors(ctx, ada))
	fmt.Println(len(left.List), left.CodesLeft)
	// Output:
	// <nil>
	// Old phone true
	// <nil>
	// 0 0
}

// New recovery codes are shown first. The old ones die when the new ones are
// saved, not before.
func ExampleManager_RegenerateCodes() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	ada, app, old := exampleSetUp(m, clock)
	exampleProve(m, clock, ada, app, twofa.ActionFactors, "")
	setup := must(m.RegenerateCodes(ctx, ada))
	fmt.Println(len(setup.Codes), setup.Saved)
	fmt.Println(must(m.SaveCodes(ctx, ada)).Next)

	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: ada.Client}))
	for _, code := range []twofa.Secret{old[0], setup.Codes[0]} {
		_, err := m.Verify(ctx, ada.Client, login.Challenge, twofa.Proof{Method: twofa.RecoveryCode, Code: code.Reveal()})
		fmt.Println(err)
	}
	// Output:
	// 10 false
	// done
	// twofa: code is not valid
	// <nil>
}

// A deployment that keeps recovery codes viewable shows those that are left,
// after a fresh proof, which is good for 15 minutes.
func ExampleManager_RecoveryCodes() {
	m, clock, _ := exampleHost(twofa.PolicyOptional(), func(c *twofa.Config) { c.Recovery.Viewable = true })
	ada, app, codes := exampleSetUp(m, clock)
	exampleProve(m, clock, ada, app, twofa.ActionFactors, "")
	shown := must(m.RecoveryCodes(ctx, ada))
	fmt.Println(len(shown), shown[0].Reveal() == codes[0].Reveal())

	clock.Add(time.Hour)
	_, err := m.RecoveryCodes(ctx, ada)
	fmt.Println(err) // StepUp for ActionFactors helps
	// Output:
	// 10 true
	// twofa: denied: proof_expired
}

// A remembered browser is not asked at login, until the person forgets it.
func ExampleManager_ForgetBrowser() {
	p := twofa.PolicyOptional()
	p.Remember = 30 * 24 * time.Hour
	m, clock, _ := exampleHost(p)
	ada, app, _ := exampleSetUp(m, clock)
	first := twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: ada.Client}

	clock.Add(time.Hour)
	login := must(m.Begin(ctx, first))
	login = must(m.Verify(ctx, first.Client, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofatest.Code(tb, app, clock.Now()), Remember: true}))
	first.Client.Browser = login.Browser // a long-lived cookie
	login = must(m.Begin(ctx, first))
	fmt.Println(login.Next)

	ada.Session, ada.Client.Browser = login.Session, login.Browser // the token is a new one at each login
	first.Client = ada.Client
	browser := must(m.Browsers(ctx, ada))[0]
	fmt.Println(browser.Device, browser.Remembered, browser.Until.Format(time.DateOnly))

	fmt.Println(m.ForgetBrowser(ctx, ada, browser.ID))
	fmt.Println(must(m.Begin(ctx, first)).Next)
	// Output:
	// done
	// Firefox on Linux true 2026-04-01
	// <nil>
	// challenge
}

// Check says why a request is denied, and what helps.
func ExampleManager_Check() {
	m, _, _ := exampleHost(twofa.PolicyOptional())
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: exampleClient}))
	ada := twofa.Caller{Session: login.Session, Account: "acme", Client: exampleClient}
	fmt.Println(m.Check(ctx, ada))

	// From now on the account requires a link. It holds at the next request.
	if err := m.SetPolicy(ctx, twofa.Host("start-up"), "acme", twofa.PolicyEmailLink()); err != nil {
		panic(err)
	}
	err := m.Check(ctx, ada)
	if denied, ok := errors.AsType[*twofa.DeniedError](err); ok {
		switch denied.Reason {
		case twofa.ReasonSignedOut:
			fmt.Println("to the login page")
		case twofa.ReasonChallenge:
			login = must(m.Resume(ctx, ada))
			fmt.Println("to the challenge:", login.Methods)
		case twofa.ReasonEnroll:
			fmt.Println("to set-up")
		}
	}
	// Output:
	// <nil>
	// to the challenge: [email]
}

// A session that proves too little goes on from where it is: the first factor
// is not asked for again.
func ExampleManager_Resume() {
	exempt := twofa.PolicyOptional()
	exempt.ExemptSSO = true
	m, clock, _ := exampleHost(exempt)
	ada, app, _ := exampleSetUp(m, clock)
	clock.Add(time.Hour)
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.BySSO, ProviderOf: "acme", Client: ada.Client}))
	ada.Session = login.Session

	fmt.Println(m.SetPolicy(ctx, twofa.Host("start-up"), "acme", twofa.PolicyOptional())) // exempts nobody
	fmt.Println(m.Check(ctx, ada))
	login = must(m.Resume(ctx, ada))
	fmt.Println(login.Next, login.Methods)
	login = must(m.Verify(ctx, ada.Client, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofatest.Code(tb, app, clock.Now())}))
	ada.Session = login.Session
	fmt.Println(m.Check(ctx, ada))
	// Output:
	// <nil>
	// twofa: denied: second_factor_required
	// challenge [totp recovery]
	// <nil>
}

// What a session has proven, for a log or for the claims of a token.
func ExampleManager_DescribeSession() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	ada, _, _ := exampleSetUp(m, clock)
	d := must(m.DescribeSession(ada.Session))
	fmt.Println(d.User, d.Account, d.By, d.AMR)
	fmt.Println(d.Proofs[0].Method, d.Proofs[0].At)
	fmt.Println(d.AuthTime, d.Expires.Sub(d.AuthTime))
	// Output:
	// ada acme password [pwd otp mfa]
	// totp 2026-03-02 09:00:00 +0000 UTC
	// 2026-03-02 09:00:00 +0000 UTC 24h0m0s
}

// A fresh code before a sensitive action, each time.
func ExampleManager_StepUp() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	ada, app, _ := exampleSetUp(m, clock)

	fmt.Println(m.UseAction(ctx, ada, "contacts.export", ""))

	clock.Add(time.Minute)
	login := must(m.StepUp(ctx, ada, "contacts.export", ""))
	fmt.Println(login.Next, login.Methods)
	must(m.Verify(ctx, ada.Client, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofatest.Code(tb, app, clock.Now())}))

	fmt.Println(m.UseAction(ctx, ada, "contacts.export", ""))
	fmt.Println(m.UseAction(ctx, ada, "contacts.export", ""))
	// Output:
	// twofa: denied: proof_missing
	// challenge [totp]
	// <nil>
	// twofa: denied: proof_missing
}

// One proof opens an action for as long as its rule says. It is for one
// resource: another asks again.
func ExampleManager_CheckAction() {
	p := twofa.PolicyOptional()
	p.Actions = map[string]twofa.ActionRule{"payroll": {MaxAge: 10 * time.Minute}}
	m, clock, _ := exampleHost(p)
	ada, app, _ := exampleSetUp(m, clock)
	exampleProve(m, clock, ada, app, "payroll", "2026-02")

	fmt.Println(m.CheckAction(ctx, ada, "payroll", "2026-02"))
	fmt.Println(m.CheckAction(ctx, ada, "payroll", "2026-01"))
	clock.Add(10 * time.Minute)
	fmt.Println(m.CheckAction(ctx, ada, "payroll", "2026-02"))
	// Output:
	// <nil>
	// twofa: denied: proof_missing
	// twofa: denied: proof_expired
}

// A button pressed twice: of any number of requests with one proof, one goes
// through.
func ExampleManager_UseAction() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	ada, app, _ := exampleSetUp(m, clock)
	exampleProve(m, clock, ada, app, "invoice.pay", "4711")

	var requests sync.WaitGroup
	var paid atomic.Int32
	for range 5 {
		requests.Go(func() {
			if m.UseAction(ctx, ada, "invoice.pay", "4711") == nil {
				paid.Add(1)
			}
		})
	}
	requests.Wait()
	fmt.Println("paid", paid.Load(), "time")
	// Output:
	// paid 1 time
}

// A host whose policies stand in its configuration sets them at every start.
// Where nothing has changed, nothing is written.
func ExampleManager_SetPolicy() {
	m, _, _ := exampleHost(twofa.PolicyOptional())
	p := twofa.PolicyAuthenticator()
	p.Actions = map[string]twofa.ActionRule{"reports": {MaxAge: 10 * time.Minute}}
	fmt.Println(m.SetPolicy(ctx, twofa.Host("start-up"), "acme", p))
	fmt.Println(must(m.Policy(ctx, "acme")))

	fmt.Println(m.SetPolicy(ctx, twofa.Host("start-up"), "acme", twofa.Policy{Methods: []twofa.Method{twofa.SMS}}))
	// Output:
	// <nil>
	// totp required, SSO exempt, turned off by admin, reports by [totp] within 10m0s
	// Policy.Methods: must include TOTP, because SMS is restricted and EmailLink is not a factor; is ["sms"]
}

// The presets are what most accounts ask for.
func ExamplePolicy() {
	fmt.Println(twofa.PolicyOptional())
	fmt.Println(twofa.PolicyAuthenticator())
	fmt.Println(twofa.PolicyEmailLink())
	fmt.Println(twofa.PolicySMS())
	// Output:
	// totp optional
	// totp required, SSO exempt, turned off by admin
	// totp+email required, SSO exempt
	// totp+sms required, SSO exempt, browsers 30 days
}

// One call where credentials may be in other hands: sessions, pending logins,
// browsers and proofs are dead. Factors and recovery codes stay.
func ExampleManager_Revoke() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	ada, _, _ := exampleSetUp(m, clock)
	fmt.Println(m.Check(ctx, ada))
	fmt.Println(m.Revoke(ctx, twofa.Host("ticket 4711: laptop stolen"), "ada"))
	fmt.Println(m.Check(ctx, ada))
	// Output:
	// <nil>
	// <nil>
	// twofa: denied: signed_out
}

// After a new password the session that changed it stays, and no other.
func ExampleManager_CredentialsChanged() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	ada, app, _ := exampleSetUp(m, clock)
	clock.Add(time.Hour)
	phone := twofa.Client{Browser: twofa.NewSecret("the phone's")}
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: phone}))
	login = must(m.Verify(ctx, phone, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofatest.Code(tb, app, clock.Now())}))
	other := twofa.Caller{Session: login.Session, Account: "acme", Client: phone}
	fmt.Println(m.Check(ctx, other))

	fmt.Println(m.CredentialsChanged(ctx, ada, "ada"))
	fmt.Println(m.Check(ctx, ada))
	fmt.Println(m.Check(ctx, other))
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// twofa: denied: signed_out
}

// A deleted account leaves nothing behind. It is the host that deletes, never
// the person's own session.
func ExampleManager_Erase() {
	m, clock, _ := exampleHost(twofa.PolicyOptional())
	ada, _, _ := exampleSetUp(m, clock)
	fmt.Println(m.Erase(ctx, ada, "ada"))
	fmt.Println(m.Erase(ctx, twofa.Host("account deleted"), "ada"))
	fmt.Println(m.Check(ctx, ada))
	// Output:
	// twofa: not allowed
	// <nil>
	// twofa: denied: signed_out
}

// A key is replaced in three deployments. Nobody signs in again for it.
func ExampleManager_Rekey() {
	store, old := memstore.New(), twofa.GenerateKeyRing().Reveal()
	fresh := strings.Replace(twofa.GenerateKeyRing().Reveal(), "k1:", "k2:", 1)
	deploy := func(ring string) (*twofa.Manager, *twofatest.Clock) {
		m, clock, _ := exampleHost(twofa.PolicyOptional(), func(c *twofa.Config) { c.Store, c.Keys = store, must(twofa.ParseKeyRing(ring)) })
		return m, clock
	}
	ada, _, _ := exampleSetUp(deploy(old))

	deploy(old + "," + fresh) // every server can open what the new key will seal
	m, _ := deploy(fresh + "," + old)
	fmt.Println(m.Check(ctx, ada))
	fmt.Println(m.Rekey(ctx, "ada", "acme")) // so for every user and account

	m, _ = deploy(fresh) // when the sessions of before are over
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: exampleClient}))
	fmt.Println(login.Next, login.Methods)
	// Output:
	// <nil>
	// <nil>
	// challenge [totp recovery]
}

// A host's own mail system is one method.
func ExampleMailer() {
	var mailer twofa.Mailer = queueMailer{}
	_ = twofa.Config{
		Mail: twofa.MailConfig{Mailer: mailer,
			LinkURL: func(l twofa.LinkRequest) string { return "https://app.example.com/2fa/link?token=" + l.Token.Reveal() },
			LinkEmail: func(l twofa.LinkEmail) twofa.Email {
				return twofa.Email{Subject: l.Issuer + ": Anmeldung", Text: "Zum Anmelden: " + l.URL.Reveal()}
			}},
	}
	err := mailer.SendMail(ctx, twofa.Email{To: "ada@example.com\r\nBcc: eve@example.com", Subject: "Sign in"})
	fmt.Println(err)
	// Output:
	// a line break in an address or subject
}

// queueMailer hands messages to the host's queue.
type queueMailer struct{}

// SendMail returns nil when the queue has taken the message.
func (queueMailer) SendMail(ctx context.Context, m twofa.Email) error {
	if strings.ContainsAny(m.To+m.Subject, "\r\n") {
		return errors.New("a line break in an address or subject")
	}
	return ctx.Err() // and into the queue
}

// exampleHost is a host with a directory of everybody, and a policy. edit may
// change the configuration.
func exampleHost(p twofa.Policy, edit ...func(*twofa.Config)) (*twofa.Manager, *twofatest.Clock, *twofatest.Outbox) {
	clock, out := twofatest.NewClock(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)), &twofatest.Outbox{}
	cfg := twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: twofatest.KeyRing(tb, "example"), Now: clock.Now, Policy: p,
		User: func(_ context.Context, id string) (twofa.User, error) {
			address := id + "@example.com"
			return twofa.User{ID: id, Name: address, Emails: []string{address}, SecurityStamp: "1", Members: []twofa.Member{{Account: "acme"}}}, nil
		},
		Mail: twofa.MailConfig{Mailer: out, LinkURL: func(l twofa.LinkRequest) string { return "https://app.example.com/2fa/link?token=" + l.Token.Reveal() }},
		SMS:  twofa.SMSConfig{Sender: out, Phone: harness.Numbers{}, Countries: []string{"CH"}},
	}
	for _, f := range edit {
		f(&cfg)
	}
	return must(twofa.New(cfg)), clock, out
}

// exampleSetUp signs Ada in and sets up her app.
func exampleSetUp(m *twofa.Manager, clock *twofatest.Clock) (ada twofa.Caller, app string, codes []twofa.Secret) {
	login := must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: exampleClient}))
	ada = twofa.Caller{Session: login.Session, Account: "acme", Client: exampleClient}
	setup := must(m.Enroll(ctx, ada, twofa.EnrollRequest{}))
	must(m.Confirm(ctx, ada, twofatest.Code(tb, setup.URI.Reveal(), clock.Now())))
	login = must(m.SaveCodes(ctx, ada))
	ada.Session, ada.Client.Browser = login.Session, login.Browser
	return ada, setup.URI.Reveal(), setup.Codes
}

// exampleProve takes a fresh code of Ada's app before an action.
func exampleProve(m *twofa.Manager, clock *twofatest.Clock, ada twofa.Caller, app, action, resource string) {
	clock.Add(time.Minute) // each code works once
	login := must(m.StepUp(ctx, ada, action, resource))
	must(m.Verify(ctx, ada.Client, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofatest.Code(tb, app, clock.Now())}))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// tb stands where a test of yours has its t.
var tb testing.TB = exampleTB{}

type exampleTB struct{ testing.TB }

func (exampleTB) Helper() {}

func (exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
