package operate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/text"
)

// batchSize is how many records a worker of rekey reads at once.
const batchSize = 200

// batch is a part of all keys, in their order.
type batch struct {
	number int
	keys   []string
	done   twofa.RekeyResult
	err    error // if not nil, not all records are done
}

// rekeying is the state of the command rekey.
type rekeying struct {
	total   int // records that there were at the start
	after   string
	finish  map[int]batch // batches that are done, except those before next
	next    int           // number of the first batch that is not done
	records int           // in batches that are done
	done    twofa.RekeyResult
}

// rekey passes the keys of all records to the Manager, in batches that several
// workers take. It can be continued after the last key before which all batches
// are done.
func (c *console) rekey(ctx context.Context) error {
	if c.opt.workers < 1 || c.opt.workers > 64 {
		return usagef("-workers: must be 1 to 64, is %d", c.opt.workers)
	}
	lister, ok := c.Store.(twofa.KeyLister)
	if !ok {
		return &refusal{problem: fmt.Sprintf("the store of this product (%T) cannot list its keys", c.Store),
			next: "Call Manager.Rekey for every user and every account instead, in a program that lists them."}
	}
	began := time.Now()
	r := &rekeying{after: c.opt.after, finish: map[int]batch{}}
	err := c.count(ctx, lister, r)
	if err == nil {
		err = c.rekeyAll(ctx, lister, r)
	}
	if err != nil {
		return c.stopped(err, r)
	}
	if err := c.printRekeyed(r, time.Since(began)); err != nil {
		return err
	}
	if len(r.done.Failed) > 0 {
		return &refusal{problem: grouped(len(r.done.Failed)) + " records are not under the first key",
			next: "The users and accounts that are named above cannot be read by this program. Do not remove the old key before you know why. " +
				"If one is sealed with a key that is lost for good, \"erase\" deletes the user's record. Then run the command again."}
	}
	return nil
}

// count counts the records, which takes a small part of the time, so that the
// progress can be shown in percent.
func (c *console) count(ctx context.Context, lister twofa.KeyLister, r *rekeying) error {
	p := c.progress("records found", 0)
	defer p.clear()
	for after := r.after; ; {
		keys, err := lister.Keys(ctx, after, 1000)
		if err != nil || len(keys) == 0 {
			return err
		}
		if keys[0] <= after {
			return errors.New("the store lists keys in the wrong order; test it with package storetest")
		}
		r.total += len(keys)
		after = keys[len(keys)-1]
		p.show(r.total, "")
	}
}

// rekeyAll lists all keys and rekeys them. If ctx ends or a batch fails, the batches
// that workers have begun are finished, so that the next run need not look at
// them again.
func (c *console) rekeyAll(ctx context.Context, lister twofa.KeyLister, r *rekeying) (err error) {
	begun := context.WithoutCancel(ctx)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	todo, done := make(chan batch), make(chan batch)
	var listed error
	go func() {
		defer close(todo)
		listed = list(ctx, lister, r.after, todo)
	}()
	var workers sync.WaitGroup
	for range c.opt.workers {
		workers.Go(func() {
			for b := range todo {
				b.done, b.err = c.Manager.RekeyRecords(begun, b.keys...)
				done <- b
			}
		})
	}
	go func() {
		workers.Wait()
		close(done)
	}()
	p := c.progress("records", r.total)
	for b := range done {
		for _, failed := range b.done.Failed {
			p.clear()
			fmt.Fprintf(c.Stderr, "Not done: %s\n", oneLine(failed.Err.Error()))
		}
		if r.add(b); b.err != nil && err == nil {
			err = b.err
			stop()
		}
		p.show(r.records, "done up to "+oneLine(r.after))
	}
	p.clear()
	if err == nil {
		err = listed
	}
	return err
}

// list sends all keys in batches.
func list(ctx context.Context, lister twofa.KeyLister, after string, todo chan<- batch) error {
	for number := 0; ; {
		keys, err := lister.Keys(ctx, after, 1000)
		if err != nil || len(keys) == 0 {
			return err
		}
		after = keys[len(keys)-1]
		for part := range slices.Chunk(keys, batchSize) {
			select {
			case todo <- batch{number: number, keys: part}:
				number++
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// add adds a batch that a worker has finished. Batches are finished in any order,
// but a key is skipped only if everything before it is done as well.
func (r *rekeying) add(b batch) {
	r.done.Rekeyed += b.done.Rekeyed
	r.done.Current += b.done.Current
	r.done.Deleted += b.done.Deleted
	r.done.Failed = append(r.done.Failed, b.done.Failed...)
	if b.err != nil {
		return
	}
	r.records += len(b.keys)
	for r.finish[b.number] = b; ; r.next++ {
		first, ok := r.finish[r.next]
		if !ok {
			return
		}
		r.after = first.keys[len(first.keys)-1]
		delete(r.finish, r.next)
	}
}

// stopped returns the error of a run that did not reach the end.
func (c *console) stopped(err error, r *rekeying) error {
	problem := err.Error()
	if errors.Is(err, context.Canceled) {
		problem = "interrupted"
	}
	problem += fmt.Sprintf(", after %s of %s records, of which %s were encrypted again and %s could not be", grouped(r.records), grouped(max(r.total, r.records)),
		grouped(r.done.Rekeyed), grouped(len(r.done.Failed)))
	next := "Run the command again. It skips what is done."
	if r.after != "" && text.Clean(r.after, len(r.after)) == r.after {
		next = "To continue, run:\n  " + commandLine(c.name, "rekey", "-workers", fmt.Sprint(c.opt.workers), "-after", r.after)
	}
	return &refusal{problem: problem, next: next, cause: err}
}

func (c *console) printRekeyed(r *rekeying, took time.Duration) error {
	if c.opt.json {
		return c.printJSON(struct {
			Records int     `json:"records"`
			Rekeyed int     `json:"rekeyed"`
			Current int     `json:"current"`
			Deleted int     `json:"deleted"`
			Failed  int     `json:"failed"`
			Seconds float64 `json:"seconds"`
		}{r.records, r.done.Rekeyed, r.done.Current, r.done.Deleted, len(r.done.Failed), took.Round(time.Millisecond).Seconds()})
	}
	rows := [][]string{
		{"Encrypted again", grouped(r.done.Rekeyed)},
		{"Already under the first key", grouped(r.done.Current)},
		{"Deleted, of phone numbers", grouped(r.done.Deleted)},
		{"Not done", grouped(len(r.done.Failed))},
		{"Time", took.Round(100 * time.Millisecond).String()},
	}
	return table(c.Stdout, rows...)
}
