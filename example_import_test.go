package twofa_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// importManager returns a Manager whose clock is at now.
func importManager(now *time.Time) *twofa.Manager {
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Now: func() time.Time { return *now },
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) {
			if id == "u9" {
				return twofa.User{}, twofa.ErrNoUser
			}
			return twofa.User{ID: id, Name: id + "@example.com"}, nil
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	return m
}

// Another Go library kept the otpauth address of each user, as the Key of
// pquerna/otp prints it. The import is run every night until the switch, so users
// who were imported before are skipped. Ada's app works as before.
func Example_importFromGo() {
	type row struct{ UserID, URL string }
	table := []row{
		{"u1", "otpauth://totp/Acme:ada@example.com?algorithm=SHA1&digits=6&issuer=Acme&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"},
		{"u2", "otpauth://totp/Acme:bob@example.com?issuer=Acme&secret=MFRGGZDFMZTWQ2LK"},
		{"u3", "otpauth://totp/Acme:eve@example.com?issuer=Acme&secret=8L0OK5"},
		{"u9", "otpauth://totp/Acme:gus@example.com?issuer=Acme&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"},
	}
	now := time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)
	m, ctx := importManager(&now), context.Background()

	var users []twofa.ImportUser
	for _, r := range table {
		users = append(users, twofa.ImportUser{ID: r.UserID, Factors: []twofa.ImportFactor{{URI: twofa.NewSecret(r.URL)}}})
	}
	for night := range 2 {
		for _, r := range m.Import(ctx, twofa.AsHost("migration from the users table"), users) {
			switch {
			case errors.Is(r.Err, twofa.ErrInvalid), errors.Is(r.Err, twofa.ErrNotAllowed):
				fmt.Println(night, r.User, "needs a look:", r.Err)
			case r.Err != nil:
				fmt.Println(night, r.User, "try again:", r.Err)
			default:
				fmt.Println(night, r.User, r.Outcome)
			}
		}
	}

	now = now.Add(6 * time.Hour)
	login, _ := m.Begin(ctx, twofa.FirstFactor{UserID: "u1", By: twofa.ByPassword})
	code, _ := totp.GenerateCode("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", now)
	login, err := m.Verify(ctx, twofa.Caller{}, login.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(code)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("Ada:", login.Next, "- save recovery codes:", login.CodesMissing)
	// Output:
	// 0 u1 imported
	// 0 u2 imported
	// 0 u3 needs a look: twofa: invalid: factor 1: Key: must be Base32, which is never 6 characters long
	// 0 u9 needs a look: twofa: not allowed: Config.Directory has no user "u9"
	// 1 u1 imported_before
	// 1 u2 imported_before
	// 1 u3 needs a look: twofa: invalid: factor 1: Key: must be Base32, which is never 6 characters long
	// 1 u9 needs a look: twofa: not allowed: Config.Directory has no user "u9"
	// Ada: done - save recovery codes: true
}

// A Rails product with devise-two-factor keeps a Base32 key (rotp) in the column
// otp_secret, which Rails encrypts. A rake task prints it decrypted, and only rows
// with otp_required_for_login have been confirmed. A key of 24 characters has 15
// bytes, so its factor is marked.
func Example_importFromRails() {
	type row struct {
		ID       int
		Secret   string // User#otp_secret
		Required bool   // otp_required_for_login
		Changed  time.Time
	}
	changed := time.Date(2023, 5, 4, 8, 30, 0, 0, time.UTC)
	table := []row{
		{1, "nrswgyzanvswi2lb4xlkzqfy", true, changed},
		{2, "MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43U", false, changed}, // started, never confirmed
	}
	now := time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)
	m, ctx := importManager(&now), context.Background()
	by := twofa.AsHost("migration from Rails")
	for _, r := range table {
		if !r.Required {
			continue
		}
		id := fmt.Sprint("u", r.ID)
		outcome, err := m.User(by, id).Import(ctx, twofa.ImportFactor{Key: twofa.NewSecret(r.Secret), Added: r.Changed})
		if err != nil {
			fmt.Println(id, err)
			continue
		}
		data, err := m.User(by, id).Export(ctx)
		if err != nil {
			log.Fatal(err)
		}
		f := data.Factors[0]
		fmt.Println(id, outcome, f.Name, f.Added.Format(time.DateOnly), "legacy:", f.Legacy)
	}
	// Output:
	// u1 imported Authenticator app 2023-05-04 legacy: true
}

// A Django product with django-otp has a row for each device: a hexadecimal key,
// the step in seconds, the digits, and a name. All devices of a user are imported
// in one call. Only devices that are confirmed and count from 1970 can be.
func Example_importFromDjango() {
	type totpDevice struct {
		UserID    int
		Name, Key string
		Confirmed bool
		Step, T0  int
		Digits    int
	}
	table := []totpDevice{
		{1, "default", "3132333435363738393031323334353637383930", true, 30, 0, 6},
		{1, "tablet", "6162636465666768696a6b6c6d6e6f7071727374", true, 60, 0, 8},
		{1, "old phone", "7172737475767778797a30313233343536373839", false, 30, 0, 6},
		{2, "default", "3132333435363738393031323334353637383930", true, 30, 1_600_000_000, 6},
	}
	devices := map[int][]twofa.ImportFactor{}
	for _, d := range table {
		key, err := hex.DecodeString(d.Key)
		if err != nil || !d.Confirmed {
			continue
		}
		if d.T0 != 0 {
			fmt.Println("user", d.UserID, "must enroll again: the device counts from another time")
			continue
		}
		devices[d.UserID] = append(devices[d.UserID], twofa.ImportFactor{
			Name: d.Name, KeyBytes: twofa.NewSecret(string(key)), Digits: d.Digits, Period: time.Duration(d.Step) * time.Second,
		})
	}
	now := time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC)
	m, ctx := importManager(&now), context.Background()
	for id, factors := range devices {
		outcome, err := m.User(twofa.AsHost("migration from Django"), fmt.Sprint("u", id)).Import(ctx, factors...)
		fmt.Println("user", id, outcome, len(factors), err)
	}
	// Output:
	// user 2 must enroll again: the device counts from another time
	// user 1 imported 2 <nil>
}
