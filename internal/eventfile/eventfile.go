// Package eventfile writes events to files: as JSON lines, or as a table for
// spreadsheets. It is the only place that does so.
package eventfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/sheet"
	"github.com/twofa-go/twofa/internal/text"
)

// Settled is how old an event must be before no other can be stored before it; see
// [twofa.EventReader].
const Settled = time.Minute

// PageSize is how many events are read, and in memory, at once.
const PageSize = 1000

// ErrSamePage means that a store does not get to an end.
var ErrSamePage = errors.New("the store returns the same page again; test it with package storetest")

// Writer writes the events of a page. When it returns nil, the page is written as a
// whole.
type Writer interface {
	Write(events []twofa.Event) error
}

// Copy writes all pages of a query. After each, it calls wrote with the number of its
// events, and with the cursor of the next page if there is one. If Copy returns an
// error, q continues after the last page that was written.
func Copy(to Writer, q *twofa.EventQuery, read func(twofa.EventQuery) (twofa.EventPage, error), wrote func(events int, next string)) error {
	for {
		page, err := read(*q)
		if err == nil {
			err = to.Write(page.Events)
		}
		if err != nil {
			return err
		}
		wrote(len(page.Events), page.Next)
		switch {
		case page.Next == "":
			return nil
		case page.Next == q.Cursor && len(page.Events) == 0:
			return ErrSamePage
		}
		q.Cursor = page.Next
	}
}

// Lines writes one JSON object a line.
type Lines struct{ To io.Writer }

// Write implements Writer.
func (l Lines) Write(events []twofa.Event) error {
	var page bytes.Buffer
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		page.Write(text.PrintableJSON(line))
		page.WriteByte('\n')
	}
	_, err := l.To.Write(page.Bytes())
	return err
}

// Table writes one row for each event. Create one with [NewTable].
type Table struct {
	rows  *sheet.Writer
	begun bool
	names func(users []string) (map[string]string, error)
}

// columns are the columns of a Table, which docs/admins.md explains.
var columns = []string{"time", "type", "user", "user_name", "actor_kind", "actor", "actor_name", "actor_role", "method", "detail", "count", "failed",
	"before", "after", "left", "ip", "agent", "reason", "account", "session", "request", "case", "act", "id"}

// NewTable returns a Table. If header is true, it begins with the names of the
// columns. names returns the names of users; if it is nil, the file has none.
func NewTable(w io.Writer, header bool, names func(users []string) (map[string]string, error)) *Table {
	return &Table{sheet.NewWriter(w), !header, names}
}

// Write implements Writer.
func (t *Table) Write(events []twofa.Event) (err error) {
	if !t.begun {
		t.begun = true
		t.rows.Write(columns...)
	}
	var names map[string]string
	if users := Users(events); t.names != nil && len(users) > 0 {
		if names, err = t.names(users); err != nil {
			return err
		}
	}
	for _, e := range events {
		t.rows.Write(row(e, names)...)
	}
	return t.rows.Flush()
}

// Users returns the IDs of the users in events, each once, sorted.
func Users(events []twofa.Event) (users []string) {
	for _, e := range events {
		users = append(users, e.User)
		if e.Actor.Kind == "user" {
			users = append(users, e.Actor.ID)
		}
	}
	slices.Sort(users)
	return slices.DeleteFunc(slices.Compact(users), func(id string) bool { return id == "" })
}

// row returns the cells of an event. They are cleaned once more, because a store may
// contain events of others.
func row(e twofa.Event, names map[string]string) []string {
	actorName, left, count, failed := "", "", "", ""
	if e.Actor.Kind == "user" {
		actorName = names[e.Actor.ID]
	}
	if e.Left != 0 || e.Type == event.RecoveryUsed {
		left = strconv.Itoa(e.Left)
	}
	if r, ok := ResultOf(e); ok {
		count, failed = strconv.Itoa(r.Count), strconv.FormatBool(r.Failed)
	}
	cells := []string{sheet.Time(e.Time), e.Type, e.User, names[e.User], e.Actor.Kind, e.Actor.ID, actorName, e.Actor.Role, string(e.Method), e.Detail, count, failed,
		string(e.Before), string(e.After), left, e.IP, e.Agent, e.Reason, e.Account, e.Session, e.Request, e.Case, e.Act, e.ID}
	for i, cell := range cells {
		cells[i] = text.Clean(strings.ToValidUTF8(cell, ""), maxCell)
	}
	return cells
}

// maxCell is more bytes than any field of an event has.
const maxCell = 64 << 10

// Result is how an action of the host has ended.
type Result struct {
	Count  int  `json:"count"`
	Failed bool `json:"failed"`
}

// ResultOf returns the result of an event about an action, and whether it has one.
func ResultOf(e twofa.Event) (r Result, ok bool) {
	if e.Type != event.Action {
		return r, false
	}
	return r, json.Unmarshal(e.After, &r) == nil
}
