package twofa

import "cmp"

// Actor is who performs an operation on an account, and why. The reason is
// stored in the event. The zero Actor is refused.
type Actor struct {
	kind   string
	id     string
	reason string
}

const (
	actorHost  = "host"
	actorStaff = "staff"
)

// AsHost is the actor for code of the host that acts by itself, such as
// start-up, a migration or a command line. Never create one for a request.
func AsHost(reason string) Actor { return Actor{kind: actorHost, reason: cmp.Or(reason, "host")} }

// AsStaff is the actor for a member of the host's staff, such as support. The
// host must have authenticated the person. An empty id is refused.
func AsStaff(id, reason string) Actor { return Actor{kind: actorStaff, id: id, reason: reason} }

// valid reports whether the actor is named.
func (a Actor) valid() bool { return a.kind == actorHost || a.kind == actorStaff && a.id != "" }

func (a Actor) event() EventActor { return EventActor{Kind: a.kind, ID: a.id} }
