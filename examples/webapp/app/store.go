package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "modernc.org/sqlite"             // driver "sqlite"
)

//go:embed schema.sql
var schema string

// synchronous makes each commit wait for the disk. Tests do not wait.
var synchronous = "FULL"

// OpenDB opens the database with the postgres:// URL dsn. If dsn is empty, it
// opens the SQLite file contacts.db in the folder dir.
func OpenDB(dsn, dir string) (*sql.DB, error) {
	if dsn != "" {
		return sql.Open("pgx", dsn)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := filepath.Abs(filepath.Join(dir, "contacts.db"))
	if err != nil {
		return nil, err
	}
	// A transaction locks the database for writing at its start (immediate). If
	// it took the lock only after its first read, it would fail instead of
	// waiting for another one.
	options := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"journal_mode(WAL)", "busy_timeout(5000)", "foreign_keys(1)", "synchronous(" + synchronous + ")"},
	}
	u := url.URL{Path: filepath.ToSlash(file)}
	return sql.Open("sqlite", "file:"+u.EscapedPath()+"?"+options.Encode())
}

// Role determines what a member may do in an account. No member has the empty
// role.
type Role string

// Roles, lowest first.
const (
	Anyone Role = ""
	Member Role = "member"
	Admin  Role = "admin"
	Owner  Role = "owner"
)

func (r Role) rank() int {
	switch r {
	case Member:
		return 1
	case Admin:
		return 2
	case Owner:
		return 3
	}
	return 0
}

// Covers reports whether r is at least needs.
func (r Role) Covers(needs Role) bool { return r.rank() >= needs.rank() }

// Above reports whether r is higher than other.
func (r Role) Above(other Role) bool { return r.rank() > other.rank() }

type user struct {
	ID, Email, Name, Password, Stamp string
	Language                         string // chosen in the footer; empty until then
	Disabled                         bool   // deactivated by an admin
}

// userColumns are the columns of a user u, in the order of fields.
const userColumns = `u.id, u.email, u.name, u.password, u.stamp, u.language, u.disabled`

// fields returns the fields to scan userColumns into.
func (u *user) fields() []any {
	return []any{&u.ID, &u.Email, &u.Name, &u.Password, &u.Stamp, &u.Language, &u.Disabled}
}

type account struct {
	ID, Name string
	SSO      bool
}

type member struct {
	user
	Account account
	Role    Role
	Since   time.Time
}

// store reads and writes the product's own tables, directly or in one
// transaction. It returns sql.ErrNoRows for a missing row.
type store struct {
	queries
	db *sql.DB
}

// queries is implemented by a database and by a transaction.
type queries interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s store) createTables(ctx context.Context) error {
	if _, err := s.ExecContext(ctx, schema); err != nil {
		return err
	}
	// Sign-ins that are older than the second factor have no session of package
	// twofa, so the guard asks these users to sign in again.
	return errors.Join(
		s.addColumn(ctx, "signins", "twofa", "TEXT NOT NULL DEFAULT ''"),
		s.addColumn(ctx, "users", "language", "TEXT NOT NULL DEFAULT ''"),
		s.addColumn(ctx, "users", "disabled", "INTEGER NOT NULL DEFAULT 0"),
		s.addColumn(ctx, "links", "inviter", "TEXT NOT NULL DEFAULT ''"),
		s.endInvitationsOfNobody(ctx))
}

// addColumn adds a column to a table that is older than the column.
func (s store) addColumn(ctx context.Context, table, column, kind string) error {
	if _, err := s.ExecContext(ctx, `SELECT `+column+` FROM `+table+` LIMIT 1`); err == nil {
		return nil
	}
	_, err := s.ExecContext(ctx, `ALTER TABLE `+table+` ADD COLUMN `+column+` `+kind)
	return err
}

// inTx runs do in a transaction, and commits it if do returns nil.
func (s store) inTx(ctx context.Context, do func(tx store) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // no effect after Commit
	if err := do(store{tx, s.db}); err != nil {
		return err
	}
	return tx.Commit()
}

func (s store) userByID(ctx context.Context, id string) (user, error) {
	return scanUser(s.QueryRowContext(ctx, selectUser+`WHERE u.id = $1`, id))
}

func (s store) userByEmail(ctx context.Context, email string) (user, error) {
	return scanUser(s.QueryRowContext(ctx, selectUser+`WHERE u.email = $1`, normalEmail(email)))
}

const selectUser = `SELECT ` + userColumns + ` FROM users u `

func scanUser(row *sql.Row) (u user, err error) {
	err = row.Scan(u.fields()...)
	return u, err
}

func (s store) account(ctx context.Context, id string) (acc account, err error) {
	err = s.QueryRowContext(ctx, `SELECT id, name, sso FROM accounts WHERE id = $1`, id).
		Scan(&acc.ID, &acc.Name, &acc.SSO)
	return acc, err
}

const selectMembers = `SELECT ` + userColumns + `, a.id, a.name, a.sso, m.role, m.since
	FROM members m JOIN users u ON u.id = m.user_id JOIN accounts a ON a.id = m.account_id `

// membershipsOf returns the memberships of a user, oldest first.
func (s store) membershipsOf(ctx context.Context, userID string) ([]member, error) {
	return s.members(ctx, `WHERE m.user_id = $1 ORDER BY m.since, a.id`, userID)
}

// membersOf returns the members of an account.
func (s store) membersOf(ctx context.Context, accountID string) ([]member, error) {
	return s.members(ctx, `WHERE m.account_id = $1 ORDER BY u.name, u.id`, accountID)
}

// member returns one member of one account, or sql.ErrNoRows.
func (s store) member(ctx context.Context, accountID, userID string) (member, error) {
	ms, err := s.members(ctx, `WHERE m.account_id = $1 AND m.user_id = $2`, accountID, userID)
	if err != nil {
		return member{}, err
	}
	if len(ms) == 0 {
		return member{}, sql.ErrNoRows
	}
	return ms[0], nil
}

func (s store) members(ctx context.Context, where string, args ...any) ([]member, error) {
	rows, err := s.QueryContext(ctx, selectMembers+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []member
	for rows.Next() {
		var m member
		var since int64
		if err := rows.Scan(append(m.fields(), &m.Account.ID, &m.Account.Name, &m.Account.SSO, &m.Role, &since)...); err != nil {
			return nil, err
		}
		m.Since = time.Unix(since, 0)
		all = append(all, m)
	}
	return all, rows.Err()
}

// link is a secret that works once. It is sent by email or returned by the
// identity provider of an account.
type link struct {
	Kind, Email, Account string
	Role                 Role
	Expires              time.Time
	Inviter              string // ID of the member who sent an invitation; only newLink uses it
}

// Kinds of links.
const (
	linkReset  = "reset"
	linkInvite = "invite"
	linkSSO    = "sso"
)

// newLink stores a link and returns its token. Only a hash of the token is
// stored.
func (s store) newLink(ctx context.Context, l link) (token string, err error) {
	token = rand.Text()
	_, err = s.ExecContext(ctx, `INSERT INTO links (hash, kind, email, account_id, role, expires, inviter) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		hashToken(token), l.Kind, normalEmail(l.Email), l.Account, l.Role, l.Expires.Unix(), l.Inviter)
	return token, err
}

// findLink returns a link without using it up.
func (s store) findLink(ctx context.Context, kind, token string, now time.Time) (link, error) {
	return scanLink(s.QueryRowContext(ctx, `SELECT kind, email, account_id, role, expires FROM links
		WHERE hash = $1 AND kind = $2 AND expires > $3`, hashToken(token), kind, now.Unix()))
}

// useLink uses up a link and returns it. Of concurrent calls, one succeeds.
func (s store) useLink(ctx context.Context, kind, token string, now time.Time) (link, error) {
	return scanLink(s.QueryRowContext(ctx, `DELETE FROM links
		WHERE hash = $1 AND kind = $2 AND expires > $3 RETURNING kind, email, account_id, role, expires`, hashToken(token), kind, now.Unix()))
}

func scanLink(row *sql.Row) (l link, err error) {
	var expires int64
	err = row.Scan(&l.Kind, &l.Email, &l.Account, &l.Role, &expires)
	l.Expires = time.Unix(expires, 0)
	return l, err
}

// auditLifetime is the time for which events of the second factor are stored.
const auditLifetime = 400 * 24 * time.Hour

func (s store) sweep(ctx context.Context, now time.Time) error {
	var errs []error
	for _, q := range []string{
		`DELETE FROM signins WHERE expires <= $1`,
		`DELETE FROM links WHERE expires <= $1`,
		`DELETE FROM web_sessions WHERE expiry <= $1`,
	} {
		_, err := s.ExecContext(ctx, q, now.Unix())
		errs = append(errs, err)
	}
	_, err := s.ExecContext(ctx, `DELETE FROM twofa_events WHERE time < $1`, now.Add(-auditLifetime).Unix())
	return errors.Join(append(errs, err)...)
}

// containing returns the pattern of LIKE ... ESCAPE '\' for texts that contain
// search, in lower case.
func containing(search string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(search)) + "%"
}

func normalEmail(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// hashToken returns the hash to store for a random token. A fast hash is
// enough, because the token has the entropy of a key.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// oneRow returns sql.ErrNoRows if a statement changed no row.
func oneRow(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("rows affected: %w", err)
	}
	if n == 0 {
		return sql.ErrNoRows
	}
	return nil
}
