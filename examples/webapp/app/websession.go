package app

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
)

func newSessions(db *sql.DB) *scs.SessionManager {
	m := scs.New()
	m.Store = webSessions{db}
	m.HashTokenInStore = true
	m.Lifetime = 24 * time.Hour
	m.Cookie.Name = "__Host-session"
	m.Cookie.Secure = true
	m.Cookie.Persist = false
	return m
}

// sessionsOf returns the session manager with the cookie that the browser of a
// request keeps. Safari drops Secure cookies at http://localhost.
func (a *App) sessionsOf(r *http.Request) *scs.SessionManager {
	m := *a.sessions
	if !a.web.SecureCookies(r) {
		m.Cookie.Name, m.Cookie.Secure = "session", false
	}
	return &m
}

// session loads the web session of a page, and stores it before the response is
// sent. It replaces LoadAndSave of scs, which sends a response even if the
// session cannot be stored. If a page fails, its web session stays as it was,
// so that the browser can send the same request again. The exception is a page
// that has renewed the session's ID, because scs deletes the old session at
// once. changes must be true if the page changes data, because the data stays
// changed even if the session cannot be stored.
func (a *App) session(changes bool, next page) page {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Add("Vary", "Cookie")
		var token string
		if c, err := r.Cookie(a.sessionsOf(r).Cookie.Name); err == nil {
			token = c.Value
		}
		ctx, err := a.sessions.Load(r.Context(), token)
		if err != nil {
			return fmt.Errorf("web session: %w", err)
		}
		answer := &sessionWriter{ResponseWriter: w, header: w.Header().Clone()}
		answer.keep = func() error { return a.keepSession(r.WithContext(ctx), answer) }
		err = next(answer, r.WithContext(ctx))
		if e, ok := errors.AsType[*httpError](err); ok && e.status < http.StatusInternalServerError {
			err = a.refuse(answer, r.WithContext(ctx), e) // a response like any other, so its session is stored
		}
		if err != nil {
			return err
		}
		if err = answer.begin(); err != nil && changes {
			err = halfDone(err)
		}
		return err
	}
}

func (a *App) keepSession(r *http.Request, w http.ResponseWriter) error {
	ctx := r.Context()
	if a.sessions.Status(ctx) != scs.Modified {
		return nil
	}
	token, expiry, err := a.sessions.Commit(ctx)
	if err != nil {
		return fmt.Errorf("web session: %w", err)
	}
	a.sessionsOf(r).WriteSessionCookie(ctx, w, token, expiry)
	return nil
}

// sessionWriter delays the header of a response until the web session is
// stored. If that fails, it discards the response, and another one can be
// written.
type sessionWriter struct {
	http.ResponseWriter
	header http.Header
	keep   func() error
	begun  bool
	err    error
}

func (w *sessionWriter) begin() error {
	if !w.begun {
		w.begun = true
		if w.err = w.keep(); w.err == nil {
			maps.Copy(w.ResponseWriter.Header(), w.header)
		}
	}
	return w.err
}

func (w *sessionWriter) Header() http.Header { return w.header }

func (w *sessionWriter) WriteHeader(status int) {
	if status < http.StatusOK { // an informational response, such as 103, is not the final one
		w.ResponseWriter.WriteHeader(status)
	} else if w.begin() == nil {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *sessionWriter) Write(b []byte) (int, error) {
	if err := w.begin(); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}

// FlushError stores the web session before it sends anything.
func (w *sessionWriter) FlushError() error {
	if err := w.begin(); err != nil {
		return err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *sessionWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// webSessions stores scs sessions in the product's database. The last writer
// wins, which is harmless, because a web session only refers to a row in
// signins.
type webSessions struct{ db *sql.DB }

func (s webSessions) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	var data string
	err := s.db.QueryRowContext(ctx, `SELECT data FROM web_sessions WHERE token = $1 AND expiry > $2`,
		token, time.Now().Unix()).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	b, err := base64.StdEncoding.DecodeString(data)
	return b, err == nil, err
}

func (s webSessions) CommitCtx(ctx context.Context, token string, b []byte, expiry time.Time) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO web_sessions (token, data, expiry) VALUES ($1, $2, $3)
		ON CONFLICT (token) DO UPDATE SET data = excluded.data, expiry = excluded.expiry`,
		token, base64.StdEncoding.EncodeToString(b), expiry.Unix())
	return err
}

// repeatFor is how long a form that is sent again finds the web session of
// before.
const repeatFor = 10 * time.Second

// DeleteCtx keeps a web session for a moment after its ID was renewed, so that
// a form that is sent twice, as by a double click, passes checkForm both times.
// Nobody is signed in by it any more, because the row in signins is gone.
func (s webSessions) DeleteCtx(ctx context.Context, token string) error {
	_, err := s.db.ExecContext(ctx, `UPDATE web_sessions SET expiry = $1 WHERE token = $2 AND expiry > $1`,
		time.Now().Add(repeatFor).Unix(), token)
	return err
}

// The methods below complete the interface of scs, which calls only those
// above.

func (s webSessions) Find(token string) ([]byte, bool, error) {
	return s.FindCtx(context.Background(), token)
}

func (s webSessions) Commit(token string, b []byte, expiry time.Time) error {
	return s.CommitCtx(context.Background(), token, b, expiry)
}

func (s webSessions) Delete(token string) error { return s.DeleteCtx(context.Background(), token) }
