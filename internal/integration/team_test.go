package integration

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofahttp"
)

// oneSession signs everybody in as the owner of a big account.
type oneSession struct{ session twofa.Session }

func (s oneSession) Session(*http.Request) twofa.Session { return s.session }

func (oneSession) SignIn(http.ResponseWriter, *http.Request, twofa.Session) error { return nil }
func (oneSession) SignOut(http.ResponseWriter, *http.Request) error               { return nil }

// list is twofahttp.Config.Team. The cursor is the ID of the last member before.
func (b *bigAccount) list(_ context.Context, q twofahttp.TeamQuery) (page twofahttp.TeamPage, err error) {
	from, found := slices.BinarySearch(b.ids, q.After)
	if found {
		from++
	}
	to := min(from+q.Limit, len(b.ids))
	for _, id := range b.ids[from:to] {
		page.Members = append(page.Members, twofahttp.TeamMember{ID: id, Name: "Member " + id, Email: id + "@example.com"})
	}
	if to < len(b.ids) {
		page.Next = b.ids[to-1]
	}
	return page, nil
}

// BenchmarkTeam measures requests of an owner for the pages of an account with
// 10,000 members. "page" is a page of 100 members, "filter" one for which a filter
// looks through 1,000 members in vain, "counts" a part of the counts with 1,000
// members, and "csv" the download of all members. The directory and the host's list
// are in memory.
func BenchmarkTeam(b *testing.B) {
	stores := map[string]func(*testing.B) twofa.Store{"memstore": func(*testing.B) twofa.Store { return memstore.New() }}
	for _, e := range databases {
		stores[e.name] = func(b *testing.B) twofa.Store {
			d := e.fresh(b)
			d.migrate(b)
			return d.store(b)
		}
	}
	for name, open := range stores {
		b.Run(name, func(b *testing.B) {
			account := newBigAccountIn(b, open(b), 10_000)
			web, err := twofahttp.New(twofahttp.Config{Manager: account.Manager, Sessions: oneSession{account.session}, Team: account.list})
			require.NoError(b, err)
			for name, path := range map[string]string{"page": "team", "filter": "team?state=off", "counts": "team/counts?q=", "csv": "team.csv"} {
				b.Run(name, func(b *testing.B) {
					r := httptest.NewRequest("GET", "https://app.example.com/2fa/"+path, nil)
					r.Header.Set("Accept", "text/html")
					for b.Loop() {
						w := httptest.NewRecorder()
						web.Handler().ServeHTTP(w, r)
						require.Equal(b, 200, w.Code)
					}
				})
			}
		})
	}
}
