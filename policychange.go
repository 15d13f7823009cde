package twofa

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twofa-go/twofa/internal/policytext"
	"github.com/twofa-go/twofa/internal/text"
	"github.com/twofa-go/twofa/locale"
)

// IsWeakerThan reports whether p can let a user in, or do something else for a
// user, when q does not. A change from q to p needs the role in q.Weaken. Each of
// two policies can be weaker than the other, in different ways.
// [PolicyChange.Weaknesses] says in which.
func (p Policy) IsWeakerThan(q Policy) bool { return len(p.weaknesses(q)) > 0 }

// weakness is one way in which a policy is weaker than another one.
type weakness struct {
	way       string        // the end of the ID of its text
	methods   []Method      // methods that it is about, if any
	actions   []string      // actions that it is about, if any; "" stands for all that have no rule
	age, used time.Duration // how old a proof for these actions may be, and how old it could be before
}

// weaknesses returns all ways in which p is weaker than q. It is the only
// comparison of two policies.
func (p Policy) weaknesses(q Policy) (list []weakness) {
	add := func(weaker bool, way string, methods ...Method) {
		if weaker {
			list = append(list, weakness{way: way, methods: methods})
		}
	}
	gained, lost := without(p.methods(), q.methods()...), without(q.methods(), p.methods()...)
	chosen, dropped := without(p.Fallback, q.Fallback...), droppedFor(p.methods(), q.methods())
	add(len(gained) > 0, "methods", gained...)
	add(len(chosen) > 0, "fallback", chosen...)
	add(len(dropped) > 0, "dropped", dropped...)
	add(q.Required && !p.Required, "optional")
	add(q.Required && p.Required && p.Deadline.After(q.Deadline), "deadline")
	add(q.Required && p.Required && p.Grace > q.Grace, "grace")
	add(q.Required && p.Required && p.hasGrace() && len(lost) > 0, "lost", lost...)
	add(q.Required && p.Grace > 0 && q.requiresLessThan(p), "again") // for those whose grace has ended
	add(p.EnrollWithoutLink && (!q.EnrollWithoutLink || slices.Contains(lost, EmailLink)), "unlinked")
	add(p.ExemptSSO && !q.ExemptSSO, "sso")
	add(p.Remember > q.Remember, "remember")
	add(p.TurnOff.rank() < q.TurnOff.rank(), "off")
	add(p.Weaken == RoleAdmin && q.Weaken != RoleAdmin, "weaken")
	add(p.resetRank() < q.resetRank(), "reset_by")
	return append(list, p.weakRules(q)...)
}

// weakRules returns the ways in which rules of actions are weaker, with all actions
// of the same way in one.
func (p Policy) weakRules(q Policy) (list []weakness) {
	names := slices.AppendSeq(slices.Collect(maps.Keys(p.Actions)), maps.Keys(q.Actions))
	slices.Sort(names)
	for _, name := range append(slices.Compact(names), "") {
		mine, other := p.Rule(name), q.Rule(name)
		gained, dropped := without(mine.Methods, other.Methods...), droppedFor(mine.Methods, other.Methods)
		var found []weakness
		if mine.MaxAge > other.MaxAge {
			found = append(found, weakness{way: "rule.age", age: mine.MaxAge, used: other.MaxAge})
		}
		if len(gained) > 0 {
			found = append(found, weakness{way: "rule.methods", methods: gained})
		}
		if len(dropped) > 0 {
			found = append(found, weakness{way: "rule.dropped", methods: dropped})
		}
		for _, w := range found {
			i := slices.IndexFunc(list, w.isLike)
			if i < 0 {
				i, list = len(list), append(list, w)
			}
			list[i].actions = append(list[i].actions, name)
		}
	}
	return list
}

// isLike reports whether two weaknesses differ at most in their actions.
func (w weakness) isLike(v weakness) bool {
	return w.way == v.way && w.age == v.age && w.used == v.used && !hasMore(w.methods, v.methods) && !hasMore(v.methods, w.methods)
}

// droppedFor returns those of others that methods no longer include although they
// include a weaker one, which users of the stronger one are then asked for.
func droppedFor(methods, others []Method) (dropped []Method) {
	for i, m := range strength {
		gone := slices.Contains(others, m) && !slices.Contains(methods, m)
		if gone && slices.ContainsFunc(methods, func(m Method) bool { return slices.Contains(strength[i+1:], m) }) {
			dropped = append(dropped, m)
		}
	}
	return dropped
}

// hasGrace reports whether the policy lets members put enrollment off. Those whose
// method it no longer accepts then sign in without any.
func (p Policy) hasGrace() bool { return p.Grace > 0 || !p.Deadline.IsZero() }

// PolicyChange is a change of a policy, which it describes in words, for pages and
// mails that admins read. The zero PolicyChange changes nothing.
type PolicyChange struct {
	Before, After Policy
}

// PolicyDifference is one field in which the policies of a [PolicyChange] differ, in
// words of one language.
type PolicyDifference struct {
	Title  string // the field, or the action whose rule differs
	Before string
	After  string
}

// policyField is a field of a policy in words. Together, they show each field of
// Policy except Actions.
type policyField struct {
	title string // ID of its title
	words func(*locale.Catalog, Policy) string
	exact func(Policy) string // the value itself; two policies differ in the field if it differs
}

var policyFields = []policyField{
	{"page.policy.require.title", func(in *locale.Catalog, p Policy) string {
		return policytext.Label(in, p.Required, p.methods(), p.Fallback)
	}, func(p Policy) string {
		return fmt.Sprint(p.Required, sortedMethods(p.methods()), sortedMethods(p.Fallback))
	}},
	{"page.policy.sso", func(in *locale.Catalog, p Policy) string { return policytext.YesOrNo(in, p.ExemptSSO) }, func(p Policy) string { return strconv.FormatBool(p.ExemptSSO) }},
	{"page.policy.deadline", func(in *locale.Catalog, p Policy) string { return policytext.Time(in, p.Deadline) }, func(p Policy) string { return p.Deadline.UTC().Format(time.RFC3339) }},
	{"page.policy.grace", func(in *locale.Catalog, p Policy) string { return policytext.Days(in, p.Grace) }, func(p Policy) string { return p.Grace.String() }},
	{"page.policy.unlinked", func(in *locale.Catalog, p Policy) string { return policytext.YesOrNo(in, p.EnrollWithoutLink) }, func(p Policy) string { return strconv.FormatBool(p.EnrollWithoutLink) }},
	{"page.policy.remember", func(in *locale.Catalog, p Policy) string { return policytext.Days(in, p.Remember) }, func(p Policy) string { return p.Remember.String() }},
	{"page.policy.off", turnOffWords, func(p Policy) string { return string(p.TurnOff) }},
	{"page.policy.weaken", func(in *locale.Catalog, p Policy) string {
		return in.Text("page.policy.weaken."+string(cmp.Or(p.Weaken, RoleOwner)), nil)
	}, func(p Policy) string { return string(cmp.Or(p.Weaken, RoleOwner)) }},
	{"page.policy.reset_by", resetWords, func(p Policy) string { return string(p.resetBy()) }},
}

func resetWords(in *locale.Catalog, p Policy) string {
	return in.Text("page.policy.reset_by."+string(p.resetBy()), nil)
}

func turnOffWords(in *locale.Catalog, p Policy) string {
	return in.Text("page.policy.off."+cmp.Or(string(p.TurnOff), "user"), nil)
}

func sortedMethods(methods []Method) []Method {
	return slices.Compact(slices.Sorted(slices.Values(methods)))
}

// Differences returns the fields in which the policies differ, in the order of the
// page on which admins change them, and after them the rules of actions. Words may be
// rounded, so the values decide. titles returns the title of an action in the
// language; if it is nil or returns an empty string, the action is shown by its name,
// and those of the library by a title of package locale. The results are plain text:
// escape them on a page.
func (c PolicyChange) Differences(in *locale.Catalog, titles func(action string) string) (list []PolicyDifference) {
	for _, f := range policyFields {
		if before, after := f.exact(c.Before), f.exact(c.After); before != after {
			list = append(list, newDifference(in.Text(f.title, nil), f.words(in, c.Before), before, f.words(in, c.After), after))
		}
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(c.Before.Actions)), maps.Keys(c.After.Actions))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		before, after := c.Before.writtenRule(name), c.After.writtenRule(name)
		if before.MaxAge != after.MaxAge || hasMore(before.Methods, after.Methods) || hasMore(after.Methods, before.Methods) {
			list = append(list, newDifference(titleOfAction(in, name, titles), policytext.Rule(in, before.MaxAge, before.Methods), before.MaxAge.String(),
				policytext.Rule(in, after.MaxAge, after.Methods), after.MaxAge.String()))
		}
	}
	return list
}

// newDifference returns a difference in words. If the words are equal because they
// are rounded, it adds the values.
func newDifference(title, before, exactBefore, after, exactAfter string) PolicyDifference {
	if before == after {
		before, after = before+" ("+exactBefore+")", after+" ("+exactAfter+")"
	}
	return PolicyDifference{title, before, after}
}

// writtenRule returns the rule of an action. Its methods are empty if they depend on
// those that the policy accepts at login.
func (p Policy) writtenRule(action string) ActionRule {
	r := p.Rule(action)
	if _, ofAdmin := adminActions[action]; len(p.Actions[action].Methods) == 0 && action != ActionFactors && !ofAdmin {
		r.Methods = nil
	}
	return r
}

func titleOfAction(in *locale.Catalog, action string, titles func(string) string) string {
	title := ""
	if titles != nil {
		title = titles(action)
	}
	switch id := "action." + action; {
	case title != "":
		return title
	case action == "":
		return in.Text("policy.weaker.rule.others", nil)
	case in.Has(id):
		return in.Text(id, nil)
	}
	return text.Clean(action, maxName)
}

// Weaknesses returns one text for each way in which After is weaker than Before: what
// it admits, and what Before asked for instead. It is empty if After is not weaker;
// see [Policy.IsWeakerThan]. titles and the results are as in
// [PolicyChange.Differences].
func (c PolicyChange) Weaknesses(in *locale.Catalog, titles func(action string) string) (list []string) {
	later := false
	for _, w := range c.After.weaknesses(c.Before) {
		id, args := "policy.weaker."+w.way, locale.Args{"methods": policytext.Methods(in, w.methods)}
		var actions []string
		for _, action := range w.actions {
			actions = append(actions, titleOfAction(in, action, titles))
		}
		args["actions"] = policytext.List(in, actions)
		before := ""
		switch w.way {
		case "deadline":
			args["time"], before = policytext.Time(in, c.After.Deadline), "until"
			if c.Before.Deadline.IsZero() {
				before = "enroll"
			}
		case "grace":
			args["days"], before = policytext.Days(in, c.After.Grace), "days"
			if c.Before.Grace == 0 {
				before = "enroll"
			}
		case "again":
			args["days"] = policytext.Days(in, c.After.Grace)
		case "lost":
			if slices.Contains(w.methods, EmailLink) && !later {
				list = append(list, in.Text(id+".email", nil))
			}
			if w.methods = without(w.methods, EmailLink); len(w.methods) == 0 {
				continue
			}
			args["methods"] = policytext.Methods(in, w.methods)
		case "remember":
			args["after"], args["before"] = policytext.Days(in, c.After.Remember), policytext.Days(in, c.Before.Remember)
		case "off":
			args["after"], args["before"] = turnOffWords(in, c.After), turnOffWords(in, c.Before)
		case "reset_by":
			args["after"], args["before"] = resetWords(in, c.After), resetWords(in, c.Before)
		case "rule.age":
			args["after"], args["before"] = policytext.Age(in, w.age), policytext.Age(in, w.used)
		}
		words := in.Text(id, args)
		if before != "" {
			later = true // and the text says so of the email link as well
			words = in.Text("sentences", locale.Args{"first": words, "second": c.askedBefore(in, before)})
		}
		list = append(list, words)
	}
	return list
}

// askedBefore says what Before asked of members who may now put enrollment off.
func (c PolicyChange) askedBefore(in *locale.Catalog, way string) string {
	if slices.Contains(c.Before.methods(), EmailLink) && !slices.Contains(c.After.methods(), EmailLink) {
		way = "email"
	}
	return in.Text("policy.weaker.before."+way, locale.Args{"time": policytext.Time(in, c.Before.Deadline), "days": policytext.Days(in, c.Before.Grace)})
}
