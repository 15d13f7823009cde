package abuse

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

var updateTenancy = flag.Bool("tenancy.update", false, "write the tables of docs/tenancy.md")

// The user is a member of acme and beta, but not of gamma, and signs in to acme.
// The SSO of beta counts in beta only, so that is where the user signs in with
// it.
var matrixAccounts = []string{"acme", "beta", "gamma", "ACME"}

var matrixFirst = [][]twofa.FirstFactor{
	{{By: twofa.ByPassword}},
	{{By: twofa.ByEmail}},
	{{By: twofa.BySSO}},
	{{By: twofa.BySSO, ProviderOf: "acme"}},
	{{By: twofa.BySSO, ProviderOf: "beta"}},
	{{By: twofa.ByToken}},
	{{By: twofa.ByPassword}, {By: twofa.BySSO, ProviderOf: "beta"}},
}

// The rows of docs/tenancy.md: first factors as the account sees them, and
// policies.
const (
	dimFirst = iota
	dimPolicy
	dims
)

var dimNames = [dims][]string{
	{"password", "link", "SSO trusted everywhere", "SSO here", "SSO elsewhere", "API token", "own and SSO here", "own and SSO elsewhere"},
	{"optional", "required", "required, SSO exempt", "email link", "required, no link"},
}

// seenFrom returns the index in dimNames[dimFirst] of first factors, as a member
// account sees them.
func seenFrom(account, first int) int {
	same := matrixFirst[first][len(matrixFirst[first])-1].ProviderOf == matrixAccounts[account]
	switch {
	case first < 3:
		return first
	case first == 5:
		return 5
	case len(matrixFirst[first]) > 1 && same:
		return 6
	case len(matrixFirst[first]) > 1:
		return 7
	case same:
		return 3
	}
	return 4
}

var matrixStates = []string{"no factor", "authenticator", "reset", "reset in person", "no factor, no address"}

var matrixPolicies = []twofa.Policy{
	twofa.PolicyOptional(),
	{Methods: []twofa.Method{twofa.TOTP}, Required: true},
	twofa.PolicyAuthenticator(),
	twofa.PolicyEmailLink(),
	{Methods: []twofa.Method{twofa.TOTP}, Required: true, EnrollWithoutLink: true},
}

// attempts are what the user tries, in the order of docs/tenancy.md. The last
// two write.
var attempts = []struct {
	title string
	try   func(p *person, account string, first []twofa.FirstFactor) (twofa.Result, error)
}{
	{"`Check`", func(p *person, account string, _ []twofa.FirstFactor) (twofa.Result, error) {
		return twofa.Result{}, p.Check(p.t.Context(), p.in(account))
	}},
	{"`CheckPerson`, before a change of password or address", func(p *person, account string, _ []twofa.FirstFactor) (twofa.Result, error) {
		return twofa.Result{}, p.CheckPerson(p.t.Context(), p.in(account))
	}},
	{"`Factors`, the settings page", func(p *person, account string, _ []twofa.FirstFactor) (twofa.Result, error) {
		return twofa.Result{}, failure(p.Factors(p.t.Context(), p.in(account)))
	}},
	{"`Resume`", func(p *person, account string, _ []twofa.FirstFactor) (twofa.Result, error) {
		return p.Resume(p.t.Context(), p.in(account))
	}},
	{"`StepUp` for an action that asks each time", func(p *person, account string, _ []twofa.FirstFactor) (twofa.Result, error) {
		return p.StepUp(p.t.Context(), p.in(account), export, "")
	}},
	{"`Enroll` of an authenticator", func(p *person, account string, _ []twofa.FirstFactor) (twofa.Result, error) {
		return twofa.Result{}, failure(p.Enroll(p.t.Context(), p.in(account), twofa.EnrollRequest{}))
	}},
	{"`Begin`", func(p *person, account string, first []twofa.FirstFactor) (twofa.Result, error) {
		if len(first) == 1 {
			p.session = twofa.Session{}
		}
		err := p.add(first[len(first)-1], account)
		return p.login, err
	}},
}

// add signs the person in by a first factor, which is added to the session.
func (p *person) add(f twofa.FirstFactor, account string) error {
	f.UserID, f.Account, f.Session, f.Client = p.id, account, p.session, p.client
	return p.took(p.Begin(p.t.Context(), f))
}

// The answers that a user meets in every combination of first factors, accounts, policies
// and states is in docs/tenancy.md, which this test writes and compares. After a
// change, read every line of the difference. Update the page with
//
//	go test -run TestTenancy_Matrix ./internal/abuse -tenancy.update
func TestTenancy_Matrix(t *testing.T) {
	members, others := make([][]cell, len(attempts)), make([]string, len(attempts))
	for account := range matrixAccounts {
		for first := range matrixFirst {
			for policy := range matrixPolicies {
				got := make([][]string, len(attempts))
				for state := range matrixStates {
					for i, answer := range matrixCell(t, first, account, policy, state) {
						got[i] = append(got[i], answer)
					}
				}
				for i := range attempts {
					if account < 2 {
						members[i] = addCell(t, members[i], cell{[dims][]int{{seenFrom(account, first)}, {policy}}, strings.Join(got[i], " | ")})
						continue
					}
					for _, answer := range got[i] {
						others[i] = cmp.Or(others[i], answer)
						require.Equal(t, others[i], answer, "%s in %s", attempts[i].title, matrixAccounts[account])
					}
				}
			}
		}
	}
	var b strings.Builder
	for i, a := range attempts {
		fmt.Fprintf(&b, "### %s\n\n", a.title)
		writeCells(&b, collapse(members[i]))
		fmt.Fprintf(&b, "In an account that the user is not a member of, or another spelling of its ID: **%s**.\n\n", others[i])
	}
	checkGenerated(t, "../../docs/tenancy.md", "matrix", strings.TrimSuffix(b.String(), "\n\n")+"\n", *updateTenancy, "-run TestTenancy_Matrix ./internal/abuse -tenancy.update")
}

// addCell adds a cell. All accounts of the user that see the same first factors
// and have the same policy must give the same answers.
func addCell(t *testing.T, cells []cell, c cell) []cell {
	for _, o := range cells {
		if slices.Equal(o.at[dimFirst], c.at[dimFirst]) && slices.Equal(o.at[dimPolicy], c.at[dimPolicy]) {
			require.Equal(t, o.answer, c.answer, "%s, %s", valueWords(dimFirst, c.at[dimFirst]), valueWords(dimPolicy, c.at[dimPolicy]))
			return cells
		}
	}
	return append(cells, c)
}

// matrixCell returns the answer to each attempt of one combination.
func matrixCell(t *testing.T, first, account, policy, state int) (answers []string) {
	w := newWorld(t)
	p := w.person("ada")
	switch state {
	case 1, 2, 3:
		p.uri = w.enrolled("ada").uri
		w.clock.Add(time.Minute)
		if state != 1 {
			require.NoError(t, w.User(twofa.AsHost("lost phone"), "ada").Reset(t.Context(), twofa.ResetRequest{InPerson: state == 3}))
		}
	case 4:
		w.setUser("ada", func(u *twofa.User) { u.Emails = nil })
	}
	home := "acme"
	if first == 4 {
		home = "beta" // acme would refuse
	}
	factors := matrixFirst[first]
	require.NoError(t, p.add(factors[0], home))
	if p.login.Next == twofa.NextChallenge {
		require.NoError(t, p.verify(twofa.TOTP, p.code()))
	}
	for _, f := range factors[1:] {
		require.NoError(t, p.add(f, home))
	}
	require.Equal(t, twofa.NextDone, p.login.Next)
	if matrixPolicies[policy].Required {
		for _, id := range matrixAccounts {
			w.policy(id, matrixPolicies[policy])
		}
	}
	for _, a := range attempts {
		q := *p
		r, err := a.try(&q, matrixAccounts[account], factors)
		answers = append(answers, answerWord(t, r, err))
	}
	return answers
}

// answerWord returns what a user meets, in a word or two.
func answerWord(t *testing.T, r twofa.Result, err error) string {
	denied, isDenied := errors.AsType[*twofa.DeniedError](err)
	switch {
	case err == nil && (r.Next == "" || r.Next == twofa.NextDone):
		return "done"
	case err == nil && r.Next == twofa.NextEnroll, isDenied && denied.Reason == twofa.ReasonEnroll:
		return "enroll"
	case err == nil:
		return "asks for " + methodWords(r.Methods)
	case isDenied && denied.Reason == twofa.ReasonSignInHere:
		return "sign in here"
	case isDenied && denied.Reason == twofa.ReasonSupport:
		return "support"
	case isDenied && denied.Reason == twofa.ReasonSignedOut:
		return "sign in again"
	case isDenied && denied.Reason == twofa.ReasonChallenge && len(denied.Methods) == 0:
		return "resume"
	case isDenied:
		return "asks for " + methodWords(denied.Methods)
	case errors.Is(err, twofa.ErrNotAllowed):
		return "not allowed"
	case errors.Is(err, twofa.ErrUnavailable):
		return "unavailable"
	}
	require.NoError(t, err)
	return ""
}

func methodWords(methods []twofa.Method) string {
	words := map[twofa.Method]string{twofa.TOTP: "TOTP", twofa.SMS: "text", twofa.EmailLink: "link", twofa.RecoveryCode: "recovery code"}
	var list []string
	for _, m := range methods {
		list = append(list, words[m])
	}
	return strings.Join(list, " or ")
}

// cell is a set of combinations that have the same answer: all those with one of
// the values at[d] in each dimension d.
type cell struct {
	at     [dims][]int
	answer string
}

// collapse merges cells that differ in one dimension only, in the order of
// dimensions that leaves the fewest.
func collapse(cells []cell) (fewest []cell) {
	slices.SortFunc(cells, func(a, b cell) int {
		return cmp.Or(a.at[dimFirst][0]-b.at[dimFirst][0], a.at[dimPolicy][0]-b.at[dimPolicy][0])
	})
	for d := range dims {
		merged := mergeAlong(1-d, mergeAlong(d, cells))
		if fewest == nil || len(merged) < len(fewest) {
			fewest = merged
		}
	}
	return fewest
}

// mergeAlong merges the cells that differ in one dimension only.
func mergeAlong(d int, cells []cell) (merged []cell) {
	for _, c := range cells {
		i := slices.IndexFunc(merged, func(o cell) bool {
			for e := range dims {
				if e != d && !slices.Equal(o.at[e], c.at[e]) {
					return false
				}
			}
			return o.answer == c.answer
		})
		if i < 0 {
			merged = append(merged, c)
			continue
		}
		merged[i].at[d] = append(slices.Clone(merged[i].at[d]), c.at[d]...)
		slices.Sort(merged[i].at[d])
	}
	return merged
}

func writeCells(b *strings.Builder, cells []cell) {
	fmt.Fprintf(b, "| first factor | policy | %s |\n%s|\n", strings.Join(matrixStates, " | "), strings.Repeat("|---", dims+len(matrixStates)))
	for _, c := range cells {
		fmt.Fprintf(b, "| %s | %s | %s |\n", valueWords(dimFirst, c.at[dimFirst]), valueWords(dimPolicy, c.at[dimPolicy]), c.answer)
	}
	b.WriteString("\n")
}

// valueWords names some values of a dimension, or the one that is missing.
func valueWords(d int, values []int) string {
	var in, out []string
	for i, name := range dimNames[d] {
		if slices.Contains(values, i) {
			in = append(in, name)
		} else {
			out = append(out, name)
		}
	}
	if d == dimFirst && len(in) >= 3 && in[2] == dimNames[d][2] {
		in = append([]string{"own"}, in[3:]...)
	}
	switch {
	case len(out) == 0:
		return "any"
	case len(out) == 1 && len(in) > 2:
		return "any except " + out[0]
	}
	return strings.Join(in, " · ")
}
