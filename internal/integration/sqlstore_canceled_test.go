package integration

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/adapters/sqlstore"
)

// A Swap that is canceled while it waits for another transaction must not return
// before the database has answered, because the database may still commit.
func TestSwap_CanceledWhileTheDatabaseWaits(t *testing.T) {
	forEach(t, func(t *testing.T, d database) {
		if d.dialect == sqlstore.SQLite {
			return // a statement of SQLite runs in this process and ends with its call
		}
		s := d.migrate(t).store(t)
		require.NoError(t, s.Swap(t.Context(), "", record("1", "v1")))
		other, err := d.open(t).Begin()
		require.NoError(t, err)
		t.Cleanup(func() { _ = other.Rollback() }) // or a DROP DATABASE waits for it
		_, err = other.Exec("UPDATE twofa_records SET version = version")
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		returned := make(chan error, 1)
		go func() { returned <- s.Swap(ctx, "v1", record("1", "v2")) }()
		awaitLockWait(t, d)
		cancel()
		require.NoError(t, other.Rollback())
		require.NoError(t, <-returned)
		requireStored(t, s, record("1", "v2"))
	})
}

// awaitLockWait waits until a transaction of the database waits for another one.
func awaitLockWait(t *testing.T, d database) {
	t.Helper()
	query := "SELECT COUNT(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
	if d.dialect == sqlstore.MySQL {
		query = "SELECT COUNT(*) FROM information_schema.innodb_trx JOIN information_schema.processlist ON trx_mysql_thread_id = id WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()"
	}
	db := d.open(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for n := 0; n == 0; {
		// MariaDB loses the temporary table of such a query once in a while.
		if err := db.QueryRowContext(ctx, query).Scan(&n); err != nil {
			require.NoError(t, ctx.Err(), "%v", err)
		}
	}
}
