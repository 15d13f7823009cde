package twofa

import (
	"bytes"
	"encoding/json"
	"time"
)

// policyJSON is a [Policy] in JSON: as hosts configure it, and in events.
type policyJSON struct {
	Methods   []Method            `json:"methods,omitempty"`
	Fallback  []Method            `json:"fallback,omitempty"`
	Required  bool                `json:"required,omitempty"`
	ExemptSSO bool                `json:"exempt_sso,omitempty"`
	Remember  int64               `json:"remember,omitempty"` // seconds
	TurnOff   TurnOff             `json:"turn_off,omitempty"`
	Actions   map[string]ruleJSON `json:"actions,omitempty"`
}

type ruleJSON struct {
	MaxAge  int64    `json:"max_age,omitempty"` // seconds
	Methods []Method `json:"methods,omitempty"`
}

// MarshalJSON encodes the policy with names in snake_case, such as "exempt_sso"
// and "max_age", and durations in whole seconds.
func (p Policy) MarshalJSON() ([]byte, error) {
	out := policyJSON{p.Methods, p.Fallback, p.Required, p.ExemptSSO, int64(p.Remember / time.Second), p.TurnOff, nil}
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
	*p = Policy{Methods: in.Methods, Fallback: in.Fallback, Required: in.Required, ExemptSSO: in.ExemptSSO,
		Remember: seconds(in.Remember), TurnOff: in.TurnOff}
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
