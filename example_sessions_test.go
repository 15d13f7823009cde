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

// Every other session ends when the user's password changes. All sessions end
// when support revokes them and when the user is deleted.
func Example_sessions() {
	ctx := context.Background()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(sessionsUser),
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

	// Ada enrolls an authenticator app on her laptop, and signs in on her phone.
	password := twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword}
	laptop := twofa.Caller{Session: must(m.Begin(ctx, password)).Session}
	setup, err := m.Enroll(ctx, laptop, twofa.EnrollRequest{})
	if err != nil {
		log.Fatal(err)
	}
	key := strings.ReplaceAll(setup.Key.Reveal(), " ", "")
	code, _ := totp.GenerateCode(key, now)
	must(m.Confirm(ctx, laptop, code))
	laptop.Session = must(m.SaveCodes(ctx, laptop)).Session
	now = now.Add(time.Hour)
	login := must(m.Begin(ctx, password))
	code, _ = totp.GenerateCode(key, now)
	login = must(m.Verify(ctx, twofa.Caller{}, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)}))
	phone := twofa.Caller{Session: login.Session}

	// The proofs of a session, for a log or for the claims of a token.
	info, err := m.DescribeSession(phone.Session)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.User, info.FirstFactors[0].By, info.AMR, info.Expires.Sub(info.AuthTime))
	check := func() {
		fmt.Println("laptop:", m.Check(ctx, laptop) == nil, "phone:", m.Check(ctx, phone) == nil)
	}
	check()

	// Ada changes her password on the laptop. Only that session stays.
	fmt.Println("new password:", m.User(twofa.AsUser(laptop, ""), "ada").CredentialsChanged(ctx))
	check()

	// The laptop is stolen. Sessions end. Factors and recovery codes stay.
	fmt.Println("stolen:", m.User(twofa.AsHost("ticket 4711: laptop stolen"), "ada").Revoke(ctx))
	check()
	fmt.Println("next login:", must(m.Begin(ctx, password)).Next)

	// The user is deleted. Only the host may do that, never a user's session.
	err = m.User(twofa.AsUser(laptop, ""), "ada").Delete(ctx)
	fmt.Println("refused:", errors.Is(err, twofa.ErrNotAllowed))
	fmt.Println("deleted:", m.User(twofa.AsHost("user deleted"), "ada").Delete(ctx))
	// Output:
	// ada password [pwd otp mfa] 24h0m0s
	// laptop: true phone: true
	// new password: <nil>
	// laptop: true phone: false
	// stolen: <nil>
	// laptop: false phone: false
	// next login: challenge
	// refused: true
	// deleted: <nil>
}

// sessionsUser is the host's directory.
func sessionsUser(_ context.Context, id string) (twofa.User, error) {
	return twofa.User{ID: id, Name: id + "@example.com"}, nil
}
