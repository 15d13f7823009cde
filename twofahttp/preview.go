package twofahttp

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// policyDraft is a policy that is not saved yet. A nil policy means the default of
// the host.
type policyDraft struct {
	policy  *twofa.Policy
	version string // of the policy in force that the admin has seen
}

// previewData is the data of the page "preview".
type previewData struct {
	Origin      policyOrigin             // of the policy in force
	Held        string                   // the policy, sealed
	Base        string                   // the policy, as JSON
	Default     bool                     // whether it is the default of the host
	Differences []twofa.PolicyDifference // from the policy in force
	Weaknesses  []string                 // texts about all that it admits and the policy in force does not
	Weaker      bool                     // it requires less than the policy in force, in some way
	Stricter    bool                     // it requires more, in some way
	OwnerOnly   bool                     // only an owner can save it
	Mails       bool                     // whether the other admins are mailed if it is weaker
	Looked      int                      // members that were looked at
	Unchanged   int                      // members for whom nothing changes
	Later       affected                 // members who must enroll a factor, but not yet
	Now         affected                 // members who must enroll one at the next request
	Other       affected                 // members who sign in in another way than before
	Unreadable  affected                 // members whose record cannot be read
	After       string                   // where the rest of the members begins; empty if all were looked at
	Counts      string                   // the numbers so far, for the form that goes on
	Save        bool                     // whether there is something to save
	Reason      string                   // as the admin typed it
}

// affected is a group of members for whom a policy changes something.
type affected struct {
	Count       int          // of all parts so far
	First, Last time.Time    // of the days by which they must enroll
	Members     []TeamMember // of this part
	Addresses   string       // of this part, one a line
}

// maxScan is the number of members that one request looks at, and maxTeamCalls the
// number of calls of Config.Team for it.
const (
	maxScan      = 1000
	maxTeamCalls = 50
)

// postPreview shows what a policy would change. It saves nothing. The policy is
// that of the form of the page "policy", the default of the host, or one that was
// shown before: to look at more members, or to edit it.
func (x *exchange) postPreview() (view, error) {
	x.retryURL = x.path("policy")
	info := x.policyInfo
	switch {
	case x.form.Has("previewed"):
		return x.continuePreview(info)
	case x.form.Get("default") == "yes":
		return x.showPreview(info, policyDraft{version: info.Version}, previewData{}, nil)
	}
	base, err := x.basePolicy(info.Policy)
	if err != nil {
		return view{}, err
	}
	p, wrong := x.policyInput().apply(base, x.form)
	if x.form.Get("version") != info.Version {
		wrong = append([]error{errPolicyChanged}, wrong...)
	}
	if len(wrong) > 0 {
		return x.showPolicy(info, base, x.form, wrong...)
	}
	v, err := x.showPreview(info, policyDraft{&p, info.Version}, previewData{}, nil)
	if errors.Is(err, twofa.ErrInvalid) {
		return x.showPolicy(info, base, x.form, checkPolicyError(err))
	}
	return v, err
}

// continuePreview looks at the next members, or leads back to the form.
func (x *exchange) continuePreview(info twofa.PolicyInfo) (view, error) {
	draft, err := x.heldPolicy("")
	if errors.Is(err, twofa.ErrExpired) {
		return x.previewAgain(info)
	}
	if err != nil {
		return view{}, err
	}
	if x.form.Get("edit") == "yes" {
		p := info.Policy
		if draft.policy != nil {
			p = *draft.policy
		}
		return x.showPolicy(info, p, nil)
	}
	d, ok := parseCounts(x.form.Get("counts"))
	if !ok {
		return view{}, errBadForm
	}
	d.After = x.form.Get("after")
	if draft.version != info.Version {
		return x.previewChanged(info, draft)
	}
	return x.showPreview(info, draft, d, nil)
}

// previewChanged shows the preview of a draft again after somebody else has changed
// the policy. What the form cannot set is that of the policy now in force.
func (x *exchange) previewChanged(info twofa.PolicyInfo, draft policyDraft) (view, error) {
	draft.version = info.Version
	if draft.policy != nil {
		p := x.policyInput().keep(info.Policy, *draft.policy)
		draft.policy = &p
	}
	return x.showPreview(info, draft, previewData{}, errPolicyChanged)
}

// heldPolicy opens the policy in the form of a preview.
func (x *exchange) heldPolicy(reason string) (policyDraft, error) {
	p, version, err := x.team(reason).HeldPolicy(twofa.NewSecret(x.form.Get("previewed")))
	return policyDraft{p, version}, err
}

// previewAgain shows the form again if a preview is too old or of another session,
// with the policy of that preview if it can be read.
func (x *exchange) previewAgain(info twofa.PolicyInfo) (view, error) {
	base, err := x.basePolicy(info.Policy)
	if err == nil {
		_, err = x.team("").Preview(x.ctx(), base) // of nobody: only checks the policy
	}
	if err != nil {
		base = info.Policy
	}
	return x.showPolicy(info, base, nil, errPreviewAgain)
}

// showPreview shows what a policy would change. d has the numbers of the members
// that were looked at before. failed is the reason why the page is shown again.
func (x *exchange) showPreview(info twofa.PolicyInfo, draft policyDraft, d previewData, failed error) (view, error) {
	p, err := x.policyOf(draft)
	if err != nil {
		return view{}, err
	}
	held, err := x.team("").HoldPolicy(draft.policy, draft.version)
	if err != nil {
		return view{}, err
	}
	if err := x.scan(draft, &d); err != nil {
		return view{}, err
	}
	encoded, err := json.Marshal(p)
	d.Origin, d.Held, d.Base, d.Default, d.Reason = originOfPolicy(info), held.Reveal(), string(encoded), draft.policy == nil, x.form.Get("reason")
	change := twofa.PolicyChange{Before: info.Policy, After: p}
	d.Differences, d.Weaknesses = change.Differences(x.locale(), x.actionTitle), change.Weaknesses(x.locale(), x.actionTitle)
	d.Weaker, d.Stricter = len(d.Weaknesses) > 0, info.Policy.IsWeakerThan(p)
	d.Mails = x.m.Info().MailsAdmins
	d.OwnerOnly = d.Weaker && info.Policy.Weaken != twofa.RoleAdmin
	d.Save = len(d.Differences) > 0 || info.Default != d.Default
	d.Counts = d.counts()
	return view{page: "preview", data: d, err: failed}, err
}

// policyOf returns the policy of a draft.
func (x *exchange) policyOf(draft policyDraft) (twofa.Policy, error) {
	if draft.policy != nil {
		return *draft.policy, nil
	}
	return x.policy("")
}

// scan adds the next members to the numbers.
func (x *exchange) scan(draft policyDraft, d *previewData) error {
	members, ids, err := x.nextMembers(d)
	if err != nil {
		return err
	}
	var impacts []twofa.Impact
	if draft.policy != nil {
		impacts, err = x.team("").Preview(x.ctx(), *draft.policy, ids...)
	} else {
		impacts, err = x.team("").PreviewUnset(x.ctx(), ids...)
	}
	for _, impact := range impacts {
		d.add(impact, members[impact.User])
	}
	return err
}

// nextMembers asks the host for the next members, by ID and in the host's order.
func (x *exchange) nextMembers(d *previewData) (members map[string]TeamMember, ids []string, err error) {
	q := TeamQuery{After: d.After}
	members = map[string]TeamMember{}
	for range maxTeamCalls {
		q.Limit = maxScan - len(ids)
		page, err := x.listMembers(q)
		if err != nil {
			return nil, nil, err
		}
		for _, m := range page.Members {
			if _, twice := members[m.ID]; !twice {
				members[m.ID] = m
				ids = append(ids, m.ID)
			}
		}
		if q.After = page.Next; q.After == "" || len(ids) == maxScan {
			break
		}
	}
	d.After = q.After
	return members, ids, nil
}

// add adds a member to the numbers.
func (d *previewData) add(i twofa.Impact, m TeamMember) {
	d.Looked++
	switch {
	case i.Unreadable:
		d.Unreadable.add(m)
	case !i.Changed:
		d.Unchanged++
	case i.Enroll && i.Due.IsZero():
		d.Now.add(m)
	case i.Enroll:
		d.Later.add(m)
		if d.Later.First.IsZero() || i.Due.Before(d.Later.First) {
			d.Later.First = i.Due
		}
		if i.Due.After(d.Later.Last) {
			d.Later.Last = i.Due
		}
	default:
		d.Other.add(m)
	}
}

func (a *affected) add(m TeamMember) {
	a.Count++
	a.Members = append(a.Members, m)
	if m.Email != "" {
		a.Addresses = strings.TrimPrefix(a.Addresses+"\n"+m.Email, "\n")
	}
}

// counts returns the numbers as a text for a hidden field. Admins can change it in
// their own browser, but it decides nothing.
func (d *previewData) counts() string {
	var b strings.Builder
	for i, n := range d.numbers() {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(strconv.Itoa(*n))
	}
	for _, at := range []time.Time{d.Later.First, d.Later.Last} {
		b.WriteByte('.')
		b.WriteString(strconv.FormatInt(max(0, at.Unix()), 10))
	}
	return b.String()
}

func (d *previewData) numbers() []*int {
	return []*int{&d.Looked, &d.Unchanged, &d.Later.Count, &d.Now.Count, &d.Other.Count, &d.Unreadable.Count}
}

// maxCount is more than the members of any account, and as a time after all
// deadlines.
const maxCount = 1 << 40

// parseCounts parses the numbers. ok is false if they cannot be right.
func parseCounts(text string) (d previewData, ok bool) {
	parts, numbers := strings.Split(text, "."), d.numbers()
	if len(parts) != len(numbers)+2 {
		return d, false
	}
	var all []int64
	for _, part := range parts {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || n < 0 || n > maxCount {
			return d, false
		}
		all = append(all, n)
	}
	sum := int64(0)
	for i, n := range numbers {
		*n = int(all[i])
		sum += all[i]
	}
	times := all[len(numbers):]
	if d.Later.Count > 0 {
		d.Later.First, d.Later.Last = time.Unix(times[0], 0), time.Unix(times[1], 0)
	}
	return d, sum == 2*all[0] && times[0] <= times[1]
}
