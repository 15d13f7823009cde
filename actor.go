package twofa

import (
	"cmp"

	"github.com/twofa-go/twofa/internal/text"
)

// Actor is the source of an operation on an account or a user, with a reason
// that is stored in the event. Create one with [AsUser], [AsStaff] or [AsHost].
// The methods of [Account] and [ManagedUser] refuse the zero Actor.
type Actor struct {
	kind   string
	id     string
	reason string
	caller Caller // of a user
}

const (
	actorUser  = "user"
	actorHost  = "host"
	actorStaff = "staff"
)

// AsUser returns an Actor for the user who makes a request, with the session in
// c. The reason may be empty.
func AsUser(c Caller, reason string) Actor {
	return Actor{kind: actorUser, reason: reason, caller: c}
}

// AsHost returns an Actor for code of the host that acts by itself, such as
// start-up, a migration or a command line. Never create one for a request. If
// reason is empty, it defaults to "host".
func AsHost(reason string) Actor { return Actor{kind: actorHost, reason: cmp.Or(reason, "host")} }

// AsStaff returns an Actor for a member of the host's staff, such as support.
// The host must have authenticated that person. An id that is empty or
// malformed is refused.
func AsStaff(id, reason string) Actor { return Actor{kind: actorStaff, id: id, reason: reason} }

// ofProduct reports whether the actor is the host or a named member of its
// staff.
func (a Actor) ofProduct() bool {
	return a.kind == actorHost || a.kind == actorStaff && text.ValidateID("staff", a.id) == nil
}

// event returns the actor as events name it. They name a user elsewhere.
func (a Actor) event() EventActor {
	if a.kind == actorUser {
		return EventActor{}
	}
	return EventActor{Kind: a.kind, ID: a.id}
}
