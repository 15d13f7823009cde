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
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(policyUser),
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

	// At start-up, EnsurePolicy sets the policy of an account that has none.
	acme := m.Account(twofa.AsHost("start-up"), "acme")
	for range 2 {
		fmt.Println("set:", acme.EnsurePolicy(ctx, twofa.PolicyEmailLink()))
	}

	// A change is based on the version that its author has seen. A policy that
	// breaks a rule is refused, with the reason.
	info, err := acme.Policy(ctx)
	fmt.Println(info.Policy.Methods, info.Policy.Required, err)
	fmt.Println("changed by somebody else:", errors.Is(acme.SetPolicy(ctx, twofa.PolicyAuthenticator(), "an older version"), twofa.ErrConflict))
	err = acme.SetPolicy(ctx, twofa.Policy{Methods: []twofa.Method{twofa.SMS}}, info.Version)
	fmt.Println("SMS without TOTP is refused:", errors.Is(err, twofa.ErrInvalid))

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
	// changed by somebody else: true
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
