package twofa_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// A page explains an error in its own words, because the error's text is for
// the host's log. After five wrong codes the method is locked for a minute,
// even for the right code.
func Example_errors() {
	ctx := context.Background()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Now: func() time.Time { return now },
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id, Name: id}, nil }),
	})
	if err != nil {
		log.Fatal(err)
	}
	must := func(r twofa.Result, err error) twofa.Result {
		if err != nil {
			log.Fatal(err)
		}
		return r
	}

	// Ada enrolls an authenticator app.
	password := twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword}
	ada := twofa.Caller{Session: must(m.Begin(ctx, password)).Session}
	setup, err := m.Enroll(ctx, ada, twofa.EnrollRequest{})
	if err != nil {
		log.Fatal(err)
	}
	key := strings.ReplaceAll(setup.Key.Reveal(), " ", "")
	code, _ := totp.GenerateCode(key, now)
	must(m.Confirm(ctx, ada, code))
	must(m.SaveCodes(ctx, ada))

	// An attacker who has the password guesses.
	stranger := twofa.Client{Browser: twofa.NewSecret("random text of another browser")}
	password.Client = stranger
	login := must(m.Begin(ctx, password))
	for _, guess := range []string{"12345", "000000", "000001", "000002", "000003", "000004", "000005"} {
		_, err := m.Verify(ctx, twofa.Caller{Client: stranger}, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(guess)})
		fmt.Println(errorMessage(err))
	}
	now = now.Add(time.Minute)
	code, _ = totp.GenerateCode(key, now)
	_, err = m.Verify(ctx, twofa.Caller{Client: stranger}, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)})
	fmt.Println(errorMessage(err))
	now = now.Add(10 * time.Second) // until then, the answer is the same
	_, err = m.Verify(ctx, twofa.Caller{Client: stranger}, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)})
	fmt.Println(errorMessage(err))
	// Output:
	// That is not a code. Type all six digits.
	// That code is not right. 4 tries left.
	// That code is not right. 3 tries left.
	// That code is not right. 2 tries left.
	// That code is not right. 1 tries left.
	// Too many tries. Try again in 1m0s.
	// Too many tries. Try again in 1m0s.
	// You are signed in.
	// This login has expired. Sign in again.
}

// errorMessage returns the text for the page. Every error means "no".
func errorMessage(err error) string {
	left, _ := twofa.AttemptsLeft(err)
	wait := twofa.RetryAfter(err)
	switch {
	case errors.Is(err, twofa.ErrMalformedCode):
		return "That is not a code. Type all six digits."
	case err == nil:
		return "You are signed in."
	case wait > 0: // first, because the last wrong code locks the method
		return fmt.Sprintf("Too many tries. Try again in %v.", wait)
	case errors.Is(err, twofa.ErrLocked): // waiting does not help
		return "Too many tries. Use another method."
	case errors.Is(err, twofa.ErrInvalidCode):
		return fmt.Sprintf("That code is not right. %d tries left.", left)
	case errors.Is(err, twofa.ErrExpired):
		return "This login has expired. Sign in again."
	default: // ErrUnavailable and everything else
		return "Something went wrong. Try again later."
	}
}
