package twofa

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
)

// AuditProblemKind is what [Manager.VerifyEvents] finds wrong.
type AuditProblemKind string

// The kinds of problems.
const (
	AuditChanged  AuditProblemKind = "changed"   // an event is not as it was written, its key is not in the ring, or its time is more than a minute ahead
	AuditUnsigned AuditProblemKind = "unsigned"  // an event has no MAC, so somebody else has written it
	AuditRepeated AuditProblemKind = "repeated"  // an event is there twice
	AuditMissing  AuditProblemKind = "missing"   // an event between two others, or before the first, is not there
	AuditCut      AuditProblemKind = "cut"       // the last events of a record are not there
	AuditPutBack  AuditProblemKind = "put_back"  // the record of the events is older than they are, so somebody has put it back
	AuditNoRecord AuditProblemKind = "no_record" // the record of the events is not there, and no event says that it was deleted, or it cannot be read
)

// AuditProblem is one thing that [Manager.VerifyEvents] has found.
type AuditProblem struct {
	Kind    AuditProblemKind
	User    string // of the event or the record; empty if it is about an account, or was erased
	Account string
	Event   string // ID of the event; empty if it is missing
	Seq     uint64 // number of the event, or of the first missing one
}

// AuditReport is the result of [Manager.VerifyEvents].
type AuditReport struct {
	Events  int // events up to a minute ago, and later ones that the records refer to
	Records int // users and accounts that have events
	// Problems lists the first 1,000 problems, in the order in which they were found.
	Problems []AuditProblem
	More     int // problems that are not listed
	// Cutoff says which events were deleted ([Manager.DeleteEvents]). If the record
	// of it cannot be read, it is zero, and Problems has an AuditNoRecord without a
	// user and an account.
	Cutoff AuditCutoff
}

// VerifyEvents reads all events up to a minute ago and checks that they are those
// that the library wrote: that none was added, changed, reordered or dropped. Other
// events may still be about to be stored before a later one, so it checks only that
// each of these is signed and unchanged, and not more than a minute ahead. It reads
// the records of their users and accounts, too. If the store is a [KeyLister], it
// also finds records whose events are all gone. It writes nothing.
//
// An event whose personal data was erased ([ManagedUser.EraseEvents]) verifies. It
// names no user, and neither does a problem of a user whose events were all erased.
// A missing event is no problem if it was before [AuditReport.Cutoff]; its time is
// known from the event after it, or from the record.
//
// An attacker who can write to the database but has no key of the ring cannot hide
// a change of events, except by deleting or putting back a record together with its
// events (docs/threat-model.md). Events under a key that was removed from the ring
// cannot be verified, so keep old keys as long as their events.
//
// It holds about 200 bytes for each user with events. Progress, if not nil, is called
// after each page with the number of events so far. A problem is no error; an error
// means that the events were not all read: [ErrNotAllowed] if the store is no
// [EventReader], [ErrUnavailable].
func (m *Manager) VerifyEvents(ctx context.Context, progress func(events int)) (AuditReport, error) {
	reader, ok := m.cfg.Store.(EventReader)
	if !ok {
		return AuditReport{}, notAllowed("Config.Store is no EventReader")
	}
	v := verifying{m: m, reader: reader, chains: map[string]*verifiedChain{}}
	if err := v.readCutoff(ctx); err != nil {
		return v.report, err
	}
	v.until = m.now().add(-time.Minute).time()
	err := eachPage(ctx, v.reader, EventQuery{Until: v.until}, func(events []Event) error {
		for i := range events {
			v.event(&events[i])
		}
		v.report.Events += len(events)
		if progress != nil {
			progress(v.report.Events)
		}
		return nil
	})
	if err == nil {
		err = v.readCutoff(ctx) // again, because events may have been deleted meanwhile
	}
	if err == nil {
		err = v.records(ctx)
	}
	if err != nil {
		return v.report, err
	}
	return v.report, v.rest(ctx)
}

// verifying is one call of VerifyEvents.
type verifying struct {
	m      *Manager
	reader EventReader
	until  time.Time // of the events that are read first
	cutoff unixTime  // events before were deleted
	chains map[string]*verifiedChain
	report AuditReport

	unreadable bool // whether the record of the cut-off cannot be read
}

// readCutoff reads the cut-off.
func (v *verifying) readCutoff(ctx context.Context) error {
	c, readable, err := v.m.cutoff(ctx)
	v.unreadable = err == nil && !readable
	v.cutoff, v.report.Cutoff = c.Before, AuditCutoff{c.Before.time(), c.At.time(), c.Reason}
	return err
}

func (v *verifying) problem(p AuditProblem) {
	if len(v.report.Problems) == maxAuditProblems {
		v.report.More++
		return
	}
	v.report.Problems = append(v.report.Problems, p)
}

func (v *verifying) eventProblem(e *Event, kind AuditProblemKind) {
	v.problem(AuditProblem{Kind: kind, User: e.User, Account: e.Account, Event: e.ID, Seq: e.Seq})
}

// event verifies one event. Servers' clocks differ, so events of one record need not
// come in the order of their numbers.
func (v *verifying) event(e *Event) {
	p, problem := v.m.cfg.Keys.proof(e)
	if problem != "" {
		v.eventProblem(e, problem)
		return
	}
	chain := v.chains[p.Chain]
	if chain == nil {
		chain = &verifiedChain{id: p.Chain}
		v.chains[p.Chain] = chain
	}
	switch {
	case p.erased:
		chain.erased = true // an event of an account cannot be
	case e.User != "":
		chain.user = e.User
	default:
		chain.account = e.Account
	}
	if !chain.take(e.Seq, linked{p.Prev, p.tag, p.PrevAt, e.Type == event.Erased}) {
		v.eventProblem(e, AuditRepeated)
		return
	}
	chain.skip(e.Seq, v.cutoff)
}

// records compares the chains with the records that they belong to.
func (v *verifying) records(ctx context.Context) error {
	if v.unreadable {
		v.problem(AuditProblem{Kind: AuditNoRecord})
	}
	keys := map[string][]*verifiedChain{}
	for _, c := range v.chains {
		switch {
		case c.user != "":
			keys[userKey(c.user)] = append(keys[userKey(c.user)], c)
		case !c.erased && c.account != "":
			keys[accountKey(c.account)] = append(keys[accountKey(c.account)], c)
		default:
			if err := v.withoutRecord(ctx, c); err != nil {
				return err
			}
		}
	}
	v.report.Records = len(keys)
	if lister, ok := v.m.cfg.Store.(KeyLister); ok {
		if err := v.listKeys(ctx, lister, keys); err != nil {
			return err
		}
	}
	sorted := make([]string, 0, len(keys))
	for key := range keys {
		sorted = append(sorted, key)
	}
	slices.Sort(sorted)
	for chunk := range slices.Chunk(sorted, 100) {
		records, err := v.m.readAll(ctx, chunk...)
		if err != nil {
			return err
		}
		for i, r := range records {
			if err := v.record(ctx, chunk[i], r, keys[chunk[i]]); err != nil {
				return err
			}
		}
	}
	return nil
}

// listKeys adds the users and accounts that have no events.
func (v *verifying) listKeys(ctx context.Context, lister KeyLister, keys map[string][]*verifiedChain) error {
	after := ""
	for {
		page, err := lister.Keys(ctx, after, 1000)
		if err != nil {
			return unavailable("store", err)
		}
		if len(page) == 0 {
			return nil
		}
		for _, key := range page {
			user, account := ownerOf(key)
			if _, known := keys[key]; !known && user+account != "" {
				keys[key] = nil
			}
		}
		after = page[len(page)-1]
	}
}

// record compares the chains of one record with its end.
func (v *verifying) record(ctx context.Context, key string, r Record, chains []*verifiedChain) error {
	user, account := ownerOf(key)
	found := AuditProblem{User: user, Account: account}
	end, err := v.m.chainOf(r, user != "")
	if err != nil {
		found.Kind = AuditNoRecord
		v.problem(found)
		return nil
	}
	for _, c := range chains {
		if c == v.chains[end.ID] && end.ID != "" {
			continue
		}
		if err := v.withoutRecord(ctx, c); err != nil {
			return err
		}
	}
	if end.ID == "" {
		return nil
	}
	c := v.chains[end.ID]
	if c == nil {
		c = &verifiedChain{id: end.ID, user: user, account: account}
		v.chains[end.ID] = c
	}
	isOld := c.seq > end.Seq // these events were read before the record
	if c.seq < end.Seq {     // the last events may be from the last minute
		if err := v.tail(ctx, end.ID, EventQuery{User: user, Account: account}); err != nil {
			return err
		}
	}
	missing := c.missing(v.cutoff)
	found.Seq = c.seq + 1
	switch {
	case missing > 0:
		found.Kind, found.Seq = AuditMissing, missing
	case isOld:
		found.Kind, found.Seq = AuditPutBack, end.Seq+1
	case c.seq < end.Seq && end.At < v.cutoff:
		return nil
	case c.seq < end.Seq || c.seq == end.Seq && !seal.Equal(c.mac, end.MAC):
		found.Kind = AuditCut
	default:
		return nil
	}
	v.problem(found)
	return nil
}

// withoutRecord verifies a chain whose end is in no record. Its last event must say
// that the record was deleted. The record may have been deleted since the others were
// read.
func (v *verifying) withoutRecord(ctx context.Context, c *verifiedChain) error {
	if !c.deleted {
		if err := v.tail(ctx, c.id, EventQuery{User: c.user, Account: c.account}); err != nil {
			return err
		}
	}
	found := AuditProblem{User: c.user, Account: c.account}
	missing := c.missing(v.cutoff)
	switch {
	case missing > 0:
		found.Kind, found.Seq = AuditMissing, missing
		v.problem(found)
	case !c.deleted:
		found.Kind, found.Seq = AuditNoRecord, c.seq+1
		v.problem(found)
	}
	return nil
}

// tail reads the events of one chain since the others were read.
func (v *verifying) tail(ctx context.Context, id string, q EventQuery) error {
	q.Since = v.until
	return eachPage(ctx, v.reader, q, func(events []Event) error {
		for i := range events {
			if p, problem := v.m.cfg.Keys.proof(&events[i]); problem == "" && p.Chain == id {
				v.event(&events[i])
				v.report.Events++
			}
		}
		return nil
	})
}

// rest reads the events since the others were read, and those dated ahead, which no
// later call would reach for as long as they are. Its clock goes on, because reading
// the others can take hours.
func (v *verifying) rest(ctx context.Context) error {
	return eachPage(ctx, v.reader, EventQuery{Since: v.until}, func(events []Event) error {
		latest := v.m.now().add(issueSlack).time()
		for i := range events {
			_, problem := v.m.cfg.Keys.proof(&events[i])
			if problem == "" && events[i].Time.After(latest) {
				problem = AuditChanged
			}
			if problem != "" {
				v.eventProblem(&events[i], problem)
			}
		}
		return nil
	})
}

// ownerOf returns the user or the account of a record that has events. Other records
// have neither.
func ownerOf(key string) (user, account string) {
	switch kind, id, _ := strings.Cut(key, "/"); kind {
	case "user":
		return id, ""
	case "account":
		return "", id
	}
	return "", ""
}
