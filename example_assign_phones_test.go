package twofa_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// The office hands over the phone numbers of the members. At the next login, Linus
// confirms his own, of which he is shown the last two digits.
func Example_assignPhones() {
	ctx := context.Background()
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	phone := &textPhone{}
	policy := twofa.PolicySMS()
	policy.EnrollWithoutLink = true // this host mails no links
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Policy: policy, Directory: team{},
		SMS: twofa.SMSConfig{
			Sender:    phone, // in production: see adapters/twiliosms
			Phone:     phone, // in production: see adapters/phone
			Countries: []string{"CH"},
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	// In a handler, the actor is the admin who makes the request: twofa.AsUser.
	done, err := m.Account(twofa.AsStaff("office", "list of 1 March"), "acme").AssignPhones(ctx, []twofa.PhoneAssignment{
		{User: "linus", Phone: "+41 79 123 45 67"},
		{User: "grace", Phone: "12"},
		{User: "ada", Phone: "+41 79 123 45 68"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range done {
		switch {
		case r.Err == nil:
			fmt.Println(r.User, r.Phone, r.Outcome)
		case r.Problem != "":
			fmt.Println(r.User, "has a wrong number:", r.Problem)
		case errors.Is(r.Err, twofa.ErrNotEnrolled):
			fmt.Println(r.User, "is not a member")
		default:
			fmt.Println(r.User, "got no number:", r.Err)
		}
	}

	login, err := m.Begin(ctx, twofa.FirstFactor{UserID: "linus", Account: "acme", By: twofa.ByPassword})
	if err != nil {
		log.Fatal(err)
	}
	linus := twofa.Caller{Challenge: login.Challenge, Account: "acme"}
	factors, err := m.Factors(ctx, linus)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("Is this your number?", factors.Assigned.Phone)
	setup, err := m.Enroll(ctx, linus, twofa.EnrollRequest{Method: twofa.SMS, Assigned: factors.Assigned.ID})
	if err != nil {
		log.Fatal(err)
	}
	linus.Challenge = setup.Challenge
	if _, err := m.Confirm(ctx, linus, phone.code); err != nil {
		log.Fatal(err)
	}
	login, err = m.SaveCodes(ctx, linus)
	fmt.Println(login.Next, err)
	// Output:
	// linus •••• 67 assigned
	// grace has a wrong number: malformed
	// ada is not a member
	// Is this your number? •••• 67
	// done <nil>
}
