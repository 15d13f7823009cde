package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Nginx starts nginx with the given lines in its http block, and returns after it
// listens on port. Relative paths in the lines start at dir, to which nginx can
// write. They may use the ports that [FreePort] has returned.
func Nginx(t testing.TB, dir, port, lines string) {
	t.Helper()
	program := findServer(t, "nginx", "nginx", "/usr/sbin/nginx")
	config := filepath.Join(dir, "nginx.conf")
	must(t, os.WriteFile(config, fmt.Appendf(nil, `daemon off;
pid pid;
error_log error.log;
events {}
http {
access_log off;
client_body_temp_path body;
proxy_temp_path proxy;
fastcgi_temp_path fastcgi;
uwsgi_temp_path uwsgi;
scgi_temp_path scgi;
%s
}
`, lines), 0o644))
	server := asUser("www-data")(program, "-p", dir, "-c", config, "-e", filepath.Join(dir, "error.log"))
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
}

// NginxDir creates a directory for the files of nginx and for the Unix sockets of
// the programs behind it.
func NginxDir(t testing.TB) string {
	t.Helper()
	findServer(t, "nginx", "nginx", "/usr/sbin/nginx") // before the user that it runs as
	return serverDir(t, "www-data")
}

// FreePort returns a port of 127.0.0.1 on which nothing listens.
func FreePort(t testing.TB) string {
	t.Helper()
	return freePort(t)
}
