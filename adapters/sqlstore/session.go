package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/twofa-go/twofa"
)

// sessionSettings are the settings of MySQL because of which a SELECT may stay in an
// open transaction. It would then show the records as they were when the transaction
// began: another server has revoked a session, but this one accepts it. A change
// would not be committed.
const sessionSettings = "CONCAT(@@autocommit + 0, ' ', @@completion_type)"

// sessionRow adds a row with the settings to a query of records. Its data is NULL.
const sessionRow = " UNION ALL SELECT '', " + sessionSettings + ", NULL"

// takeSession removes the row of sessionRow from records. It returns an error for
// settings that are refused.
func takeSession(records []twofa.Record) ([]twofa.Record, error) {
	i := slices.IndexFunc(records, func(r twofa.Record) bool { return r.Data == nil })
	if i < 0 {
		return records, nil
	}
	if err := checkSession(records[i].Version); err != nil {
		return nil, err
	}
	return slices.Delete(records, i, i+1), nil
}

// checkSession returns an error for settings that are refused.
func checkSession(settings string) error {
	autocommit, completion, _ := strings.Cut(settings, " ")
	if autocommit != "1" {
		return fmt.Errorf("session setting autocommit: must be 1, is %s: reads would stay in an open transaction and would not see later changes", autocommit)
	}
	if completion == "CHAIN" || completion == "1" {
		return fmt.Errorf("session setting completion_type: must be NO_CHAIN, is %s: after a commit, reads would stay in an open transaction and would not see later changes", completion)
	}
	return nil
}

// checkConn returns an error if ctx is done or if the connection has settings that
// are refused. Only MySQL has such settings. It is called each time because a host
// can change them for a connection of its pool.
func (d Dialect) checkConn(ctx context.Context, conn *sql.Conn) error {
	if d != MySQL {
		return ctx.Err()
	}
	var settings string
	if err := conn.QueryRowContext(ctx, "SELECT "+sessionSettings).Scan(&settings); err != nil {
		return err
	}
	return checkSession(settings)
}
