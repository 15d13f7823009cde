// Command forward sends the events of a running webapp to a log pipeline, such as
// Vector, Fluent Bit or an endpoint of your own that accepts JSON lines by HTTP.
// Copy it: [follower.run] is all that a product needs.
//
//	go run ./examples/webapp/forward -to http://localhost:9000/events
//
// Each event is sent at least once, and those of one user or account in the order in
// which they were committed. A pipeline that must not count one twice compares IDs.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/examples/webapp/app"
)

func main() {
	data := flag.String("data", ".data", "`folder` of the SQLite database of webapp")
	database := flag.String("database", "", "postgres:// `URL` of the database of webapp, if it is not SQLite")
	to := flag.String("to", "", "`URL` that accepts JSON lines by POST; the environment variable FORWARD_AUTHORIZATION is sent as the Authorization header")
	file := flag.String("position", "forward.json", "`file` that keeps how far the events were sent")
	every := flag.Duration("every", 10*time.Second, "`time` between two looks at the database")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := forward(ctx, *data, *database, *to, *file, *every); err != nil {
		fmt.Fprintln(os.Stderr, "forward:", err)
		os.Exit(1)
	}
}

// forward sends events until ctx ends. If the pipeline or the database fails, it
// tries again at the next look, from where it was.
func forward(ctx context.Context, data, database, to, file string, every time.Duration) error {
	db, err := app.OpenDB(database, data)
	if err != nil {
		return err
	}
	defer db.Close()
	dialect := sqlstore.SQLite
	if database != "" {
		dialect = sqlstore.PostgreSQL
	}
	store, err := sqlstore.New(db, dialect)
	if err != nil {
		return err
	}
	f := &follower{events: store, now: time.Now, send: post(to, os.Getenv("FORWARD_AUTHORIZATION"))}
	if err := f.open(file); err != nil {
		return err
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		n, err := f.run(ctx)
		if n > 0 || err != nil {
			fmt.Fprintf(os.Stderr, "forward: %d events sent, error: %v\n", n, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// post returns a function that sends events as JSON lines and returns nil if all of
// them were accepted.
func post(url, authorization string) func(context.Context, []twofa.Event) error {
	client := &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func(ctx context.Context, events []twofa.Event) error {
		var lines bytes.Buffer
		enc := json.NewEncoder(&lines)
		for _, e := range events {
			if err := enc.Encode(e); err != nil {
				return err
			}
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, &lines)
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-ndjson")
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		resp, err := client.Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16)) // so that the connection can be used again
		if resp.StatusCode/100 != 2 {
			return fmt.Errorf("the pipeline answered %s", resp.Status)
		}
		return nil
	}
}
