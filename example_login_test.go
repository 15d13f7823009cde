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

// Every sign-in path ends in Begin: password, single sign-on, reset link,
// invitation and API token. A challenge waits until the user has answered it or
// canceled the login.
func Example_login() {
	ctx := context.Background()
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(loginUser),
		Policy: twofa.PolicyEmailLink(), // exempts members who use their account's SSO
		Mail: twofa.MailConfig{Mailer: &twofatest.Outbox{}, LinkURL: func(l twofa.LinkRequest) string {
			return "https://app.example.com/2fa/link?token=" + l.Token.Reveal()
		}},
	})
	if err != nil {
		log.Fatal(err)
	}

	// The browser token is random text in a long-lived cookie of the host.
	laptop := twofa.Client{Browser: twofa.NewSecret("random text of the laptop")}
	for _, first := range []twofa.FirstFactor{
		{By: twofa.BySSO, ProviderOf: "acme"}, // the account whose identity provider vouched
		{By: twofa.ByEmail},
		{By: twofa.ByToken},
		{By: twofa.ByPassword},
	} {
		first.UserID, first.Account, first.Client = "ada", "acme", laptop
		login, err := m.Begin(ctx, first)
		fmt.Println(first.By, login.Next, login.Methods, err)
	}

	// The page of a challenge is built from the challenge alone, no matter how
	// often it is loaded. The host keeps it in an HttpOnly cookie.
	login, err := m.Begin(ctx, twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword, Client: laptop})
	if err != nil {
		log.Fatal(err)
	}
	challenge := twofa.ParseChallenge(login.Challenge.Reveal())
	login, err = m.DescribeChallenge(ctx, laptop, challenge)
	fmt.Println("page:", login.Methods, err)

	// A stolen challenge is worth nothing in another browser.
	phone := twofa.Client{Browser: twofa.NewSecret("random text of the phone")}
	_, err = m.DescribeChallenge(ctx, phone, challenge)
	fmt.Println("expired in another browser:", errors.Is(err, twofa.ErrExpired))

	// "Not you?" ends the login.
	sent, _ := m.Send(ctx, laptop, challenge, twofa.EmailLink)
	fmt.Println("cancel:", m.Cancel(ctx, laptop, sent.Challenge))
	_, err = m.DescribeChallenge(ctx, laptop, challenge)
	fmt.Println("expired after cancel:", errors.Is(err, twofa.ErrExpired))
	// Output:
	// sso done [] <nil>
	// email challenge [email] <nil>
	// token challenge [email] <nil>
	// password challenge [email] <nil>
	// page: [email] <nil>
	// expired in another browser: true
	// cancel: <nil>
	// expired after cancel: true
}

// loginUser is the host's directory: every user is a member of one account.
func loginUser(_ context.Context, id string) (twofa.User, error) {
	return twofa.User{
		ID: id, Name: id, Emails: []string{id + "@example.com"},
		Members: []twofa.Member{{Account: "acme"}},
	}, nil
}
