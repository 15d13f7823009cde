// Package engines provides tests with real databases and tools. It uses a
// database server that runs on this machine. If none runs, it starts a
// temporary server from the installed programs, for one test or, with [Main],
// for all tests of a package. If they are missing, the test is skipped, or fails
// if the environment variable TWOFA_REQUIRE is set, as in CI.
package engines

import (
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Require ends a test that needs the missing program or server name. It fails
// the test if TWOFA_REQUIRE is set, and skips it otherwise.
func Require(t testing.TB, name, reason string) {
	t.Helper()
	if os.Getenv("TWOFA_REQUIRE") != "" {
		t.Fatalf("%s is required: %s", name, reason)
	}
	t.Skipf("needs %s: %s", name, reason)
}

// Tool returns the path of the first of the named programs that is installed.
func Tool(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Require(t, strings.Join(names, " or "), "it is not installed")
	return ""
}

// PostgreSQL creates a database that is dropped at the end of the test, and
// returns its URL.
func PostgreSQL(t testing.TB) (dsn string) {
	t.Helper()
	psql := Tool(t, "psql")
	port := "5432"
	query := func(sql string) error {
		return run(exec.Command(psql, "-X", "-w", "-q", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-c", sql))
	}
	if listens(port) != nil || query("SELECT 1") != nil {
		port = postgreSQL.start(t, startPostgreSQL)
	}
	name := databaseName()
	must(t, query("CREATE DATABASE "+name+" ENCODING 'UTF8' TEMPLATE template0"))
	t.Cleanup(func() { must(t, query("DROP DATABASE "+name+" WITH (FORCE)")) })
	return "postgres://postgres@127.0.0.1:" + port + "/" + name + "?sslmode=disable"
}

// MariaDB creates a database that is dropped at the end of the test, and
// returns its DSN in the format of go-sql-driver/mysql.
func MariaDB(t testing.TB) (dsn string) {
	t.Helper()
	port := "3306"
	if listens(port) != nil || run(mariaClient(t, port, "SELECT 1")) != nil {
		port = mariaDB.start(t, func(t testing.TB) string { return startMariaDB(t) })
	}
	name := databaseName()
	must(t, run(mariaClient(t, port, "CREATE DATABASE "+name)))
	t.Cleanup(func() {
		// A test that failed may have left a transaction open, which a DROP waits for.
		list := mariaClient(t, port, "SELECT id FROM information_schema.processlist WHERE db = '"+name+"'")
		list.Args = append(list.Args, "--skip-column-names")
		ids, err := list.Output()
		must(t, err)
		for id := range strings.FieldsSeq(string(ids)) {
			_ = run(mariaClient(t, port, "KILL "+id)) // it may have ended by itself
		}
		must(t, run(mariaClient(t, port, "DROP DATABASE "+name)))
	})
	return mariaDSN(port, name)
}

func mariaDSN(port, database string) string {
	return "root@tcp(127.0.0.1:" + port + ")/" + database + "?interpolateParams=true"
}

func mariaClient(t testing.TB, port, sql string) *exec.Cmd {
	t.Helper()
	return exec.Command(Tool(t, "mariadb"), "--no-defaults", "--protocol=tcp", "-h", "127.0.0.1", "-P", port, "-u", "root", "-e", sql)
}

// startPostgreSQL starts a server for this test and returns its port.
func startPostgreSQL(t testing.TB) string {
	t.Helper()
	initdb := findServer(t, "PostgreSQL", "initdb", "/usr/lib/postgresql/*/bin/initdb", "/usr/local/opt/postgresql*/bin/initdb")
	bin := filepath.Dir(initdb)
	dir, port := serverDir(t, "postgres"), freePort(t)
	as := asUser("postgres")
	must(t, run(as(initdb, "-D", dir+"/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")))
	ctl := bin + "/pg_ctl"
	settings := "-c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=100 -p " + port + " -k " + dir
	must(t, run(as(ctl, "-D", dir+"/data", "-l", dir+"/log", "-o", settings, "-w", "start")))
	t.Cleanup(func() { must(t, run(as(ctl, "-D", dir+"/data", "-m", "immediate", "-w", "stop"))) })
	return port
}

// startMariaDB starts a server for this test and returns its port.
func startMariaDB(t testing.TB, settings ...string) string {
	t.Helper()
	mariadbd := findServer(t, "MariaDB", "mariadbd", "/usr/sbin/mariadbd")
	install := Tool(t, "mariadb-install-db")
	dir, port := serverDir(t, "mysql"), freePort(t)
	data := []string{"--no-defaults", "--datadir=" + dir + "/data"}
	as := asUser("mysql")
	must(t, run(as(install, append(data, "--auth-root-authentication-method=normal", "--skip-test-db")...)))
	server := as(mariadbd, append(append(data, settings...), "--bind-address=127.0.0.1", "--port="+port, "--socket="+dir+"/sock",
		"--pid-file="+dir+"/pid", "--innodb-flush-log-at-trx-commit=0", "--log-error="+dir+"/log")...)
	must(t, server.Start())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Wait()
	}()
	t.Cleanup(func() {
		must(t, run(exec.Command(Tool(t, "mariadb-admin"), "--no-defaults", "--protocol=tcp", "-h", "127.0.0.1", "-P", port, "-u", "root", "shutdown")))
		<-stopped
	})
	waitFor(t, port, stopped)
	return port
}

// findServer returns the path of a server program, which is often installed in
// a directory that is not in PATH.
func findServer(t testing.TB, engine, name string, patterns ...string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
	}
	for _, pattern := range patterns {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return slices.Max(found)
		}
	}
	Require(t, engine, "no server answers on its port and "+name+" is not installed")
	return ""
}

// serverDir creates a directory that belongs to the user that the server runs
// as. Its path is short, because the path of a Unix socket in it is limited to
// about 100 bytes.
func serverDir(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "twofa-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	if os.Geteuid() == 0 {
		u, err := user.Lookup(name)
		must(t, err)
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		must(t, os.Chown(dir, uid, gid))
	}
	return dir
}

// asUser returns a function that creates commands. If this process runs as
// root, the commands run as the user name, because database servers refuse to
// run as root.
func asUser(name string) func(program string, args ...string) *exec.Cmd {
	return func(program string, args ...string) *exec.Cmd {
		if os.Geteuid() == 0 {
			program, args = "setpriv", append([]string{"--reuid", name, "--regid", name, "--init-groups", program}, args...)
		}
		cmd := exec.Command(program, args...)
		cmd.Dir = "/"
		return cmd
	}
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

func listens(port string) error {
	c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
	if err == nil {
		err = c.Close()
	}
	return err
}

// waitFor waits until the server listens.
func waitFor(t testing.TB, port string, stopped <-chan struct{}) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for listens(port) != nil {
		select {
		case <-stopped:
			t.Fatal("the server stopped before it listened")
		case <-t.Context().Done():
			t.Fatal("the server did not listen before the end of the test")
		case <-poll.C:
		}
	}
}

func databaseName() string { return "twofa_" + strings.ToLower(rand.Text()) }

// run runs a command. Its error contains the output of the command.
func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, out)
	}
	return nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
