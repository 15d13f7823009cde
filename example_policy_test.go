package twofa_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofatest"
)

// Each account sets its own policy. A new policy applies from the next request
// on, even to users who are signed in. They continue with the missing step.
func Example_policy() {
	ctx := context.Background()
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, User: policyUser,
		Policy: twofa.PolicyOptional(), // for accounts that have set none
		Mail: twofa.MailConfig{Mailer: &twofatest.Outbox{}, LinkURL: func(l twofa.LinkRequest) string {
			return "https://app.example.com/2fa/link?token=" + l.Token.Reveal()
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	login, err := m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword})
	if err != nil {
		log.Fatal(err)
	}
	ada := twofa.Caller{Session: login.Session, Account: "acme"}
	fmt.Println("before:", m.Check(ctx, ada))

	// A host that configures its policies can set them at every start. If the
	// policy is already in force, nothing is written.
	for range 2 {
		fmt.Println("set:", m.SetPolicy(ctx, twofa.Host("start-up"), "acme", twofa.PolicyEmailLink()))
	}
	policy, err := m.Policy(ctx, "acme")
	fmt.Println(policy.Methods, policy.Required, err)

	// A policy that breaks a rule is refused, with the reason.
	err = m.SetPolicy(ctx, twofa.Host("start-up"), "acme", twofa.Policy{Methods: []twofa.Method{twofa.SMS}})
	fmt.Println("SMS without TOTP is refused:", err != nil)

	// At the next request, Check reports what is missing, and Resume begins it.
	err = m.Check(ctx, ada)
	if denied, ok := errors.AsType[*twofa.DeniedError](err); ok {
		switch denied.Reason {
		case twofa.ReasonSignedOut:
			fmt.Println("redirect to the login page")
		case twofa.ReasonChallenge, twofa.ReasonEnroll:
			login, err = m.Resume(ctx, ada)
			fmt.Println("redirect:", login.Next, login.Methods, err)
		}
	}
	// Output:
	// before: <nil>
	// set: <nil>
	// set: <nil>
	// [totp email] true <nil>
	// SMS without TOTP is refused: true
	// redirect: challenge [email] <nil>
}

// policyUser is the host's directory: every user is a member of one account.
func policyUser(_ context.Context, id string) (twofa.User, error) {
	return twofa.User{
		ID: id, Name: id, Emails: []string{id + "@example.com"},
		Members: []twofa.Member{{Account: "acme"}},
	}, nil
}
