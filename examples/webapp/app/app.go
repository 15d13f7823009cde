// Package app is a small team product, Acme Contacts: accounts with members,
// a contact list and its export. It shows how a product uses package twofa.
// Start with gate.go, which contains the calls that a second factor added to
// the product, and secondfactor.go, which configures it. The table in routes.go
// lists every route.
package app

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/twofahttp"
)

// Config configures an [App].
type Config struct {
	DB      *sql.DB       // from OpenDB; required
	Keys    twofa.KeyRing // from LoadKeys; required
	BaseURL string        // URL at which browsers reach the app, such as https://contacts.example; required; links in email start with it

	// Mailer sends reset links, invitations, sign-in links and notices. If nil
	// in demo mode, it defaults to the outbox. Otherwise it is required.
	Mailer twofa.Mailer
	// SMS sends codes as text messages. If nil in demo mode, it defaults to the
	// outbox. If nil otherwise, no account can use text messages.
	SMS twofa.SMSSender

	RecoveryCodes int  // recovery codes in a set, 1 to 20; if zero, it defaults to 10
	MailedCodes   bool // whether mails with a sign-in link also have a code; see twofa.MailConfig
	ViewableCodes bool // whether users can view their recovery codes again; see twofa.RecoveryConfig

	// Demo fills an empty database with users whose password is
	// [DemoPassword], keeps email and text messages in an outbox that anyone
	// can read at /dev/outbox, and serves a fake identity provider that lets
	// anyone sign in as any user. It MUST NOT be set if strangers can connect.
	Demo bool

	Now    func() time.Time // if nil, it defaults to time.Now
	Logger *slog.Logger     // if nil, it defaults to slog.Default()
}

// App is the product as one http.Handler.
type App struct {
	db       store
	base     *url.URL
	mailer   twofa.Mailer
	texts    twofa.SMSSender
	twofa    *twofa.Manager
	records  *sqlstore.Store // of twofa
	web      *twofahttp.Server
	outbox   *Outbox // nil unless in demo mode
	demo     bool
	now      func() time.Time
	log      *slog.Logger
	sessions *scs.SessionManager
	password *passwords
	limit    *limiter
	pages    map[string]*template.Template
	routes   []Route
	handler  http.Handler
	sending  sync.RWMutex // read-locked while a message is being sent
}

// New creates the tables, adds the demo data in demo mode, and returns the app.
func New(cfg Config) (*App, error) {
	base, err := checkConfig(cfg)
	if err != nil {
		return nil, err
	}
	a := &App{
		db: store{cfg.DB, cfg.DB}, base: base, mailer: cfg.Mailer, texts: cfg.SMS, demo: cfg.Demo,
		now: cfg.Now, log: cfg.Logger, sessions: newSessions(cfg.DB),
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.log == nil {
		a.log = slog.Default()
	}
	if a.demo {
		a.outbox = &Outbox{now: a.now}
		if a.mailer == nil {
			a.mailer = a.outbox
		}
		if a.texts == nil {
			a.texts = a.outbox
		}
	}
	a.limit = newLimiter(a.now)
	if a.pages, err = parsePages(); err != nil {
		return nil, err
	}
	if a.password, err = newPasswords(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := a.prepare(ctx, cfg); err != nil {
		return nil, err
	}
	a.routes = a.table()
	a.handler = a.serve()
	return a, nil
}

func checkConfig(cfg Config) (*url.URL, error) {
	var errs []error
	if cfg.DB == nil {
		errs = append(errs, errors.New("app: Config.DB: required"))
	}
	if cfg.Mailer == nil && !cfg.Demo {
		errs = append(errs, errors.New("app: Config.Mailer: required unless Config.Demo is set"))
	}
	base, err := url.Parse(cfg.BaseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		errs = append(errs, fmt.Errorf("app: Config.BaseURL: must be an absolute http or https URL, is %q", cfg.BaseURL))
	}
	return base, errors.Join(errs...)
}

func (a *App) prepare(ctx context.Context, cfg Config) error {
	if err := a.db.createTables(ctx); err != nil {
		return fmt.Errorf("app: create tables: %w", err)
	}
	if err := a.newSecondFactor(ctx, cfg); err != nil {
		return fmt.Errorf("app: second factor: %w", err)
	}
	if a.demo {
		if err := a.seed(ctx); err != nil {
			return fmt.Errorf("app: demo data: %w", err)
		}
	}
	return nil
}

// ServeHTTP serves one request.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Sweep deletes expired rows. Call it from time to time, for example once an
// hour. Only the size of the database depends on it.
func (a *App) Sweep(ctx context.Context) error { return a.db.sweep(ctx, a.now()) }

// Deliver mails the notices that no request has mailed, for example because the
// server was killed. Call it once a minute.
func (a *App) Deliver(ctx context.Context) error {
	_, err := a.twofa.Deliver(ctx)
	return err
}

// Close waits for messages that are being sent. Call it after the last request.
func (a *App) Close() { a.waitForMail() }

// mail sends a message in the background, because the time that a response
// takes must not reveal whether an address is known.
func (a *App) mail(ctx context.Context, compose func(context.Context) (twofa.Email, error)) {
	a.sending.RLock()
	ctx = context.WithoutCancel(ctx)
	go func() {
		defer a.sending.RUnlock()
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		m, err := compose(ctx)
		if err == nil && m.To != "" {
			err = a.mailer.SendMail(ctx, m)
		}
		if err != nil {
			a.log.ErrorContext(ctx, "email not sent", "error", err)
		}
	}()
}

func (a *App) waitForMail() {
	a.sending.Lock()
	defer a.sending.Unlock()
}

// link returns an absolute URL below the base URL.
func (a *App) link(elem ...string) string { return a.base.JoinPath(elem...).String() }
