package app

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
	"github.com/twofa-go/twofa/twofatest"
)

// Manager returns the manager, as a support tool of the product would have it.
func (a *App) Manager() *twofa.Manager { return a.twofa }

// Directory returns the directory that package twofa uses.
func (a *App) Directory() twofa.Directory { return directory{a.db} }

// SessionHost returns the sessions of pages for a test of their contract.
func (a *App) SessionHost() twofatest.SessionHost {
	return twofatest.SessionHost{
		Sessions: hostSessions{a},
		Middleware: func(next http.Handler) http.Handler {
			do := a.session(true, a.identify(func(w http.ResponseWriter, r *http.Request) error {
				next.ServeHTTP(w, r)
				return nil
			}))
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := do(w, r); err != nil {
					a.fail(w, r, err)
				}
			})
		},
		Change: func(r *http.Request) { a.flash(r, "Saved.") },
	}
}

// Team is the function that package twofahttp uses.
func (a *App) Team(ctx context.Context, q twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
	return a.team(ctx, q)
}

// shipped are the time and memory parameters of the product. With the race
// detector each hash takes 200 ms, and most tests sign in several times, so
// tests use cheaper parameters.
var shipped = [2]uint32{argonTime, argonMemory}

func init() { argonTime, argonMemory = 1, 64 }

// No test stops the machine, so no test waits for the disk.
var shippedSynchronous = synchronous

func init() { synchronous = "OFF" }

func TestOpenDB_WaitsForTheDisk(t *testing.T) {
	synchronous = shippedSynchronous
	t.Cleanup(func() { synchronous = "OFF" })
	db, err := OpenDB("", t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	var mode int
	require.NoError(t, db.QueryRow("PRAGMA synchronous").Scan(&mode))
	require.Equal(t, 2, mode, "FULL")
}

func TestPasswordHash_AsShipped(t *testing.T) {
	cheap := [2]uint32{argonTime, argonMemory}
	argonTime, argonMemory = shipped[0], shipped[1]
	t.Cleanup(func() { argonTime, argonMemory = cheap[0], cheap[1] })
	p, err := newPasswords()
	require.NoError(t, err)
	hash, err := p.hash(context.Background(), DemoPassword)
	require.NoError(t, err)
	require.Regexp(t, `^\$argon2id\$v=19\$m=19456,t=2,p=1\$`, hash)
	require.Regexp(t, `^\$argon2id\$v=19\$m=19456,t=2,p=1\$`, p.dummy, "an unknown user costs as much")
	require.NoError(t, p.check(context.Background(), hash, DemoPassword))
	require.ErrorIs(t, p.check(context.Background(), hash, DemoPassword+"x"), errWrongPassword)
	require.ErrorIs(t, p.check(context.Background(), "", DemoPassword), errWrongPassword)
}
