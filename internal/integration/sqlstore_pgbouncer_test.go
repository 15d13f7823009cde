package integration

import (
	"testing"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/engines"
	"github.com/twofa-go/twofa/storetest"
)

// A pooler may give each transaction another connection.
func TestStore_PgBouncer(t *testing.T) {
	direct := fresh(t, "PostgreSQL")
	d := direct
	d.dsn = engines.PgBouncer(t, direct.dsn) + "&default_query_exec_mode=exec"
	d.migrate(t)
	d.migrate(t)
	a, b := d.store(t), d.store(t)
	storetest.RunShared(t, func(*testing.T) (twofa.Store, twofa.Store) { return a, b })
}
