package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/eventfile"
)

// export writes events page by page. A page is written as a whole, so that the
// next run continues without a gap or a repetition.
func (c *console) export(ctx context.Context) error {
	reader, ok := c.Store.(twofa.EventReader)
	if !ok {
		return c.noEvents()
	}
	q, err := c.query(time.Now())
	if err != nil {
		return err
	}
	var out eventfile.Writer = eventfile.Lines{To: c.Stdout}
	if c.opt.format == formatCSV {
		out = eventfile.NewTable(c.Stdout, q.Cursor == "", nil)
	}
	p := c.progress("events", 0)
	written := 0
	err = eventfile.Copy(out, &q, func(q twofa.EventQuery) (twofa.EventPage, error) { return reader.Events(ctx, q) }, func(events int, next string) {
		if written += events; next != "" {
			p.show(written, "done up to -after "+oneLine(next))
		}
	})
	p.clear()
	switch {
	case errors.Is(err, eventfile.ErrSamePage):
		return err
	case err != nil:
		return c.exportStopped(err, q, written)
	}
	fmt.Fprintf(c.Stderr, "%s events. The next export continues with -since %s\n", grouped(written), q.Until.UTC().Format(time.RFC3339))
	return nil
}

// Formats of an export.
const (
	formatLines = "jsonl"
	formatCSV   = "csv"
)

// noEvents is the error of a store that cannot list events.
func (c *console) noEvents() error {
	return &refusal{problem: fmt.Sprintf("the store of this product (%T) cannot list its events", c.Store),
		next: "See docs/stores.md: the store must implement twofa.EventReader."}
}

// query returns the query of the flags.
func (c *console) query(now time.Time) (q twofa.EventQuery, err error) {
	o := c.opt
	latest := now.Add(-eventfile.Settled).Truncate(time.Second)
	q = twofa.EventQuery{User: o.user, Account: o.account, Actor: o.actor, Since: o.since.Time, Until: o.until.Time, Forward: true, Cursor: o.after, Limit: eventfile.PageSize}
	for t := range strings.SplitSeq(o.types, ",") {
		if t = strings.TrimSpace(t); t != "" {
			q.Types = append(q.Types, t)
		}
	}
	switch {
	case o.format != formatLines && o.format != formatCSV:
		return q, usagef("-format: must be jsonl or csv, is %.64q", o.format)
	case q.Until.IsZero() && q.Cursor != "":
		return q, usagef("-until: required with -after, with the value of the run that is continued")
	case q.Until.IsZero():
		q.Until = latest
	case q.Until.After(latest):
		return q, usagef("-until: must be at least a minute ago, because an event can be stored up to a minute after its time")
	}
	if q.Since.After(q.Until) {
		return q, usagef("-since: must be before -until")
	}
	return q, nil
}

// exportStopped returns the error of an export that did not reach the end, with the
// command that continues it.
func (c *console) exportStopped(err error, q twofa.EventQuery, written int) error {
	if errors.Is(err, twofa.ErrInvalid) {
		return usagef("-after: %v", err)
	}
	problem := err.Error()
	if errors.Is(err, context.Canceled) {
		problem = "interrupted"
	}
	args := []string{"export"}
	if c.opt.format != formatLines {
		args = append(args, "-format", c.opt.format)
	}
	for _, f := range [][2]string{
		{"-user", q.User}, {"-account", q.Account}, {"-actor", q.Actor}, {"-type", strings.Join(q.Types, ",")},
		{"-since", (&instant{q.Since}).String()}, {"-until", (&instant{q.Until}).String()}, {"-after", q.Cursor},
	} {
		if f[1] != "" {
			args = append(args, f[:]...)
		}
	}
	return &refusal{problem: fmt.Sprintf("%s, after %s events", problem, grouped(written)), cause: err,
		next: "To continue, append the output of:\n  " + oneLine(commandLine(c.name, args...))}
}
