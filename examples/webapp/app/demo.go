package app

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"strings"
)

// DemoPassword is everyone's in demo mode, and well known.
const DemoPassword = "demo-boat-sails-far"

// DemoPerson is somebody whom demo mode creates.
type DemoPerson struct {
	Account string // id, as in "harbor"
	Name    string
	Email   string
	Role    Role
}

// DemoPeople lists who is in the demo accounts. Cleo is in both. Harbor has
// single sign-on.
func DemoPeople() []DemoPerson {
	return []DemoPerson{
		{"harbor", "Ada Demo", "ada@harbor.example", Owner},
		{"harbor", "Ben Demo", "ben@harbor.example", Admin},
		{"harbor", "Cleo Demo", "cleo@harbor.example", Member},
		{"harbor", "Dan Demo", "dan@harbor.example", Member},
		{"meadow", "Eva Demo", "eva@meadow.example", Owner},
		{"meadow", "Finn Demo", "finn@meadow.example", Member},
		{"meadow", "Cleo Demo", "cleo@harbor.example", Member},
	}
}

// seed fills an empty database.
func (a *App) seed(ctx context.Context) error {
	var n int
	if err := a.db.QueryRowContext(ctx, `SELECT count(*) FROM accounts`).Scan(&n); err != nil || n > 0 {
		return err
	}
	for _, acc := range []account{{"harbor", "Harbor", true}, {"meadow", "Meadow", false}} {
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
		if err := a.db.join(ctx, u, p.Account, p.Role, a.now()); err != nil {
			return err
		}
	}
	return nil
}

// seedContacts uses names that nobody has and telephone numbers that are set
// aside for fiction.
func (a *App) seedContacts(ctx context.Context, accountID string) error {
	first := []string{"Avery", "Blake", "Casey", "Drew", "Emery", "Frankie", "Gray", "Harper", "Indigo", "Jules", "Kit", "Lane"}
	last := map[string]string{"harbor": "Sample", "meadow": "Placeholder"}[accountID]
	company := []string{"Anchor", "Beacon", "Compass"}
	return a.db.inTx(ctx, func(tx *sql.Tx) error {
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
