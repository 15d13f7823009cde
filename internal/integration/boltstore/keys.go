package boltstore

import (
	"context"

	"go.etcd.io/bbolt"
)

func (s *Store) Keys(ctx context.Context, after string, limit int) (keys []string, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(recordBucket).Cursor()
		key, _ := c.Seek([]byte(after))
		if string(key) == after {
			key, _ = c.Next()
		}
		for ; key != nil && len(keys) < limit; key, _ = c.Next() {
			keys = append(keys, string(key))
		}
		return ctx.Err()
	})
	return keys, err
}
