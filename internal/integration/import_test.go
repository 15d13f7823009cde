package integration

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base32"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/engines"
	"github.com/twofa-go/twofa/internal/harness"
	"github.com/twofa-go/twofa/twofatest"
)

var importUsers = flag.Int("import.users", 1000, "users that TestImport_KilledAndRunAgain migrates, at least 500; migrate 10,000 before a release")

// importKills is how often the program is killed before it may run to its end.
const importKills = 3

// oldUser is a user of the other product.
type oldUser struct {
	id      string
	rows    []oldRow
	deleted bool   // whether only the rows are left
	problem string // part of the error that the import reports, or empty
	uri     string // address of the app, if there is one
	factors int    // factors that the import creates
}

// oldRow is a row of the old table. Empty columns are empty text.
type oldRow struct{ secret, algorithm, url, phone string }

// oldUsers returns users with keys of different kinds. Of 100 users, 7 have rows
// that cannot be imported.
func oldUsers(n int) (users []oldUser) {
	for i := range n {
		u := oldUser{id: fmt.Sprintf("u%05d", i), factors: 1}
		key := base32.StdEncoding.EncodeToString(fmt.Appendf(nil, "%010d%010d", i, i))
		url := "otpauth://totp/Old:" + u.id + "?issuer=Old&secret=" + key
		phone := fmt.Sprintf("+4179%07d", i)
		row := oldRow{secret: key}
		switch i % 100 {
		case 7:
			u.problem, row.secret = "must be Base32", strings.Replace(key, "G", "0", 1)
		case 17:
			u.problem, row.secret = "exactly one of Key, KeyBytes and URI must be set", ""
		case 27:
			u.problem, row.secret = "must be 10 to 128 bytes, is 5", key[:8]
		case 37:
			u.problem, row.algorithm = "must be SHA1, SHA256 or SHA512", "MD5"
		case 47:
			u.problem, row = "must be SHA1, SHA256 or SHA512", oldRow{url: url + "&algorithm=SHA3"}
		case 57:
			u.problem, u.rows = "is in the list 2 times", []oldRow{{phone: phone}}
		case 67:
			u.problem, u.deleted = "has no user", true
		default:
			u.uri = url
			switch i % 10 {
			case 1:
				row.secret = strings.ToLower(key[:16]) // 10 bytes
				u.uri = strings.Replace(url, key, key[:16], 1)
			case 2:
				row.algorithm, u.uri = "sha256", url+"&algorithm=SHA256"
			case 3, 4:
				row = oldRow{url: url}
			case 5:
				u.uri = url + "&algorithm=SHA512&digits=8&period=60"
				row = oldRow{url: u.uri}
			case 6:
				row.phone, u.factors = phone, 2
			case 7:
				row, u.uri = oldRow{phone: phone}, ""
			}
		}
		if u.problem != "" {
			u.factors = 0
		}
		u.rows = append(u.rows, row)
		users = append(users, u)
	}
	return users
}

// createOldTables creates the tables of the other product.
func createOldTables(t *testing.T, db *sql.DB, users []oldUser) {
	_, err := db.Exec(`CREATE TABLE users (id TEXT PRIMARY KEY);
		CREATE TABLE old_factors (user_id TEXT NOT NULL, secret TEXT NOT NULL, algorithm TEXT NOT NULL, url TEXT NOT NULL, phone TEXT NOT NULL)`)
	require.NoError(t, err)
	var ids, owners, secrets, algorithms, urls, phones []string
	for _, u := range users {
		if !u.deleted {
			ids = append(ids, u.id)
		}
		for _, r := range u.rows {
			owners, secrets, algorithms = append(owners, u.id), append(secrets, r.secret), append(algorithms, r.algorithm)
			urls, phones = append(urls, r.url), append(phones, r.phone)
		}
	}
	_, err = db.Exec("INSERT INTO users SELECT unnest($1::text[])", ids)
	require.NoError(t, err)
	_, err = db.Exec("INSERT INTO old_factors SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])",
		owners, secrets, algorithms, urls, phones)
	require.NoError(t, err)
	_, err = db.Exec("CREATE INDEX ON old_factors (user_id); ANALYZE")
	require.NoError(t, err)
}

// newImportManager returns a Manager of the new product, which shares the
// database with the old one.
func newImportManager(t *testing.T, d database, now func() time.Time, out *twofatest.Outbox) *twofa.Manager {
	db := d.open(t)
	policy := twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS}, EnrollWithoutLink: true}
	m, err := twofa.New(twofa.Config{Issuer: "Acme", Store: d.store(t), Keys: twofatest.KeyRing(t, "import"), Now: now, Policy: policy,
		Lifetimes: twofa.Lifetimes{Session: 30 * 24 * time.Hour},
		SMS:       twofa.SMSConfig{Sender: out, Phone: harness.Numbers{}, Countries: []string{"CH"}},
		Directory: twofa.LookUp(func(ctx context.Context, id string) (twofa.User, error) {
			err := db.QueryRowContext(ctx, "SELECT id FROM users WHERE id = $1", id).Scan(&id)
			if errors.Is(err, sql.ErrNoRows) {
				err = twofa.ErrNoUser
			}
			return twofa.User{ID: id}, err
		})})
	require.NoError(t, err)
	return m
}

// importProgram is the program that docs/migrating.md describes. It imports 100
// users at a time and prints a line for each.
func importProgram(t *testing.T, d database, now time.Time) {
	m, db, ctx := newImportManager(t, d, func() time.Time { return now }, &twofatest.Outbox{}), d.open(t), t.Context()
	for last, more := "", true; more; {
		// All rows of a user are in one batch.
		rows, err := db.QueryContext(ctx, `SELECT user_id, secret, algorithm, url, phone FROM old_factors WHERE user_id IN
			(SELECT DISTINCT user_id FROM old_factors WHERE user_id > $1 ORDER BY user_id LIMIT 100) ORDER BY user_id`, last)
		require.NoError(t, err)
		var batch []twofa.ImportUser
		for rows.Next() {
			var id string
			var r oldRow
			require.NoError(t, rows.Scan(&id, &r.secret, &r.algorithm, &r.url, &r.phone))
			batch, last = append(batch, twofa.ImportUser{ID: id, Factors: r.factors()}), id
		}
		require.NoError(t, rows.Err())
		for _, r := range m.Import(ctx, twofa.AsHost("migration"), batch) {
			fmt.Printf("report\t%s\t%s\t%v\n", r.User, r.Outcome, r.Err)
		}
		more = len(batch) > 0
	}
}

func (r oldRow) factors() (list []twofa.ImportFactor) {
	switch {
	case r.url != "":
		list = append(list, twofa.ImportFactor{URI: twofa.NewSecret(r.url)})
	case r.secret != "" || r.phone == "":
		list = append(list, twofa.ImportFactor{Key: twofa.NewSecret(r.secret), Algorithm: r.algorithm})
	}
	if r.phone != "" {
		list = append(list, twofa.ImportFactor{Method: twofa.SMS, Phone: r.phone})
	}
	return list
}

const (
	importDSN = "TWOFA_TEST_IMPORT_DSN"
	importNow = "TWOFA_TEST_IMPORT_NOW"
)

// migration is a migration that runs every night.
type migration struct {
	*twofa.Manager
	t     *testing.T
	d     database
	users []oldUser
	db    *sql.DB
	store *sqlstore.Store
	clock *twofatest.Clock
	out   *twofatest.Outbox
}

// A program that imports users is killed at arbitrary points, and run again until
// it has ended twice. No user is imported twice, lost or imported in part.
func TestImport_KilledAndRunAgain(t *testing.T) {
	if dsn := os.Getenv(importDSN); dsn != "" {
		now, err := strconv.ParseInt(os.Getenv(importNow), 10, 64)
		require.NoError(t, err)
		importProgram(t, database{"pgx", dsn, sqlstore.PostgreSQL}, time.Unix(now, 0))
		return
	}
	require.GreaterOrEqual(t, *importUsers, 500)
	d := database{"pgx", engines.PostgreSQL(t), sqlstore.PostgreSQL}.migrate(t)
	w := &migration{t: t, d: d, users: oldUsers(*importUsers), db: d.open(t), store: d.store(t), out: &twofatest.Outbox{},
		clock: twofatest.NewClock(time.Date(2026, 3, 2, 3, 0, 0, 0, time.UTC))}
	createOldTables(t, w.db, w.users)
	w.Manager = newImportManager(t, d, w.clock.Now, w.out)

	special := map[string]twofa.ImportOutcome{} // users who changed their factors here
	var session twofa.Session
	for kill := range importKills {
		part := len(w.users) / (importKills + 1)
		report := w.run(part*(kill+1) + rand.IntN(part/2))
		imported := w.imported()
		for id, line := range report {
			if strings.HasPrefix(line, string(twofa.ImportDone)) {
				require.NotZero(t, imported[id], "%s was reported and is not stored", id)
			}
		}
		w.clock.Add(6 * time.Hour)
		if kill == 0 {
			special, session = w.morning(imported)
		}
		w.clock.Add(18 * time.Hour)
	}
	for range 2 {
		w.check(w.run(0), special)
		w.clock.Add(24 * time.Hour)
	}
	require.NoError(t, w.Check(t.Context(), twofa.Caller{Session: session}), "a repeated import ends no session")
	w.signIns(special)
}

// run runs the program. If kill is not zero, the program is killed as soon as
// that many users are stored. Otherwise it must run to its end. run returns the
// outcome and the error of each user in the report.
func (w *migration) run(kill int) map[string]string {
	program, err := os.Executable()
	require.NoError(w.t, err)
	cmd := exec.CommandContext(w.t.Context(), program, "-test.run", "^"+w.t.Name()+"$")
	cmd.Env = append(os.Environ(), importDSN+"="+w.d.dsn, fmt.Sprint(importNow, "=", w.clock.Now().Unix()))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if kill > 0 {
		defer w.hold()()
	}
	before, start := w.stored(), time.Now()
	require.NoError(w.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if kill > 0 {
		poll := time.NewTicker(2 * time.Millisecond)
		defer poll.Stop()
		for stored := 0; stored < kill; stored = w.stored() {
			select {
			case err := <-ended:
				require.FailNow(w.t, "the program ended before it was killed", "%v\n%s", err, out.String())
			case <-poll.C:
			}
		}
		require.NoError(w.t, cmd.Process.Kill())
		require.ErrorContains(w.t, <-ended, "killed")
	} else {
		require.NoError(w.t, <-ended, "%s", &out)
	}
	took := time.Since(start).Round(time.Millisecond)
	w.t.Logf("%v, %d users stored before, %d after, killed: %v", took, before, w.stored(), kill > 0)
	return w.report(out.String())
}

// hold keeps the program from storing one of the last users, until release is
// called. Otherwise the program could end before it is killed.
func (w *migration) hold() (release func()) {
	tx, err := w.db.Begin()
	require.NoError(w.t, err)
	u := w.users[len(w.users)*97/1000*10] // its row is good
	_, err = tx.Exec("INSERT INTO twofa_records (key, version, data) VALUES ($1, 'held', '') ON CONFLICT DO NOTHING", "user/"+u.id)
	require.NoError(w.t, err)
	return func() { require.NoError(w.t, tx.Rollback()) }
}

// report returns the lines that a run has printed, by user.
func (w *migration) report(out string) map[string]string {
	for _, u := range w.users {
		for _, r := range u.rows {
			require.False(w.t, u.problem != "" && r.secret != "" && strings.Contains(out, r.secret), "the report contains a key")
		}
	}
	report := map[string]string{}
	for line := range strings.Lines(out) {
		// The last line of a program that was killed may be cut.
		if f := strings.Split(line, "\t"); len(f) == 4 && f[0] == "report" && strings.HasSuffix(line, "\n") {
			report[f[1]] = f[2] + " " + strings.TrimSpace(f[3])
		}
	}
	return report
}

// stored returns how many users have a record.
func (w *migration) stored() (n int) {
	require.NoError(w.t, w.db.QueryRow("SELECT count(*) FROM twofa_records WHERE key LIKE 'user/%'").Scan(&n))
	return n
}

// imported returns how many events of imported factors each user has.
func (w *migration) imported() map[string]int {
	events := map[string]int{}
	q := twofa.EventQuery{Types: []string{event.Imported}, Limit: 1000}
	for more := true; more; more = q.Cursor != "" {
		page, err := w.store.Events(w.t.Context(), q)
		require.NoError(w.t, err)
		for _, e := range page.Events {
			events[e.User]++
		}
		q.Cursor = page.Next
	}
	return events
}

// morning lets users change their factors between two runs. It returns the
// outcome that later runs must report for them, and the session of another user.
func (w *migration) morning(imported map[string]int) (special map[string]twofa.ImportOutcome, s twofa.Session) {
	special = map[string]twofa.ImportOutcome{}
	ctx, host := w.t.Context(), twofa.AsHost("test")
	var here, later []oldUser
	for _, u := range w.users {
		if u.uri != "" && u.factors == 1 && imported[u.id] > 0 {
			here = append(here, u)
		} else if u.factors > 0 && imported[u.id] == 0 {
			later = append(later, u)
		}
	}
	rand.Shuffle(len(here), func(i, j int) { here[i], here[j] = here[j], here[i] })
	for _, u := range here[:10] {
		c := twofa.Caller{Session: w.signIn(u)}
		w.clock.Add(5 * time.Minute) // the code of the sign-in cannot be used again
		r, err := w.StepUp(ctx, c, twofa.ActionFactors, "")
		require.NoError(w.t, err)
		if r.Next != twofa.NextDone {
			r, err = w.Verify(ctx, c, r.Challenge, w.code(u))
			require.NoError(w.t, err)
		}
		if !r.Session.IsZero() {
			c.Session = r.Session
		}
		f, err := w.Factors(ctx, c)
		require.NoError(w.t, err)
		require.NoError(w.t, w.Remove(ctx, c, f.List[0].ID))
		special[u.id] = twofa.ImportTakenAway
	}
	for _, u := range here[10:15] {
		require.NoError(w.t, w.User(host, u.id).Reset(ctx, twofa.ResetRequest{InPerson: true}))
		special[u.id] = twofa.ImportTakenAway
	}
	for _, u := range later[len(later)-5:] {
		r, err := w.Begin(ctx, twofa.FirstFactor{UserID: u.id, By: twofa.ByPassword})
		require.NoError(w.t, err)
		c := twofa.Caller{Session: r.Session}
		e, err := w.Enroll(ctx, c, twofa.EnrollRequest{})
		require.NoError(w.t, err)
		_, err = w.Confirm(ctx, c, twofatest.Code(w.t, e.URI.Reveal(), w.clock.Now()))
		require.NoError(w.t, err)
		_, err = w.SaveCodes(ctx, c)
		require.NoError(w.t, err)
		special[u.id] = twofa.ImportEnrolled
	}
	return special, w.signIn(here[15])
}

// check compares the report of a run that ended, and everything that is stored,
// with the old table.
func (w *migration) check(report map[string]string, special map[string]twofa.ImportOutcome) {
	imported := w.imported()
	require.Len(w.t, report, len(w.users))
	for _, u := range w.users {
		data, err := w.User(twofa.AsHost("test"), u.id).Export(w.t.Context())
		require.NoError(w.t, err)
		line, factors, events := report[u.id], u.factors, u.factors
		switch special[u.id] {
		case twofa.ImportTakenAway:
			require.Equal(w.t, "taken_away <nil>", line)
			factors = 0
		case twofa.ImportEnrolled:
			require.Equal(w.t, "enrolled <nil>", line)
			factors, events = 1, 0
		default:
			if u.problem != "" {
				require.Contains(w.t, line, u.problem)
			} else {
				require.Contains(w.t, []string{"imported <nil>", "imported_before <nil>"}, line)
			}
		}
		require.Len(w.t, data.Factors, factors, "%s, %s", u.id, line)
		require.Equal(w.t, events, imported[u.id], "events of %s, %s", u.id, line)
		require.Equal(w.t, events > 0, !data.Imported.IsZero(), "%s, %s", u.id, line)
	}
}

// signIns lets 50 users sign in with their old app, and 5 with their old phone.
func (w *migration) signIns(special map[string]twofa.ImportOutcome) {
	apps, phones := 0, 0
	for _, i := range rand.Perm(len(w.users)) {
		u := w.users[i]
		switch {
		case u.factors == 0 || special[u.id] != "":
		case u.uri != "" && apps < 50:
			apps++
			w.signIn(u)
			r, err := w.Begin(w.t.Context(), twofa.FirstFactor{UserID: u.id, By: twofa.ByPassword})
			require.NoError(w.t, err)
			_, err = w.Verify(w.t.Context(), twofa.Caller{}, r.Challenge, w.code(u))
			require.ErrorIs(w.t, err, twofa.ErrInvalidCode, "the code was used before")
		case u.uri == "" && phones < 5:
			phones++
			r, err := w.Begin(w.t.Context(), twofa.FirstFactor{UserID: u.id, By: twofa.ByPassword})
			require.NoError(w.t, err)
			r, err = w.Send(w.t.Context(), twofa.Client{}, r.Challenge, twofa.SMS)
			require.NoError(w.t, err)
			code := w.out.TextCode(w.t, u.rows[0].phone)
			r, err = w.Verify(w.t.Context(), twofa.Caller{}, r.Challenge, twofa.Proof{Method: twofa.SMS, Code: twofa.NewSecret(code)})
			require.NoError(w.t, err)
			require.Equal(w.t, twofa.NextDone, r.Next)
		}
	}
	require.Equal(w.t, []int{50, 5}, []int{apps, phones})
}

// code returns a code of the old app.
func (w *migration) code(u oldUser) twofa.Proof {
	return twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(twofatest.Code(w.t, u.uri, w.clock.Now()))}
}

// signIn signs a user in with a code of the old app.
func (w *migration) signIn(u oldUser) twofa.Session {
	r, err := w.Begin(w.t.Context(), twofa.FirstFactor{UserID: u.id, By: twofa.ByPassword})
	require.NoError(w.t, err)
	require.Equal(w.t, twofa.NextChallenge, r.Next)
	r, err = w.Verify(w.t.Context(), twofa.Caller{}, r.Challenge, w.code(u))
	require.NoError(w.t, err, u.id)
	require.Equal(w.t, twofa.NextDone, r.Next)
	return r.Session
}
