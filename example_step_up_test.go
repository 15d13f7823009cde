package twofa_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// A sensitive action needs a fresh proof. Unless the policy has a rule for the
// action, a proof is used up by it, no matter how often the button is pressed.
func Example_stepUp() {
	ctx := context.Background()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(stepUpUser),
		Policy: twofa.Policy{Actions: map[string]twofa.ActionRule{"payroll": {MaxAge: 10 * time.Minute}}},
		Now:    func() time.Time { return now },
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
	ada := twofa.Caller{Session: must(m.Begin(ctx, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})).Session}
	setup, err := m.Enroll(ctx, ada, twofa.EnrollRequest{})
	if err != nil {
		log.Fatal(err)
	}
	key := strings.ReplaceAll(setup.Key.Reveal(), " ", "")
	code, _ := totp.GenerateCode(key, now)
	must(m.Confirm(ctx, ada, code))
	ada.Session = must(m.SaveCodes(ctx, ada)).Session

	// prove asks for a code before an action on one resource.
	prove := func(action, resource string) {
		now = now.Add(time.Minute) // each code works once
		challenge := must(m.StepUp(ctx, ada, action, resource)).Challenge
		code, _ := totp.GenerateCode(key, now)
		must(m.Verify(ctx, ada, challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)}))
	}

	// One payment, one proof: of five requests, one pays.
	err = m.UseAction(ctx, ada, "invoice.pay", "4711")
	if denied, ok := errors.AsType[*twofa.DeniedError](err); ok {
		fmt.Println(denied.Action, denied.Resource, denied.Reason)
	}
	prove("invoice.pay", "4711")
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
	fmt.Println("paid:", paid.Load())

	// The rule of "payroll" lets one proof last for 10 minutes, for one resource.
	prove("payroll", "2026-02")
	fmt.Println("February:", m.CheckAction(ctx, ada, "payroll", "2026-02") == nil)
	fmt.Println("January:", m.CheckAction(ctx, ada, "payroll", "2026-01") == nil)
	now = now.Add(10 * time.Minute)
	fmt.Println("February, later:", m.CheckAction(ctx, ada, "payroll", "2026-02") == nil)
	// Output:
	// invoice.pay 4711 proof_missing
	// paid: 1
	// February: true
	// January: false
	// February, later: false
}

// stepUpUser is the host's directory.
func stepUpUser(_ context.Context, id string) (twofa.User, error) {
	return twofa.User{ID: id, Name: id + "@example.com"}, nil
}
