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

// A recovery code replaces the authenticator app once. A user can view the
// codes that are left, if the host allows that, and generate new ones.
func Example_recoveryCodes() {
	ctx := context.Background()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(recoveryUser),
		Recovery: twofa.RecoveryConfig{Viewable: true},
		Now:      func() time.Time { return now },
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

	// Ada enrolls an authenticator app and saves the recovery codes.
	password := twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword}
	ada := twofa.Caller{Session: must(m.Begin(ctx, password)).Session}
	setup, err := m.Enroll(ctx, ada, twofa.EnrollRequest{})
	if err != nil {
		log.Fatal(err)
	}
	key := strings.ReplaceAll(setup.Key.Reveal(), " ", "")
	code, _ := totp.GenerateCode(key, now)
	must(m.Confirm(ctx, ada, code))
	ada.Session = must(m.SaveCodes(ctx, ada)).Session

	// Each code works once. Case, spaces and hyphens do not matter.
	signIn := func(code twofa.Secret) bool {
		login := must(m.Begin(ctx, password))
		_, err := m.Verify(ctx, twofa.Caller{}, login.Challenge, twofa.Proof{
			Method: twofa.RecoveryCode, Code: twofa.NewSecret(strings.ToLower(code.Reveal())),
		})
		if err != nil && !errors.Is(err, twofa.ErrInvalidCode) {
			log.Fatal(err)
		}
		return err == nil
	}
	fmt.Println("first use:", signIn(setup.Codes[0]), "second use:", signIn(setup.Codes[0]))

	// Viewing codes needs a fresh proof, which is valid for 15 minutes.
	now = now.Add(time.Minute)
	challenge := must(m.StepUp(ctx, ada, twofa.ActionFactors, "")).Challenge
	code, _ = totp.GenerateCode(key, now)
	must(m.Verify(ctx, ada, challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)}))
	left, err := m.RecoveryCodes(ctx, ada)
	fmt.Println("left:", len(left), err)

	// New codes are shown first. The old ones work until the new ones are saved.
	fresh, err := m.RegenerateCodes(ctx, ada)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("new codes:", len(fresh.Codes), "old code:", signIn(setup.Codes[1]))
	must(m.SaveCodes(ctx, ada))
	fmt.Println("saved. old code:", signIn(setup.Codes[2]), "new code:", signIn(fresh.Codes[0]))
	// Output:
	// first use: true second use: false
	// left: 9 <nil>
	// new codes: 10 old code: true
	// saved. old code: false new code: true
}

// recoveryUser is the host's directory.
func recoveryUser(_ context.Context, id string) (twofa.User, error) {
	return twofa.User{ID: id, Name: id + "@example.com"}, nil
}
