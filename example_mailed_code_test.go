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

// A user who reads mail on a phone types the code of the mail on the computer. The
// option lets an attacker who has the password ask the user for that code, so read
// the documentation of MailConfig.CodeBesideLink before you set it.
func Example_mailedCode() {
	ctx := context.Background()
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	phone := &codeInbox{}
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Policy: twofa.PolicyEmailLink(),
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
			return twofa.User{ID: id, Name: id, Emails: []string{id + "@example.com"}}, nil
		}),
		Mail: twofa.MailConfig{
			Mailer: phone, // in production: see adapters/smtpmail
			LinkURL: func(l twofa.LinkRequest) string {
				return "https://app.example.com/2fa/link?token=" + l.Token.Reveal()
			},
			CodeBesideLink: true,
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	computer := twofa.Client{Browser: twofa.NewSecret("random text of the computer")}
	login, err := m.Begin(ctx, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: computer})
	if err != nil {
		log.Fatal(err)
	}
	login, err = m.Send(ctx, computer, login.Challenge, twofa.EmailLink)
	if err != nil {
		log.Fatal(err)
	}
	page, err := m.DescribeChallenge(ctx, computer, login.Challenge)
	fmt.Println("the page asks for a code:", page.SentCode, err)

	_, err = m.Verify(ctx, twofa.Caller{Client: computer}, login.Challenge, twofa.Proof{Method: twofa.EmailLink, Code: twofa.NewSecret("12345")})
	fmt.Println("a digit is missing:", errors.Is(err, twofa.ErrMalformedCode)) // not counted
	done, err := m.Verify(ctx, twofa.Caller{Client: computer}, login.Challenge, twofa.Proof{Method: twofa.EmailLink, Code: twofa.NewSecret(phone.code)})
	fmt.Println(done.Next, err)
	session, err := m.DescribeSession(done.Session)
	fmt.Println(session.Proofs[0].Method, err)
	// Output:
	// the page asks for a code: true <nil>
	// a digit is missing: true
	// done <nil>
	// email_code <nil>
}

// codeInbox is a mailer that keeps the code of the last mail, which is on a line of
// its own.
type codeInbox struct{ code string }

func (i *codeInbox) SendMail(_ context.Context, m twofa.Email) error {
	for line := range strings.Lines(m.Text.Reveal()) {
		if line = strings.TrimSpace(line); len(line) == 6 && strings.Trim(line, "0123456789") == "" {
			i.code = line
		}
	}
	return nil
}
