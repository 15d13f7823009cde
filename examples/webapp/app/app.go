// Package app is a small team product, Acme Contacts: accounts with members,
// a contact list and its export. It is the example host of package twofa:
// gate.go holds the places where a second factor went into it, and
// secondfactor.go what it was configured with.
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
	"github.com/twofa-go/twofa/twofahttp"
)

// Config is what an [App] needs from outside.
type Config struct {
	DB      *sql.DB       // from OpenDB; required
	Keys    twofa.KeyRing // from LoadKeys; required
	BaseURL string        // where browsers reach the app, as in https://contacts.example; required, links in mail start with it

	// Mailer sends reset links, invitations, sign-in links and notices. In demo
	// mode nil means the outbox; else it is required.
	Mailer twofa.Mailer
	// SMS sends texted codes. In demo mode nil means the outbox; else it means
	// that no account can have texted codes.
	SMS twofa.SMSSender

	RecoveryCodes int  // a set, 1 to 20; 0 means 10
	ViewableCodes bool // recovery codes can be shown again, see twofa.Config

	// Demo fills an empty database with accounts whose password is
	// [DemoPassword], keeps mail and texts in an outbox that anyone can read
	// under /dev/outbox, and opens a stand-in identity provider that lets
	// anyone in. It MUST NOT be set where strangers can connect.
	Demo bool

	Now    func() time.Time // nil means time.Now
	Logger *slog.Logger     // nil means slog.Default()
}

// App is the product as one http.Handler.
type App struct {
	db       store
	base     *url.URL
	mailer   twofa.Mailer
	texts    twofa.SMSSender
	twofa    *twofa.Manager
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
	sending  sync.RWMutex // read-locked while a message is under way
}

// New makes the tables it needs, fills in the demo data and returns the app.
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
		errs = append(errs, errors.New("app: Config.DB is required"))
	}
	if cfg.Mailer == nil && !cfg.Demo {
		errs = append(errs, errors.New("app: Config.Mailer is required outside demo mode"))
	}
	base, err := url.Parse(cfg.BaseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		errs = append(errs, errors.New("app: Config.BaseURL must be an absolute http or https URL"))
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

// Sweep deletes what has expired. Nothing depends on it but the size of the
// database; call it now and then.
func (a *App) Sweep(ctx context.Context) error { return a.db.sweep(ctx, a.now()) }

// Close waits for messages under way. Call it when no request is served any more.
func (a *App) Close() { a.waitForMail() }

// mail sends a message after the answer: how long an answer takes must not
// tell whether an address is known.
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
			a.log.ErrorContext(ctx, "mail not sent", "error", err)
		}
	}()
}

func (a *App) waitForMail() {
	a.sending.Lock()
	defer a.sending.Unlock()
}

// link is an absolute URL below the base.
func (a *App) link(elem ...string) string { return a.base.JoinPath(elem...).String() }
