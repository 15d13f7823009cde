package app

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/phone"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/twofahttp"
)

// The step-up actions: the contact export, and the two acts that reset the second
// factor of a user who is then in no account. A stolen session could otherwise turn it
// off.
const (
	actionExport = "contacts.export"
	actionLeave  = "members.leave"
	actionRemove = "members.remove"
)

// newSecondFactor configures package twofa with the product's database,
// directory, mailer, gateway and clock.
func (a *App) newSecondFactor(ctx context.Context, cfg Config) error {
	dialect := sqlstore.SQLite
	if _, ok := cfg.DB.Driver().(*stdlib.Driver); ok {
		dialect = sqlstore.PostgreSQL
	}
	if err := sqlstore.Migrate(ctx, cfg.DB, dialect); err != nil {
		return err
	}
	var err error
	if a.records, err = sqlstore.New(cfg.DB, dialect); err != nil {
		return err
	}
	a.twofa, err = twofa.New(twofa.Config{
		Issuer: "Acme Contacts", Store: a.records, Keys: cfg.Keys, Directory: directory{a.db},
		Policy:   defaultPolicy(),
		Recovery: twofa.RecoveryConfig{Codes: cfg.RecoveryCodes, Viewable: cfg.ViewableCodes}, Lifetimes: twofa.Lifetimes{Session: signinLifetime},
		Mail: twofa.MailConfig{Mailer: a.mailer, LinkURL: twofahttp.LinkURL(a.link("2fa")), CaseURL: twofahttp.CaseURL(a.link("2fa")),
			CodeBesideLink: cfg.MailedCodes, NoticeNewBrowser: true},
		SMS: twofa.SMSConfig{Sender: a.texts, Phone: phone.Parser{}, Countries: []string{"AT", "CH", "DE", "FR", "GB", "US"},
			WebOTPHost: webOTPHost(a.base)},
		Languages: catalogs(),
		OnEvent:   a.audit, Now: a.now, Logger: a.log,
	})
	if err != nil {
		return err
	}
	a.web, err = twofahttp.New(twofahttp.Config{
		Manager: a.twofa, Sessions: hostSessions{a}, HomeURL: "/contacts", SupportURL: "mailto:help@acme.example",
		// The account whose data the request can see, from the row of the
		// sign-in.
		Account: func(r *http.Request) string {
			if v := visitorOf(r); v != nil {
				return v.Account.ID
			}
			return ""
		},
		WantsPage: func(r *http.Request) bool { return !wantsJSON(r) && twofahttp.WantsPage(r) },
		Actions: map[string]twofahttp.Action{
			actionExport: {Title: "Export contacts", Page: "/contacts?export=ready", Resubmit: true},
			actionLeave:  {Title: "Leave the account", Page: "/members/leave", Resubmit: true},
			actionRemove: {Title: "Remove a member", Page: "/members", Resubmit: true},
		},
		Regions:  regions,
		Team:     a.team,
		Language: languageOf, Templates: frame(), LayoutData: a.layoutData, Stylesheet: stylesheet(),
		Logger: a.log, Now: a.now,
	})
	return err
}

// defaultPolicy returns the policy of accounts that have set none.
func defaultPolicy() twofa.Policy { return withRules(twofa.PolicyEmailLink()) }

// withRules returns p with the rules of leaving and removing: a proof counts for 15
// minutes, and a user without a factor is mailed a link.
func withRules(p twofa.Policy) twofa.Policy {
	rule := twofa.ActionRule{MaxAge: 15 * time.Minute, Methods: []twofa.Method{twofa.TOTP, twofa.SMS, twofa.EmailLink}}
	all := map[string]twofa.ActionRule{actionLeave: rule, actionRemove: rule}
	maps.Copy(all, p.Actions)
	p.Actions = all
	return p
}

// webOTPHost returns the host name for which browsers may fill in a code from a
// text message, or "" if the host is an IP address.
func webOTPHost(base *url.URL) string {
	if _, err := netip.ParseAddr(base.Hostname()); err == nil {
		return ""
	}
	return base.Hostname()
}

// audit logs each event of the second factor. The store keeps them in a table,
// too.
func (a *App) audit(ctx context.Context, e twofa.Event) {
	a.log.InfoContext(ctx, "second factor", "event", e.Type, "user", e.User, "account", e.Account, "method", e.Method,
		"actor", e.Actor.Kind, "actor_id", e.Actor.ID, "ip", e.IP, "agent", e.Agent, "detail", e.Detail)
}

// describe returns how a user signed in, for the list of sessions.
func describe(d twofa.SessionInfo) string {
	first := map[twofa.FirstFactorMethod]string{twofa.ByPassword: "password", twofa.BySSO: "single sign-on", twofa.ByEmail: "mailed link"}
	second := map[twofa.Method]string{twofa.TOTP: "authenticator app", twofa.SMS: "text message",
		twofa.EmailLink: "sign-in link", twofa.RecoveryCode: "recovery code"}
	var words []string
	for _, f := range slices.Backward(d.FirstFactors) { // the newest is last
		words = append(words, first[f.By])
	}
	for _, p := range slices.Backward(d.Proofs) { // the newest proof is first in Proofs
		words = append(words, cmp.Or(second[p.Method], "remembered browser"))
	}
	return strings.Join(words, ", ")
}

// recovered reports whether the newest proof of the user, who has passed the
// guard, is a recovery code. The user should then enroll a new factor.
func recovered(r *http.Request) bool {
	session, ok := twofahttp.User(r)
	return ok && len(session.Proofs) > 0 && session.Proofs[0].Method == twofa.RecoveryCode
}
