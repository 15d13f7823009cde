package twofahttp_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
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
		{"Unix socket", "@", "198.51.100.1", []string{"198.51.100.1"}},
		{"Unix socket without a name", "", "198.51.100.1", []string{"1.1.1.1, 198.51.100.1"}},
		{"with a port", "10.0.0.1:1000", "203.0.113.9", []string{"203.0.113.9:51008"}},
		{"IPv6 with a port", "10.0.0.1:1000", "2001:db8::7", []string{"[2001:db8::7]:443"}},
		{"IPv6 in brackets", "10.0.0.1:1000", "2001:db8::7", []string{"[2001:db8::7]"}},
		{"quoted", "10.0.0.1:1000", "2001:db8::7", []string{`"[2001:db8::7]:443"`}},
		{"spaces and tabs", "10.0.0.1:1000", "203.0.113.9", []string{"1.1.1.1 ,\t203.0.113.9 "}},
		{"IPv4 in IPv6 behind a proxy", "[fd00::1]:1000", "203.0.113.9", []string{"::ffff:203.0.113.9"}},
		{"unknown", "10.0.0.1:1000", "10.0.0.1", []string{"198.51.100.1, unknown"}},
		{"IPv6 and port without brackets", "10.0.0.1:1000", "2001:db8::7", []string{"2001:db8::7:51008"}},
		{"whole IPv6 and port without brackets", "10.0.0.1:1000", "2001:db8:1:2:3:4:5:6", []string{"2001:db8:1:2:3:4:5:6:443"}},
		{"no port after IPv6", "10.0.0.1:1000", "2001:db8::7:443", []string{"2001:db8::7:443"}},
		{"number that is no port", "10.0.0.1:1000", "10.0.0.1", []string{"2001:db8::7:65536"}},
		{"Unix socket between two proxies", "10.0.0.1:1000", "198.51.100.1", []string{"198.51.100.1, unix:"}},
		{"Unix socket and port", "@", "198.51.100.1", []string{"198.51.100.1, unix::"}},
		{"forged Unix socket", "10.0.0.1:1000", "198.51.100.1", []string{"1.1.1.1, unix:, 198.51.100.1"}},
		{"forged Unix socket without a proxy", "203.0.113.7:1000", "203.0.113.7", []string{"unix:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
			r.RemoteAddr = c.remote
			r.Header["X-Forwarded-For"] = c.forwarded
			require.Equal(t, c.want, h.web.Client(nil, r).IP)
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

// Whatever stands in front of the app, one person must not lock out everybody.
func TestLimits_NeverOneBucketForEverybody(t *testing.T) {
	for name, c := range map[string]struct {
		remote string
		other  string // X-Forwarded-For of everybody else
		warns  string
	}{
		"a proxy that is not listed":      {"192.0.2.1:1000", "198.51.100.2", "TrustedProxies"},
		"a Unix socket":                   {"@", "198.51.100.2", ""},
		"a Unix socket without addresses": {"@", "", "ClientIP"},
		"two proxies and a Unix socket":   {"192.0.2.1:1000", "198.51.100.2, unix:", "TrustedProxies"},
		"a listed proxy":                  {"10.0.0.1:1000", "198.51.100.2", ""},
		"a listed proxy without a client": {"10.0.0.1:1000", "", "X-Forwarded-For"},
		"a listed proxy that hides it":    {"10.0.0.1:1000", "unknown", "X-Forwarded-For"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
				c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
			})
			attempt := func(forwarded string) error {
				r := httptest.NewRequestWithContext(t.Context(), "POST", "/2fa/verify", nil)
				r.RemoteAddr = c.remote
				if forwarded != "" {
					r.Header.Set("X-Forwarded-For", forwarded)
				}
				return h.web.TakeAttempt(r)
			}
			mallory, named := strings.CutPrefix(c.other, "198.51.100.2")
			if named {
				mallory = "198.51.100.1" + mallory
			}
			refused := 0
			for range 100 {
				if attempt(mallory) != nil {
					refused++
				}
			}
			if named {
				require.Equal(t, 70, refused)
			}
			require.NoError(t, attempt(c.other))
			if c.warns == "" {
				require.NotContains(t, h.logs.String(), "limits by address")
			} else {
				require.Equal(t, 1, strings.Count(h.logs.String(), "limits by address"))
				require.Contains(t, h.logs.String(), c.warns)
			}
		})
	}
}

// A proxy that hides its clients has the wide limit.
func TestLimits_HiddenClientsHaveAnEnd(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	allowed := map[string]int{}
	for range 1000 {
		for _, forwarded := range []string{"unknown", "10.0.0.2"} { // the second is a client in the same network
			r := httptest.NewRequestWithContext(t.Context(), "POST", "/2fa/verify", nil)
			r.RemoteAddr = "10.0.0.1:1000"
			r.Header.Set("X-Forwarded-For", forwarded)
			if h.web.TakeAttempt(r) == nil {
				allowed[forwarded]++
			}
		}
	}
	require.Equal(t, map[string]int{"unknown": 30 * 10, "10.0.0.2": 30}, allowed)
}

// The message of a login that succeeds is given back, and takes nothing from
// the others behind the proxy.
func TestLimits_HiddenClientsGetMessagesBack(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/2fa/send", nil)
	r.RemoteAddr = "10.0.0.1:1000"
	require.NoError(t, h.web.TakeSend(r))
	h.web.GiveBackSend(r)
	for i := range 20 * 10 {
		require.NoError(t, h.web.TakeSend(r), i)
	}
	require.Error(t, h.web.TakeSend(r))
}

// A client that claims the address of its proxy has a limit of its own, too.
func TestLimits_ClaimedAddressOfTheProxy(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	attempt := func(claimed string) error {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/2fa/verify", nil)
		r.RemoteAddr = "192.0.2.1:1000"
		r.Header.Set("X-Forwarded-For", claimed)
		return h.web.TakeAttempt(r)
	}
	allowed := 0
	for range 100 {
		if attempt("192.0.2.1") == nil {
			allowed++
		}
	}
	require.Equal(t, 30, allowed)
	require.NoError(t, attempt("198.51.100.2"), "everybody else")
}

// Whoever claims addresses meets the wide limit of the proxy's own address.
func TestLimits_ClaimedAddressesHaveAnEnd(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	allowed := 0
	for i := range 3000 {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/2fa/verify", nil)
		r.RemoteAddr = "192.0.2.1:1000"
		r.Header.Set("X-Forwarded-For", netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}).String())
		if h.web.TakeAttempt(r) == nil {
			allowed++
		}
	}
	require.Equal(t, 30*10, allowed)
}

func TestClient_IPOfTheHost(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) {
		c.ClientIP = func(r *http.Request) netip.Addr { a, _ := netip.ParseAddr(r.Header.Get("Fly-Client-IP")); return a }
	})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	require.Empty(t, h.web.Client(nil, r).IP)
	r.Header.Set("Fly-Client-IP", "203.0.113.7")
	require.Equal(t, "203.0.113.7", h.web.Client(nil, r).IP)
}
