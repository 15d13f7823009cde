package twofa

import (
	"cmp"

	"github.com/twofa-go/twofa/internal/text"
)

// Actor is the source of an operation on an account, with a reason that is
// stored in the event. Create one with [AsHost] or [AsStaff]. The methods of
// [Account] refuse the zero Actor.
type Actor struct {
	kind   string
	id     string
	reason string
}

const (
	actorHost  = "host"
	actorStaff = "staff"
)

// AsHost returns an Actor for code of the host that acts by itself, such as
// start-up, a migration or a command line. Never create one for a request. If
// reason is empty, it defaults to "host".
func AsHost(reason string) Actor { return Actor{kind: actorHost, reason: cmp.Or(reason, "host")} }

// AsStaff returns an Actor for a member of the host's staff, such as support.
// The host must have authenticated that person. An id that is empty or
// malformed is refused.
func AsStaff(id, reason string) Actor { return Actor{kind: actorStaff, id: id, reason: reason} }

// valid reports whether the actor is named.
func (a Actor) valid() bool {
	return a.kind == actorHost || a.kind == actorStaff && text.ValidateID("staff", a.id) == nil
}

func (a Actor) event() EventActor { return EventActor{Kind: a.kind, ID: a.id} }
