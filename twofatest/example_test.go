package twofatest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofatest"
)

// The test enrolls an authenticator app as a user would, reads the mail that was
// sent, and signs in. Time passes only when the test moves the clock.
func Example() {
	ctx, clock, out := context.Background(), twofatest.NewClock(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)), &twofatest.Outbox{}
	m := must(twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: twofatest.KeyRing(tb, "example"), Now: clock.Now, Mail: twofa.MailConfig{Mailer: out},
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
			return twofa.User{ID: id, Name: id, Emails: []string{id + "@example.com"}}, nil
		}),
	}))
	first := twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword}
	ada := twofa.Caller{Session: must(m.Begin(ctx, first)).Session}
	app := must(m.Enroll(ctx, ada, twofa.EnrollRequest{})).URI.Reveal()
	must(m.Confirm(ctx, ada, twofatest.Code(tb, app, clock.Now())))
	must(m.SaveCodes(ctx, ada))
	fmt.Println(out.Mails()[0].To, out.Mails()[0].Subject)

	login := must(m.Begin(ctx, first))
	clock.Add(30 * time.Second) // each code works once
	login = must(m.Verify(ctx, twofa.Caller{}, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(twofatest.Code(tb, app, clock.Now()))}))
	fmt.Println(login.Next)
	// Output:
	// ada@example.com Authenticator app added to your Acme account
	// done
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// tb replaces the t that a real test has.
var tb testing.TB = exampleTB{}

type exampleTB struct{ testing.TB }

func (exampleTB) Helper() {}

func (exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
