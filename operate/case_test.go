package operate

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// caseOf returns the ID of the open case of a user.
func (p *product) caseOf(user string) string {
	p.t.Helper()
	var shown struct{ Case *twofa.Case }
	require.NoError(p.t, json.Unmarshal([]byte(p.must("case", user, "-json")), &shown))
	require.NotNil(p.t, shown.Case)
	return shown.Case.ID
}

// One member of staff opens a case, another one approves it three days later.
func TestCase_ApprovedByAnother(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	require.Equal(t, "User ada (ada@example.com) has no open case.\n", p.must("case", "ada"))
	sam := []string{"-by", "sam", "-reason", "ticket 4711: called back"}
	nora := []string{"-by", "nora", "-reason", "ticket 4711: spoke to her"}
	mails := len(p.out.Mails())
	require.Regexp(t, "(?s)^Case .+ was opened for user ada .ada@example.com.. .*By two from +2026-03-03 09:00 UTC\nBy one from +2026-03-05 09:00 UTC\nEnds +2026-03-09 09:00 UTC\n$", p.must(append([]string{"case-open", "ada"}, sam...)...))
	require.Len(t, p.out.Mails(), mails+1, "the user is told")
	id := p.caseOf("ada")
	p.refused(exitFailed, "already has a case", append([]string{"case-open", "ada"}, nora...)...)
	p.refused(exitFailed, "the case is not old enough", append([]string{"case-approve", "ada", id}, nora...)...)
	for range 3 {
		p.clock.Add(24 * time.Hour)
	}
	p.refused(exitFailed, "opened case", append([]string{"case-approve", "ada", id}, sam...)...)
	p.refused(exitFailed, "has no open case", append([]string{"case-approve", "ada", "other"}, nora...)...)
	require.Contains(t, p.must(append([]string{"case-approve", "ada", id}, nora...)...), "was reset. At the next sign-in, the user must open a link")
	require.Zero(t, p.factors("ada"))
	e := p.events(twofa.EventQuery{Limit: 1})[0]
	require.Equal(t, []any{event.Reset, id, "nora", "ticket 4711: spoke to her"}, []any{e.Type, e.Case, e.Actor.ID, e.Reason})
}

func TestCase_TwoApprovalsAndCancel(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	by := func(name string, args ...string) []string { return append(args, "-by", name, "-reason", "ticket 4711") }
	p.must(by("sam", "case-open", "ada")...)
	id := p.caseOf("ada")
	p.clock.Add(24 * time.Hour)
	require.Equal(t, "Case "+id+" is approved by nora. It needs another approval, or this command again from 2026-03-05 09:00 UTC on.\n", p.must(by("nora", "case-approve", "ada", id)...))
	require.Contains(t, p.must("case", "ada"), "Approved by  nora")
	require.Contains(t, p.must("status", "ada"), "case")
	require.Equal(t, "The case of user ada (ada@example.com) has ended. Nothing was removed.\n", p.must(by("pia", "case-cancel", "ada", id)...))
	p.refused(exitFailed, "has no open case", by("pia", "case-cancel", "ada", id)...)
	p.refused(exitFailed, "has no open case", by("otto", "case-approve", "ada", id)...)
	require.Equal(t, 1, p.factors("ada"))
}

func TestCase_Refusals(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	p.enroll("bob")
	by := []string{"-by", "sam", "-reason", "ticket 4711"}
	p.refused(exitFailed, "has no factor", append([]string{"case-open", "eve"}, by...)...)
	p.refused(exitFailed, "must be false", append([]string{"case-open", "ada", "-in-person"}, by...)...)
	p.refused(exitFailed, "must be true", append([]string{"case-open", "bob"}, by...)...)
	p.refused(exitFailed, `there is no user "adda"`, append([]string{"case-open", "adda"}, by...)...)
	p.refused(exitUsage, "CASE is missing", append([]string{"case-approve", "ada"}, by...)...)
	p.refused(exitUsage, "-reason: required", "case-open", "ada", "-by", "sam")
	require.Contains(t, p.must(append([]string{"case-open", "bob", "-in-person"}, by...)...), "By one from  -")
}
