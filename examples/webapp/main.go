// Command webapp runs the example host of package twofa: Acme Contacts, a team
// product with accounts, members, a contact list and its export.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/twofa-go/twofa/examples/webapp/app"
)

type options struct {
	addr, data, database, baseURL string
	demo                          bool
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "localhost:8080", "`host:port` to listen on")
	flag.StringVar(&o.baseURL, "url", "", "`URL` by which browsers reach this server (default http:// and -addr)")
	flag.StringVar(&o.data, "data", ".data", "`folder` for the SQLite database")
	flag.StringVar(&o.database, "database", "", "postgres:// `URL` to use instead of SQLite")
	flag.BoolVar(&o.demo, "demo", true, "create demo accounts, and show mail and texts under /dev/outbox instead of sending them")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "webapp:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, o options, out io.Writer) error {
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	if tcp, ok := ln.Addr().(*net.TCPAddr); o.demo && (!ok || !tcp.IP.IsLoopback()) {
		return errors.New("demo mode lets anyone in: listen on localhost, or pass -demo=false")
	}
	db, err := app.OpenDB(o.database, o.data)
	if err != nil {
		return err
	}
	defer db.Close()
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	a, err := app.New(app.Config{
		DB: db, Demo: o.demo, Logger: logger,
		BaseURL: cmp.Or(o.baseURL, "http://"+o.addr),
	})
	if err != nil {
		return err
	}
	defer a.Close()
	if o.demo {
		printDemo(out, cmp.Or(o.baseURL, "http://"+o.addr))
	}
	return serve(ctx, ln, a, logger)
}

func serve(ctx context.Context, ln net.Listener, a *app.App, logger *slog.Logger) error {
	srv := &http.Server{
		Handler:           a,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	sweep := time.NewTicker(time.Hour)
	defer sweep.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-sweep.C:
			if err := a.Sweep(ctx); err != nil {
				logger.Error("sweep", "error", err)
			}
		case <-ctx.Done():
			grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return srv.Shutdown(grace)
		}
	}
}

func printDemo(out io.Writer, url string) {
	fmt.Fprintf(out, "\n  Acme Contacts is at  %s\n  Mail and texts       %s/dev/outbox\n\n", url, url)
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "  ACCOUNT\tNAME\tROLE\tE-MAIL\tPASSWORD (for the demo only)")
	for _, p := range app.DemoPeople() {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", p.Account, p.Name, p.Role, p.Email, app.DemoPassword)
	}
	t.Flush()
	fmt.Fprintln(out)
}
