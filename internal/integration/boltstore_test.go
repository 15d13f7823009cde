package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/integration/boltstore"
	"github.com/twofa-go/twofa/storetest"
)

func openBolt(t *testing.T) (*bbolt.DB, *boltstore.Store) {
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "twofa.db"), 0o600, &bbolt.Options{NoSync: true}) // no test stops the machine
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	s, err := boltstore.New(db)
	require.NoError(t, err)
	return db, s
}

func TestBoltStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) twofa.Store { _, s := openBolt(t); return s })
}

// The page that shows the store has exactly the code that the tests run.
func TestBoltStore_IsTheOneOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/stores.md")
	require.NoError(t, err)
	for _, file := range []string{"boltstore.go", "events.go", "retention.go", "keys.go", "notices.go"} {
		code, err := os.ReadFile("boltstore/" + file)
		require.NoError(t, err)
		require.Less(t, strings.Count(string(code), "\n"), 100, file)
		shown := code[bytes.Index(code, []byte("package boltstore")):]
		require.True(t, strings.Contains(string(page), "```go\n"+string(shown)+"```"), "docs/stores.md does not show %s as it is", file)
	}
}

// uncloned is the store of the docs without bytes.Clone. It returns memory of the
// database.
type uncloned struct {
	*boltstore.Store
	db *bbolt.DB
}

func (s uncloned) Get(ctx context.Context, keys ...string) (found []twofa.Record, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		for _, key := range keys {
			if value := tx.Bucket([]byte("twofa_records")).Get([]byte(key)); value != nil {
				version, data, _ := bytes.Cut(value, []byte("\n"))
				found = append(found, twofa.Record{Key: key, Version: string(version), Data: data})
			}
		}
		return ctx.Err()
	})
	return found, err
}

const plantedBolt = "TWOFA_TEST_PLANTED_BOLT"

// The suite must reject uncloned. It runs in another process because it fails the
// test that calls it.
func TestBoltStore_WithoutCloneIsRejected(t *testing.T) {
	if os.Getenv(plantedBolt) != "" {
		db, s := openBolt(t)
		storetest.Run(t, func(*testing.T) twofa.Store { return uncloned{s, db} })
		return
	}
	program, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program, "-test.run", "^"+t.Name()+"$/^get_ownership$")
	cmd.Env = append(os.Environ(), plantedBolt+"=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "The rule: the caller owns the result of Get; it shares no memory with the store or another caller")
}
