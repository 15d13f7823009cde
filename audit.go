package twofa

import (
	"crypto/rand"
	"encoding/json"
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
// with personal data are in the MAC as salted hashes, so that a release that erases
// them together with the salts can still verify the event. This release erases none.
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

// add appends an issued event to the chain.
func (a *auditChain) add(k KeyRing, e Event) Event {
	if a.ID == "" {
		a.ID = seal.NewID()[:chainIDLen]
	}
	key := k.all()[0]
	e.Seq = a.Seq + 1
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

// matches reports whether fields are what a hash was made of. The hash is empty if
// all were. If fields without salt matched every hash, an attacker could blank them.
func matches(hash string, salt []byte, fields []string) bool {
	if hash == "" {
		return isBlank(fields)
	}
	return seal.Equal(hash, saltedHash(salt, fields))
}

// proof opens the MAC of an event. The error says what is wrong with it.
func (k KeyRing) proof(e *Event) (p eventProof, tag string, problem AuditProblemKind) {
	if len(e.MAC) == 0 {
		return p, "", AuditUnsigned
	}
	n := len(e.MAC) - 2*saltLen - tagLen
	if n < 0 || seal.Decode(string(e.MAC[:n]), &p) != nil {
		return p, "", AuditChanged
	}
	proof, salts := e.MAC[:n], e.MAC[n:]
	tag = string(salts[2*saltLen:])
	key, ok := k.byID(p.Key)
	user, actor := e.personal()
	if !ok || !seal.Equal(tag, e.tag(key, proof)) || !matches(p.UserHash, salts[:saltLen], user) || !matches(p.ActorHash, salts[saltLen:2*saltLen], actor) {
		return p, tag, AuditChanged
	}
	return p, tag, ""
}
