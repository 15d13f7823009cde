package engines

import (
	"cmp"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Galera starts a cluster of MariaDB servers that all accept writes, creates a
// database in it, and returns the DSN of the database on each server. Every
// statement waits for the commits of the other servers (wsrep_sync_wait).
// Otherwise a revoked session could continue to work, and a change could conflict
// although nothing else has changed the record.
func Galera(t testing.TB, nodes int) (dsns []string) {
	t.Helper()
	provider, _ := filepath.Glob("/usr/lib*/galera*/libgalera_smm.so")
	if len(provider) == 0 {
		Require(t, "Galera", "libgalera_smm.so is not installed")
	}
	Tool(t, "rsync") // a server copies its initial state with it
	name, first, port := databaseName(), "", ""
	var ports []string
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
		ports = append(ports, port)
		dsns = append(dsns, mariaDSN(port, name)+"&wsrep_sync_wait=7")
	}
	must(t, run(mariaClient(t, port, "CREATE DATABASE "+name)))
	for _, port := range ports { // the others get it a moment later
		must(t, run(mariaClient(t, port, "SET SESSION wsrep_sync_wait = 15; SHOW DATABASES; USE "+name)))
	}
	return dsns
}

// awaitSynced waits until the server has the data of the others.
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
			t.Fatal("the server did not join the cluster before the end of the test")
		case <-poll.C:
		}
	}
}
