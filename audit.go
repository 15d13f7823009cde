package twofa

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/twofa-go/twofa/internal/seal"
)

// auditChain is the end of the chain of events of one record. Each event carries a
// MAC over itself and the MAC before, so that nobody without a key can change, add,
// drop or reorder events unnoticed. It is in the record, because a store swaps one
// key.
type auditChain struct {
	seal.Unknown
	ID  string   // random, so that a record that is created again has another chain
	Seq uint64   // number of the last event
	MAC string   // tag of the last event
	At  unixTime // time of the last event
}

func (a *auditChain) Fields(c *seal.Codec) {
	seal.Text(c, 6, &a.ID)
	seal.Int(c, 10, &a.Seq)
	seal.Text(c, 14, &a.MAC)
	seal.Int(c, 18, &a.At)
}

const (
	chainIDLen = 12 // characters, 60 random bits
	tagLen     = 16 // bytes of a MAC (see seal.KeyedHash)
	saltLen    = 8
)

// eventProof is the beginning of [Event.MAC]. Two salts and the tag follow. Fields
// with personal data are in the MAC as salted hashes, so that the event can still be
// verified after they were erased; see [KeyRing.erase].
type eventProof struct {
	seal.Unknown
	Key       string // ID of the key
	Chain     string
	Prev      string   // tag of the event before
	PrevAt    unixTime // and its time
	UserHash  string   // of the user and the client
	ActorHash string   // of the actor and the reason; empty if there is neither
}

func (p *eventProof) Fields(c *seal.Codec) {
	seal.Text(c, 4, &p.Key)
	seal.Text(c, 8, &p.Chain)
	seal.Text(c, 12, &p.Prev)
	seal.Int(c, 16, &p.PrevAt)
	seal.Text(c, 20, &p.UserHash)
	seal.Text(c, 24, &p.ActorHash)
}

// personal returns the fields with personal data: of the user the event is about,
// and of the actor.
func (e *Event) personal() (user, actor []string) {
	return []string{e.User, e.IP, e.Agent, e.Request, e.Detail}, []string{e.Actor.ID, e.Reason}
}

// add appends an issued event to the chain. An event is not earlier than the one
// before it, because clocks of servers differ: the oldest events are deleted first,
// and must be the first of their chain. A clock that was more than issueSlack fast
// does not count, or it would date all later events.
func (a *auditChain) add(k KeyRing, e Event) Event {
	if a.ID == "" {
		a.ID = seal.NewID()[:chainIDLen]
	}
	key := k.all()[0]
	e.Seq = a.Seq + 1
	if now := unixTimeOf(e.Time); now < a.At && a.At.sub(now) <= issueSlack {
		e.Time = a.At.time()
	}
	e.Before, e.After = canonicalJSON(e.Before), canonicalJSON(e.After)
	salts := make([]byte, 2*saltLen)
	rand.Read(salts) // crypto/rand ends the program instead of failing
	user, actor := e.personal()
	p := eventProof{Key: key.ID, Chain: a.ID, Prev: a.MAC, PrevAt: a.At, UserHash: saltedHash(salts[:saltLen], user)}
	if !isBlank(actor) {
		p.ActorHash = saltedHash(salts[saltLen:], actor)
	}
	proof := seal.Encode(make([]byte, 0, usualMAC), &p)
	tag := e.tag(key, proof)
	e.MAC = append(append(proof, salts...), tag...)
	a.Seq, a.MAC, a.At = e.Seq, tag, unixTimeOf(e.Time)
	return e
}

// usualMAC is enough bytes for most, so that one takes one allocation.
const usualMAC = 128

// tag returns the MAC of an event. It does not cover the salts, so that they can be
// erased together with what they hide.
func (e *Event) tag(key seal.Key, proof []byte) string {
	return string(seal.KeyedHash(key.Events, "event", string(proof), strconv.FormatUint(e.Seq, 10), e.ID,
		strconv.FormatInt(e.Time.Unix(), 10), e.Type, e.Account, string(e.Method), e.Session, e.Case, e.Act, string(e.Before), string(e.After),
		strconv.Itoa(e.Left), strconv.FormatBool(e.Notice), e.Actor.Kind, e.Actor.Role))
}

// canonicalJSON returns a value as it is after it was stored as JSON and read.
func canonicalJSON(v json.RawMessage) json.RawMessage {
	if len(v) == 0 {
		return nil
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return v
	}
	return encoded
}

func saltedHash(salt []byte, fields []string) string { return string(seal.KeyedHash(salt, fields...)) }

func isBlank(fields []string) bool {
	return !slices.ContainsFunc(fields, func(f string) bool { return f != "" })
}

// Which part of the personal data of an event was erased, as its mark says it.
const (
	ofUser  = "user"
	ofActor = "actor"
)

// mark takes the place of the salt when the fields that it hides are erased. It needs
// the key and belongs to one event, because otherwise an attacker could blank any
// event. The fields themselves do not affect it.
func mark(key seal.Key, tag, part string) string {
	return string(seal.KeyedHash(key.Events, "erased", tag, part)[:saltLen])
}

// openedEvent is what the MAC of an event says.
type openedEvent struct {
	eventProof
	tag    string
	erased bool // whether the user was erased, so that the event does not name one
}

// opens reports whether fields are what a hash was made of, or were erased. The hash
// is empty if all were empty from the start.
func opens(key seal.Key, tag, part, hash, salt string, fields []string) (ok, erased bool) {
	switch {
	case hash == "":
		return isBlank(fields), false
	case seal.Equal(hash, saltedHash([]byte(salt), fields)):
		return true, false
	}
	erased = isBlank(fields) && seal.Equal(salt, mark(key, tag, part))
	return erased, erased
}

// proof opens the MAC of an event. The error says what is wrong with it.
func (k KeyRing) proof(e *Event) (p openedEvent, problem AuditProblemKind) {
	if len(e.MAC) == 0 {
		return p, AuditUnsigned
	}
	n := len(e.MAC) - 2*saltLen - tagLen
	if n < 0 || seal.Decode(string(e.MAC[:n]), &p.eventProof) != nil {
		return p, AuditChanged
	}
	proof, salts := e.MAC[:n], string(e.MAC[n:n+2*saltLen])
	p.tag = string(e.MAC[n+2*saltLen:])
	key, ok := k.byID(p.Key)
	if !ok || !seal.Equal(p.tag, e.tag(key, proof)) {
		return p, AuditChanged
	}
	user, actor := e.personal()
	okUser, erased := opens(key, p.tag, ofUser, p.UserHash, salts[:saltLen], user)
	okActor, _ := opens(key, p.tag, ofActor, p.ActorHash, salts[saltLen:], actor)
	if p.erased = erased; !okUser || !okActor {
		return p, AuditChanged
	}
	return p, ""
}

// erase blanks the personal data of the user or of the actor, or both. Only an event
// that verifies gets a mark, because a mark must not make a changed one look right:
// it remains a problem.
func (k KeyRing) erase(e *Event, user, actor bool) {
	p, problem := k.proof(e)
	e.MAC = slices.Clone(e.MAC)
	n := len(e.MAC) - 2*saltLen - tagLen
	part := func(name string, at int) {
		if n < 0 {
			return
		}
		salt := e.MAC[n+at : n+at+saltLen]
		clear(salt)
		if key, ok := k.byID(p.Key); ok && problem == "" {
			copy(salt, mark(key, p.tag, name))
		}
	}
	if user {
		e.User, e.IP, e.Agent, e.Request, e.Detail = "", "", "", "", ""
		part(ofUser, 0)
	}
	if actor {
		e.Actor.ID, e.Reason = "", ""
		part(ofActor, saltLen)
	}
}

// verifiedChain is what was read of one chain.
type verifiedChain struct {
	id            string
	user, account string // owner
	erased        bool   // whether the owner is a user whose ID was erased from an event
	seq           uint64 // up to which all were read, except those of holes
	mac           string
	deleted       bool              // whether the last event says that the record was deleted
	ahead         map[uint64]linked // those that were read before one with a lower number
	holes         []hole
}

// linked is an event as the next one refers to it.
type linked struct {
	prev, mac string
	prevAt    unixTime
	deleted   bool
}

// hole is a run of events that were not there when a later one was read.
type hole struct {
	from, to uint64
	last     unixTime // time of the last of them
}

// take takes an event, and reports whether its number is a new one.
func (c *verifiedChain) take(seq uint64, e linked) bool {
	if seq <= c.seq {
		return c.fill(seq, e)
	}
	if _, again := c.ahead[seq]; again {
		return false
	}
	if c.ahead == nil {
		c.ahead = map[uint64]linked{}
	}
	c.ahead[seq] = e
	c.advance()
	return true
}

// advance takes the events that follow the last one. A wrong link would need a key.
func (c *verifiedChain) advance() {
	for {
		next, ok := c.ahead[c.seq+1]
		if !ok || !seal.Equal(next.prev, c.mac) {
			return
		}
		delete(c.ahead, c.seq+1)
		c.seq, c.mac, c.deleted = c.seq+1, next.mac, next.deleted
	}
}

// skip continues with an event that is ahead if those before it were deleted. The
// times of a chain do not decrease, so they are before the cut-off if the last of
// them is. It does so at once, because otherwise all events of the chain would have
// to be remembered.
func (c *verifiedChain) skip(seq uint64, cutoff unixTime) {
	e, ok := c.ahead[seq]
	if !ok || seq == c.seq+1 || e.prevAt >= cutoff {
		return
	}
	c.holes = append(c.holes, hole{c.seq + 1, seq - 1, e.prevAt})
	c.seq, c.mac = seq-1, e.prev
	for n, between := range c.ahead {
		if n < seq {
			delete(c.ahead, n)
			c.fill(n, between)
		}
	}
	c.advance()
}

// fill takes an event out of a hole, and reports whether it was in one.
func (c *verifiedChain) fill(seq uint64, e linked) bool {
	i := slices.IndexFunc(c.holes, func(h hole) bool { return h.from <= seq && seq <= h.to })
	if i < 0 {
		return false
	}
	h := c.holes[i]
	parts := slices.DeleteFunc([]hole{{h.from, seq - 1, e.prevAt}, {seq + 1, h.to, h.last}}, func(part hole) bool { return part.from > part.to })
	c.holes = slices.Replace(c.holes, i, i+1, parts...)
	return true
}

// missing returns the number of the first event that is missing although it was not
// to be deleted, or 0 if there is none.
func (c *verifiedChain) missing(cutoff unixTime) uint64 {
	for _, seq := range slices.Sorted(maps.Keys(c.ahead)) {
		c.skip(seq, cutoff) // the cut-off may have moved since
	}
	for _, h := range c.holes {
		if h.last >= cutoff {
			return h.from
		}
	}
	if len(c.ahead) > 0 {
		return c.seq + 1
	}
	return 0
}
