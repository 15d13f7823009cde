package eventfile_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/eventfile"
)

var at = time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)

// records returns the rows of a file by the names of its columns.
func records(t *testing.T, file string) (rows []map[string]string) {
	t.Helper()
	all, err := csv.NewReader(strings.NewReader(file)).ReadAll()
	require.NoError(t, err)
	for _, cells := range all[1:] {
		row := map[string]string{}
		for i, name := range all[0] {
			row[name] = cells[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	table := eventfile.NewTable(&b, true, func(users []string) (map[string]string, error) {
		require.Equal(t, []string{"adam", "mia"}, users)
		return map[string]string{"mia": "Mia"}, nil
	})
	require.NoError(t, table.Write([]twofa.Event{
		{ID: "1", Time: at, Type: event.Action, User: "mia", Account: "acme", Session: "s", IP: "192.0.2.1", Agent: "Firefox", Detail: "contacts.export all", After: json.RawMessage(`{"count":1200,"failed":false}`)},
		{ID: "2", Time: at, Type: event.Reset, User: "mia", Actor: twofa.EventActor{Kind: "user", ID: "adam", Role: "admin"}, Reason: "lost", Act: "x"},
	}))
	require.NoError(t, table.Write([]twofa.Event{{ID: "3", Type: event.Policy, Actor: twofa.EventActor{Kind: "staff", ID: "mia"}, After: json.RawMessage(`{"required":true}`)}}))
	rows := records(t, b.String())
	require.Len(t, rows, 3)
	for name, want := range map[string]string{"time": "2026-03-01T09:30:00Z", "type": "action", "user": "mia", "user_name": "Mia", "actor": "", "detail": "contacts.export all", "count": "1200", "failed": "false", "ip": "192.0.2.1", "agent": "Firefox", "account": "acme", "id": "1", "left": ""} {
		require.Equal(t, want, rows[0][name], name)
	}
	require.Equal(t, []string{"user", "adam", "", "admin", "lost", "x"}, []string{rows[1]["actor_kind"], rows[1]["actor"], rows[1]["actor_name"], rows[1]["actor_role"], rows[1]["reason"], rows[1]["act"]})
	require.Equal(t, []string{"", "", `{"required":true}`}, []string{rows[2]["time"], rows[2]["actor_name"], rows[2]["after"]}, "the ID of staff is no user")
	require.True(t, strings.HasPrefix(b.String(), "time,type,user,"))
	require.Equal(t, 4, strings.Count(b.String(), "\r\n"))

	b.Reset()
	require.NoError(t, eventfile.NewTable(&b, false, nil).Write([]twofa.Event{{ID: "4", Type: event.RecoveryUsed, User: "mia"}}), "a file that is continued")
	require.Contains(t, b.String(), ",recovery_used,mia,,")
	require.NotContains(t, b.String(), "actor_kind")
	b.Reset()
	require.NoError(t, eventfile.NewTable(&b, true, nil).Write(nil))
	require.Equal(t, 1, strings.Count(b.String(), "\r\n"), "a file without events has its columns")
	require.ErrorContains(t, eventfile.NewTable(&b, true, func([]string) (map[string]string, error) { return nil, errors.New("down") }).Write([]twofa.Event{{User: "mia"}}), "down")
}

// Whatever users write about themselves stays in its cell and on its line, and is
// neither a formula nor a command to a terminal.
func TestAbuse_Q08_FilesOfEvents(t *testing.T) {
	for _, bad := range []string{"=HYPERLINK(\"http://evil.example\")", "+1", "-1", "@SUM(1)", "\t=1", "\r\n=1", "a\nb", "x;=1", "\x1b[31mred\x1b[0m", "\u202egnp.exe", "\u2066x", "\u2028x", "\xff", "x\u0085y", "\"quoted\", and more", "＝1"} {
		e := twofa.Event{ID: bad, Time: at, Type: event.Action, User: bad, Detail: bad, Reason: bad, IP: bad, Agent: bad, Actor: twofa.EventActor{Kind: "user", ID: bad, Role: bad}, Session: bad, Request: bad, Case: bad, Act: bad, Account: bad}
		var table, lines bytes.Buffer
		names := func([]string) (map[string]string, error) { return map[string]string{bad: bad}, nil }
		require.NoError(t, eventfile.NewTable(&table, true, names).Write([]twofa.Event{e}))
		rows := records(t, table.String())
		require.Len(t, rows, 1, "%q", bad)
		for name, cell := range rows[0] {
			require.NotRegexp(t, `(^|[;,|\t]["\s]*)[=+\-@＝\t\r\n]`, cell, "%s of %q", name, bad)
		}
		require.Equal(t, 2, strings.Count(table.String(), "\n"), "%q", bad)
		require.NoError(t, eventfile.Lines{To: &lines}.Write([]twofa.Event{e}))
		require.Equal(t, 1, strings.Count(lines.String(), "\n"))
		var again twofa.Event
		require.NoError(t, json.Unmarshal(lines.Bytes(), &again))
		require.Equal(t, strings.ToValidUTF8(bad, "\ufffd"), again.Detail, "a line keeps the exact text")
		for _, file := range []string{table.String(), lines.String()} {
			require.NotRegexp(t, "[\x00-\x09\x0b\x0c\x0e-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069\u2028\u2029]", file, "%q", bad)
		}
	}
}

// A file is continued after the last page that was written as a whole.
func TestCopy(t *testing.T) {
	pages := map[string]twofa.EventPage{"": {Events: []twofa.Event{{ID: "1"}}, Next: "a"}, "a": {Next: "b"}, "b": {Events: []twofa.Event{{ID: "2"}, {ID: "3"}}}}
	read := func(q twofa.EventQuery) (twofa.EventPage, error) { return pages[q.Cursor], nil }
	var b bytes.Buffer
	var counts []int
	q := twofa.EventQuery{User: "mia"}
	require.NoError(t, eventfile.Copy(eventfile.Lines{To: &b}, &q, read, func(n int, _ string) { counts = append(counts, n) }))
	require.Equal(t, []int{1, 0, 2}, counts)
	require.Equal(t, 3, strings.Count(b.String(), "\n"))

	q = twofa.EventQuery{}
	down := errors.New("down")
	err := eventfile.Copy(eventfile.Lines{To: &b}, &q, func(q twofa.EventQuery) (twofa.EventPage, error) {
		if q.Cursor == "b" {
			return twofa.EventPage{}, down
		}
		return read(q)
	}, func(int, string) {})
	require.ErrorIs(t, err, down)
	require.Equal(t, "b", q.Cursor)

	err = eventfile.Copy(eventfile.Lines{To: &b}, &q, func(twofa.EventQuery) (twofa.EventPage, error) { return twofa.EventPage{Next: "b"}, nil }, func(int, string) {})
	require.ErrorIs(t, err, eventfile.ErrSamePage)
}
