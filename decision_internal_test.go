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

// Cases that no row of docs/decisions.md has.
func TestDecisionCases(t *testing.T) {
	week := unixTime(7 * day / time.Second)
	password := facts{now: decisionNow, account: "acme", ticket: byPassword(), has: []Method{EmailLink}}
	for name, c := range map[string]struct {
		policy Policy
		facts  func(*facts)
		want   string
	}{
		"no due time if nothing is required":                  {Policy{Grace: 7 * day}, func(f *facts) { f.joined = f.now }, "in"},
		"joined ahead of the clock":                           {withGrace(PolicyAuthenticator()), func(f *facts) { f.joined = f.now + week }, "asks: email"},
		"the rule is ahead of the clock":                      {withGrace(PolicyAuthenticator()), func(f *facts) { f.joined, f.since = f.now, f.now+week }, "asks: email"},
		"clocks differ by a minute":                           {withGrace(PolicyAuthenticator()), func(f *facts) { f.joined = f.now + 60 }, "in, until due"},
		"joined at an unknown time":                           {withGrace(PolicyAuthenticator()), func(f *facts) { f.since = f.now }, "asks: email"},
		"extended":                                            {PolicyAuthenticator(), func(f *facts) { f.extended = f.now + week }, "in, until due"},
		"extended by a wrong clock":                           {PolicyAuthenticator(), func(f *facts) { f.extended = f.now + 100*week }, "asks: email"},
		"before the deadline":                                 {withDeadline(1), nil, "in, until due"},
		"at the deadline":                                     {withDeadline(0), nil, "asks: email"},
		"after a reset":                                       {withoutLink(PolicyAuthenticator()), func(f *facts) { f.reset = linkNeeded }, "asks: email"},
		"after a reset in person":                             {PolicyAuthenticator(), func(f *facts) { f.reset = linkSpared }, "enroll"},
		"SSO of the account, after a reset in person":         {Policy{Required: true}, func(f *facts) { f.ticket, f.reset = bySSO("acme"), linkSpared }, "asks: email"},
		"an app is stronger than a factor of a newer release": {PolicySMS(), func(f *facts) { f.has = []Method{TOTP, SMS, "newer"} }, "asks: totp"},
		"a text message may be weaker than it":                {PolicySMS(), func(f *facts) { f.has, f.unchecked = []Method{SMS, "newer"}, []Method{"newer"} }, "unavailable"},
		"remembered":                                          {PolicySMS(), remembered(decisionNow - 29*week/7), "in"},
		"remembered for too long":                             {PolicySMS(), remembered(decisionNow - 30*week/7), "asks: totp"},
		"remembered ahead of the clock":                       {PolicySMS(), remembered(decisionNow + week), "asks: totp"},
		"remembered by a policy of another account":           {PolicyOptional(), remembered(decisionNow - 1), "asks: totp"},
		"remembered by a clock that is ahead by 30 s":         {PolicyOptional(), remembered(decisionNow + 30), "asks: totp"},
		"no grace, and a clock that is ahead by 30 s":         {PolicyAuthenticator(), func(f *facts) { f.joined = f.now + 30 }, "asks: email"},
		"a choice": {Policy{Methods: []Method{TOTP, SMS}, Fallback: []Method{SMS}}, func(f *facts) { f.has = []Method{TOTP, SMS} }, "asks: totp or sms"},
	} {
		f := password
		if c.facts != nil {
			c.facts(&f)
		}
		require.Equal(t, c.want, c.policy.evaluate(f).String(), name)
	}
}

// A user who enrolls without being required to needs no link.
func TestDecisionOfLink(t *testing.T) {
	f := facts{ticket: byPassword()}
	require.False(t, f.needsLink(PolicyOptional()))
	require.True(t, f.needsLink(PolicyAuthenticator()))
	require.False(t, f.needsLink(withoutLink(PolicyAuthenticator())))
	require.True(t, facts{ticket: bySSO("acme")}.needsLink(PolicyOptional()))
}

func withDeadline(in unixTime) Policy {
	p := PolicyAuthenticator()
	p.Deadline = (decisionNow + in).time()
	return p
}

func remembered(at unixTime) func(*facts) {
	return func(f *facts) {
		f.has = []Method{TOTP}
		f.ticket = f.ticket.withProof(provenMethod{method: rememberedBrowserMethod(TOTP), at: at})
	}
}

func TestDecisionOfRemoval(t *testing.T) {
	app, phone := factor{Method: TOTP}, factor{Method: SMS}
	for _, c := range []struct {
		policy Policy
		left   []factor
		allows bool
	}{
		{PolicyOptional(), nil, true},
		{PolicyOptional(), []factor{phone}, true},
		{Policy{TurnOff: TurnOffByAdmin}, nil, false},
		{Policy{TurnOff: TurnOffBySupport}, nil, false},
		{Policy{TurnOff: TurnOffByAdmin}, []factor{phone}, false},
		{Policy{TurnOff: TurnOffByAdmin}, []factor{app}, true},
		{Policy{Required: true}, nil, false},
		{Policy{Required: true}, []factor{app}, true},
		{PolicyEmailLink(), nil, true},
		{Policy{Required: true, Methods: []Method{TOTP, EmailLink}, TurnOff: TurnOffBySupport}, nil, false},
		{PolicySMS(), []factor{phone}, true},
	} {
		require.Equal(t, c.allows, c.policy.allowsRemaining(c.left), "%v, left: %v", c.policy, c.left)
	}
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
	for _, m := range some(r, TOTP, SMS, EmailLink, emailTyped, RecoveryCode, rememberedBrowserMethod(TOTP), rememberedBrowserMethod(SMS)) {
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
		p.ExemptSSO, p.Grace = false, 0 // a grace would start anew
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
		require.False(t, q.IsWeakerThan(p), context...)
		require.False(t, in(q, f) && !in(p, f), append(context, "a stricter policy never lets in more")...)

		plain := f
		plain.extended = 0 // an extension by an admin is not part of a policy
		if other := randomPolicy(r); !other.IsWeakerThan(p) {
			require.False(t, in(other, plain) && !in(p, plain), append(context, "nor does any that IsWeakerThan calls not weaker", other)...)
		}

		changed, other := plain, randomPolicy(r)
		if p.requiresLessThan(other) {
			changed.since = changed.now // as Account.SetPolicy does
		}
		if !other.IsWeakerThan(p) {
			require.False(t, in(other, changed) && !in(p, plain), append(context, "nor by starting the grace anew", other)...)
			plain.ticket.proven, changed.ticket.proven = nil, nil
			require.False(t, plain.reset != linkSpared && other.evaluate(changed).next == NextEnroll && !in(p, plain) && p.evaluate(plain).next != NextEnroll,
				append(context, "nor by an enrollment after the password alone", other)...)
		}

		less := f
		less.ticket.proven = slices.Clone(f.ticket.proven)
		if n := len(less.ticket.proven); n > 0 {
			less.ticket.proven = slices.Delete(less.ticket.proven, 0, 1)
		}
		require.False(t, in(p, less) && !in(p, f), append(context, "less proof never lets in more")...)

		linked, typed, unproven := f, f, f
		others := slices.DeleteFunc(slices.Clone(f.ticket.proven), func(p provenMethod) bool { return p.method == EmailLink || p.method == emailTyped })
		unproven.ticket.proven = others
		linked.ticket, typed.ticket = unproven.ticket.withProof(provenMethod{method: EmailLink}), unproven.ticket.withProof(provenMethod{method: emailTyped})
		require.False(t, in(p, typed) && !in(p, linked), append(context, "a mailed code never lets in more than the link")...)
		require.False(t, p.evaluate(typed).next == NextEnroll && p.evaluate(unproven).next != NextEnroll, append(context, "a mailed code opens no enrollment")...)
		if slices.Contains(p.offer(f.has), EmailLink) {
			require.Equal(t, p.evaluate(linked), p.evaluate(typed), append(context, "where a policy accepts the link, the code is as good")...)
		}

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

// A change of rules that is not weaker accepts no proof that was refused before.
func TestDecisionOfRules(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 2))
	for range 100_000 {
		p, q := randomPolicy(r), randomPolicy(r)
		for _, one := range []*Policy{&p, &q} {
			if rule := (ActionRule{MaxAge: time.Duration(r.IntN(3)) * time.Minute, Methods: some(r, TOTP, SMS, EmailLink, RecoveryCode)}); oneIn(r, 2) {
				one.Actions = map[string]ActionRule{"export": rule}
			}
		}
		if q.IsWeakerThan(p) {
			continue
		}
		has := some[Method](r, TOTP, SMS, "newer", EmailLink)
		accepts := func(p Policy) []Method {
			return Policy{Methods: p.Rule("export").Methods, Fallback: p.Fallback}.offer(has)
		}
		require.False(t, hasMore(accepts(q), accepts(p)), "seed %d\n%+v\n%+v\n%v", seed, p, q, has)
	}
}
