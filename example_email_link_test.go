package twofa_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"regexp"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// An email link works once, and only in the browser in which the user signs
// in. An attacker who starts a login cannot use the link that the user opens.
func Example_emailLink() {
	ctx := context.Background()
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	inbox := &linkInbox{}
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Policy: twofa.PolicyEmailLink(),
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
			return twofa.User{ID: id, Name: id, Emails: []string{id + "@example.com"}}, nil
		}),
		Mail: twofa.MailConfig{
			Mailer: inbox, // in production: see adapters/smtpmail
			LinkURL: func(l twofa.LinkRequest) string {
				return "https://app.example.com/2fa/link?token=" + l.Token.Reveal()
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	// After the password, the page asks whether to send a link.
	laptop := twofa.Client{Browser: twofa.NewSecret("random text of the laptop")}
	login, err := m.Begin(ctx, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: laptop})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(login.Next, login.Methods)
	login, err = m.Send(ctx, laptop, login.Challenge, twofa.EmailLink)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent to", login.Sent) // keep the new challenge: only it accepts the link

	// The link opens a page with a button. The button calls Verify, because mail
	// scanners open links but press no buttons.
	proof := twofa.Proof{Method: twofa.EmailLink, Code: twofa.NewSecret(inbox.token)}
	stranger := twofa.Client{Browser: twofa.NewSecret("random text of another browser")}
	_, err = m.Verify(ctx, twofa.Caller{Client: stranger}, login.Challenge, proof)
	fmt.Println("refused in another browser:", errors.Is(err, twofa.ErrExpired))
	done, err := m.Verify(ctx, twofa.Caller{Client: laptop}, login.Challenge, proof)
	fmt.Println(done.Next, err)
	again, err := m.Verify(ctx, twofa.Caller{Client: laptop}, login.Challenge, proof)
	fmt.Println("the button pressed twice:", again.Next, err) // for ten seconds
	// Output:
	// challenge [email]
	// sent to a•••@example.com
	// refused in another browser: true
	// done <nil>
	// the button pressed twice: done <nil>
}

// linkInbox is a mailer that keeps the token of the last link.
type linkInbox struct{ token string }

var linkToken = regexp.MustCompile(`token=([\w.-]+)`)

func (i *linkInbox) SendMail(_ context.Context, m twofa.Email) error {
	if found := linkToken.FindStringSubmatch(m.Text.Reveal()); found != nil {
		i.token = found[1]
	}
	return nil
}
