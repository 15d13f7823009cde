package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// DemoPassword is the password of every demo user. It is public.
const DemoPassword = "demo-boat-sails-far"

// DemoPerson is a user that demo mode creates.
type DemoPerson struct {
	Account string // ID of the account, such as "harbor"
	Name    string
	Email   string
	Role    Role
	Phone   string // number to enter if the account uses text messages; reserved for fiction
}

// DemoAccount is an account that demo mode creates.
type DemoAccount struct {
	ID, Name string
	SSO      bool          // whether it has an identity provider of its own
	Policy   *twofa.Policy // at the start; if nil, the account has set none
	Says     string        // description of the policy
	First    string        // what happens at the first sign-in of a member with a password
}

// policy returns the policy at the start.
func (acc DemoAccount) policy() twofa.Policy {
	if acc.Policy == nil {
		return defaultPolicy()
	}
	return *acc.Policy
}

// DemoAccounts returns one account for each kind of policy.
func DemoAccounts() []DemoAccount {
	optional, text, app := withRules(twofa.PolicyOptional()), withRules(twofa.PolicySMS()), withRules(twofa.PolicyAuthenticator())
	text.Actions[actionExport] = twofa.ActionRule{MaxAge: 0} // a code for each export
	app.Actions[actionExport] = twofa.ActionRule{MaxAge: 5 * time.Minute}
	return []DemoAccount{
		{"brook", "Brook", false, &optional, "A second factor is optional. Only users who have set up an authenticator app are asked for its code.",
			"password only."},
		{"harbor", "Harbor", true, nil, "Emails a link after the password, unless the user has an authenticator app. Single sign-on needs no link.",
			"password, then the link in the outbox."},
		{"meadow", "Meadow", true, &text, "Requires a phone or an authenticator app, texts a code, and remembers browsers for 30 days. Single sign-on needs neither.",
			"password, then the link in the outbox, then the user sets up a phone or app."},
		{"summit", "Summit", false, &app, "Requires an authenticator app.",
			"password, then the link in the outbox, then the user sets up the app."},
	}
}

// DemoPeople returns the members of the demo accounts. Cleo and Finn are
// members of two.
func DemoPeople() []DemoPerson {
	return []DemoPerson{
		{"brook", "Ida Demo", "ida@brook.example", Owner, ""},
		{"brook", "Jon Demo", "jon@brook.example", Member, ""},
		{"harbor", "Ada Demo", "ada@harbor.example", Owner, ""},
		{"harbor", "Ben Demo", "ben@harbor.example", Admin, ""},
		{"harbor", "Cleo Demo", "cleo@harbor.example", Member, "+1 202 555 0103"},
		{"harbor", "Dan Demo", "dan@harbor.example", Member, ""},
		{"meadow", "Eva Demo", "eva@meadow.example", Owner, "+1 202 555 0101"},
		{"meadow", "Finn Demo", "finn@meadow.example", Member, "+1 202 555 0102"},
		{"meadow", "Cleo Demo", "cleo@harbor.example", Member, "+1 202 555 0103"},
		{"summit", "Gus Demo", "gus@summit.example", Owner, ""},
		{"summit", "Hana Demo", "hana@summit.example", Member, ""},
		{"summit", "Finn Demo", "finn@meadow.example", Member, "+1 202 555 0102"},
	}
}

// seed adds the demo data to an empty database.
func (a *App) seed(ctx context.Context) error {
	var n int
	if err := a.db.QueryRowContext(ctx, `SELECT count(*) FROM accounts`).Scan(&n); err != nil || n > 0 {
		return err
	}
	for _, acc := range DemoAccounts() {
		if acc.Policy != nil { // before the account exists, so that it is never without its policy
			if err := a.twofa.Account(twofa.AsHost("start-up"), acc.ID).EnsurePolicy(ctx, *acc.Policy); err != nil {
				return err
			}
		}
		sso := map[bool]int{true: 1}[acc.SSO]
		if _, err := a.db.ExecContext(ctx, `INSERT INTO accounts (id, name, sso) VALUES ($1, $2, $3)`, acc.ID, acc.Name, sso); err != nil {
			return err
		}
		if err := a.seedContacts(ctx, acc.ID); err != nil {
			return err
		}
	}
	hash, err := a.password.hash(ctx, DemoPassword)
	if err != nil {
		return err
	}
	for _, p := range DemoPeople() {
		id, _, _ := strings.Cut(p.Email, "@")
		u := user{ID: id, Email: p.Email, Name: p.Name, Password: hash, Stamp: rand.Text()}
		err := a.db.inTx(ctx, func(tx store) error { return tx.join(ctx, u, p.Account, p.Role, a.now()) })
		if err != nil {
			return err
		}
	}
	return nil
}

// seedContacts uses invented names and phone numbers that are reserved for
// fiction.
func (a *App) seedContacts(ctx context.Context, accountID string) error {
	first := []string{"Avery", "Blake", "Casey", "Drew", "Emery", "Frankie", "Gray", "Harper", "Indigo", "Jules", "Kit", "Lane"}
	last := map[string]string{"brook": "Brooks", "harbor": "Sample", "meadow": "Placeholder", "summit": "Peak"}[accountID]
	company := []string{"Anchor", "Beacon", "Compass"}
	return a.db.inTx(ctx, func(tx store) error {
		for i, f := range first {
			_, err := tx.ExecContext(ctx, `INSERT INTO contacts (id, account_id, name, company, email, phone) VALUES ($1, $2, $3, $4, $5, $6)`,
				fmt.Sprintf("%s-%d", accountID, i+1), accountID, f+" "+last, company[i%3]+" Example",
				strings.ToLower(f+"."+last)+"@"+strings.ToLower(company[i%3])+".example", fmt.Sprintf("+44 20 7946 %04d", i+11))
			if err != nil {
				return err
			}
		}
		return nil
	})
}
