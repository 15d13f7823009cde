package operate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// settled is how old an event must be before no other can be stored before it; see
// [twofa.EventReader].
const settled = time.Minute

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
	out := bufio.NewWriter(c.Stdout)
	p := c.progress("events", 0)
	written := 0
	for {
		page, err := reader.Events(ctx, q)
		if err != nil {
			p.clear()
			return c.exportStopped(err, q, written)
		}
		for _, e := range page.Events {
			line, err := json.Marshal(e)
			if err != nil {
				return err
			}
			line = append(printable(line), '\n')
			if _, err := out.Write(line); err != nil {
				break // Flush returns it again
			}
		}
		if err := out.Flush(); err != nil {
			p.clear()
			return c.exportStopped(err, q, written)
		}
		written += len(page.Events)
		if page.Next == "" {
			break
		}
		if page.Next == q.Cursor && len(page.Events) == 0 {
			p.clear()
			return errors.New("the store returns the same page again; test it with package storetest")
		}
		q.Cursor = page.Next
		at := "done up to -after " + oneLine(q.Cursor)
		p.show(written, at)
	}
	p.clear()
	fmt.Fprintf(c.Stderr, "%s events. The next export continues with -since %s\n", grouped(written), q.Until.UTC().Format(time.RFC3339))
	return nil
}

// noEvents is the error of a store that cannot list events.
func (c *console) noEvents() error {
	return &refusal{problem: fmt.Sprintf("the store of this product (%T) cannot list its events", c.Store),
		next: "See docs/stores.md: the store must implement twofa.EventReader."}
}

// query returns the query of the flags.
func (c *console) query(now time.Time) (q twofa.EventQuery, err error) {
	o := c.opt
	latest := now.Add(-settled).Truncate(time.Second)
	q = twofa.EventQuery{User: o.user, Account: o.account, Actor: o.actor, Since: o.since.Time, Until: o.until.Time, Forward: true, Cursor: o.after, Limit: 1000}
	for t := range strings.SplitSeq(o.types, ",") {
		if t = strings.TrimSpace(t); t != "" {
			q.Types = append(q.Types, t)
		}
	}
	switch {
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
