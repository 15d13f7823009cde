package twofascs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	twofascs "github.com/twofa-go/twofa/adapters/scs"
	"github.com/twofa-go/twofa/twofatest"
)

func TestSessions_MeetContract(t *testing.T) {
	t.Run("defaults", func(t *testing.T) {
		twofatest.RunSessions(t, func(t *testing.T) twofatest.SessionHost { return newHost(t, nil) })
	})
	// Every request stores its session.
	t.Run("idle timeout", func(t *testing.T) {
		twofatest.RunSessions(t, func(t *testing.T) twofatest.SessionHost {
			return newHost(t, func(m *scs.SessionManager) { m.IdleTimeout = time.Hour })
		})
	})
	t.Run("hashed tokens", func(t *testing.T) {
		twofatest.RunSessions(t, func(t *testing.T) twofatest.SessionHost {
			return newHost(t, func(m *scs.SessionManager) { m.HashTokenInStore = true })
		})
	})
}

func newHost(t *testing.T, set func(*scs.SessionManager)) twofatest.SessionHost {
	m, store := newManager(t)
	if set != nil {
		set(m)
	}
	sessions := twofascs.New(m)
	faults := map[string]func() (heal func()){}
	for _, op := range []string{"find", "commit", "delete"} {
		for _, how := range []string{"fails", "hangs", "is late", "fails once", "hangs once", "is late once"} {
			for nth := 1; nth <= 3; nth++ {
				faults[fmt.Sprintf("%s %d %s", op, nth, how)] = func() func() { return store.breakAt(op, nth, how) }
			}
		}
	}
	return twofatest.SessionHost{
		Sessions: sessions, Faults: faults,
		Middleware: func(next http.Handler) http.Handler {
			next = sessions.LoadAndSave(next)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				defer cancel()
				store.whenHung(cancel)
				next.ServeHTTP(w, r.WithContext(ctx))
			})
		},
		Change: func(r *http.Request) { m.Put(r.Context(), "flash", "saved") },
	}
}

func newManager(t *testing.T) (*scs.SessionManager, *store) {
	m, s := scs.New(), &store{data: map[string][]byte{}, counts: map[string]int{}}
	m.Store = s
	m.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) {
		require.ErrorIs(t, err, errStore)
		http.Error(w, "the session could not be stored", http.StatusInternalServerError)
	}
	return m, s
}

var errStore = errors.New("the session store is broken")

// store is a session store in memory. One call of an operation, or all from that one
// on, fail, hang until their context ends, or fail and take effect at healing.
type store struct {
	mu     sync.Mutex
	data   map[string][]byte
	counts map[string]int
	op     string
	nth    int
	how    string
	late   []func()
	hung   func()
}

func (s *store) breakAt(op string, nth int, how string) (heal func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.op, s.nth, s.how, s.counts = op, nth, how, map[string]int{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.op = ""
		for _, do := range s.late {
			do()
		}
	}
}

// whenHung sets the function that is called when a call hangs, so that the test does
// not wait.
func (s *store) whenHung(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hung = do
}

func (s *store) call(ctx context.Context, op string, do func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[op]++
	how, once := strings.CutSuffix(s.how, " once")
	if op != s.op || s.counts[op] < s.nth || once && s.counts[op] > s.nth {
		do()
		return nil
	}
	switch how {
	case "hangs":
		s.hung()
		<-ctx.Done()
		return errors.Join(errStore, ctx.Err())
	case "is late":
		s.late = append(s.late, do)
	}
	return errStore
}

func (s *store) FindCtx(ctx context.Context, token string) (b []byte, found bool, err error) {
	err = s.call(ctx, "find", func() { b, found = s.data[token] })
	return b, found, err
}

func (s *store) CommitCtx(ctx context.Context, token string, b []byte, _ time.Time) error {
	return s.call(ctx, "commit", func() { s.data[token] = b })
}

func (s *store) DeleteCtx(ctx context.Context, token string) error {
	return s.call(ctx, "delete", func() { delete(s.data, token) })
}

func (s *store) AllCtx(context.Context) (map[string][]byte, error) { return s.data, nil }
func (s *store) Find(string) ([]byte, bool, error)                 { panic("has no context") }
func (s *store) Commit(string, []byte, time.Time) error            { panic("has no context") }
func (s *store) Delete(string) error                               { panic("has no context") }

// get sends a request through LoadAndSave and returns the response.
func get(s *twofascs.Sessions, url, cookie string, handle http.HandlerFunc) *http.Response {
	r := httptest.NewRequest("GET", url, nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	w := httptest.NewRecorder()
	s.LoadAndSave(handle).ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, a *http.Response) string {
	b, err := io.ReadAll(a.Body)
	require.NoError(t, err)
	return string(b)
}

// A host that ends its session by scs signs the user out, too, and leaves nothing in
// the store.
func TestSessions_DestroyOfTheManagerSignsOut(t *testing.T) {
	m, store := newManager(t)
	s := twofascs.New(m)
	for name, end := range map[string]func(*http.Request) error{
		"Destroy": func(r *http.Request) error { return m.Destroy(r.Context()) },
		"Clear":   func(r *http.Request) error { return m.Clear(r.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			a := get(s, "https://example.com/", "", func(w http.ResponseWriter, r *http.Request) {
				require.NoError(t, s.SignIn(w, r, twofa.ParseSession("one")))
			})
			require.Len(t, store.data, 2)
			cookie := a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
			get(s, "https://example.com/", cookie, func(w http.ResponseWriter, r *http.Request) {
				get(s, "https://example.com/", cookie, func(w http.ResponseWriter, r *http.Request) {
					require.NoError(t, end(r))
				})
				m.Put(r.Context(), "cart", "late")
			})
			get(s, "https://example.com/", cookie, func(_ http.ResponseWriter, r *http.Request) {
				require.Zero(t, s.Session(r))
			})
			require.LessOrEqual(t, len(store.data), 1)
			clear(store.data)
		})
	}
}

// Values of the host's session stay at SignIn, and go at SignOut.
func TestSessions_ValuesOfTheHost(t *testing.T) {
	m, store := newManager(t)
	s := twofascs.New(m)
	a := get(s, "https://example.com/", "", func(w http.ResponseWriter, r *http.Request) {
		m.Put(r.Context(), "cart", "3 books")
		require.NoError(t, s.SignIn(w, r, twofa.ParseSession("one")))
		require.Equal(t, "one", s.Session(r).Reveal())
	})
	cookie := a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
	visited := 0
	require.NoError(t, m.Iterate(t.Context(), func(context.Context) error { visited++; return nil }))
	require.Equal(t, 2, visited)
	a = get(s, "https://example.com/", cookie, func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "3 books", m.GetString(r.Context(), "cart"))
		require.NoError(t, s.SignOut(w, r))
		require.Empty(t, m.GetString(r.Context(), "cart"))
	})
	require.Negative(t, a.Cookies()[0].MaxAge)
	require.Empty(t, store.data)
}

// SignIn itself reports that the session, or the sign-in, is not stored.
func TestSignIn_ReportsFailures(t *testing.T) {
	m, store := newManager(t)
	s := twofascs.New(m)
	for nth := 1; nth <= 2; nth++ {
		get(s, "https://example.com/", "", func(w http.ResponseWriter, r *http.Request) {
			defer store.breakAt("commit", nth, "fails once")()
			require.ErrorIs(t, s.SignIn(w, r, twofa.ParseSession("one")), errStore)
			require.Zero(t, s.Session(r))
		})
	}
}

// A request that ends after the session got a new ID does not set the cookie of the
// old one, which would sign the user out.
func TestLoadAndSave_DoesNotBringAnOldIDBack(t *testing.T) {
	m, store := newManager(t)
	m.IdleTimeout = time.Hour
	s := twofascs.New(m)
	signIn := func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, s.SignIn(w, r, twofa.ParseSession("one")))
	}
	a := get(s, "https://example.com/", "", signIn)
	cookie := a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
	a = get(s, "https://example.com/", cookie, func(http.ResponseWriter, *http.Request) {
		get(s, "https://example.com/", cookie, signIn)
	})
	require.Empty(t, a.Cookies())
	require.Len(t, store.data, 2)
}

// If the session cannot be stored, nothing of the handler's response is sent.
func TestLoadAndSave_DiscardsTheResponseIfTheSessionIsNotStored(t *testing.T) {
	m, store := newManager(t)
	s := twofascs.New(m)
	handle := func(w http.ResponseWriter, r *http.Request) {
		m.Put(r.Context(), "flash", "saved")
		w.Header().Set("Location", "/")
		http.SetCookie(w, &http.Cookie{Name: "other", Value: "x"})
		w.WriteHeader(http.StatusSeeOther)
		_, err := fmt.Fprint(w, "the response")
		require.ErrorIs(t, err, errStore)
		require.ErrorIs(t, http.NewResponseController(w).Flush(), errStore)
	}
	heal := store.breakAt("commit", 1, "fails")
	a := get(s, "https://example.com/", "", handle)
	heal()
	require.Equal(t, http.StatusInternalServerError, a.StatusCode)
	require.Equal(t, "the session could not be stored\n", body(t, a))
	require.Empty(t, a.Cookies())
	require.Empty(t, a.Header.Get("Location"))
}

func TestLoadAndSave_Streams(t *testing.T) {
	m, _ := newManager(t)
	s := twofascs.New(m)
	srv := httptest.NewServer(s.LoadAndSave(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.Put(r.Context(), "flash", "saved")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		fmt.Fprint(w, "data: 1\n\n")
		require.NoError(t, http.NewResponseController(w).Flush())
	})))
	defer srv.Close()
	a, err := srv.Client().Get(srv.URL)
	require.NoError(t, err)
	defer a.Body.Close()
	require.Equal(t, http.StatusOK, a.StatusCode)
	require.Equal(t, "text/event-stream", a.Header.Get("Content-Type"))
	require.Equal(t, "data: 1\n\n", body(t, a))
	require.Len(t, a.Cookies(), 1)
}

func TestSessions_CookieFitsTheRequest(t *testing.T) {
	m, _ := newManager(t)
	m.Cookie.Name = "__Host-session"
	s := twofascs.New(m)
	signIn := func(w http.ResponseWriter, r *http.Request) {
		require.NoError(t, s.SignIn(w, r, twofa.ParseSession("one")))
	}
	a := get(s, "http://localhost/", "", signIn)
	require.True(t, a.Cookies()[0].Secure, "without SecureCookies, every cookie is Secure")
	s.SecureCookies = func(r *http.Request) bool { return r.TLS != nil }
	a = get(s, "https://example.com/", "", signIn)
	require.Equal(t, "__Host-session", a.Cookies()[0].Name)
	require.True(t, a.Cookies()[0].Secure)
	require.True(t, a.Cookies()[0].HttpOnly)
	a = get(s, "http://localhost/", "", signIn)
	require.Equal(t, "session", a.Cookies()[0].Name)
	require.False(t, a.Cookies()[0].Secure)
	get(s, "https://example.com/", "session="+a.Cookies()[0].Value, func(_ http.ResponseWriter, r *http.Request) {
		require.Zero(t, s.Session(r), "the plain cookie is not read over https")
	})
}

func TestSessions_WithoutLoadAndSaveNameTheFix(t *testing.T) {
	m, _ := newManager(t)
	s := twofascs.New(m)
	r := httptest.NewRequest("GET", "/", nil)
	defer func() {
		p := recover()
		require.EqualError(t, p.(error), "twofascs: the request has no session; put LoadAndSave of twofascs.Sessions in front of all handlers")
		require.Equal(t, "twofascs.missingLoadAndSaveError", fmt.Sprintf("%T", p))
	}()
	s.Session(r)
}
