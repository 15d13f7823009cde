package twofa

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// policyJSON is a [Policy] in JSON: as hosts configure it, and in events.
type policyJSON struct {
	Methods   []Method            `json:"methods,omitempty"`
	Fallback  []Method            `json:"fallback,omitempty"`
	Required  bool                `json:"required,omitempty"`
	NoLink    bool                `json:"enroll_without_link,omitempty"`
	ExemptSSO bool                `json:"exempt_sso,omitempty"`
	Deadline  time.Time           `json:"deadline,omitzero"`
	Grace     int64               `json:"grace,omitempty"`    // seconds
	Remember  int64               `json:"remember,omitempty"` // seconds
	TurnOff   TurnOff             `json:"turn_off,omitempty"`
	Weaken    Role                `json:"weaken,omitempty"`
	Reset     Role                `json:"reset,omitempty"`
	Actions   map[string]ruleJSON `json:"actions,omitempty"`
}

type ruleJSON struct {
	MaxAge  int64    `json:"max_age,omitempty"` // seconds
	Methods []Method `json:"methods,omitempty"`
}

// MarshalJSON encodes the policy with names in snake_case, such as "exempt_sso"
// and "max_age", and durations in whole seconds.
func (p Policy) MarshalJSON() ([]byte, error) {
	out := policyJSON{Methods: p.Methods, Fallback: p.Fallback, Required: p.Required, NoLink: p.EnrollWithoutLink, ExemptSSO: p.ExemptSSO,
		Grace: int64(p.Grace / time.Second), Remember: int64(p.Remember / time.Second), TurnOff: p.TurnOff, Weaken: p.Weaken, Reset: p.Reset}
	if !p.Deadline.IsZero() {
		out.Deadline = p.Deadline.UTC().Truncate(time.Second)
	}
	for name, r := range p.Actions {
		if out.Actions == nil {
			out.Actions = map[string]ruleJSON{}
		}
		out.Actions[name] = ruleJSON{int64(r.MaxAge / time.Second), r.Methods}
	}
	return json.Marshal(out)
}

// UnmarshalJSON decodes what [Policy.MarshalJSON] encodes. It refuses unknown
// fields, because they may restrict, and durations that are not whole seconds.
// It does not check the policy; [Account.SetPolicy] does.
func (p *Policy) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil // as package json asks
	}
	var in policyJSON
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return invalid("policy in JSON: %w", err)
	}
	*p = Policy{Methods: in.Methods, Fallback: in.Fallback, Required: in.Required, EnrollWithoutLink: in.NoLink, ExemptSSO: in.ExemptSSO,
		Deadline: in.Deadline, Grace: seconds(in.Grace), Remember: seconds(in.Remember), TurnOff: in.TurnOff, Weaken: in.Weaken, Reset: in.Reset}
	for name, r := range in.Actions {
		if p.Actions == nil {
			p.Actions = map[string]ActionRule{}
		}
		p.Actions[name] = ActionRule{MaxAge: seconds(r.MaxAge), Methods: r.Methods}
	}
	return nil
}

// seconds returns a duration. One that is too long becomes -1, which no policy
// may have.
func seconds(n int64) time.Duration {
	if n < 0 || n > int64(1<<62/time.Second) {
		return -1
	}
	return time.Duration(n) * time.Second
}

// accountRecord is the policy of an account, under "account/<id>".
type accountRecord struct {
	seal.Unknown
	Policy *storedPolicy // nil if the account has set none
	Since  unixTime
	ByKind string
	ByID   string
	Audit  auditChain // of the events
	Harder unixTime   // when the policy last began to require more; 0 if the account has set none

	PolicyVersion string   // PolicyInfo.Version, which writes of another kind must not change
	Summarized    unixTime // when the admins were last sent a summary
}

func (a *accountRecord) Fields(c *seal.Codec) {
	seal.Optional(c, 5, &a.Policy)
	seal.Int(c, 8, &a.Since)
	seal.Text(c, 12, &a.ByKind)
	seal.Text(c, 16, &a.ByID)
	seal.Struct(c, 22, &a.Audit)
	seal.Int(c, 24, &a.Harder)
	seal.Text(c, 28, &a.PolicyVersion)
	seal.Int(c, 32, &a.Summarized)
}

// version returns the version of the policy in the account's record.
func (a *accountRecord) version() string {
	if a.Policy == nil {
		return defaultVersion
	}
	return a.PolicyVersion
}

func (a *accountRecord) problem() string {
	if a.Policy == nil {
		return ""
	}
	return a.Policy.problem()
}

// storedPolicy is a [Policy] as it is stored, with the fields of a newer
// release. Durations are in seconds.
type storedPolicy struct {
	seal.Unknown
	Methods   []Method
	Fallback  []Method
	Required  bool
	NoLink    bool
	ExemptSSO bool
	Remember  int64
	TurnOff   TurnOff
	Actions   map[string]storedRule
	Deadline  unixTime
	Grace     int64
	Weaken    Role
	Reset     Role
}

func (p *storedPolicy) Fields(c *seal.Codec) {
	seal.Texts(c, 5, &p.Methods)
	seal.Texts(c, 9, &p.Fallback)
	seal.Bool(c, 13, &p.Required)
	seal.Bool(c, 16, &p.ExemptSSO)
	seal.Int(c, 20, &p.Remember)
	seal.Text(c, 25, &p.TurnOff)
	seal.Map(c, 29, &p.Actions)
	seal.Bool(c, 32, &p.NoLink)
	seal.Int(c, 36, &p.Deadline)
	seal.Int(c, 40, &p.Grace)
	seal.Text(c, 44, &p.Weaken)
	seal.Text(c, 49, &p.Reset)
}

// storedRule is an [ActionRule] as it is stored.
type storedRule struct {
	seal.Unknown
	MaxAge  int64
	Methods []Method
}

func (r *storedRule) Fields(c *seal.Codec) {
	seal.Int(c, 4, &r.MaxAge)
	seal.Texts(c, 9, &r.Methods)
}

// problem says which word of the policy this release does not know. The policy
// is then refused, because the word may restrict.
func (p *storedPolicy) problem() string {
	known := Policy{Methods: p.Methods, Fallback: p.Fallback, TurnOff: p.TurnOff, Weaken: p.Weaken, Reset: p.Reset}.unknownWord()
	for _, name := range slices.Sorted(maps.Keys(p.Actions)) {
		known = cmp.Or(known, Policy{Methods: p.Actions[name].Methods}.unknownWord())
	}
	if known == "" {
		return ""
	}
	return fmt.Sprintf("holds a policy with %q, which this release does not know", text.Clean(known, 40))
}

// storePolicy returns a policy as it is stored in place of before, whose
// unknown fields it keeps.
func storePolicy(p Policy, before *storedPolicy) *storedPolicy {
	if before == nil {
		before = &storedPolicy{}
	}
	p = p.clone()
	s := &storedPolicy{Unknown: before.Unknown, Methods: p.Methods, Fallback: p.Fallback, Required: p.Required, NoLink: p.EnrollWithoutLink, ExemptSSO: p.ExemptSSO,
		Remember: int64(p.Remember / time.Second), TurnOff: p.TurnOff, Grace: int64(p.Grace / time.Second), Weaken: p.Weaken, Reset: p.Reset}
	if !p.Deadline.IsZero() {
		s.Deadline = unixTimeOf(p.Deadline)
	}
	for name, r := range p.Actions {
		if s.Actions == nil {
			s.Actions = map[string]storedRule{}
		}
		s.Actions[name] = storedRule{before.Actions[name].Unknown, int64(r.MaxAge / time.Second), r.Methods}
	}
	return s
}

// policy returns the policy as hosts see it.
func (p *storedPolicy) policy() Policy {
	q := Policy{Methods: p.Methods, Fallback: p.Fallback, Required: p.Required, EnrollWithoutLink: p.NoLink, ExemptSSO: p.ExemptSSO,
		Deadline: p.Deadline.time(), Grace: time.Duration(p.Grace) * time.Second, Remember: time.Duration(p.Remember) * time.Second,
		TurnOff: p.TurnOff, Weaken: p.Weaken, Reset: p.Reset}
	for name, r := range p.Actions {
		if q.Actions == nil {
			q.Actions = map[string]ActionRule{}
		}
		q.Actions[name] = ActionRule{MaxAge: time.Duration(r.MaxAge) * time.Second, Methods: r.Methods}
	}
	return q
}

func samePolicy(p, q *storedPolicy) bool {
	if p == nil || q == nil {
		return p == q
	}
	return string(seal.Encode(nil, p)) == string(seal.Encode(nil, q))
}

// json returns the policy for an event, "null" if there is none.
func (p *storedPolicy) json() json.RawMessage {
	if p == nil {
		return json.RawMessage("null")
	}
	encoded, _ := json.Marshal(p.policy()) // a policy is plain data
	return encoded
}
