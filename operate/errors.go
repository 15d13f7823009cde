package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/text"
)

// usageError says which argument is wrong.
type usageError struct{ problem string }

func (e *usageError) Error() string { return e.problem }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// refusal is an error that says what to do next.
type refusal struct {
	problem string
	next    string // what to do; may be empty
	cause   error  // may be nil
}

func (e *refusal) Error() string { return e.problem }
func (e *refusal) Unwrap() error { return e.cause }

// fail prints an error and returns the exit code. Nothing is printed that could
// control the terminal, because the error may quote what a user has typed.
func (c *console) fail(err error) (exit int) {
	exit = exitFailed
	where := c.name
	if c.cmd.name != "" {
		where += " " + c.cmd.name
	}
	next := ""
	if e, ok := errors.AsType[*refusal](err); ok {
		next = e.next
	} else if _, ok := errors.AsType[*usageError](err); ok {
		exit = exitUsage
		next = "Run \"" + strings.Join(append(strings.Fields(c.name), "help"), " ") + "\" for help."
		if c.cmd.name != "" {
			next = "Run \"" + c.name + " help " + c.cmd.name + "\" for help."
		}
	}
	fmt.Fprintf(c.Stderr, "%s: %s\n", where, oneLine(err.Error()))
	if next != "" {
		fmt.Fprintln(c.Stderr, next)
	}
	return exit
}

// oneLine returns text that can be printed to a terminal.
func oneLine(s string) string {
	return text.Clean(strings.ReplaceAll(s, "\n", "; "), 2000)
}

// explain returns an error of the Manager or the store with what to do next.
func (c *console) explain(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*refusal](err); ok {
		return err
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return err
	}
	r := &refusal{problem: err.Error(), cause: err}
	switch {
	case isUnreadable(err):
		r.next = "Run this program with the same keys and the same release as the servers. If a key is lost for good, or the record is damaged, " +
			"\"erase\" deletes the record, and the user enrolls again."
	case errors.Is(err, context.Canceled):
		r.problem = "interrupted"
		r.next = c.again()
	case errors.Is(err, twofa.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		r.next = "Check the database, the network and the settings of this program. " + c.again()
	case errors.Is(err, twofa.ErrInvalid):
		return usagef("%v", err)
	}
	return r
}

// again says whether the command can be repeated.
func (c *console) again() string {
	if c.cmd.acts {
		return "It is not known whether the change was made. Run the command again: to repeat it does no harm."
	}
	return "Nothing was changed. Run the command again."
}

func isUnreadable(err error) bool {
	_, ok := errors.AsType[*twofa.RecordError](err)
	return ok
}

// waitOf returns a duration in words, rounded up.
func waitOf(d time.Duration) string {
	for _, unit := range []struct {
		length time.Duration
		name   string
	}{{24 * time.Hour, "days"}, {time.Hour, "hours"}, {time.Minute, "minutes"}} {
		if d >= 2*unit.length {
			return fmt.Sprintf("%d %s", (d+unit.length-1)/unit.length, unit.name)
		}
	}
	if d <= time.Second {
		return "1 second"
	}
	return fmt.Sprintf("%d seconds", (d+time.Second-1)/time.Second)
}
