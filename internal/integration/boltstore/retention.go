package boltstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"go.etcd.io/bbolt"

	"github.com/twofa-go/twofa"
)

func (s *Store) ReplaceEvents(ctx context.Context, events ...twofa.Event) error {
	return s.db.Update(func(tx *bbolt.Tx) (err error) {
		for _, e := range events {
			data, failed := json.Marshal(e)
			err = errors.Join(err, failed)
			for _, key := range keysBetween(tx, e.Time.Unix(), e.Time.Unix()+1, -1) {
				var stored twofa.Event
				failed := json.Unmarshal(tx.Bucket(eventBucket).Get(key), &stored)
				if stored.ID == e.ID {
					failed = tx.Bucket(eventBucket).Put(key, data)
				}
				err = errors.Join(err, failed)
			}
		}
		return errors.Join(err, ctx.Err())
	})
}

func (s *Store) DeleteEvents(ctx context.Context, before time.Time, deleted func(events int)) error {
	for {
		n := 0
		err := s.db.Update(func(tx *bbolt.Tx) (err error) {
			for _, key := range keysBetween(tx, -1<<62, before.Unix(), 1000) { // others can write between two steps
				err = errors.Join(err, tx.Bucket(eventBucket).Delete(key), tx.Bucket(noticeBucket).Delete(key))
				n++
			}
			return errors.Join(err, ctx.Err())
		})
		if err != nil || n == 0 {
			return err
		}
		if deleted != nil {
			deleted(n)
		}
	}
}

// keysBetween returns the keys of events from one second until before another one, at
// most limit if that is positive.
func keysBetween(tx *bbolt.Tx, from, until int64, limit int) (keys [][]byte) {
	c, end := tx.Bucket(eventBucket).Cursor(), position(until, 0)
	for key, _ := c.Seek(position(from, 0)); key != nil && bytes.Compare(key, end) < 0 && len(keys) != limit; key, _ = c.Next() {
		keys = append(keys, bytes.Clone(key))
	}
	return keys
}
