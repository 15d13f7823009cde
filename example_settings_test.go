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

// In settings, a user renames a factor, replaces the old phone with a new one,
// and turns the second factor off. Each change needs a fresh proof, which is
// valid for 15 minutes.
func Example_settings() {
	ctx := context.Background()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(settingsUser),
		Now: func() time.Time { return now },
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

	ada := twofa.Caller{Session: must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})).Session}
	// enroll scans the QR code and confirms it, and returns the app's key.
	enroll := func(e twofa.EnrollRequest) (key string) {
		setup, err := m.Enroll(ctx, ada, e)
		if err != nil {
			log.Fatal(err)
		}
		key = strings.ReplaceAll(setup.Key.Reveal(), " ", "")
		code, _ := totp.GenerateCode(key, now)
		login := must(m.Confirm(ctx, ada, code))
		if login.Next == twofa.NextEnroll { // there are recovery codes to save
			login = must(m.SaveCodes(ctx, ada))
		}
		ada.Session = login.Session
		return key
	}
	// list prints the factors and returns the first.
	list := func() (first twofa.Factor) {
		factors, err := m.Factors(ctx, ada)
		if err != nil {
			log.Fatal(err)
		}
		for _, f := range factors.List {
			fmt.Printf("%s, removable: %t; ", f.Name, f.Removable)
			first = f
		}
		fmt.Println(factors.CodesLeft, "recovery codes")
		return first
	}
	key := enroll(twofa.EnrollRequest{})
	phone := list()
	// prove gives a fresh proof for changes to factors.
	prove := func() {
		now = now.Add(time.Minute) // each code works once
		challenge := must(m.StepUp(ctx, ada, twofa.ActionFactors, "")).Challenge
		code, _ := totp.GenerateCode(key, now)
		must(m.Verify(ctx, ada, challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)}))
	}

	denied, _ := errors.AsType[*twofa.DeniedError](m.Rename(ctx, ada, phone.ID, "Old phone"))
	fmt.Println("rename:", denied.Reason)
	prove()
	fmt.Println("rename:", m.Rename(ctx, ada, phone.ID, "Old phone"))
	phone = list()

	// The old phone works until the new one is confirmed. The recovery codes stay.
	key = enroll(twofa.EnrollRequest{Name: "New phone", Replaces: phone.ID})
	phone = list()

	// A new factor invalidates earlier proofs. Removing the last factor also
	// deletes recovery codes and remembered browsers.
	prove()
	fmt.Println("remove:", m.Remove(ctx, ada, phone.ID))
	list()
	// Output:
	// Authenticator app, removable: true; 10 recovery codes
	// rename: proof_missing
	// rename: <nil>
	// Old phone, removable: true; 10 recovery codes
	// New phone, removable: true; 10 recovery codes
	// remove: <nil>
	// 0 recovery codes
}

// settingsUser is the host's directory.
func settingsUser(_ context.Context, id string) (twofa.User, error) {
	return twofa.User{ID: id, Name: id + "@example.com"}, nil
}
