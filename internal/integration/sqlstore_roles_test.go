package integration

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
)

// A product may run with a role that cannot create tables.
func TestMigrate_NothingToDoNeedsNoRightToCreate(t *testing.T) {
	for name, lock := range map[string]func(t *testing.T, d database, db *sql.DB) database{
		"PostgreSQL": func(t *testing.T, d database, db *sql.DB) database {
			role := "twofa_" + strings.ToLower(rand.Text())
			for _, query := range []string{
				"CREATE ROLE " + role + " LOGIN",
				"REVOKE CREATE ON SCHEMA public FROM PUBLIC",
				"REVOKE TEMPORARY ON DATABASE " + databaseOf(d) + " FROM PUBLIC",
				"GRANT SELECT ON twofa_migrations TO " + role,
				"GRANT SELECT, INSERT, UPDATE, DELETE ON twofa_records TO " + role,
				"GRANT SELECT, INSERT, UPDATE (claimed_until) ON twofa_events TO " + role,
			} {
				_, err := db.Exec(query)
				require.NoError(t, err, query)
			}
			t.Cleanup(func() {
				_, err := db.Exec("DROP OWNED BY " + role + "; DROP ROLE " + role)
				require.NoError(t, err)
			})
			d.dsn = strings.Replace(d.dsn, "postgres@", role+"@", 1)
			return d
		},
		"MariaDB": func(t *testing.T, d database, db *sql.DB) database {
			user := "twofa_" + strings.ToLower(rand.Text()[:10])
			for _, query := range []string{
				"CREATE USER " + user + "@'%' IDENTIFIED BY ''",
				"GRANT SELECT ON twofa_migrations TO " + user + "@'%'",
				"GRANT SELECT, INSERT, UPDATE, DELETE ON twofa_records TO " + user + "@'%'",
				"GRANT SELECT, INSERT, UPDATE (claimed_until) ON twofa_events TO " + user + "@'%'",
			} {
				_, err := db.Exec(query)
				require.NoError(t, err, query)
			}
			t.Cleanup(func() {
				_, err := db.Exec("DROP USER " + user + "@'%'")
				require.NoError(t, err)
			})
			config, err := mysql.ParseDSN(d.dsn)
			require.NoError(t, err)
			config.User = user
			d.dsn = config.FormatDSN()
			return d
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := fresh(t, name).migrate(t)
			owner := d.open(t)
			app := lock(t, d, owner)
			_, err := app.open(t).Exec("CREATE TABLE twofa_other (id INTEGER)")
			require.Error(t, err)
			app.migrate(t)
			s := app.store(t)
			require.NoError(t, s.Swap(t.Context(), "", record("1", "v1"), twofa.Event{ID: "e1", User: "u"}))
			require.NoError(t, s.Swap(t.Context(), "v1", record("1", "v2"), twofa.Event{ID: "e2", User: "u"}))
			requireStored(t, s, record("1", "v2"))
			require.NoError(t, s.Swap(t.Context(), "v2", twofa.Record{Key: "1"}))
			page, err := s.Events(t.Context(), twofa.EventQuery{User: "u"})
			require.NoError(t, err)
			require.Len(t, page.Events, 2)
			require.NoError(t, s.Swap(t.Context(), "", record("1", "v1"), twofa.Event{ID: "e3", Time: time.Unix(0, 0).UTC(), Notice: true}))
			claimed, err := s.ClaimNotices(t.Context(), time.Unix(300, 0), time.Unix(600, 0), 10)
			require.NoError(t, err)
			require.Len(t, claimed, 1)
			require.NoError(t, s.NoticesDone(t.Context(), claimed...))
			_, err = app.open(t).Exec("UPDATE twofa_events SET type = 'other'")
			require.Error(t, err)

			// If there is something to do, the role must be told.
			_, err = owner.Exec("DELETE FROM twofa_migrations WHERE version = 2")
			require.NoError(t, err)
			require.Error(t, sqlstore.Migrate(t.Context(), app.open(t), d.dialect))
		})
	}
}

func databaseOf(d database) string {
	u, _ := url.Parse(d.dsn)
	return strings.TrimPrefix(u.Path, "/")
}
