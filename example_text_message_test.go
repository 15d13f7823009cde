package twofa_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"regexp"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// A user confirms a phone number with a code that is texted to it. From then
// on, codes to sign in are texted to that number.
func Example_textMessage() {
	ctx := context.Background()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	phone := &textPhone{}
	policy := twofa.PolicySMS()
	policy.EnrollWithoutLink = true // this host mails no links
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Policy: policy,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
			return twofa.User{ID: id, Name: id, Members: []twofa.Member{{Account: "acme"}}}, nil
		}),
		SMS: twofa.SMSConfig{
			Sender:    phone,          // in production: see adapters/twiliosms
			Phone:     phone,          // in production: see adapters/phone
			Countries: []string{"CH"}, // limits toll fraud
		},
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

	// The policy requires a second factor, so the login continues with enrollment.
	password := twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword}
	login := must(m.Begin(ctx, password))
	fmt.Println(login.Next)
	ada := twofa.Caller{Challenge: login.Challenge, Account: "acme"}
	setup, err := m.Enroll(ctx, ada, twofa.EnrollRequest{Method: twofa.SMS, Phone: "+41 79 123 45 67"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("code sent to", setup.Phone)
	ada.Challenge = setup.Challenge
	must(m.Confirm(ctx, ada, phone.code))
	fmt.Println(must(m.SaveCodes(ctx, ada)).Next)

	// The next login.
	now = now.Add(time.Hour)
	login = must(m.Begin(ctx, password))
	fmt.Println(login.Next, login.Methods)
	login = must(m.Send(ctx, twofa.Client{}, login.Challenge, twofa.SMS))
	fmt.Println("code sent to", login.Sent)
	login = must(m.Verify(ctx, twofa.Caller{}, login.Challenge, twofa.Proof{Method: twofa.SMS, Code: twofa.NewSecret(phone.code)}))
	fmt.Println(login.Next)
	// Output:
	// enroll
	// code sent to •••• 67
	// done
	// challenge [sms recovery]
	// code sent to •••• 67
	// done
}

// textPhone is a gateway that keeps the code of the last message, and a parser
// that knows Swiss mobile numbers.
type textPhone struct{ code string }

var textCode = regexp.MustCompile(`\b\d{6}\b`)

func (p *textPhone) SendSMS(_ context.Context, m twofa.TextMessage) error {
	p.code = textCode.FindString(m.Body.Reveal())
	return nil
}

func (p *textPhone) ParsePhone(raw, _ string) (twofa.Phone, error) {
	number := strings.ReplaceAll(raw, " ", "")
	if !strings.HasPrefix(number, "+417") || len(number) != len("+41791234567") {
		return twofa.Phone{}, errors.New("not a Swiss mobile number")
	}
	return twofa.Phone{E164: number, Country: "CH", Mobile: true}, nil
}
