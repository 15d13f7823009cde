package sqlstore

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"

	"github.com/twofa-go/twofa"
)

// query returns the records that a query for keys selects.
//
// It asks the driver itself, because every request reads a record. For each query
// with a context that can end, database/sql starts a goroutine that waits for the
// end, although drivers do so themselves ([driver.QueryerContext]). With a driver
// that does nothing, reading takes a third of the time (BenchmarkQuery).
func (s *Store) query(ctx context.Context, query string, keys []string) ([]twofa.Record, error) {
	records, err := s.queryDriver(ctx, query, keys)
	if errors.Is(err, driver.ErrSkip) || errors.Is(err, driver.ErrBadConn) {
		return s.queryDB(ctx, query, keys)
	}
	return records, err
}

// queryDriver returns driver.ErrSkip if the driver cannot run a query without
// preparing it, and driver.ErrBadConn if the database has closed the connection.
func (s *Store) queryDriver(ctx context.Context, query string, keys []string) (records []twofa.Record, err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	err = conn.Raw(func(c any) error {
		queryer, ok := c.(driver.QueryerContext)
		if !ok {
			return driver.ErrSkip
		}
		args := make([]driver.NamedValue, len(keys))
		for i, key := range keys {
			args[i] = driver.NamedValue{Ordinal: i + 1, Value: key}
		}
		rows, err := queryer.QueryContext(ctx, query, args)
		if err != nil {
			return err
		}
		defer rows.Close()
		records, err = readRows(rows, len(keys))
		return err
	})
	return records, err
}

// readRows reads rows with the columns of selectRecords, most of them at most.
func readRows(rows driver.Rows, most int) ([]twofa.Record, error) {
	records := make([]twofa.Record, 0, most)
	row := make([]driver.Value, 3)
	for {
		switch err := rows.Next(row); {
		case err == io.EOF:
			return records, nil
		case err != nil:
			return nil, err
		}
		key, ok1 := text(row[0])
		version, ok2 := text(row[1])
		data, ok3 := row[2].([]byte) // nil in the row of sessionRow
		if !ok1 || !ok2 || !ok3 && row[2] != nil {
			return nil, fmt.Errorf("driver returned a record of types %T, %T and %T", row[0], row[1], row[2])
		}
		records = append(records, twofa.Record{Key: key, Version: version, Data: bytes.Clone(data)}) // the driver may use it again
	}
}

func text(v driver.Value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	}
	return "", false
}

// queryDB is query by means of database/sql, which prepares the query if the driver
// must, and tries other connections if the database has closed one.
func (s *Store) queryDB(ctx context.Context, query string, keys []string) (records []twofa.Record, err error) {
	args := make([]any, len(keys))
	for i, key := range keys {
		args[i] = key
	}
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r twofa.Record
		if err := rows.Scan(&r.Key, &r.Version, &r.Data); err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, rows.Err()
}
