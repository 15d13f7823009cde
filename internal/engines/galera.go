package engines

import (
	"cmp"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Galera starts a cluster of MariaDB servers that all take writes, and returns
// the DSN of a fresh database by each of them. Sessions wait for what other
// nodes have committed (wsrep_sync_wait), or single use would not hold.
func Galera(t testing.TB, nodes int) (dsns []string) {
	t.Helper()
	provider, _ := filepath.Glob("/usr/lib*/galera*/libgalera_smm.so")
	if len(provider) == 0 {
		Require(t, "Galera", "libgalera_smm.so is not installed")
	}
	Tool(t, "rsync") // by which a node gets its first state
	name, first, port := databaseName(), "", ""
	for range nodes {
		group := "127.0.0.1:" + freePort(t)
		port = startMariaDB(t,
			"--binlog-format=ROW", "--innodb-autoinc-lock-mode=2",
			"--wsrep-on=ON", "--wsrep-provider="+provider[0], "--wsrep-sst-method=rsync",
			"--wsrep-cluster-address=gcomm://"+first,
			"--wsrep-node-address="+group, "--wsrep-sst-receive-address=127.0.0.1:"+freePort(t),
			"--wsrep-provider-options=gmcast.listen_addr=tcp://"+group+";ist.recv_addr=127.0.0.1:"+freePort(t))
		first = cmp.Or(first, group)
		awaitSynced(t, port)
		dsns = append(dsns, mariaDSN(port, name)+"&wsrep_sync_wait=1")
	}
	must(t, run(mariaClient(t, port, "CREATE DATABASE "+name)))
	return dsns
}

// awaitSynced returns when the node has what the others have.
func awaitSynced(t testing.TB, port string) {
	t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		out, _ := mariaClient(t, port, "SHOW STATUS LIKE 'wsrep_local_state_comment'").Output()
		if strings.Contains(string(out), "Synced") {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the node does not join")
		case <-poll.C:
		}
	}
}
