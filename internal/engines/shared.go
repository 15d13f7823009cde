package engines

import (
	"slices"
	"sync"
	"testing"
)

// Main runs the tests of a package, which share their temporary servers, and
// returns the code with which TestMain must exit. The servers stop after the last
// test. Without Main, each test that needs a server starts its own, which takes
// about a second.
func Main(m *testing.M) (code int) {
	sharing = true
	defer func() {
		for _, s := range []*server{&postgreSQL, &mariaDB} {
			s.stop()
		}
	}()
	return m.Run()
}

var (
	sharing             bool // set before the first test
	postgreSQL, mariaDB server
)

// server is a temporary server that tests share.
type server struct {
	mu       sync.Mutex
	port     string
	cleanups []func()
}

// start returns the port of a server. It calls start unless the tests share their
// servers and this one has been started.
func (s *server) start(t testing.TB, start func(testing.TB) string) (port string) {
	t.Helper()
	if !sharing {
		return start(t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.port == "" {
		s.port = start(lasting{t, s})
	}
	return s.port
}

func (s *server) stop() {
	for _, cleanup := range slices.Backward(s.cleanups) {
		cleanup()
	}
}

// lasting is the test that starts a shared server. Its cleanups run after the last
// test. If one of them fails then, the test panics, and so the run fails.
type lasting struct {
	testing.TB
	server *server
}

func (l lasting) Cleanup(f func()) { l.server.cleanups = append(l.server.cleanups, f) }
