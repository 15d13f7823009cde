package app

import (
	"net/netip"
	"sync"
	"time"
)

// Attempts allowed within limitWindow. The smallest limit is on the pair, so
// that strangers who guess do not lock a person out of their own address.
const (
	limitWindow  = 15 * time.Minute
	limitPair    = 10  // one address trying one user
	limitAddress = 100 // one address trying anyone
	limitUser    = 200 // anyone trying one user
	limitKeys    = 100_000
)

// limiter counts attempts at passwords and mails in the memory of this
// process. A product on many servers keeps such counters where all see them.
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

// attempt counts one attempt before its outcome is known, so that many at once
// cannot overtake the count. done takes it back; call it on success.
func (l *limiter) attempt(ip, user string) (done func(), ok bool) {
	ip = network(ip)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.used) > limitKeys {
		clear(l.used) // bounds the memory; to get here takes more addresses than guesses are worth
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

// network is what one customer gets: an IPv4 address, a /64 of IPv6.
func network(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Unmap().Is4() {
		return ip
	}
	p, _ := addr.Prefix(64)
	return p.String()
}
