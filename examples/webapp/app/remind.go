package app

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/twofa-go/twofa"
)

// Remind mails members who must soon have set up a second factor, and tells
// admins how many. Call it once a day. An error in one account does not keep the
// others from their reminders.
func (a *App) Remind(ctx context.Context) error {
	var errs []error
	for account, err := range a.db.ids(ctx, `SELECT id FROM accounts ORDER BY id`) {
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		members := a.db.ids(ctx, `SELECT user_id FROM members WHERE account_id = $1 ORDER BY user_id`, account)
		done, err := a.twofa.Account(twofa.AsHost("daily reminders"), account).Remind(ctx, members)
		if err != nil {
			errs = append(errs, fmt.Errorf("account %q: %w", account, err))
		}
		if missed := done.Failed + done.NoAddress + done.Unreadable; missed > 0 {
			a.log.WarnContext(ctx, "members not reminded", "account", account, "count", missed)
		}
	}
	return errors.Join(errs...)
}

// ids returns the IDs that a query finds. It reads them all first, because the
// caller may take long for each.
func (s store) ids(ctx context.Context, query string, args ...any) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		all, err := s.readIDs(ctx, query, args...)
		if err != nil {
			yield("", err)
			return
		}
		for _, id := range all {
			if !yield(id, nil) {
				return
			}
		}
	}
}

func (s store) readIDs(ctx context.Context, query string, args ...any) (all []string, err error) {
	rows, err := s.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		all = append(all, id)
	}
	return all, rows.Err()
}
