package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/twofa-go/twofa"
)

func (s *Store) Events(ctx context.Context, q twofa.EventQuery) (page twofa.EventPage, err error) {
	last, err := hex.DecodeString(q.Cursor)
	if err != nil || len(last) != 0 && len(last) != 16 {
		return page, twofa.ErrInvalid
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(eventBucket).Cursor()
		key, data := c.Seek(last) // the first position that is not before the last page's
		step := c.Next
		if !q.Forward {
			if step = c.Prev; key == nil || len(last) == 0 {
				key, data = c.Last()
			} else {
				key, data = c.Prev()
			}
		} else if bytes.Equal(key, last) {
			key, data = c.Next()
		}
		for ; key != nil && ctx.Err() == nil; key, data = step() {
			var e twofa.Event
			if err := json.Unmarshal(data, &e); err != nil {
				return err
			}
			if !selects(q, e) {
				continue
			}
			if len(page.Events) == min(cmp.Or(max(q.Limit, 0), 100), 1000) {
				page.Next = hex.EncodeToString(last)
				break
			}
			page.Events, last = append(page.Events, e), bytes.Clone(key)
		}
		return ctx.Err()
	})
	return page, err
}

func selects(q twofa.EventQuery, e twofa.Event) bool {
	return (q.User == "" || q.User == e.User) && (q.Account == "" || q.Account == e.Account) &&
		(q.Actor == "" || q.Actor == e.Actor.ID) && (len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) &&
		!e.Time.Before(q.Since) && (q.Until.IsZero() || e.Time.Before(q.Until))
}
