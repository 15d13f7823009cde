package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

var stored = twofa.Record{Key: "user/ada", Version: "VRMKXJ2KNJJ4HVIDTPWFCIRWWU", Data: []byte("sealed")}

// Every kind of driver gets the same records: one that runs queries directly, one
// that prepares them, one whose connections the database has closed meanwhile, and
// one that returns text as bytes.
func TestGet_EveryDriver(t *testing.T) {
	for name, d := range map[string]*fakeDriver{
		"direct": {}, "prepares": {prepares: true}, "closed": {closed: 2}, "text as bytes": {bytes: true},
	} {
		db := sql.OpenDB(d)
		s, err := New(db, PostgreSQL)
		require.NoError(t, err)
		found, err := s.Get(t.Context(), "user/ada", "account/acme")
		require.NoError(t, err, name)
		require.Equal(t, []twofa.Record{stored}, found, name)
		d.overwrite()
		require.Equal(t, "sealed", string(found[0].Data), "%s: the driver uses its memory again", name)
		require.Zero(t, d.open, "%s: rows are closed", name)
		require.NoError(t, db.Close())
	}
}

func TestGet_FailsInEveryDriver(t *testing.T) {
	for name, d := range map[string]*fakeDriver{
		"query": {err: io.ErrUnexpectedEOF}, "row": {rowErr: io.ErrUnexpectedEOF}, "prepared": {prepares: true, rowErr: io.ErrUnexpectedEOF},
	} {
		db := sql.OpenDB(d)
		s, err := New(db, PostgreSQL)
		require.NoError(t, err)
		found, err := s.Get(t.Context(), "user/ada", "account/acme")
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
		require.Empty(t, found, name)
		require.Zero(t, d.open, "%s: rows are closed", name)
		require.Zero(t, db.Stats().InUse, name)
		require.NoError(t, db.Close())
	}
	d := &fakeDriver{number: true}
	s, err := New(sql.OpenDB(d), PostgreSQL)
	require.NoError(t, err)
	_, err = s.Get(t.Context(), "user/ada")
	require.ErrorContains(t, err, "types int64, string and []uint8")
}

// BenchmarkQuery compares the two ways to read two records, without a database.
func BenchmarkQuery(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	db := sql.OpenDB(&fakeDriver{})
	s, err := New(db, PostgreSQL)
	require.NoError(b, err)
	for name, query := range map[string]func(context.Context, string, []string) ([]twofa.Record, error){"driver": s.queryDriver, "database-sql": s.queryDB} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := query(ctx, s.selectTwo, []string{"user/ada", "account/acme"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fakeDriver is a driver whose database has one record.
type fakeDriver struct {
	prepares    bool  // whether a query must be prepared
	closed      int   // queries that find their connection closed by the database
	bytes       bool  // whether text is returned as bytes
	number      bool  // whether keys are returned as numbers
	err, rowErr error // of each query; after the first row
	open        int   // rows that are not closed
	data        []byte
}

func (d *fakeDriver) Connect(context.Context) (driver.Conn, error) { return &fakeConn{d}, nil }
func (d *fakeDriver) Driver() driver.Driver                        { return nil }

// overwrite changes the memory in which the driver returned the data.
func (d *fakeDriver) overwrite() { clear(d.data) }

type fakeConn struct{ *fakeDriver }

func (c *fakeConn) Begin() (driver.Tx, error)                 { return nil, driver.ErrSkip }
func (c *fakeConn) Prepare(query string) (driver.Stmt, error) { return &fakeStmt{c}, nil }
func (c *fakeConn) Close() error                              { return nil }

func (c *fakeConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	if c.prepares {
		return nil, driver.ErrSkip
	}
	return c.rows()
}

func (c *fakeConn) rows() (driver.Rows, error) {
	if c.closed > 0 {
		c.closed--
		return nil, driver.ErrBadConn
	}
	if c.err != nil {
		return nil, c.err
	}
	c.open++
	return &fakeRows{d: c.fakeDriver}, nil
}

type fakeStmt struct{ c *fakeConn }

func (s *fakeStmt) Close() error                               { return nil }
func (s *fakeStmt) NumInput() int                              { return -1 }
func (s *fakeStmt) Exec([]driver.Value) (driver.Result, error) { return nil, driver.ErrSkip }
func (s *fakeStmt) Query([]driver.Value) (driver.Rows, error)  { return s.c.rows() }

type fakeRows struct {
	d    *fakeDriver
	read bool
}

func (r *fakeRows) Columns() []string { return []string{"key", "version", "data"} }
func (r *fakeRows) Close() error      { r.d.open--; return nil }

func (r *fakeRows) Next(row []driver.Value) error {
	switch {
	case r.read && r.d.rowErr != nil:
		return r.d.rowErr
	case r.read:
		return io.EOF
	}
	r.read = true
	r.d.data = append(r.d.data[:0], stored.Data...)
	row[0], row[1], row[2] = stored.Key, stored.Version, r.d.data
	switch {
	case r.d.bytes:
		row[0], row[1] = []byte(stored.Key), []byte(stored.Version)
	case r.d.number:
		row[0] = int64(1)
	}
	return nil
}
