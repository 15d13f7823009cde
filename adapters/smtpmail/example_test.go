package smtpmail_test

import (
	"fmt"
	"os"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/smtpmail"
)

func Example() {
	mailer, err := smtpmail.New(smtpmail.Config{
		Host:     "smtp.acme.example", // port 587, STARTTLS required
		Username: "login",
		Password: twofa.NewSecret(os.Getenv("SMTP_PASSWORD") + "…"),
		From:     "Acme <login@acme.example>",
	})
	if err != nil {
		panic(err)
	}
	var _ twofa.Mailer = mailer // set as Mail.Mailer of twofa.Config
}

func ExampleNew_problems() {
	_, err := smtpmail.New(smtpmail.Config{Host: "smtp.acme.example:587", Password: twofa.NewSecret("x")})
	fmt.Println(err)
	// Output:
	// smtpmail: config: Host: must be a host name or IP address without a port
	// Username: required with Password
	// From: must be one address with an ASCII mailbox and domain, as in Acme <login@acme.example>, is ""
}
