// Command webapp runs Acme Contacts, a small team product that uses package
// twofa: accounts, members, a contact list and its export. This file reads the
// flags, opens the database and the keys, and serves the product. Package app
// is the product.
//
// Run it with "go run ./examples/webapp" and open the address that it prints.
// "go run ./examples/webapp operate help" lists the commands for support.
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
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/smtpmail"
	"github.com/twofa-go/twofa/adapters/twiliosms"
	"github.com/twofa-go/twofa/examples/webapp/app"
)

type options struct {
	addr, data, database, baseURL string
	smtp, from                    string
	twilio, demo, viewableCodes   bool
	mailedCodes                   bool
	recoveryCodes                 int
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "localhost:8080", "`host:port` to listen on; port 0 picks a free port")
	flag.StringVar(&o.baseURL, "url", "", "`URL` at which browsers reach this server; links in email start with it, and text messages contain its host (default http:// and the listening address)")
	flag.StringVar(&o.data, "data", ".data", "`folder` for the SQLite database and, if the environment has no TWOFA_KEYS, the key ring")
	flag.StringVar(&o.database, "database", "", "postgres:// `URL` to use instead of SQLite")
	flag.StringVar(&o.smtp, "smtp", "", "smtp:// (STARTTLS) or smtps:// `URL`, user:password@host:port, of the mail server; use SMTP_URL in the environment instead to keep the password out of the process list")
	flag.StringVar(&o.from, "from", "", "sender of email (default no-reply at the host of -url)")
	flag.BoolVar(&o.twilio, "twilio", false, "send text messages through Twilio, with TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_FROM from the environment")
	flag.IntVar(&o.recoveryCodes, "recovery-codes", 10, "`number` of recovery codes in a set, 1 to 20")
	flag.BoolVar(&o.mailedCodes, "mailed-codes", false, "mail a code with each sign-in link, which an attacker who has the password can ask the user for")
	flag.BoolVar(&o.viewableCodes, "viewable-codes", true, "store recovery codes encrypted, so that users can view them again after a fresh proof")
	flag.BoolVar(&o.demo, "demo", true, "create demo accounts, and show email and text messages at /dev/outbox instead of sending them")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Usage: webapp [flags]\n       webapp [flags] operate COMMAND\n\nThe second form runs a command for support or operators. \"webapp operate help\" lists them.\n\nFlags:\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	o.smtp = cmp.Or(o.smtp, os.Getenv("SMTP_URL"))
	switch {
	case flag.Arg(0) == "operate":
		os.Exit(o.operate(context.Background(), flag.Args()[1:])) // it handles signals itself
	case flag.NArg() > 0:
		fmt.Fprintf(os.Stderr, "webapp: unknown argument %q; see webapp -help\n", flag.Arg(0))
		os.Exit(2)
	}

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
		return errors.New("-demo lets anyone sign in: -addr must be on localhost, or pass -demo=false")
	}
	o.baseURL = cmp.Or(o.baseURL, address(o.addr, ln))
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	cfg, err := o.config(logger)
	if err != nil {
		return err
	}
	defer cfg.DB.Close()
	a, err := app.New(cfg)
	if err != nil {
		return err
	}
	defer a.Close()
	fmt.Fprintf(out, "\n  Acme Contacts is at  %s\n", o.baseURL)
	if o.demo {
		printDemo(out, o.baseURL)
	}
	return serve(ctx, ln, a, logger)
}

// operate runs a command for support or operators over the database and the keys
// of the server, which may run at the same time.
func (o options) operate(ctx context.Context, args []string) (exit int) {
	o.baseURL = cmp.Or(o.baseURL, "http://"+o.addr)
	cfg, err := o.config(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err == nil {
		defer cfg.DB.Close()
		var a *app.App
		if a, err = app.New(cfg); err == nil {
			defer a.Close()
			return a.Operate(ctx, args, os.Stdin, os.Stdout, os.Stderr)
		}
	}
	fmt.Fprintln(os.Stderr, "webapp:", err)
	return 1
}

// address returns the URL at which browsers on this machine reach ln. It has
// the host name from the -addr flag and the port that ln listens on.
func address(addr string, ln net.Listener) string {
	host, _, _ := net.SplitHostPort(addr)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return "http://" + net.JoinHostPort(cmp.Or(host, "localhost"), port)
}

// config opens everything that the app needs.
func (o options) config(logger *slog.Logger) (app.Config, error) {
	cfg := app.Config{BaseURL: o.baseURL, Demo: o.demo, Logger: logger, RecoveryCodes: o.recoveryCodes, ViewableCodes: o.viewableCodes, MailedCodes: o.mailedCodes}
	if o.database != "" && !strings.HasPrefix(o.database, "postgres://") && !strings.HasPrefix(o.database, "postgresql://") { // not in the error, because it may contain a password
		return cfg, errors.New("-database: must be a postgres:// or postgresql:// URL; if it is empty, the app uses SQLite in the folder of -data")
	}
	var err error
	if cfg.Keys, err = app.LoadKeys(os.Getenv("TWOFA_KEYS"), o.data, o.demo); err != nil {
		return cfg, err
	}
	if o.smtp != "" {
		if cfg.Mailer, err = o.mailer(); err != nil {
			return cfg, err
		}
	} else if !o.demo {
		return cfg, errors.New("-smtp: required with -demo=false, because sign-in links are sent by email")
	}
	if o.twilio {
		cfg.SMS, err = twiliosms.New(twiliosms.Config{AccountSID: os.Getenv("TWILIO_ACCOUNT_SID"),
			AuthToken: twofa.NewSecret(os.Getenv("TWILIO_AUTH_TOKEN")), From: os.Getenv("TWILIO_FROM")})
		if err != nil {
			return cfg, err
		}
	}
	cfg.DB, err = app.OpenDB(o.database, o.data)
	return cfg, err
}

func (o options) mailer() (twofa.Mailer, error) {
	u, err := url.Parse(o.smtp)
	if err != nil || (u.Scheme != "smtp" && u.Scheme != "smtps") { // not in the error, because it would quote the password
		return nil, errors.New("-smtp: must be an smtp:// or smtps:// URL")
	}
	base, err := url.Parse(o.baseURL)
	if err != nil {
		return nil, err
	}
	port := 0
	if u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil {
			return nil, err
		}
	}
	password, _ := u.User.Password()
	return smtpmail.New(smtpmail.Config{
		Host: u.Hostname(), Port: port, ImplicitTLS: u.Scheme == "smtps",
		Username: u.User.Username(), Password: twofa.NewSecret(password),
		From: cmp.Or(o.from, "Acme Contacts <no-reply@"+base.Hostname()+">"),
	})
}

// newServer returns a server with a timeout for everything a client can be slow
// at.
func newServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

func serve(ctx context.Context, ln net.Listener, a *app.App, logger *slog.Logger) error {
	srv := newServer(a, logger)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	sweep := time.NewTicker(time.Hour)
	remind := time.NewTimer(0) // at the start, and then once a day, because a server that is restarted every night never runs for a day
	deliver := time.NewTicker(time.Minute)
	defer sweep.Stop()
	defer remind.Stop()
	defer deliver.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-sweep.C:
			if err := a.Sweep(ctx); err != nil {
				logger.Error("expired rows not deleted", "error", err)
			}
		case <-deliver.C:
			if err := a.Deliver(ctx); err != nil {
				logger.Error("notices not mailed", "error", err)
			}
		case <-remind.C:
			remind.Reset(24 * time.Hour)
			if err := a.Remind(ctx); err != nil {
				logger.Error("members not reminded", "error", err)
			}
		case <-ctx.Done():
			grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return srv.Shutdown(grace)
		}
	}
}

func printDemo(out io.Writer, url string) {
	fmt.Fprintf(out, "  Mail and texts       %s/dev/outbox\n  Everyone's password  %s\n\n", url, app.DemoPassword)
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "  ACCOUNT\tITS POLICY AT FIRST")
	for _, a := range app.DemoAccounts() {
		fmt.Fprintf(t, "  %s\t%s First sign-in: %s\n", a.ID, a.Says, a.First)
	}
	fmt.Fprintln(t, "\n  ACCOUNT\tNAME\tROLE\tEMAIL\tPHONE")
	for _, p := range app.DemoPeople() {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", p.Account, p.Name, p.Role, p.Email, p.Phone)
	}
	t.Flush()
	fmt.Fprintln(out)
}
