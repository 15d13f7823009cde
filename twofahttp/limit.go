package twofahttp

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// limiter is a token bucket for each address. A full bucket is as good as
// none, so what it holds is bounded by dropping those first.
type limiter struct {
	mu      *sync.Mutex
	buckets map[netip.Addr]bucket
	size    float64       // tokens in a full bucket
	refill  time.Duration // time for one token
}

type bucket struct {
	tokens float64
	at     time.Time
}

const maxBuckets = 20_000

func newLimiter(n int, per time.Duration) limiter {
	return limiter{&sync.Mutex{}, map[netip.Addr]bucket{}, float64(n), per / time.Duration(n)}
}

// take takes one token and returns 0, or how long to wait for one.
func (l *limiter) take(addr netip.Addr, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[addr]
	if !ok {
		l.makeRoom(now)
		b = bucket{l.size, now}
	}
	b = l.refilled(b, now)
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) * float64(l.refill))
	}
	b.tokens--
	l.buckets[addr] = b
	return 0
}

// giveBack returns a token that was taken for what succeeded.
func (l *limiter) giveBack(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[addr]; ok {
		b.tokens = min(b.tokens+1, l.size)
		l.buckets[addr] = b
	}
}

func (l *limiter) refilled(b bucket, now time.Time) bucket {
	if passed := now.Sub(b.at); passed > 0 { // a clock set back gives nothing
		b.tokens, b.at = min(l.size, b.tokens+float64(passed)/float64(l.refill)), now
	}
	return b
}

// makeRoom drops full buckets, then any, until half of the room is free. That
// is rare enough to cost little: a sweep makes room for thousands.
func (l *limiter) makeRoom(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for addr, b := range l.buckets {
		if l.refilled(b, now).tokens >= l.size {
			delete(l.buckets, addr)
		}
	}
	for addr := range l.buckets {
		if len(l.buckets) <= maxBuckets/2 {
			return
		}
		delete(l.buckets, addr)
	}
}

// bucketOf is what an address is counted as: one customer has a /64 of IPv6.
func bucketOf(addr netip.Addr) netip.Addr {
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// ip is the address a request comes from: that of the connection, or, where
// that is a trusted proxy's, the last one in X-Forwarded-For that is not.
// Everything left of it was written by who knows whom.
func (web *Server) ip(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr := parseAddr(host)
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && web.trusted(addr); i-- {
		hop := parseAddr(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			break
		}
		addr = hop
	}
	return addr
}

func (web *Server) trusted(addr netip.Addr) bool {
	for _, p := range web.cfg.TrustedProxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func parseAddr(s string) netip.Addr {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
