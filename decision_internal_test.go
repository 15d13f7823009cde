package twofa

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var updateDecisions = flag.Bool("decisions.update", false, "write docs/decisions.md")

const decisionNow unixTime = 1_800_000_000

// decisionPolicies are the policies in docs/decisions.md.
var decisionPolicies = []struct {
	name, about string
	policy      Policy
}{
	{"PolicyOptional", "Only users who have enrolled an authenticator are asked.", PolicyOptional()},
	{"PolicyAuthenticator", "Everybody needs an authenticator, now.", PolicyAuthenticator()},
	{"PolicyAuthenticator with Grace", "Everybody needs an authenticator, but this member has days left.", withGrace(PolicyAuthenticator())},
	{"PolicyAuthenticator with EnrollWithoutLink", "As above, now, on a host that mails no links.", withoutLink(PolicyAuthenticator())},
	{"PolicyEmailLink", "An authenticator or, without one, an email link.", PolicyEmailLink()},
	{"PolicySMS", "An authenticator or, without one, a text message; browsers are remembered.", PolicySMS()},
}

func withGrace(p Policy) Policy { p.Grace = 7 * day; return p }

func withoutLink(p Policy) Policy { p.EnrollWithoutLink = true; return p }

var decisionUsers = []struct {
	name string
	has  []Method
}{
	{"no factor, no address", nil},
	{"an address", []Method{EmailLink}},
	{"a phone, an address", []Method{SMS, EmailLink}},
	{"an app, an address", []Method{TOTP, EmailLink}},
	{"an app, a phone, an address", []Method{TOTP, SMS, EmailLink}},
	{"a factor of a newer release", []Method{"newer", EmailLink}},
}

var decisionProofs = []struct {
	name   string
	ticket ticket
}{
	{"password", byPassword()},
	{"password, link", byPassword(EmailLink)},
	{"password, text message", byPassword(SMS)},
	{"password, app", byPassword(TOTP)},
	{"password, recovery code", byPassword(RecoveryCode)},
	{"password, remembered browser (app)", byPassword(rememberedBrowserMethod(TOTP))},
	{"SSO of the account", bySSO("acme")},
	{"SSO of another account", bySSO("beta")},
}

func byPassword(methods ...Method) ticket {
	t := ticket{first: []firstFactor{{by: ByPassword, at: decisionNow}}}
	for _, m := range methods {
		t = t.withProof(provenMethod{method: m, at: decisionNow})
	}
	return t
}

func bySSO(provider string) ticket {
	return ticket{first: []firstFactor{{by: BySSO, providerOf: provider, at: decisionNow}}}
}

func (r policyResult) String() string {
	switch {
	case r.next == NextDone && r.due != 0:
		return "in, until due"
	case r.next == NextDone:
		return "in"
	case r.next == NextChallenge:
		return "asks: " + strings.Join(texts(r.methods), " or ")
	case r.next == NextEnroll:
		return "enroll"
	case r.next == nextSupport:
		return "ask support"
	case r.next == nextSignIn:
		return "sign in here"
	}
	return "unavailable"
}

func texts(methods []Method) (list []string) {
	for _, m := range methods {
		list = append(list, string(m))
	}
	return list
}

// docs/decisions.md is what the code decides.
func TestDecisionsDocument(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Decisions\n\nWhat [`Policy.evaluate`](../decision.go) decides, for some policies and users. This page is generated from the code, and a test compares the two: `go test . -run TestDecisionsDocument -decisions.update`.\n\nA row is what the user has, a column what the user has proven in this session. Each user has unused recovery codes, except those without a factor. \"In, until due\" means that the user may put enrollment off. \"Unavailable\" means that only another process can check the user's factor.\n")
	for _, p := range decisionPolicies {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| has |", p.name, p.about)
		for _, proof := range decisionProofs {
			fmt.Fprintf(&b, " %s |", proof.name)
		}
		b.WriteString("\n|" + strings.Repeat("---|", len(decisionProofs)+1) + "\n")
		for _, u := range decisionUsers {
			fmt.Fprintf(&b, "| %s |", u.name)
			for _, proof := range decisionProofs {
				f := facts{now: decisionNow, account: "acme", ticket: proof.ticket, has: u.has, codes: len(u.has) > 1, joined: decisionNow - 100, since: decisionNow - 100}
				if slices.Contains(u.has, "newer") {
					f.unchecked = []Method{"newer"}
				}
				fmt.Fprintf(&b, " %s |", p.policy.evaluate(f))
			}
			b.WriteString("\n")
		}
	}
	const file = "docs/decisions.md"
	if *updateDecisions {
		require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(text), b.String(), "go test . -run TestDecisionsDocument -decisions.update")
}

// oneIn reports true once in n times.
func oneIn(r *rand.Rand, n int) bool { return r.IntN(n) == 0 }

func some[T any](r *rand.Rand, list ...T) (chosen []T) {
	for _, x := range list {
		if oneIn(r, 2) {
			chosen = append(chosen, x)
		}
	}
	return chosen
}

func randomTime(r *rand.Rand) unixTime {
	return []unixTime{0, decisionNow - unixTime(90*day/time.Second), decisionNow - 100, decisionNow - 1, decisionNow, decisionNow + 1, decisionNow + 1000, decisionNow + unixTime(80*day/time.Second), decisionNow * 2}[r.IntN(9)]
}

func randomPolicy(r *rand.Rand) Policy {
	p := Policy{Required: oneIn(r, 2), EnrollWithoutLink: oneIn(r, 3), ExemptSSO: oneIn(r, 2), Methods: append([]Method{TOTP}, some(r, SMS)...),
		Remember: []time.Duration{0, 0, day, 30 * day}[r.IntN(4)], Grace: []time.Duration{0, 0, time.Hour, 7 * day}[r.IntN(4)]}
	if p.Required && oneIn(r, 2) {
		p.Methods = append(p.Methods, EmailLink)
	}
	p.Fallback = some(r, p.Methods...)
	if t := randomTime(r); oneIn(r, 2) && t < decisionNow*2 {
		p.Deadline = t.time()
	}
	return p
}

func randomFacts(r *rand.Rand) facts {
	f := facts{now: decisionNow, account: "acme", has: some[Method](r, TOTP, SMS, "newer", EmailLink), codes: oneIn(r, 2),
		reset: linkAfterReset(r.IntN(3)), since: randomTime(r), joined: randomTime(r), extended: randomTime(r)}
	f.unchecked = some(r, f.has...)
	for _, first := range some(r, firstFactor{by: ByPassword}, firstFactor{by: BySSO, providerOf: "acme"}, firstFactor{by: BySSO, providerOf: "beta"}, firstFactor{by: ByToken}, firstFactor{by: "newer"}) {
		first.at = randomTime(r)
		f.ticket = f.ticket.withFirstFactor(first)
	}
	for _, m := range some(r, TOTP, SMS, EmailLink, RecoveryCode, rememberedBrowserMethod(TOTP), rememberedBrowserMethod(SMS)) {
		f.ticket = f.ticket.withProof(provenMethod{method: m, at: randomTime(r)})
	}
	return f
}

// stricter returns a policy that requires more in one way.
func stricter(r *rand.Rand, p Policy) Policy {
	p = p.clone()
	switch r.IntN(9) {
	case 0:
		p.Required = true
	case 1:
		p.EnrollWithoutLink = false
	case 2:
		p.ExemptSSO = false
	case 3:
		p.Remember = 0
	case 4:
		p.Grace = 0
	case 5:
		p.Deadline = time.Time{}
	case 6:
		p.Fallback = nil
	case 7:
		p.Grace /= 2
	case 8:
		p.Remember /= 2
	}
	return p
}

// Properties that hold for every policy and user.
func TestDecisionProperties(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	in := func(p Policy, f facts) bool { return p.evaluate(f).next == NextDone }
	for range 200_000 {
		p, f := randomPolicy(r), randomFacts(r)
		context := []any{"seed %d\n%v\n%+v\n%v %v", seed, p, f}

		q := stricter(r, p)
		require.False(t, q.isWeakerThan(p), context...)
		require.False(t, in(q, f) && !in(p, f), append(context, "a stricter policy never lets in more")...)

		plain := f
		plain.extended = 0 // an extension by an admin is not part of a policy
		if other := randomPolicy(r); !other.isWeakerThan(p) {
			require.False(t, in(other, plain) && !in(p, plain), append(context, "nor does any that isWeakerThan calls not weaker", other)...)
		}

		less := f
		less.ticket.proven = slices.Clone(f.ticket.proven)
		if n := len(less.ticket.proven); n > 0 {
			less.ticket.proven = slices.Delete(less.ticket.proven, 0, 1)
		}
		require.False(t, in(p, less) && !in(p, f), append(context, "less proof never lets in more")...)

		late := f
		late.extended, late.joined = 0, 0
		require.False(t, in(p, late) && !in(p, f), append(context, "less grace never lets in more")...)

		later := f
		later.now = f.now + unixTime(200*day/time.Second)
		if result := p.evaluate(later); result.due != 0 {
			require.Greater(t, result.due, later.now, append(context, "no grace after its end")...)
			require.True(t, p.Deadline.After(later.now.time()) || f.since > f.now || f.joined > f.now, context...)
		}
		if result := p.evaluate(f); result.due != 0 {
			require.Equal(t, NextDone, result.next, context...)
			require.Greater(t, result.due, f.now, context...)
		}

		unread := f
		unread.has = []Method{"newer"}
		unread.unchecked, unread.codes = unread.has, false
		unread.ticket.proven = nil
		unread.ticket.first = []firstFactor{{by: ByPassword, at: f.now}}
		require.Equal(t, nextUnavailable, p.evaluate(unread).next, append(context, "what cannot be read is strictest")...)
	}
}
