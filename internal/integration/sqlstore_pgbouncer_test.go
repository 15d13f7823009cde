package integration

import (
	"testing"

	"github.com/twofa-go/twofa/internal/engines"
)

// A pooler may give each transaction another connection.
func TestStore_PgBouncer(t *testing.T) {
	t.Parallel()
	direct := fresh(t, "PostgreSQL")
	d := direct
	d.dsn = engines.PgBouncer(t, direct.dsn) + "&default_query_exec_mode=exec"
	d.migrate(t)
	d.migrate(t)
	suite(t, d)
}
