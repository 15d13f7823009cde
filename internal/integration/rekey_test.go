package integration

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/operate"
)

var rekeyUsers = flag.Int("rekey.users", 2000, "number of users whose records are encrypted again; docs/operate.md has figures for 100000")

// What the program of TestRekey_KilledAndContinued gets from the test.
const (
	rekeyDSN  = "TWOFA_TEST_REKEY_DSN"
	rekeyKeys = "TWOFA_TEST_REKEY_KEYS"
	rekeyStop = "TWOFA_TEST_REKEY_STOP" // number of the write after which it hangs
)

// rekeyTeam is a directory in which every ID is a member of one account.
type rekeyTeam struct{}

func (rekeyTeam) Users(_ context.Context, ids ...string) (found []twofa.User, err error) {
	for _, id := range ids {
		found = append(found, twofa.User{ID: id, Members: []twofa.Member{{Account: "acme000"}}})
	}
	return found, nil
}

func rekeyManager(t testing.TB, store twofa.Store, ring string) *twofa.Manager {
	t.Helper()
	keys, err := twofa.ParseKeyRing(ring)
	require.NoError(t, err)
	m, err := twofa.New(twofa.Config{Issuer: "Acme", Store: store, Keys: keys, Directory: rekeyTeam{}})
	require.NoError(t, err)
	return m
}

// hanging is a store whose writes hang after the one with a number, which is made.
type hanging struct {
	*sqlstore.Store
	left atomic.Int64
}

func (s *hanging) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	left := s.left.Add(-1)
	if left < 0 {
		select {}
	}
	err := s.Store.Swap(ctx, prev, next, events...)
	if left == 0 {
		fmt.Println("half")
		select {}
	}
	return err
}

// rekeyProgram is the program that the test kills.
func rekeyProgram(t *testing.T, dsn string) {
	store := database{"pgx", dsn, sqlstore.PostgreSQL}.store(t)
	m, cfg := rekeyManager(t, store, os.Getenv(rekeyKeys)), operate.Config{Store: store, Directory: rekeyTeam{}, Command: "operate"}
	var stop int64
	if _, err := fmt.Sscan(os.Getenv(rekeyStop), &stop); err == nil {
		h := &hanging{Store: store}
		h.left.Store(stop)
		m, cfg.Store = rekeyManager(t, h, os.Getenv(rekeyKeys)), h
	}
	cfg.Manager = m
	os.Exit(operate.Main(t.Context(), cfg, flag.Args()))
}

// A program that encrypts all records again is killed half way and started again.
// Then no record is left under the old key, and all can be read without it.
func TestRekey_KilledAndContinued(t *testing.T) {
	if dsn := os.Getenv(rekeyDSN); dsn != "" {
		rekeyProgram(t, dsn)
	}
	const accounts = 20
	before, after := twofa.GenerateKeyRing().Reveal(), twofa.GenerateKeyRing().Reveal()
	d := fresh(t, "PostgreSQL").migrate(t)
	db, store := d.open(t), d.store(t)
	total := fillRekey(t, db, before, *rekeyUsers, accounts)
	underNew, _, _ := strings.Cut(after, ":")
	count := func(where string) (n int) {
		t.Helper()
		header := fmt.Sprintf("2 %s\n", underNew)
		require.NoError(t, db.QueryRow(fmt.Sprintf("SELECT count(*) FROM twofa_records WHERE (substring(data FROM 1 FOR %d) = $1) AND "+where, len(header)), []byte(header)).Scan(&n))
		return n
	}
	require.Zero(t, count("true"))

	program := func(stop int, args ...string) (*exec.Cmd, *bytes.Buffer) {
		self, err := os.Executable()
		require.NoError(t, err)
		cmd := exec.CommandContext(t.Context(), self, append([]string{"-test.run", "^TestRekey_KilledAndContinued$", "--", "rekey", "-json"}, args...)...)
		cmd.Env = append(os.Environ(), rekeyDSN+"="+d.dsn, rekeyKeys+"="+after+","+before, fmt.Sprintf("%s=%d", rekeyStop, stop))
		if stop == 0 {
			cmd.Env = cmd.Env[:len(cmd.Env)-1]
		}
		errs := &bytes.Buffer{}
		cmd.Stderr = errs
		return cmd, errs
	}
	began := time.Now()
	killed, errs := program(total / 2)
	out, err := killed.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, killed.Start())
	line := make([]byte, 5)
	_, err = io.ReadFull(out, line)
	require.NoError(t, err, "%s", errs)
	require.Equal(t, "half\n", string(line))
	require.NoError(t, killed.Process.Kill())
	_, ended := errors.AsType[*exec.ExitError](killed.Wait())
	require.True(t, ended)
	half := time.Since(began)
	done := count("true")
	require.InDelta(t, total/2, done, 64, "the program was killed half way")

	// A log of a long run shows where it was.
	var args []string
	if places := regexp.MustCompile(`done up to (\S+)\n`).FindAllStringSubmatch(errs.String(), -1); len(places) > 0 {
		args = []string{"-after", places[len(places)-1][1]}
		require.Equal(t, count("key <= '"+args[1]+"'"), rowsUpTo(t, db, args[1]), "everything up to this place is done")
	}
	t.Logf("killed after %v with %d of %d records done, continued with %v", half, done, total, args)

	both := rekeyManager(t, store, after+","+before)
	var users sync.WaitGroup
	for i := range 20 { // users whose sessions end at the same time
		users.Go(func() {
			if err := both.User(twofa.AsHost("test"), rekeyUser(i**rekeyUsers/20)).Revoke(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	began = time.Now()
	resumed, errs := program(0, args...)
	printed, err := resumed.Output()
	require.NoError(t, err, "%s", errs)
	users.Wait()
	var result struct{ Records, Rekeyed, Current, Deleted, Failed int }
	require.NoError(t, json.Unmarshal(printed, &result))
	t.Logf("continued in %v: %+v", time.Since(began), result)
	require.Zero(t, result.Failed+result.Deleted)
	require.InDelta(t, total-done, result.Rekeyed, 20)

	require.Equal(t, total, count("true"), "no record is left under the old key")
	began = time.Now()
	again, errs := program(0)
	printed, err = again.Output()
	require.NoError(t, err, "%s", errs)
	require.NoError(t, json.Unmarshal(printed, &result))
	require.Equal(t, []int{total, 0, total}, []int{result.Records, result.Rekeyed, result.Current})
	t.Logf("nothing to do in %v", time.Since(began))

	only := rekeyManager(t, store, after)
	require.NoError(t, only.Ready(t.Context()))
	for i := range accounts {
		info, err := only.Account(twofa.AsHost("test"), fmt.Sprintf("acme%03d", i)).Policy(t.Context())
		require.NoError(t, err)
		require.False(t, info.Default)
	}
	for i := 0; i < *rekeyUsers; i += 1000 {
		var ids []string
		for k := i; k < min(i+1000, *rekeyUsers); k++ {
			ids = append(ids, rekeyUser(k))
		}
		statuses, err := only.Account(twofa.AsHost("test"), "acme000").Statuses(t.Context(), ids...)
		require.NoError(t, err)
		require.Len(t, statuses, len(ids))
		for _, s := range statuses {
			require.Equal(t, twofa.StateOn, s.State, s.User)
		}
	}
}

func rekeyUser(i int) string { return fmt.Sprintf("user-%06d", i) }

// fillRekey stores users with an authenticator, accounts with a policy and the record
// of Ready, and returns how many records there are. It makes them in memory, which
// is faster.
func fillRekey(t *testing.T, db *sql.DB, ring string, users, accounts int) (total int) {
	t.Helper()
	memory := memstore.New()
	m := rekeyManager(t, memory, ring)
	require.NoError(t, m.Ready(t.Context()))
	policy := twofa.PolicyAuthenticator()
	policy.EnrollWithoutLink = true // there is no mailer
	for i := range accounts {
		require.NoError(t, m.Account(twofa.AsHost("test"), fmt.Sprintf("acme%03d", i)).SetPolicy(t.Context(), policy, ""))
	}
	var keys []string
	for i := range users {
		app := twofa.ImportFactor{Key: twofa.NewSecret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")}
		_, err := m.User(twofa.AsHost("test"), rekeyUser(i)).Import(t.Context(), app)
		require.NoError(t, err)
		keys = append(keys, "user/"+rekeyUser(i))
	}
	others, err := memory.Keys(t.Context(), "", accounts+1)
	require.NoError(t, err)
	records, err := memory.Get(t.Context(), append(others, keys...)...)
	require.NoError(t, err)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Raw(func(driver any) error {
		n, err := driver.(*stdlib.Conn).Conn().CopyFrom(t.Context(), pgx.Identifier{"twofa_records"}, []string{"key", "version", "data"},
			pgx.CopyFromSlice(len(records), func(i int) ([]any, error) { return []any{records[i].Key, records[i].Version, records[i].Data}, nil }))
		total = int(n)
		return err
	}))
	require.Equal(t, users+accounts+1, total)
	return total
}

func rowsUpTo(t *testing.T, db *sql.DB, key string) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRow("SELECT count(*) FROM twofa_records WHERE key <= $1", key).Scan(&n))
	return n
}
