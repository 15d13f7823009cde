package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/twofa-go/twofa"
)

// follower reads events in the order of their times and sends each page.
type follower struct {
	events twofa.EventReader
	now    func() time.Time
	send   func(context.Context, []twofa.Event) error
	file   string
	at     position
}

// position is how far the events were sent. A cursor is valid for one query only, so
// the query is part of it.
type position struct {
	Since  time.Time `json:"since,omitzero"`  // every event before it was sent
	Until  time.Time `json:"until,omitzero"`  // end of the query that Cursor belongs to
	Cursor string    `json:"cursor,omitzero"` // page of the query that comes next; empty if all of it was sent
}

// settled is how old an event must be before no other can be stored before it; see
// [twofa.EventReader].
const settled = time.Minute

// open reads the position. Without a file, it begins with the first event. A file
// that cannot be read is an error, because the whole log would be sent once more.
func (f *follower) open(file string) error {
	f.file = file
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &f.at)
	}
	if err != nil {
		return fmt.Errorf("cannot read the position: %w", err)
	}
	return nil
}

// run sends all events up to a minute ago, and returns how many. It moves on only
// after the pipeline has accepted a page. If it is killed between that and the write
// of the position, the next run sends the page again.
func (f *follower) run(ctx context.Context) (sent int, err error) {
	for {
		if f.at.Cursor == "" {
			f.at.Until = f.now().Add(-settled).Truncate(time.Second)
		}
		if !f.at.Since.Before(f.at.Until) {
			return sent, nil
		}
		page, err := f.events.Events(ctx, twofa.EventQuery{Since: f.at.Since, Until: f.at.Until, Cursor: f.at.Cursor, Forward: true, Limit: 1000})
		if err != nil {
			return sent, err
		}
		if len(page.Events) > 0 {
			if err := f.send(ctx, page.Events); err != nil {
				return sent, err
			}
		}
		sent += len(page.Events)
		next := position{Since: f.at.Since, Until: f.at.Until, Cursor: page.Next}
		if page.Next == "" {
			next = position{Since: f.at.Until}
		}
		if err := f.save(next); err != nil {
			return sent, err
		}
		if f.at = next; page.Next == "" {
			return sent, nil
		}
	}
}

// save replaces the file as a whole, so that a crash leaves the old or the new one.
func (f *follower) save(p position) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(f.file), ".position-*")
	if err != nil {
		return err
	}
	_, err = part.Write(append(text, '\n'))
	err = cmp.Or(err, part.Sync(), part.Close())
	if err == nil {
		err = os.Rename(part.Name(), f.file)
	}
	if err != nil {
		_ = os.Remove(part.Name())
	}
	return err
}
