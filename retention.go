package twofa

import (
	"context"
	"errors"
	"time"

	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// EventEraser is implemented by a [Store] that can replace events, which
// [ManagedUser.EraseEvents] needs. Package storetest tests it as well.
type EventEraser interface {
	// ReplaceEvents replaces the stored events that have the same ID and the same
	// time, in all fields, those that queries select by included. Their order and
	// the cursors remain as they are. An event that is not stored is ignored. All
	// are replaced, or none, and once ReplaceEvents has returned nil, the change
	// survives a crash. At most 1,000 are passed. If the context is already done,
	// the result is an error and nothing changes. ReplaceEvents keeps no reference
	// to the events. If the store is a [NoticeStore], a pending notice remains so.
	//
	// The events before must not remain readable in the store, for example in
	// another copy that is listed by account.
	ReplaceEvents(ctx context.Context, events ...Event) error
}

// EventDeleter is implemented by a [Store] that can delete old events, which
// [Manager.DeleteEvents] needs. Package storetest tests it as well.
type EventDeleter interface {
	// DeleteEvents deletes all events whose time is before a time, which is in whole
	// seconds, the oldest first, and no others. A cursor remains valid. Events are
	// deleted in steps that are short enough not to delay a Swap. After each step
	// that is stored, deleted, which may be nil, is called with the number of events
	// of this step.
	//
	// After an error, the events of some steps are deleted, and DeleteEvents can be
	// repeated. If the context is already done, the result is an error and nothing
	// changes.
	DeleteEvents(ctx context.Context, before time.Time, deleted func(events int)) error
}

// EraseEvents erases the personal data of a user from all events. Use it if a user
// who was deleted must be forgotten; [ManagedUser.Delete] comes first and leaves the
// events as they are. It returns the number of events that it changed.
//
// Events about the user lose User, IP, Agent, Request and Detail. Those that the
// user caused in accounts and for other members lose Actor.ID and Reason. What
// happened and when, the account and the random ID of the session remain, and
// reasons that others gave. [Manager.VerifyEvents] still finds whether an event was
// changed, added or dropped. An event that did not verify before is erased and
// remains a problem. So does one under a key that is not in the ring. Exports and backups
// are the host's to erase.
//
// It can be repeated, and must be after an error or a crash: it continues with the
// events that still name the user. A user who has a record again, because the same
// ID has signed in, cannot be erased. Nothing records that events were erased,
// except the events themselves.
//
// Only [AsHost] may call it. Errors: [ErrInvalid] for a malformed user ID,
// [ErrNotAllowed] for another actor, if the user has a record, or if the store is no
// [EventReader] and [EventEraser]; [ErrUnavailable].
func (u *ManagedUser) EraseEvents(ctx context.Context) (erased int, err error) {
	reader, readable := u.m.cfg.Store.(EventReader)
	eraser, erasable := u.m.cfg.Store.(EventEraser)
	switch {
	case u.by.kind != actorHost:
		return 0, notAllowed("only AsHost may erase events")
	case !readable || !erasable:
		return 0, notAllowed("Config.Store is no EventReader and EventEraser")
	}
	if err := text.ValidateID("user", u.id); err != nil {
		return 0, invalid("%w", err)
	}
	r, err := u.m.read(ctx, userKey(u.id))
	switch {
	case err != nil:
		return 0, err
	case r.Version != "":
		return 0, notAllowed("user %q has a record; call Delete before EraseEvents", u.id)
	}
	for _, q := range []EventQuery{{User: u.id}, {Actor: u.id}} {
		err := eachPage(ctx, reader, q, func(page []Event) error {
			changed := u.eraseFrom(page)
			if len(changed) == 0 {
				return nil
			}
			if err := u.endNotices(ctx, changed); err != nil {
				return err
			}
			if err := eraser.ReplaceEvents(ctx, changed...); err != nil {
				return unavailable("store", err)
			}
			erased += len(changed)
			return nil
		})
		if err != nil {
			return erased, err
		}
	}
	return erased, nil
}

// eraseFrom returns those of the events that name the user, erased. A member of
// staff may have the same ID.
func (u *ManagedUser) eraseFrom(page []Event) (changed []Event) {
	for _, e := range page {
		about := e.User == u.id
		caused := e.Actor.Kind == actorUser && e.Actor.ID == u.id || about && e.Actor.Kind == ""
		if about || caused {
			u.m.cfg.Keys.erase(&e, about, caused)
			changed = append(changed, e)
		}
	}
	return changed
}

// endNotices ends the notices of erased events that name no user any longer, because
// there is nobody to tell.
func (u *ManagedUser) endNotices(ctx context.Context, erased []Event) error {
	notices, ok := u.m.cfg.Store.(NoticeStore)
	if !ok {
		return nil
	}
	var about []Event
	for _, e := range erased {
		if p, problem := u.m.cfg.Keys.proof(&e); e.User == "" && (p.erased || problem != "") {
			about = append(about, e)
		}
	}
	if err := notices.NoticesDone(ctx, about...); err != nil {
		return unavailable("store", err)
	}
	return nil
}

// eachPage calls f with each page of the events that match a query, oldest first.
func eachPage(ctx context.Context, reader EventReader, q EventQuery, f func([]Event) error) error {
	q.Forward, q.Limit = true, 1000
	for {
		page, err := reader.Events(ctx, q)
		if err != nil {
			return unavailable("store", err)
		}
		if err := f(page.Events); err != nil || page.Next == "" {
			return err
		}
		q.Cursor = page.Next
	}
}

// AuditCutoff says which events [Manager.DeleteEvents] was told to delete.
type AuditCutoff struct {
	Before time.Time // events before this time are deleted; zero if none ever were
	At     time.Time // time at which the latest of these was chosen
	Reason string    // reason of that call
}

const cutoffKey = "audit/cutoff"

// cutoffRecord is the AuditCutoff that is in force.
type cutoffRecord struct {
	seal.Unknown
	Before unixTime
	At     unixTime
	Reason string
}

func (r *cutoffRecord) Fields(c *seal.Codec) {
	seal.Int(c, 4, &r.Before)
	seal.Int(c, 8, &r.At)
	seal.Text(c, 12, &r.Reason)
}

func (r *cutoffRecord) problem() string { return "" }

// DeleteEvents deletes all events before a time, which must be at least 24 hours ago
// and is rounded down to a second, and returns how many. It first stores this time
// in a record of its own, authenticated like all records, so that
// [Manager.VerifyEvents] accepts that older events are missing, and no others. The
// time in the record only moves forward: an earlier one deletes what is left before
// it. The reason of the actor is stored with the time ([AuditReport.Cutoff]).
//
// Deleting can take long. The store deletes in small steps, and servers can run
// meanwhile. Progress, if not nil, is called after each step with the number of
// events so far. After an error or a crash, call it again. A host that deletes
// faster, for example by dropping a partition, drops all events before the time and
// then calls DeleteEvents with the same time: until then, VerifyEvents reports them as
// missing. See [Retention].
//
// Only [AsHost] may call it. A time that comes from a request would let an attacker
// delete the trace of an attack that is a day old. Errors: [ErrInvalid] for a zero
// time or one less than 24 hours ago, [ErrNotAllowed] for another actor or if the
// store is no [EventDeleter], [ErrUnavailable], and a [*RecordError] if the record
// cannot be read; nothing was deleted then.
//
// [Retention]: https://github.com/twofa-go/twofa/blob/main/docs/retention.md
func (m *Manager) DeleteEvents(ctx context.Context, by Actor, before time.Time, progress func(deleted int)) (deleted int, err error) {
	deleter, ok := m.cfg.Store.(EventDeleter)
	switch {
	case by.kind != actorHost:
		return 0, notAllowed("only AsHost may delete events")
	case !ok:
		return 0, notAllowed("Config.Store is no EventDeleter")
	case before.IsZero() || unixTimeOf(before) > m.now().add(-minRetention):
		return 0, invalid("before: must be a time at least %v ago", minRetention)
	}
	before = before.UTC().Truncate(time.Second)
	if err := m.moveCutoff(ctx, unixTimeOf(before), by.reason); err != nil {
		return 0, err
	}
	err = deleter.DeleteEvents(ctx, before, func(events int) {
		deleted += events
		if progress != nil {
			progress(deleted)
		}
	})
	if err != nil {
		return deleted, unavailable("store", err)
	}
	return deleted, nil
}

// moveCutoff stores a cut-off unless a later one is stored. A record that
// an attacker puts back is earlier, so VerifyEvents accepts less because of it.
func (m *Manager) moveCutoff(ctx context.Context, before unixTime, reason string) error {
	return m.retryOnConflict(ctx, nil, func() error {
		var stored cutoffRecord
		r, err := m.get(ctx, cutoffKey, &stored)
		if err != nil || r.Version != "" && stored.Before >= before {
			return err
		}
		stored.Before, stored.At, stored.Reason = before, m.now(), text.Clean(reason, 500)
		return m.write(ctx, cutoffKey, r.Version, &stored, nil)
	})
}

// cutoff returns the cut-off in force. One that cannot be read counts as none, so
// that nothing is accepted because of it.
func (m *Manager) cutoff(ctx context.Context) (c cutoffRecord, readable bool, err error) {
	_, err = m.get(ctx, cutoffKey, &c)
	if _, unreadable := errors.AsType[*RecordError](err); unreadable {
		return cutoffRecord{}, false, nil
	}
	return c, true, err
}
