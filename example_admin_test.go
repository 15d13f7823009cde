package twofa_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofatest"
)

// An admin requires an authenticator of all members, who have two weeks to enroll
// one. Before that, the admin must have one, and sees what will change.
func Example_admin() {
	ctx := context.Background()
	clock := twofatest.NewClock(time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC))
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: team{}, Now: clock.Now,
		Mail: twofa.MailConfig{Mailer: &twofatest.Outbox{}, LinkURL: func(l twofa.LinkRequest) string {
			return "https://app.example.com/2fa/link?token=" + l.Token.Reveal()
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	browser := twofa.Client{Browser: twofa.NewSecret("a random text in a cookie")}
	login, err := m.Begin(ctx, twofa.FirstFactor{UserID: "grace", Account: "acme", By: twofa.ByPassword, Client: browser})
	if err != nil {
		log.Fatal(err)
	}
	grace := twofa.Caller{Session: login.Session, Account: "acme", Client: browser}

	acme := func() *twofa.Account { return m.Account(twofa.AsUser(grace, "new customers ask for it"), "acme") }
	info, err := acme().Policy(ctx)
	if err != nil {
		log.Fatal(err)
	}
	policy := info.Policy // with everything else that the account has set
	policy.Required, policy.Grace = true, 14*24*time.Hour
	err = acme().SetPolicy(ctx, policy, info.Version)
	if denied, ok := errors.AsType[*twofa.DeniedError](err); ok {
		fmt.Println("before the admin has enrolled:", denied.Reason)
	}

	// The admin enrolls an authenticator, as on the settings page. The code is also
	// the fresh proof for ActionPolicy.
	e, err := m.Enroll(ctx, grace, twofa.EnrollRequest{})
	if err != nil {
		log.Fatal(err)
	}
	code, _ := totp.GenerateCode(strings.ReplaceAll(e.Key.Reveal(), " ", ""), clock.Now()) // the app of the admin
	if _, err = m.SaveCodes(ctx, grace); err != nil {
		log.Fatal(err)
	}
	login, err = m.Confirm(ctx, grace, code)
	if err != nil {
		log.Fatal(err)
	}
	grace.Session = login.Session

	// Show this before the button that saves.
	impacts, err := acme().Preview(ctx, policy, "grace", "linus")
	for _, i := range impacts {
		fmt.Println(i.User, "now:", i.Now, "then:", i.Then, "due:", i.Due.Format(time.DateOnly))
	}
	fmt.Println(err)
	fmt.Println("save:", acme().SetPolicy(ctx, policy, info.Version))

	statuses, err := acme().Statuses(ctx, "grace", "linus")
	for _, s := range statuses {
		fmt.Println(s.User, s.Role, s.State, s.Due.Format(time.DateOnly))
	}
	fmt.Println(err)

	// Linus is on leave, so he gets two months.
	fmt.Println("more time:", acme().Extend(ctx, "linus", clock.Now().Add(60*24*time.Hour)))
	// Output:
	// before the admin has enrolled: enrollment_required
	// grace now: challenge then: challenge due: 0001-01-01
	// linus now: done then: done due: 2026-03-15
	// <nil>
	// save: <nil>
	// grace owner on 0001-01-01
	// linus  grace 2026-03-15
	// <nil>
	// more time: <nil>
}

// team is the host's directory. It knows the members, their roles and the admins.
type team struct{}

func (team) Users(_ context.Context, ids ...string) (users []twofa.User, err error) {
	joined := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	for id, role := range map[string]twofa.Role{"grace": twofa.RoleOwner, "linus": twofa.RoleMember} {
		if slices.Contains(ids, id) {
			users = append(users, twofa.User{ID: id, Name: id, Emails: []string{id + "@example.com"},
				Members: []twofa.Member{{Account: "acme", Role: role, Since: joined}}})
		}
	}
	return users, nil
}

func (team) Admins(context.Context, string) ([]string, error) { return []string{"grace"}, nil }
