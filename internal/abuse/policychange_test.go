package abuse

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/es"
	"github.com/twofa-go/twofa/locale/fr"
	"github.com/twofa-go/twofa/locale/ja"
	"github.com/twofa-go/twofa/locale/ptbr"
)

// Each way in which a policy can be weaker has a text of its own. It says what the
// policy admits, and what the one before asked for.
func TestPolicyChange_SaysWhatAWeakerPolicyAdmits(t *testing.T) {
	noon := time.Date(2027, 1, 10, 12, 0, 0, 0, time.UTC)
	with := func(p twofa.Policy, edit func(*twofa.Policy)) twofa.Policy {
		edit(&p)
		return p
	}
	rule := func(p twofa.Policy, age time.Duration, methods ...twofa.Method) twofa.Policy {
		p.Actions = map[string]twofa.ActionRule{export: {MaxAge: age, Methods: methods}}
		return p
	}
	app := required()
	email := with(app, func(p *twofa.Policy) { p.Methods = []twofa.Method{twofa.TOTP, twofa.EmailLink} })
	texts := with(app, func(p *twofa.Policy) { p.Methods = []twofa.Method{twofa.TOTP, twofa.SMS, twofa.EmailLink} })
	deadline := func(p *twofa.Policy) { p.Deadline = noon }
	grace := func(p *twofa.Policy) { p.Grace = 14 * aDay }
	for name, c := range map[string]struct {
		before, after twofa.Policy
		want          []string
	}{
		"equal":    {app, app, nil},
		"stricter": {with(app, grace), app, nil},
		"a deadline instead of the email link": {email, with(app, deadline),
			[]string{"Until 10 January 2027, 12:00 UTC, members without any method can sign in with only their password. Before, they needed an email link."}},
		"a deadline instead of enrollment": {app, with(app, deadline),
			[]string{"Until 10 January 2027, 12:00 UTC, members without any method can sign in with only their password. Before, they had to set one up first."}},
		"a later deadline": {with(app, deadline), with(app, func(p *twofa.Policy) { p.Deadline = noon.Add(aDay) }),
			[]string{"Until 11 January 2027, 12:00 UTC, members without any method can sign in with only their password. Before, that was possible only until 10 January 2027, 12:00 UTC."}},
		"days for new members": {app, with(app, grace),
			[]string{"For 14 days after they join, members without any method can sign in with only their password. Before, they had to set one up first."}},
		"more days": {with(app, func(p *twofa.Policy) { p.Grace = aDay }), with(app, grace),
			[]string{"For 14 days after they join, members without any method can sign in with only their password. Before, that was possible for: 1 day."}},
		"no link, with the same deadline": {with(email, deadline), with(app, deadline),
			[]string{"Members who now sign in with an email link need only their password until their time to set up a method is over."}},
		"no texts, with the same deadline": {with(texts, deadline), with(email, deadline),
			[]string{"This is no longer accepted: text message. Members who used it are asked for a weaker method.",
				"Members whose only method is no longer accepted can put off setting up another one. No longer accepted: text message."}},
		"the grace starts anew": {with(app, func(p *twofa.Policy) { p.ExemptSSO = true; grace(p) }), with(app, grace),
			[]string{"Everyone’s time to set up a method starts again (14 days), because the policy also requires more. Members whose time was over can sign in with only their password until then."}},
		"optional": {app, with(app, func(p *twofa.Policy) { p.Required = false }),
			[]string{"A second step becomes optional. Members who haven’t set one up sign in with only their password."}},
		"another method": {app, email, []string{"Members can now also sign in with: email link."}},
		"a choice": {email, with(email, func(p *twofa.Policy) { p.Fallback = []twofa.Method{twofa.EmailLink} }),
			[]string{"Members who have a safer method can choose this instead: email link."}},
		"no link first": {app, with(app, func(p *twofa.Policy) { p.EnrollWithoutLink = true }),
			[]string{"Members can set up their first method without opening an email link. A stolen password is then enough to set one up."}},
		"SSO": {app, with(app, func(p *twofa.Policy) { p.ExemptSSO = true }),
			[]string{"Members who sign in through your identity provider aren’t asked for a second step."}},
		"remember": {app, with(app, func(p *twofa.Policy) { p.Remember = 30 * aDay }),
			[]string{"In a remembered browser, the password alone is enough for longer: 30 days. Before: None."}},
		"turn off": {app, with(app, func(p *twofa.Policy) { p.TurnOff = twofa.TurnOffByUser }),
			[]string{"This can turn off a member’s second step: The member. Before: An admin."}},
		"weaken": {app, with(app, func(p *twofa.Policy) { p.Weaken = twofa.RoleAdmin }),
			[]string{"Every admin can make this policy weaker. Before, only owners could."}},
		"reset": {with(app, func(p *twofa.Policy) { p.Reset = twofa.RoleSupport }), app,
			[]string{"This can reset a member who has lost everything: Admins and owners. Before: Support only."}},
		"an older proof": {rule(app, 0, twofa.TOTP), rule(app, 15*time.Minute, twofa.TOTP),
			[]string{"Export contacts: members confirm it’s them less often. Ask again: After 15 minutes. Before: Every time."}},
		"a proof by link": {rule(app, 0, twofa.TOTP), rule(app, 0, twofa.TOTP, twofa.EmailLink),
			[]string{"Export contacts: members can also confirm it with: email link."}},
		"no proof by app": {rule(app, 0, twofa.TOTP, twofa.EmailLink), rule(app, 0, twofa.EmailLink),
			[]string{"Export contacts: this is no longer accepted: authenticator app. Members who used it confirm with a weaker method."}},
		"actions of the same way in one": {rule(email, 0), rule(texts, 0),
			[]string{"Members can now also sign in with: text message.", "Export contacts, All other sensitive actions: members can also confirm it with: text message."}},
	} {
		change := twofa.PolicyChange{Before: c.before, After: c.after}
		require.Equal(t, c.want, change.Weaknesses(locale.English(), func(action string) string { return map[string]string{export: "Export contacts"}[action] }), name)
		require.Equal(t, len(c.want) > 0, c.after.IsWeakerThan(c.before), name)
	}
}

// A policy is weaker exactly if there is a text about it, and differs exactly if
// there is a field to show. Both are so in each language.
func TestPolicyChange_InEachLanguage(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 3))
	days := func() time.Duration { return time.Duration(r.IntN(3)) * aDay }
	random := func() twofa.Policy {
		p := twofa.Policy{Methods: [][]twofa.Method{nil, {twofa.TOTP, twofa.SMS}, {twofa.TOTP, twofa.EmailLink}, {twofa.TOTP, twofa.SMS, twofa.EmailLink}}[r.IntN(4)],
			Required: r.IntN(2) == 0, ExemptSSO: r.IntN(2) == 0, EnrollWithoutLink: r.IntN(2) == 0, Grace: days(), Remember: days(),
			TurnOff: []twofa.TurnOff{twofa.TurnOffByUser, twofa.TurnOffByAdmin, twofa.TurnOffBySupport}[r.IntN(3)], Weaken: []twofa.Role{"", twofa.RoleAdmin}[r.IntN(2)], Reset: []twofa.Role{"", twofa.RoleOwner, twofa.RoleSupport}[r.IntN(3)]}
		if r.IntN(2) == 0 {
			p.Deadline = time.Date(2027, 1, 1+r.IntN(3), 0, 0, 0, 0, time.UTC)
		}
		if r.IntN(2) == 0 {
			p.Actions = map[string]twofa.ActionRule{export: {MaxAge: time.Duration(r.IntN(2)) * time.Minute, Methods: [][]twofa.Method{nil, {twofa.TOTP}, {twofa.EmailLink}}[r.IntN(3)]}}
		}
		return p
	}
	for range 300 {
		change := twofa.PolicyChange{Before: random(), After: random()}
		for _, c := range []*locale.Catalog{locale.English(), de.Catalog(), fr.Catalog(), es.Catalog(), ptbr.Catalog(), ja.Catalog()} {
			texts := change.Weaknesses(c, nil)
			require.Equal(t, change.After.IsWeakerThan(change.Before), len(texts) > 0, "seed %d: %v", seed, change)
			all := strings.Join(texts, "\n")
			for _, d := range change.Differences(c, nil) {
				require.NotEqual(t, d.Before, d.After)
				all += d.Title + d.Before + d.After
			}
			require.NotContains(t, all, "{{", c.Tag())
			require.NotContains(t, all, "policy.", c.Tag(), "the ID of a text that is missing")
		}
		same := twofa.PolicyChange{Before: change.After, After: change.After}
		require.Empty(t, same.Differences(locale.English(), nil))
		require.Empty(t, same.Weaknesses(locale.English(), nil))
	}
}

// The mail to the other admins says who made the policy weaker and when, what it now
// admits, each field before and after in the words of the pages, and what to do.
func TestAbuse_M11_MailAboutAWeakerPolicySaysWhoAndWhat(t *testing.T) {
	w := team(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	w.setUser("olga", func(u *twofa.User) { u.Name = "olga@example.com" })
	w.setUser("adam", func(u *twofa.User) { u.Language = "en" })
	olga := w.signedIn("olga", "acme")
	policy := twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.EmailLink}, Required: true}
	require.NoError(t, olga.sets(policy))
	weaker := required()
	weaker.Deadline = time.Date(2027, 1, 10, 23, 59, 59, 0, time.UTC)
	weaker.Actions = map[string]twofa.ActionRule{"<b>https://evil.example": {Methods: []twofa.Method{twofa.TOTP}}}
	require.NoError(t, olga.sets(weaker))
	var mail twofa.Email
	for _, m := range w.out.Mails() {
		if m.To == "adam@example.com" {
			mail = m
		}
	}
	text := mail.Text.Reveal()
	for _, want := range []string{
		"olga@example.com changed the two-factor policy of your account.",
		"Until 10 January 2027, 23:59 UTC, members without any method can sign in with only their password. Before, they needed an email link.",
		"Admin: olga@example.com", "Time: " + locale.English().DateTime(w.clock.Now().UTC()),
		"Requirement: Authenticator app (before: Email link)", "Members must set it up by: 10 January 2027, 23:59 UTC (before: None)", "Who can turn it off: An admin (before: The member)",
		"set the earlier values again", "take away their admin role and contact Acme support",
	} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text+mail.HTML.Reveal(), "https://evil", "the name of an action is quoted without what could be a link")
	require.NotContains(t, text, "default policy")
	for _, m := range w.out.Mails() {
		require.False(t, m.To == "olga@example.com" && m.Subject == mail.Subject, "not to the one who did it")
	}

	info, err := olga.as().Policy(t.Context())
	require.NoError(t, err)
	require.NoError(t, olga.stepUp(twofa.ActionPolicy))
	require.NoError(t, olga.as().UnsetPolicy(t.Context(), info.Version))
	all := w.out.Mails()
	text = all[len(all)-1].Text.Reveal()
	require.Contains(t, text, "Your team now uses the default policy of Acme.")
	require.Contains(t, text, "Requirement: Optional (before: Authenticator app)", "the policy of the product is the one after")
}

// A host that writes its own mails gets both policies, with that of the product if
// the account has none.
func TestNoticeEmail_HasBothPolicies(t *testing.T) {
	var changes []twofa.PolicyChange
	product := twofa.PolicyOptional()
	w := team(t, func(c *twofa.Config) {
		c.Policy = product
		c.Mail.NoticeEmail = func(n twofa.NoticeEmail) twofa.Email {
			if n.Event.Type == event.Policy {
				changes = append(changes, n.Change)
				require.True(t, json.Valid(n.Event.After))
			} else {
				require.Zero(t, n.Change)
			}
			return twofa.Email{}
		}
	})
	olga := w.signedIn("olga", "acme")
	weaker := product
	weaker.Remember = aMonth
	require.NoError(t, olga.sets(weaker))
	require.NotEmpty(t, changes)
	require.Equal(t, twofa.PolicyChange{Before: product, After: weaker}, changes[0])
	require.True(t, w.Info().MailsAdmins)
	require.False(t, newWorld(t).Info().MailsAdmins, "a directory that does not know the admins")
}
