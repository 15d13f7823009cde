package engines

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTemporaryPostgreSQL(t *testing.T) {
	psql := Tool(t, "psql")
	port := startPostgreSQL(t)
	require.NoError(t, run(exec.Command(psql, "-X", "-w", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-c", "SELECT 1")))
}

func TestTemporaryMariaDB(t *testing.T) {
	require.NoError(t, run(mariaClient(t, startMariaDB(t), "SELECT 1")))
}

func TestRequire(t *testing.T) {
	for required, want := range map[string]string{"": "skipped", "1": "failed"} {
		t.Setenv("TWOFA_REQUIRE", required)
		recorder := &note{TB: t}
		Tool(recorder, "no-such-program")
		require.Equal(t, want, recorder.outcome, "TWOFA_REQUIRE=%q", os.Getenv("TWOFA_REQUIRE"))
	}
}

// note is a testing.TB that records how the test would have ended.
type note struct {
	testing.TB
	outcome string
}

func (n *note) Skipf(string, ...any) {
	if n.outcome == "" {
		n.outcome = "skipped"
	}
}

func (n *note) Fatalf(string, ...any) { n.outcome = "failed" }
