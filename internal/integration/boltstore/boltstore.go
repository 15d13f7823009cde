// Package boltstore is the store of docs/stores.md, which a test compares with it.
package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/twofa-go/twofa"
)

type Store struct{ db *bbolt.DB }

var (
	recordBucket = []byte("twofa_records") // key: version, newline, data
	eventBucket  = []byte("twofa_events")  // time and number: JSON
	newline      = []byte("\n")
)

func New(db *bbolt.DB) (*Store, error) {
	return &Store{db}, db.Update(func(tx *bbolt.Tx) error {
		_, err1 := tx.CreateBucketIfNotExists(recordBucket)
		_, err2 := tx.CreateBucketIfNotExists(eventBucket)
		_, err3 := tx.CreateBucketIfNotExists(noticeBucket)
		return errors.Join(err1, err2, err3)
	})
}

func (s *Store) Get(ctx context.Context, keys ...string) (found []twofa.Record, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		for _, key := range keys {
			if value := tx.Bucket(recordBucket).Get([]byte(key)); value != nil {
				version, data, _ := bytes.Cut(value, newline)
				// data is memory of the database, which it uses for something else later.
				found = append(found, twofa.Record{Key: key, Version: string(version), Data: bytes.Clone(data)})
			}
		}
		return ctx.Err()
	})
	return found, err
}

func (s *Store) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	return s.db.Update(func(tx *bbolt.Tx) error { // the only writer; commits if the function returns nil
		bucket, key := tx.Bucket(recordBucket), []byte(next.Key)
		stored, _, _ := bytes.Cut(bucket.Get(key), newline) // empty if there is no record
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case string(stored) == next.Version:
			return nil // this Swap was made before, with its events
		case string(stored) != prev:
			return twofa.ErrConflict
		}
		err := bucket.Delete(key)
		if next.Version != "" {
			err = bucket.Put(key, slices.Concat([]byte(next.Version), newline, next.Data))
		}
		for _, e := range events {
			number, _ := tx.Bucket(eventBucket).NextSequence()
			data, failed := json.Marshal(e)
			at := position(e.Time.Unix(), number)
			if err = errors.Join(err, failed, tx.Bucket(eventBucket).Put(at, data)); e.Notice {
				err = errors.Join(err, claim(tx, at, e.Time.Add(twofa.NoticeClaim)))
			}
		}
		return err
	})
}

// position is where an event is in the order of all events. Negative times come first.
func position(seconds int64, number uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(seconds)^1<<63), number)
}
