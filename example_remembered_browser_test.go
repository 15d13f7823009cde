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

// A user is not asked again in a browser that they have chosen to remember,
// until they forget it or the time is over.
func Example_rememberedBrowser() {
	ctx := context.Background()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(rememberedUser),
		Policy: twofa.Policy{Remember: 30 * 24 * time.Hour},
		Now:    func() time.Time { return now },
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

	// The browser has a long-lived cookie with random text.
	password := twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: twofa.Client{
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		Browser:   twofa.NewSecret("random text"),
	}}
	// In the result of a login, the library may replace that text.
	setCookie := func(r twofa.Result) twofa.Caller {
		if !r.Browser.IsZero() {
			password.Client.Browser = r.Browser
		}
		return twofa.Caller{Session: r.Session, Client: password.Client}
	}

	// Ada enrolls an authenticator app.
	ada := setCookie(must(m.Begin(ctx, password)))
	setup, err := m.Enroll(ctx, ada, twofa.EnrollRequest{})
	if err != nil {
		log.Fatal(err)
	}
	key := strings.ReplaceAll(setup.Key.Reveal(), " ", "")
	code, _ := totp.GenerateCode(key, now)
	must(m.Confirm(ctx, ada, code))
	setCookie(must(m.SaveCodes(ctx, ada)))

	// At the next login she checks "Remember this browser".
	now = now.Add(time.Hour)
	login := must(m.Begin(ctx, password))
	code, _ = totp.GenerateCode(key, now)
	setCookie(must(m.Verify(ctx, twofa.Caller{Client: password.Client}, login.Challenge, twofa.Proof{
		Method: twofa.TOTP, Code: twofa.NewSecret(code), Remember: true,
	})))

	// The login after that does not ask. A stolen copy of the cookie is
	// noticed, because each login replaces the text in it.
	login = must(m.Begin(ctx, password))
	fmt.Println("remembered:", login.Next)
	ada = setCookie(login)

	// In settings.
	browsers, err := m.Browsers(ctx, ada)
	if err != nil {
		log.Fatal(err)
	}
	for _, b := range browsers {
		fmt.Println(b.Device, "until", b.Until.Format(time.DateOnly))
		fmt.Println("forget:", m.ForgetBrowser(ctx, ada, b.ID))
	}
	fmt.Println("forgotten:", must(m.Begin(ctx, password)).Next)
	// Output:
	// remembered: done
	// Firefox on Linux until 2026-04-01
	// forget: <nil>
	// forgotten: challenge
}

// rememberedUser is the host's directory.
func rememberedUser(_ context.Context, id string) (twofa.User, error) {
	return twofa.User{ID: id, Name: id + "@example.com"}, nil
}
