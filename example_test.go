package twofa_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// A host calls the library in four places: after its own login, when a user
// enters a code, on every request, and in settings. Package twofahttp makes all
// of these calls for net/http.
func Example() {
	ctx := context.Background()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	keys, err := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal()) // os.Getenv("TWOFA_KEYS")
	if err != nil {
		log.Fatal(err)
	}
	m, err := twofa.New(twofa.Config{
		Issuer:    "Acme",
		Store:     memstore.New(), // in production a database: see adapters/sqlstore
		Keys:      keys,
		Directory: twofa.LookUp(exampleUser),
		Now:       func() time.Time { return now },
	})
	if err != nil {
		log.Fatal(err)
	}

	// 1. After the password was right. Ada has no second factor yet.
	laptop := twofa.Client{IP: "192.0.2.7", UserAgent: "Firefox on Linux"}
	password := twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: laptop}
	login, err := m.Begin(ctx, password)
	fmt.Println("first login:", login.Next, err)

	// 2. In settings: show the QR code and the recovery codes, check one code.
	ada := twofa.Caller{Session: login.Session, Client: laptop}
	setup, err := m.Enroll(ctx, ada, twofa.EnrollRequest{})
	if err != nil {
		log.Fatal(err)
	}
	key := strings.ReplaceAll(setup.Key.Reveal(), " ", "") // the user scans it
	code, _ := totp.GenerateCode(key, now)                 // the app shows it
	if _, err := m.Confirm(ctx, ada, code); err != nil {
		log.Fatal(err)
	}
	login, err = m.SaveCodes(ctx, ada)
	fmt.Println("enrollment:", login.Next, len(setup.Codes), "recovery codes", err)

	// 3. At the next login, Ada is asked for a code.
	now = now.Add(time.Hour)
	login, err = m.Begin(ctx, password)
	fmt.Println("next login:", login.Next, login.Methods, err)
	code, _ = totp.GenerateCode(key, now)
	login, err = m.Verify(ctx, twofa.Caller{Client: laptop}, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)})
	fmt.Println("code:", login.Next, err)

	// 4. On every request.
	err = m.Check(ctx, twofa.Caller{Session: login.Session, Client: laptop})
	fmt.Println("request:", err)
	// Output:
	// first login: done <nil>
	// enrollment: done 10 recovery codes <nil>
	// next login: challenge [totp recovery] <nil>
	// code: done <nil>
	// request: <nil>
}

// exampleUser is the host's directory. It returns the user as it is now.
func exampleUser(_ context.Context, id string) (twofa.User, error) {
	return twofa.User{ID: id, Name: id + "@example.com", SecurityStamp: "1"}, nil
}
