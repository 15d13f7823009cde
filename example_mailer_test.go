package twofa_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// A host's own mail system is one method, and its texts are functions in the
// configuration. Here the emails are in German.
func ExampleMailer() {
	ctx := context.Background()
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Policy: twofa.PolicyEmailLink(),
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
			return twofa.User{ID: id, Name: id, Emails: []string{id + "@example.com"}}, nil
		}),
		Mail: twofa.MailConfig{
			Mailer: queueMailer{},
			LinkURL: func(l twofa.LinkRequest) string {
				return "https://app.example.com/2fa/link?token=" + l.Token.Reveal()
			},
			LinkEmail: func(l twofa.LinkEmail) twofa.Email {
				return twofa.Email{Subject: l.Issuer + ": Anmeldung", Text: twofa.NewSecret("Zum Anmelden: " + l.URL.Reveal())}
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	login, err := m.Begin(ctx, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := m.Send(ctx, twofa.Client{}, login.Challenge, twofa.EmailLink); err != nil {
		log.Fatal(err)
	}

	// A mailer refuses a line break, because it would add a header.
	err = queueMailer{}.SendMail(ctx, twofa.Email{To: "ada@example.com\r\nBcc: eve@example.com", Subject: "Hello"})
	fmt.Println(err)
	// Output:
	// ada@example.com: Acme: Anmeldung
	// a line break in an address or subject
}

// queueMailer is a [twofa.Mailer] that adds messages to the host's queue. See
// examples/outbox for a whole one.
type queueMailer struct{}

// SendMail returns nil when the queue has accepted the message.
func (queueMailer) SendMail(ctx context.Context, m twofa.Email) error {
	if strings.ContainsAny(m.To+m.Subject, "\r\n") {
		return errors.New("a line break in an address or subject")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	fmt.Printf("%s: %s\n", m.To, m.Subject) // never the text, because it contains the link
	return nil
}
