package twofa_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// A user enrolls an authenticator app: scan the QR code, enter one code, save
// the recovery codes. Nothing is active before all three are done.
func Example_authenticatorApp() {
	ctx := context.Background()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(authenticatorUser),
		Now: func() time.Time { return now },
	})
	if err != nil {
		log.Fatal(err)
	}
	login, err := m.Begin(ctx, twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
	if err != nil {
		log.Fatal(err)
	}
	ada := twofa.Caller{Session: login.Session}

	// The page shows the QR code, the key and the recovery codes. They are
	// secrets, so they never print.
	setup, err := m.Enroll(ctx, ada, twofa.EnrollRequest{Name: "Ada's phone"})
	if err != nil {
		log.Fatal(err)
	}
	qr, err := setup.PNG(0)
	fmt.Println("QR code:", len(qr) > 0, err)
	fmt.Println("key:", setup.Key, "codes:", len(setup.Codes))

	// A page that is loaded again shows the same key and the same codes.
	again, err := m.PendingEnrollment(ctx, ada)
	fmt.Println("same key:", again.Key.Reveal() == setup.Key.Reveal(), err)

	// The phone's clock is 10 minutes slow, so its code is wrong. The error
	// explains it to the user.
	key := strings.ReplaceAll(setup.Key.Reveal(), " ", "")
	code, _ := totp.GenerateCode(key, now.Add(-10*time.Minute))
	_, err = m.Confirm(ctx, ada, code)
	if offset, ok := twofa.ClockOffset(err); ok {
		fmt.Println("invalid:", errors.Is(err, twofa.ErrInvalidCode), "clock:", offset)
	}

	// The user corrects the clock.
	code, _ = totp.GenerateCode(key, now)
	login, err = m.Confirm(ctx, ada, code)
	fmt.Println("code:", login.Next, err)
	login, err = m.SaveCodes(ctx, ada)
	fmt.Println("codes saved:", login.Next, err)

	ada.Session = login.Session // it has proven the app
	factors, err := m.Factors(ctx, ada)
	fmt.Println(factors.List[0].Name, factors.CodesLeft, err)
	// Output:
	// QR code: true <nil>
	// key: [redacted] codes: 10
	// same key: true <nil>
	// invalid: true clock: -10m0s
	// code: enroll <nil>
	// codes saved: done <nil>
	// Ada's phone 10 <nil>
}

// authenticatorUser is the host's directory. Apps show the name.
func authenticatorUser(_ context.Context, id string) (twofa.User, error) {
	return twofa.User{ID: id, Name: id + "@example.com"}, nil
}
