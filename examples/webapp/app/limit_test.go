package app

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	l := newLimiter(func() time.Time { return now })
	attempt := func(ip, user string, n int) (ok bool) {
		for range n {
			_, ok = l.attempt(ip, user)
		}
		return ok
	}
	require.True(t, attempt("192.0.2.1", "ada", limitPair))
	require.False(t, attempt("192.0.2.1", "ada", 1))
	require.True(t, attempt("192.0.2.2", "ada", 1), "another address of hers still works")

	for i := range limitAddress - limitPair {
		require.True(t, attempt("192.0.2.1", fmt.Sprint(i), 1))
	}
	require.False(t, attempt("192.0.2.1", "ben", 1), "one address and all users")

	require.True(t, attempt("2001:db8::1", "eva", limitPair))
	require.False(t, attempt("2001:db8::2", "eva", 1), "same network of one customer")

	now = now.Add(limitWindow)
	done, ok := l.attempt("192.0.2.1", "ada")
	require.True(t, ok)
	done()
	require.True(t, attempt("192.0.2.1", "ada", limitPair), "success does not count")
}
