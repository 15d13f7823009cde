package twofa_test

import (
	"context"
	"fmt"
	"log"
	"testing/fstest"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
)

// Mails are in English, German or Dutch. One file of the host changes a German
// sentence, and another one adds Dutch, so far with two texts of its own.
func Example_languages() {
	// In a product, files is os.DirFS("languages") or an embed.FS.
	files := fstest.MapFS{
		"de.json": {Data: []byte(`{
			"link.login.subject": "Ihr Anmelde-Link für {{issuer}}"
		}`)},
		"nl.json": {Data: []byte(`{
			"link.login.subject": "Inloggen bij {{issuer}}",
			"link.valid_one": "De link werkt één keer en verloopt over {{count}} minuut.",
			"link.valid_other": "De link werkt één keer en verloopt over {{count}} minuten."
		}`)},
	}
	languages, err := locale.Parse(files, locale.English(), de.Catalog())
	if err != nil {
		log.Fatal(err) // lists every mistake of every file
	}
	dutch := languages[2]
	fmt.Println(dutch.Tag(), dutch.Text("link.valid", locale.Args{"count": 10}))

	users := map[string]twofa.User{
		"ada": {ID: "ada", Emails: []string{"ada@example.com"}},
		"bob": {ID: "bob", Emails: []string{"bob@example.com"}, Language: "de-AT"},
		"eva": {ID: "eva", Emails: []string{"eva@example.com"}, Language: "nl"},
	}
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Policy: twofa.PolicyEmailLink(), Languages: languages,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return users[id], nil }),
		Mail: twofa.MailConfig{
			Mailer:  queueMailer{},
			LinkURL: func(l twofa.LinkRequest) string { return "https://app.example.com/2fa/link?token=" + l.Token.Reveal() },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{"ada", "bob", "eva"} {
		client := twofa.Client{Language: "en-GB,en;q=0.9"} // Accept-Language, for users without a language
		login, err := m.Begin(context.Background(), twofa.FirstFactor{UserID: id, By: twofa.ByPassword, Client: client})
		if err != nil {
			log.Fatal(err)
		}
		if _, err := m.Send(context.Background(), client, login.Challenge, twofa.EmailLink); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// nl De link werkt één keer en verloopt over 10 minuten.
	// ada@example.com: Sign in to Acme
	// bob@example.com: Ihr Anmelde-Link für Acme
	// eva@example.com: Inloggen bij Acme
}
