package twofa_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofatest"
)

// A job of the host reminds the members of an account once a day. Linus has to
// enroll within two weeks. Grace is the admin.
func Example_reminders() {
	ctx := context.Background()
	clock := twofatest.NewClock(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	mailbox := &twofatest.Outbox{}
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: team{}, Now: clock.Now,
		Mail: twofa.MailConfig{Mailer: mailbox, LinkURL: func(l twofa.LinkRequest) string {
			return "https://app.example.com/2fa/link?token=" + l.Token.Reveal()
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	acme := m.Account(twofa.AsHost("daily job"), "acme")
	policy := twofa.PolicyAuthenticator()
	policy.Grace = 14 * 24 * time.Hour
	if err := acme.EnsurePolicy(ctx, policy); err != nil {
		log.Fatal(err)
	}
	if _, err := m.User(twofa.AsHost("migration"), "grace").Import(ctx, twofa.ImportFactor{Key: twofa.NewSecret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")}); err != nil {
		log.Fatal(err)
	}

	// members is a query of the host, such as SELECT user_id FROM members.
	members := func(yield func(string, error) bool) {
		for _, id := range []string{"grace", "linus"} {
			if !yield(id, nil) {
				return
			}
		}
	}
	read := len(mailbox.Mails())
	for range 15 { // days
		done, err := acme.Remind(ctx, members)
		if err != nil {
			log.Fatal(err)
		}
		for _, mail := range mailbox.Mails()[read:] {
			fmt.Printf("%s, to %s: %s\n", clock.Now().Format("Jan 2"), mail.To, mail.Subject)
		}
		read += done.Mailed + done.Admins
		clock.Add(24 * time.Hour)
	}
	// Output:
	// Mar 8, to linus@example.com: Set up two-factor authentication for Acme by 15 March 2026
	// Mar 8, to grace@example.com: 1 member still needs two-factor authentication at Acme
	// Mar 14, to linus@example.com: Set up two-factor authentication for Acme by 15 March 2026
	// Mar 14, to grace@example.com: 1 member still needs two-factor authentication at Acme
}
