package twofa

import (
	"context"
	"slices"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// Events returns a page of the events of the account: those that happened in it,
// also to users who have left it. q.Account must be empty or the ID of the account.
// Events that belong to no account, such as a reset by support, are not among them.
//
// An [AsUser] actor must be an admin or an owner. Such a reader learns nothing that
// is private to others: [Event.Detail] only of events about actions, and neither ID
// nor reason of staff and of the host. [AsStaff] and [AsHost] read whole events.
//
// [EventPage.Next] is sealed. It works as q.Cursor on every server, but only for the
// same account. Events that do not match the query are dropped even if the store
// returns them, so a page can have fewer events than q.Limit although more follow.
// For an export, read forward up to a minute ago; see [EventReader].
//
// Errors: [ErrInvalid] for a malformed query, [ErrNotAllowed] if the store is no
// [EventReader] or the actor is empty, [*DeniedError], [ErrUnavailable].
func (a *Account) Events(ctx context.Context, q EventQuery) (EventPage, error) {
	if _, err := a.authorize(ctx, act{needs: RoleAdmin}); err != nil {
		return EventPage{}, err
	}
	if q.Account != "" && q.Account != a.id {
		return EventPage{}, invalid("EventQuery.Account: must be empty or %q", a.id)
	}
	q.Account = a.id
	show := func(e Event) (Event, bool) { return e, true }
	if a.by.kind == actorUser {
		show = func(e Event) (Event, bool) { return e.forAdmin(), true }
	}
	return a.m.readEvents(ctx, accountKey(a.id), q, show)
}

// Activity returns a page of the user's own events: those in the account of the
// session, those that belong to no account, and of other accounts only that the
// factors changed, because all accounts share them. q.User must be empty or the ID
// of the user, and q.Account empty or that of the account.
//
// The reader does not learn the reason of an admin, nor ID and reason of staff and
// of the host. For pages and errors, see [Account.Events]. Activity also returns the
// errors of [Manager.Check].
func (m *Manager) Activity(ctx context.Context, c Caller, q EventQuery) (EventPage, error) {
	t, _, err := m.loadSession(ctx, c)
	if err != nil {
		return EventPage{}, err
	}
	if q.User != "" && q.User != t.user || q.Account != "" && q.Account != t.account {
		return EventPage{}, invalid("EventQuery: User and Account must be empty or those of the session")
	}
	q.User = t.user
	return m.readEvents(ctx, userKey(t.user)+"\n"+t.account, q, func(e Event) (Event, bool) { return e.forUser(t.account) })
}

// Names returns the names of those of the users who are members of the account, for
// a page that lists events. A name may be empty, and contains no control characters.
// An [AsUser] actor must be an admin or an owner.
//
// Errors: [ErrInvalid] for more than 1,000 users, [ErrNotAllowed], [*DeniedError],
// [ErrUnavailable].
func (a *Account) Names(ctx context.Context, users ...string) (map[string]string, error) {
	if len(users) > maxMembersAtOnce {
		return nil, invalid("users: must be at most %d, are %d", maxMembersAtOnce, len(users))
	}
	if _, err := a.authorize(ctx, act{needs: RoleAdmin}); err != nil || len(users) == 0 {
		return nil, err
	}
	members, err := a.m.membersOf(ctx, a.id, users...)
	names := make(map[string]string, len(members))
	for _, u := range members {
		names[u.ID] = text.Clean(u.Name, maxUserName)
	}
	return names, err
}

// readEvents reads a page of events. scope is what a cursor is bound to.
func (m *Manager) readEvents(ctx context.Context, scope string, q EventQuery, show func(Event) (Event, bool)) (EventPage, error) {
	reader, ok := m.cfg.Store.(EventReader)
	if !ok {
		return EventPage{}, notAllowed("Config.Store is no EventReader")
	}
	if len(q.Types) > maxEventTypes {
		return EventPage{}, invalid("EventQuery.Types: must be at most %d, are %d", maxEventTypes, len(q.Types))
	}
	if q.Cursor != "" {
		var c eventCursor
		if err := m.cfg.Keys.openToken(cursorFormat, NewSecret(q.Cursor), maxToken, &c); err != nil || c.scope != scope {
			return EventPage{}, invalid("EventQuery.Cursor: must be EventPage.Next of an earlier page of the same log")
		}
		q.Cursor = c.cursor
	}
	page, err := reader.Events(ctx, q)
	if err != nil {
		return EventPage{}, unavailable("store", err)
	}
	shown := make([]Event, 0, len(page.Events))
	for _, e := range page.Events {
		if e, ok := show(e); ok && q.matches(e) { // a query must not find what is not shown
			shown = append(shown, e)
		}
	}
	page.Events = shown
	if page.Next != "" {
		page.Next = m.cfg.Keys.sealToken(cursorFormat, &eventCursor{scope: scope, cursor: page.Next}).Reveal()
	}
	return page, nil
}

// matches reports whether an event is one that a query asks for.
func (q EventQuery) matches(e Event) bool {
	return (q.User == "" || e.User == q.User) && (q.Account == "" || e.Account == q.Account) && (q.Actor == "" || e.Actor.ID == q.Actor) &&
		(len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
		(q.Since.IsZero() || !e.Time.Before(q.Since)) && (q.Until.IsZero() || e.Time.Before(q.Until))
}

// forAdmin returns what an admin may read of an event.
func (e Event) forAdmin() Event {
	switch e.Type {
	case event.StepUp, event.ActionUsed, event.Action, event.AdminAct, event.Login:
	default:
		e.Detail = "" // names of devices, and addresses
	}
	return e.withoutStaff()
}

// forUser returns what the user whom an event is about may read of it in a session
// of an account, and whether that is anything.
func (e Event) forUser(account string) (Event, bool) {
	if e.Account != "" && e.Account != account {
		return Event{ID: e.ID, Seq: e.Seq, Time: e.Time, Type: e.Type, Method: e.Method, User: e.User}, ofFactors[e.Type]
	}
	if e.Actor.Kind == actorUser {
		e.Reason = ""
	}
	return e.withoutStaff(), true
}

// withoutStaff returns an event without who acted for the product, and why.
func (e Event) withoutStaff() Event {
	e.MAC = nil
	if e.Actor.Kind == actorStaff || e.Actor.Kind == actorHost {
		e.Actor.ID, e.Reason = "", ""
	}
	return e
}

// ofFactors are the types of events that concern all accounts of a user.
var ofFactors = map[string]bool{
	event.Enrolled: true, event.Imported: true, event.Replaced: true, event.Removed: true, event.TurnedOff: true,
	event.CodesGenerated: true, event.CodesViewed: true, event.RecoveryUsed: true, event.Locked: true, event.Disabled: true,
	event.Revoked: true, event.Reset: true, event.Lost: true, event.LostCleared: true,
}

// cursorFormat is the number of the way cursors of events are sealed.
const cursorFormat = "cursor 1"

// eventCursor is the content of a sealed cursor. An open one would say how many
// events the store has of all accounts.
type eventCursor struct {
	seal.Unknown
	scope  string
	cursor string
}

func (e *eventCursor) Fields(c *seal.Codec) {
	seal.Text(c, 5, &e.scope)
	seal.Text(c, 9, &e.cursor)
}
