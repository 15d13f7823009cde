package operate

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/twofatest"
)

// caseOf returns the ID of the open case of a user.
func (p *product) caseOf(user string) string {
	p.t.Helper()
	var shown struct{ Case *twofa.Case }
	require.NoError(p.t, json.Unmarshal([]byte(p.must("case", user, "-json")), &shown))
	require.NotNil(p.t, shown.Case)
	return shown.Case.ID
}

// as makes the program one that a member of staff has signed in to.
func (p *product) as(staff string) *product {
	p.cfg.By = staff
	return p
}

// One member of staff opens a case, another one approves it three days later.
func TestCase_ApprovedByAnother(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	require.Equal(t, "User ada (ada@example.com) has no open case.\n", p.must("case", "ada"))
	sam := []string{"-reason", "ticket 4711: called back"}
	nora := []string{"-reason", "ticket 4711: spoke to her"}
	p.as("sam")
	mails := len(p.out.Mails())
	require.Regexp(t, "(?s)^Case .+ was opened for user ada .ada@example.com.. .*By two from +2026-03-03 09:00 UTC\nBy one from +2026-03-05 09:00 UTC\nEnds +2026-03-09 09:00 UTC\n$", p.must(append([]string{"case-open", "ada"}, sam...)...))
	require.Len(t, p.out.Mails(), mails+1, "the user is told")
	id := p.as("nora").caseOf("ada")
	p.refused(exitFailed, "already has a case", append([]string{"case-open", "ada"}, nora...)...)
	p.refused(exitFailed, "the case is not old enough", append([]string{"case-approve", "ada", id, "-yes"}, nora...)...)
	for range 3 {
		p.clock.Add(24 * time.Hour)
	}
	p.as("sam").refused(exitFailed, "opened case", append([]string{"case-approve", "ada", id, "-yes"}, sam...)...)
	p.as("nora").refused(exitFailed, "has no open case", append([]string{"case-approve", "ada", "other", "-yes"}, nora...)...)
	require.Contains(t, p.must(append([]string{"case-approve", "ada", id, "-yes"}, nora...)...), "was reset. At the next sign-in, the user must open a link")
	require.Zero(t, p.factors("ada"))
	e := p.events(twofa.EventQuery{Limit: 1})[0]
	require.Equal(t, []any{event.Reset, id, "nora", "ticket 4711: spoke to her"}, []any{e.Type, e.Case, e.Actor.ID, e.Reason})
}

func TestCase_TwoApprovalsAndCancel(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	by := func(name string, args ...string) []string {
		p.as(name)
		return append(args, "-reason", "ticket 4711")
	}
	p.must(by("sam", "case-open", "ada")...)
	id := p.caseOf("ada")
	p.clock.Add(24 * time.Hour)
	require.Equal(t, "Case "+id+" is approved by nora. It needs another approval, or this command again from 2026-03-05 09:00 UTC on.\n", p.must(by("nora", "case-approve", "ada", id, "-yes")...))
	require.Contains(t, p.must("case", "ada"), "Approved by  nora")
	require.Contains(t, p.must("status", "ada"), "case")
	require.Equal(t, "The case of user ada (ada@example.com) has ended. Nothing was removed.\n", p.must(by("pia", "case-cancel", "ada", id)...))
	p.refused(exitFailed, "has no open case", by("pia", "case-cancel", "ada", id)...)
	p.refused(exitFailed, "has no open case", by("otto", "case-approve", "ada", id, "-yes")...)
	require.Equal(t, 1, p.factors("ada"))
}

func TestCase_Refusals(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	p.enroll("bob")
	p.as("sam")
	by := []string{"-reason", "ticket 4711"}
	p.refused(exitFailed, "has no factor", append([]string{"case-open", "eve"}, by...)...)
	p.refused(exitFailed, "must be false", append([]string{"case-open", "ada", "-in-person"}, by...)...)
	p.refused(exitFailed, "must be true", append([]string{"case-open", "bob"}, by...)...)
	p.refused(exitFailed, `there is no user "adda"`, append([]string{"case-open", "adda"}, by...)...)
	p.refused(exitUsage, "CASE is missing", append([]string{"case-approve", "ada"}, by...)...)
	p.refused(exitUsage, "-reason: required", "case-open", "ada")
	require.Contains(t, p.must(append([]string{"case-open", "bob", "-in-person"}, by...)...), "By one from  -")
}

// Without a name that the program knows, -by would be free text, and one person could
// open a case and approve it.
func TestAbuse_N01_CaseNeedsANameThatTheProgramKnows(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	for _, args := range [][]string{{"case-open", "ada"}, {"case-approve", "ada", "x", "-yes"}, {"case-cancel", "ada", "x"}} {
		p.refused(exitFailed, "Set Config.By", append(args, "-reason", "x")...)
		p.refused(exitUsage, "-by", append(args, "-by", "sam", "-reason", "x")...)
	}
	p.as("sam").must("case-open", "ada", "-reason", "x")
	p.refused(exitUsage, "-by", "case-open", "ada", "-by", "nora", "-reason", "x")
	id := p.caseOf("ada")
	p.clock.Add(24 * time.Hour)
	for _, name := range []string{"Sam", "SAM"} {
		p.as(name).refused(exitFailed, "opened case", "case-approve", "ada", id, "-yes", "-reason", "x")
	}
	p.as("nora").refused(exitUsage, "-yes: required", "case-approve", "ada", id, "-reason", "x")
	p.must("case-approve", "ada", id, "-yes", "-reason", "x")
	require.Contains(t, p.as("Nora").must("case-approve", "ada", id, "-yes", "-reason", "x"), "needs another approval", "one person approves once")
	require.Equal(t, 1, p.factors("ada"))
}

// The owner ends the case while the first approval is being told. The program must
// not report a reset.
func TestAbuse_N01_N06_CaseEndedDuringAnApproval(t *testing.T) {
	p := newProduct(t)
	var m *twofa.Manager
	m, err := twofa.New(twofa.Config{Issuer: "Acme", Store: p.store, Keys: twofatest.KeyRing(t, "operate"), Directory: p, Now: p.clock.Now,
		Mail: twofa.MailConfig{Mailer: p.out, LinkURL: func(l twofa.LinkRequest) string { return "https://acme.example/" + l.Token.Reveal() },
			CaseURL: func(l twofa.LinkRequest) string { return "https://acme.example/case/" + l.Token.Reveal() }},
		OnEvent: func(ctx context.Context, e twofa.Event) {
			if e.Type == event.ResetApproved {
				require.NoError(t, m.User(twofa.AsHost("the owner's link"), "ada").CancelCase(ctx, e.Case))
			}
		}})
	require.NoError(t, err)
	p.cfg.Manager = m
	p.enroll("ada")
	p.as("sam").must("case-open", "ada", "-reason", "x")
	id := p.caseOf("ada")
	p.clock.Add(24 * time.Hour)
	said := p.as("nora").must("case-approve", "ada", id, "-yes", "-reason", "x")
	require.NotContains(t, said, "was reset")
	require.Equal(t, 1, p.factors("ada"))
}
