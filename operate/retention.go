package operate

import (
	"context"
	"errors"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/text"
)

// eraseEvents erases a user from events. Neither the directory nor the store knows
// the user any longer, so that a mistyped ID shows only in the number of events.
func (c *console) eraseEvents(ctx context.Context) error {
	id := c.opt.operands[0]
	if err := text.ValidateID("user", id); err != nil {
		return usagef("USER: %v", err)
	}
	p := person{User: twofa.User{ID: id}}
	users, err := c.Directory.Users(ctx, id)
	switch {
	case err != nil:
		return &refusal{problem: "it is not known whether user " + p.label() + " is still in the product", cause: err,
			next: "Run the command again when the directory can be read. Nothing was changed."}
	case len(users) > 0:
		return &refusal{problem: "user " + p.label() + " is still in the product", next: "Delete the user there first. Nothing was changed."}
	}
	if err := c.confirm(ctx, p, "This erases the personal data of the user from all events."); err != nil {
		return err
	}
	erased, err := c.Manager.User(twofa.AsHost("operate"), id).EraseEvents(ctx)
	switch {
	case errors.Is(err, twofa.ErrNotAllowed):
		return &refusal{problem: err.Error(), next: "If the user has a record, run \"erase\" first. Nothing was changed.", cause: err}
	case err != nil && erased > 0:
		return &refusal{problem: err.Error() + ", after " + grouped(erased) + " events", next: "Run the command again. It continues with the others.", cause: err}
	case err != nil:
		return c.explain(err)
	}
	return c.done(p, "The personal data of user %s is erased from events: %s.", p.label(), grouped(erased))
}

// deleteEvents deletes old events.
func (c *console) deleteEvents(ctx context.Context) error {
	before := c.opt.before.Time
	if before.IsZero() {
		return usagef("-before: required: the time from which on events are kept")
	}
	day := before.UTC().Format(time.DateOnly)
	if err := c.confirmWord(ctx, "This deletes all events before "+before.UTC().Format(time.RFC3339)+".", "the date "+day, day); err != nil {
		return err
	}
	p := c.progress("events deleted", 0)
	deleted, err := c.Manager.DeleteEvents(ctx, c.asHost(), before, func(events int) { p.show(events, "") })
	p.clear()
	switch {
	case errors.Is(err, twofa.ErrInvalid):
		return usagef("-before: must be at least 24 hours ago, is %s", before.UTC().Format(time.RFC3339))
	case err != nil && deleted > 0:
		return &refusal{problem: err.Error() + ", after " + grouped(deleted) + " events", next: "Run the command again. It continues with the others.", cause: err}
	case err != nil:
		return c.explain(err)
	}
	return c.done(person{}, "Events before %s are deleted: %s.", before.UTC().Format(time.RFC3339), grouped(deleted))
}
