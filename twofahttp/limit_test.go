package twofahttp_test

import (
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

func TestClient_IPBehindProxies(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	})
	for _, c := range []struct {
		name, remote, want string
		forwarded          []string
	}{
		{"no proxy", "203.0.113.7:1000", "203.0.113.7", nil},
		{"header from an unknown proxy", "203.0.113.7:1000", "203.0.113.7", []string{"198.51.100.1"}},
		{"trusted proxy", "10.0.0.1:1000", "198.51.100.1", []string{"198.51.100.1"}},
		{"forged address before it", "10.0.0.1:1000", "198.51.100.1", []string{"1.1.1.1, 198.51.100.1"}},
		{"several headers", "10.0.0.1:1000", "198.51.100.1", []string{"1.1.1.1", "198.51.100.1"}},
		{"two proxies", "10.0.0.1:1000", "198.51.100.1", []string{"198.51.100.1, 10.0.0.9"}},
		{"invalid address", "10.0.0.1:1000", "10.0.0.9", []string{"198.51.100.1, rubbish, 10.0.0.9"}},
		{"only trusted proxies", "10.0.0.1:1000", "10.0.0.8", []string{"10.0.0.8, 10.0.0.9"}},
		{"IPv6 with a zone", "[fe80::1%eth0]:1000", "fe80::1", nil},
		{"IPv4 in IPv6", "[::ffff:203.0.113.7]:1000", "203.0.113.7", nil},
		{"no address", "@", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			r.RemoteAddr = c.remote
			r.Header["X-Forwarded-For"] = c.forwarded
			require.Equal(t, c.want, h.web.Client(r).IP)
		})
	}
}

func TestLimits_CountNetworkOnce(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := twofahttp.NewLimiter(30, time.Minute)
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::ffff:1")
	for range 15 {
		require.Zero(t, l.Take(a, now))
		require.Zero(t, l.Take(b, now))
	}
	require.Equal(t, 2*time.Second, l.Take(a, now))
	require.Zero(t, l.Take(netip.MustParseAddr("2001:db8:0:1::1"), now), "another network has its own bucket")
	require.Positive(t, l.Take(b, now.Add(-time.Hour)), "a clock that was set back adds no tokens")
	require.Zero(t, l.Take(b, now.Add(2*time.Second)))
	l.GiveBack(a)
	require.Zero(t, l.Take(a, now.Add(2*time.Second)))
	require.Positive(t, l.Take(a, now.Add(2*time.Second)))
}

func TestLimits_MemoryIsBounded(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l := twofahttp.NewLimiter(30, time.Minute)
	for i := range 50_000 {
		l.Take(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
	}
	require.LessOrEqual(t, l.Len(), 20_000)
}
