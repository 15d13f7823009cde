package integration

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
)

func fresh(t *testing.T, name string) database {
	t.Helper()
	i := slices.IndexFunc(databases, func(e engine) bool { return e.name == name })
	return databases[i].fresh(t)
}

// With some settings, a read of MySQL stays in an open transaction: a server would
// accept a revoked session for as long as it keeps the connection.
func TestStore_RefusesSessionsWithOpenTransactions(t *testing.T) {
	good := fresh(t, "MariaDB").migrate(t)
	require.NoError(t, good.store(t).Swap(t.Context(), "", record("1", "v1"), twofa.Event{ID: "e1", User: "u"}))
	for setting, name := range map[string]string{
		"autocommit=0":            "autocommit",
		"autocommit=OFF":          "autocommit",
		"completion_type=1":       "completion_type",
		"completion_type='CHAIN'": "completion_type",
	} {
		t.Run(setting, func(t *testing.T) {
			bad := good
			bad.dsn += "&" + setting
			s := bad.store(t)
			for method, err := range map[string]error{
				"Get":                   second(s.Get(t.Context(), "1")),
				"Get of nothing":        second(s.Get(t.Context(), "none")),
				"Events":                second(s.Events(t.Context(), twofa.EventQuery{})),
				"Swap":                  s.Swap(t.Context(), "v1", record("1", "v2")),
				"Swap with events":      s.Swap(t.Context(), "v1", record("1", "v2"), twofa.Event{ID: "e2"}),
				"Swap that conflicts":   s.Swap(t.Context(), "v0", record("1", "v2")),
				"Swap that is repeated": s.Swap(t.Context(), "v0", record("1", "v1")),
				"Migrate":               sqlstore.Migrate(t.Context(), bad.open(t), bad.dialect),
			} {
				require.ErrorContains(t, err, "session setting "+name+": must be", method)
				require.NotErrorIs(t, err, twofa.ErrConflict, method)
			}
			requireStored(t, good.store(t), record("1", "v1"))
		})
	}
}

func second[T any](_ T, err error) error { return err }

// A host may change the setting for one connection of its pool.
func TestStore_RefusesASessionThatWasChanged(t *testing.T) {
	d := fresh(t, "MariaDB").migrate(t)
	db := d.open(t)
	db.SetMaxOpenConns(1)
	s, err := sqlstore.New(db, d.dialect)
	require.NoError(t, err)
	require.NoError(t, s.Swap(t.Context(), "", record("1", "v1")))
	_, err = db.Exec("SET autocommit = 0")
	require.NoError(t, err)
	require.ErrorContains(t, s.Swap(t.Context(), "v1", record("1", "v2")), "autocommit")
	_, err = s.Get(t.Context(), "1")
	require.ErrorContains(t, err, "autocommit")
}
