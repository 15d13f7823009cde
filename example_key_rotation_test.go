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

// A key is replaced in three deployments. No user has to sign in again for it.
func Example_keyRotation() {
	ctx := context.Background()
	store := memstore.New()
	deploy := func(ring string) *twofa.Manager {
		keys, err := twofa.ParseKeyRing(ring)
		if err != nil {
			log.Fatal(err)
		}
		m, err := twofa.New(twofa.Config{Issuer: "Acme", Store: store, Keys: keys, Directory: twofa.LookUp(rotationUser)})
		if err != nil {
			log.Fatal(err)
		}
		return m
	}
	must := func(r twofa.Result, err error) twofa.Result {
		if err != nil {
			log.Fatal(err)
		}
		return r
	}

	// Ada has an authenticator app. Its key is encrypted under k1.
	k1 := twofa.GenerateKeyRing().Reveal()
	m := deploy(k1)
	password := twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword}
	ada := twofa.Caller{Session: must(m.Begin(ctx, password)).Session}
	setup, err := m.Enroll(ctx, ada, twofa.EnrollRequest{})
	if err != nil {
		log.Fatal(err)
	}
	code, _ := totp.GenerateCode(strings.ReplaceAll(setup.Key.Reveal(), " ", ""), time.Now())
	must(m.Confirm(ctx, ada, code))
	ada.Session = must(m.SaveCodes(ctx, ada)).Session

	// 1. Add the new key at the end, so that every server can read with it.
	k2 := strings.Replace(twofa.GenerateKeyRing().Reveal(), "k1:", "k2:", 1)
	m = deploy(k1 + "," + k2)
	fmt.Println("session:", m.Check(ctx, ada))

	// 2. Move it to the front, so that every server writes with it. Then run
	// Rekey for every user and every account.
	m = deploy(k2 + "," + k1)
	fmt.Println("session:", m.Check(ctx, ada))
	fmt.Println("rekey:", m.Rekey(ctx, "ada", ""))

	// 3. Remove the old key when all sessions that it encrypted have expired.
	m = deploy(k2)
	login := must(m.Begin(ctx, password))
	fmt.Println(login.Next, login.Methods)
	// Output:
	// session: <nil>
	// session: <nil>
	// rekey: <nil>
	// challenge [totp recovery]
}

// rotationUser is the host's directory.
func rotationUser(_ context.Context, id string) (twofa.User, error) {
	return twofa.User{ID: id, Name: id + "@example.com"}, nil
}
