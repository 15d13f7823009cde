package operate

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/twofatest"
)

// logged stores n events, one a minute until an hour before harness.Start.
func (p *product) logged(n int) (ids []string) {
	p.t.Helper()
	for i := range n {
		e := twofa.Event{ID: fmt.Sprint("e", i), Seq: 1, Time: time.Date(2026, 3, 1, 0, i, 0, 0, time.UTC), Type: event.Login, User: fmt.Sprint("u", i%2),
			Account: "acme", Agent: "x\u009b", Before: json.RawMessage(`{"a":1}`)}
		require.NoError(p.t, p.store.Swap(p.t.Context(), "", twofa.Record{Key: "user/" + e.ID, Version: "v"}, e))
		ids = append(ids, e.ID)
	}
	return ids
}

// idsOf returns the IDs of events in lines of JSON.
func idsOf(t *testing.T, lines string) (ids []string) {
	t.Helper()
	require.True(t, lines == "" || strings.HasSuffix(lines, "\n"))
	for line := range strings.Lines(lines) {
		var e twofa.Event
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		ids = append(ids, e.ID)
	}
	return ids
}

func TestExport(t *testing.T) {
	p := newProduct(t)
	all := p.logged(2500)
	exit, stdout, stderr := p.run("export", "-until", "2026-03-03")
	require.Equal(t, exitDone, exit)
	require.Equal(t, all, idsOf(t, stdout), "oldest first")
	require.Equal(t, "2,500 events. The next export continues with -since 2026-03-03T00:00:00Z\n", stderr)
	require.Contains(t, stdout, `"agent":"x\u009b"`)

	require.Equal(t, all[60:120], idsOf(t, p.must("export", "-since", "2026-03-01T01:00:00Z", "-until", "2026-03-01T03:00:00+01:00")))
	require.Len(t, idsOf(t, p.must("export", "-until", "2026-03-03", "-user", "u1", "-account", "acme", "-type", "login, failed")), 1250)
	for _, none := range [][]string{{"-account", "beta"}, {"-actor", "sam"}, {"-type", "reset"}} {
		require.Empty(t, p.must(append([]string{"export", "-until", "2026-03-03"}, none...)...))
	}
}

// Without -until, an export ends a minute ago, and the next one continues there.
func TestExport_EndsAMinuteAgo(t *testing.T) {
	p := newProduct(t)
	now := time.Now()
	for i, at := range []time.Time{now.Add(-time.Hour), now} {
		e := twofa.Event{ID: fmt.Sprint("e", i), Time: at.UTC().Truncate(time.Second), Type: event.Login}
		require.NoError(t, p.store.Swap(t.Context(), "", twofa.Record{Key: "user/" + e.ID, Version: "v"}, e))
	}
	_, stdout, stderr := p.run("export")
	require.Equal(t, []string{"e0"}, idsOf(t, stdout))
	since := regexp.MustCompile(`-since (\S+)`).FindStringSubmatch(stderr)
	require.NotNil(t, since)
	next, err := time.Parse(time.RFC3339, since[1])
	require.NoError(t, err)
	require.WithinRange(t, next, now.Add(-2*time.Minute), time.Now().Add(-time.Minute))
}

// reader is a store of events that does something before each page.
type reader struct {
	twofa.Store
	events twofa.EventReader
	before func() error
}

func (r *reader) Events(ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
	if err := r.before(); err != nil {
		return twofa.EventPage{}, err
	}
	return r.events.Events(ctx, q)
}

// An export that is interrupted, or whose store fails, prints a command that
// continues it without a gap or a repetition.
func TestExport_Continued(t *testing.T) {
	p := newProduct(t)
	all := p.logged(4500)
	for _, failure := range []error{nil, errors.New("connection reset")} {
		ctx, interrupt := context.WithCancel(t.Context())
		pages := 0
		p.cfg.Store = &reader{p.store, p.store, func() error {
			if pages++; pages != 3 {
				return nil
			}
			interrupt()
			return failure
		}}
		var first, errs bytes.Buffer
		p.cfg.Stdout, p.cfg.Stderr = &first, &errs
		require.Equal(t, exitFailed, Main(ctx, p.cfg, []string{"export", "-account", "acme", "-type", "login", "-since", "2026-03-01", "-until", "2026-03-05"}))
		next := regexp.MustCompile(`, after 2,000 events\nTo continue, append the output of:\n  acme operate (.*)\n`).FindStringSubmatch(errs.String())
		require.NotNil(t, next, errs.String())
		require.Len(t, idsOf(t, first.String()), 2000)
		require.True(t, strings.HasPrefix(next[1], "export -account acme -type login -since 2026-03-01T00:00:00Z -until 2026-03-05T00:00:00Z -after "), next[1])
		p.cfg.Store = p.store
		require.Equal(t, all, idsOf(t, first.String()+p.must(strings.Fields(next[1])...)))
	}
}

// With -format csv, an export is a table, also if it is continued.
func TestExport_CSV(t *testing.T) {
	p := newProduct(t)
	all := p.logged(2500)
	ctx, interrupt := context.WithCancel(t.Context())
	pages := 0
	p.cfg.Store = &reader{p.store, p.store, func() error {
		if pages++; pages == 2 {
			interrupt()
		}
		return nil
	}}
	var first, errs bytes.Buffer
	p.cfg.Stdout, p.cfg.Stderr = &first, &errs
	require.Equal(t, exitFailed, Main(ctx, p.cfg, []string{"export", "-format", "csv", "-until", "2026-03-05"}))
	next := regexp.MustCompile(`  acme operate (export -format csv .*)\n`).FindStringSubmatch(errs.String())
	require.NotNil(t, next, errs.String())
	p.cfg.Store = p.store
	rows, err := csv.NewReader(strings.NewReader(first.String() + p.must(strings.Fields(next[1])...))).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2501, "one head")
	id := slices.Index(rows[0], "id")
	for i, row := range rows[1:] {
		require.Equal(t, all[i], row[id])
	}
	p.refused(exitUsage, "-format: must be jsonl or csv", "export", "-format", "xml")
}

// An export whose output is full fails.
func TestExport_OutputFails(t *testing.T) {
	p := newProduct(t)
	p.logged(10)
	var errs bytes.Buffer
	r, w := io.Pipe()
	require.NoError(t, r.CloseWithError(errors.New("no space left on device")))
	p.cfg.Stdout, p.cfg.Stderr = w, &errs
	require.Equal(t, exitFailed, Main(t.Context(), p.cfg, []string{"export", "-until", "2026-03-03"}))
	require.Contains(t, errs.String(), "no space left on device, after 0 events")
}

func TestExport_Progress(t *testing.T) {
	p := newProduct(t)
	p.logged(2500)
	p.cfg.every = 1
	_, _, stderr := p.run("export", "-until", "2026-03-03")
	require.Regexp(t, `(?m)^1,000 events, [\d,]+ a second, done up to -after \S+$`, stderr)
}

func TestVerify(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	for range 3 {
		p.must("revoke", "ada", "-by", "sam", "-reason", "x")
	}
	p.clock.Add(time.Hour)
	require.Regexp(t, `^Events +4\nUsers and accounts +1\nProblems +0\n$`, p.must("verify"))

	forged := twofa.Event{ID: "forged\x1b[2J", Seq: 9, Time: p.clock.Now().Add(-10 * time.Minute), Type: event.Login, User: "ada"}
	require.NoError(t, p.store.Swap(t.Context(), "", twofa.Record{Key: "user/x", Version: "v"}, forged))
	exit, stdout, stderr := p.run("verify")
	require.Equal(t, exitFailed, exit)
	require.Regexp(t, `\nPROBLEM +USER +ACCOUNT +NUMBER +EVENT +MEANING\n`, stdout)
	require.Regexp(t, `unsigned +ada +- +9 +forged\[2J +the event was not written by the library\n`, stdout)
	require.Contains(t, stderr, "acme operate verify: problems with the events: ")
	var printed struct {
		Events   int
		Problems []struct{ Kind, User, Event string }
	}
	_, stdout, _ = p.run("verify", "-json")
	require.NoError(t, json.Unmarshal([]byte(stdout), &printed))
	require.Equal(t, 5, printed.Events)
	require.Equal(t, "unsigned", printed.Problems[0].Kind)

	for _, kind := range []twofa.AuditProblemKind{twofa.AuditChanged, twofa.AuditUnsigned, twofa.AuditRepeated, twofa.AuditMissing, twofa.AuditCut, twofa.AuditNoRecord} {
		require.NotEmpty(t, auditMeaning[kind], kind)
	}
}

func TestVerify_StoreFails(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	broken := &reader{p.store, p.store, func() error { return errors.New("connection reset") }}
	p.cfg.Store, p.cfg.Manager = broken, p.manager(broken, twofatest.KeyRing(t, "operate"))
	p.refused(exitFailed, "connection reset", "verify")
	p.cfg.Store = struct{ twofa.Store }{p.store}
	p.refused(exitFailed, "cannot list its events", "verify")
}
