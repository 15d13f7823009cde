package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/twofa-go/twofa"
)

var noticeBucket = []byte("twofa_notices") // position of an event: Unix seconds until which its notice is claimed

func claim(tx *bbolt.Tx, position []byte, until time.Time) error {
	return tx.Bucket(noticeBucket).Put(position, binary.BigEndian.AppendUint64(nil, uint64(until.Unix())))
}

func (s *Store) ClaimNotices(ctx context.Context, now, until time.Time, limit int) (claimed []twofa.Event, err error) {
	err = s.db.Update(func(tx *bbolt.Tx) error {
		type notice struct {
			position []byte
			until    int64
		}
		var free []notice
		_ = tx.Bucket(noticeBucket).ForEach(func(position, value []byte) error {
			if ends := int64(binary.BigEndian.Uint64(value)); ends <= now.Unix() {
				free = append(free, notice{bytes.Clone(position), ends})
			}
			return nil
		})
		slices.SortStableFunc(free, func(a, b notice) int { return cmp.Compare(a.until, b.until) })
		for _, n := range free[:min(len(free), limit)] {
			var e twofa.Event
			if err := json.Unmarshal(tx.Bucket(eventBucket).Get(n.position), &e); err != nil {
				return err
			}
			if err := claim(tx, n.position, until); err != nil {
				return err
			}
			claimed = append(claimed, e)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err // nothing was claimed
	}
	return claimed, nil
}

func (s *Store) DelayNotices(ctx context.Context, until time.Time, events ...twofa.Event) error {
	return s.eachNotice(ctx, events, func(tx *bbolt.Tx, position []byte) error { return claim(tx, position, until) })
}

func (s *Store) NoticesDone(ctx context.Context, events ...twofa.Event) error {
	return s.eachNotice(ctx, events, func(tx *bbolt.Tx, position []byte) error { return tx.Bucket(noticeBucket).Delete(position) })
}

// eachNotice calls f for each event whose notice is not done. Its position begins with its time.
func (s *Store) eachNotice(ctx context.Context, events []twofa.Event, f func(tx *bbolt.Tx, position []byte) error) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, e := range events {
			second := position(e.Time.Unix(), 0)[:8]
			var found []byte
			c := tx.Bucket(noticeBucket).Cursor()
			for key, _ := c.Seek(second); bytes.HasPrefix(key, second); key, _ = c.Next() {
				var stored twofa.Event
				if err := json.Unmarshal(tx.Bucket(eventBucket).Get(key), &stored); err != nil {
					return err
				}
				if stored.ID == e.ID {
					found = bytes.Clone(key)
				}
			}
			if found != nil {
				if err := f(tx, found); err != nil {
					return err
				}
			}
		}
		return ctx.Err()
	})
}
