package app

import (
	"net/netip"
	"sync"
	"time"
)

// Attempts allowed within limitWindow. The smallest limit applies to the pair,
// so that an attacker who guesses cannot lock out the user, who has another
// address.
const (
	limitWindow  = 15 * time.Minute
	limitPair    = 10      // one IP address and one user
	limitAddress = 100     // one IP address and all users
	limitUser    = 200     // all IP addresses and one user
	limitKeys    = 100_000 // bounds the memory
)

// limiter counts attempts at passwords and emails in the memory of this
// process. A product on many servers must share such counters between them.
type limiter struct {
	now func() time.Time

	mu   sync.Mutex
	used map[string]*window
}

type window struct {
	count int
	until time.Time
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, used: make(map[string]*window)}
}

// attempt counts one attempt before its outcome is known, so that concurrent
// attempts cannot exceed the limit. On success, call done: it resets the pair
// and takes the attempt back from the other two.
func (l *limiter) attempt(ip, user string) (done func(), ok bool) {
	ip = network(ip)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.used) > limitKeys {
		clear(l.used) // an attacker needs more IP addresses for this than the guesses are worth
	}
	pair, address, target := l.window("pair "+ip+" "+user), l.window("ip "+ip), l.window("user "+user)
	if pair.count >= limitPair || address.count >= limitAddress || target.count >= limitUser {
		return nil, false
	}
	for _, w := range []*window{pair, address, target} {
		w.count++
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		pair.count = 0
		address.count--
		target.count--
	}, true
}

func (l *limiter) window(key string) *window {
	w := l.used[key]
	if w == nil || !l.now().Before(w.until) {
		w = &window{until: l.now().Add(limitWindow)}
		l.used[key] = w
	}
	return w
}

// network returns the range that one customer has: an IPv4 address, or an IPv6
// /64.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Unmap().Is4() {
		return ip
	}
	p, _ := addr.Prefix(64)
	return p.String()
}
