package engines

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// PgBouncer starts a pooler in transaction mode in front of a database of
// PostgreSQL, and returns the URL of the database at the pooler.
func PgBouncer(t testing.TB, dsn string) string {
	t.Helper()
	program := findServer(t, "PgBouncer", "pgbouncer", "/usr/sbin/pgbouncer")
	target, err := url.Parse(dsn)
	must(t, err)
	dir, port := serverDir(t, "postgres"), freePort(t)
	config, users := filepath.Join(dir, "pgbouncer.ini"), filepath.Join(dir, "users")
	must(t, os.WriteFile(users, fmt.Appendf(nil, "%q \"\"\n", target.User.Username()), 0o644))
	must(t, os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host=%s port=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 4
ignore_startup_parameters = extra_float_digits
logfile = %s
`, target.Hostname(), target.Port(), port, users, filepath.Join(dir, "log")), 0o644))
	server := asUser("postgres")(program, "-q", config)
	must(t, server.Start())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Wait()
	}()
	t.Cleanup(func() {
		must(t, server.Process.Signal(os.Interrupt))
		<-stopped
	})
	waitFor(t, port, stopped)
	target.Host = "127.0.0.1:" + port
	return target.String()
}
