package twofahttp

import (
	"sync"
	"time"

	"github.com/twofa-go/twofa"
)

// limiter has a token bucket for each origin. A full bucket equals none, so
// full buckets are dropped first to bound its memory.
type limiter struct {
	mu      *sync.Mutex
	buckets map[origin]bucket
	size    float64       // tokens in a full bucket
	refill  time.Duration // time in which one token is added
}

type bucket struct {
	tokens float64
	at     time.Time
}

const maxBuckets = 20_000

func newLimiter(n int, per time.Duration) limiter {
	return limiter{&sync.Mutex{}, map[origin]bucket{}, float64(n), per / time.Duration(n)}
}

// take takes one token and returns 0, or returns the wait until there is one.
func (l *limiter) take(from origin, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[from]
	if !ok {
		l.makeRoom(now)
		b = bucket{l.size, now}
	}
	b = l.refilled(b, now)
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) * float64(l.refill))
	}
	b.tokens--
	l.buckets[from] = b
	return 0
}

// giveBack returns a token after a success.
func (l *limiter) giveBack(from origin) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[from]; ok {
		b.tokens = min(b.tokens+1, l.size)
		l.buckets[from] = b
	}
}

func (l *limiter) refilled(b bucket, now time.Time) bucket {
	if passed := now.Sub(b.at); passed > 0 { // a clock that was set back adds no tokens
		b.tokens, b.at = min(l.size, b.tokens+float64(passed)/float64(l.refill)), now
	}
	return b
}

// makeRoom drops full buckets, and then any, until half of the room is free. It
// is cheap on average, because each sweep makes room for thousands.
func (l *limiter) makeRoom(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for from, b := range l.buckets {
		if l.refilled(b, now).tokens >= l.size {
			delete(l.buckets, from)
		}
	}
	for from := range l.buckets {
		if len(l.buckets) <= maxBuckets/2 {
			return
		}
		delete(l.buckets, from)
	}
}

// takeAttempt counts an attempt against the client's address. Call giveBack after
// a success.
func (x *exchange) takeAttempt() (giveBack func(), err error) { return x.take(&x.attempts, "limited") }

func (x *exchange) takeSend() error {
	_, err := x.take(&x.sends, "messages_limited")
	return err
}

// take counts a request against its origin. A request from a proxy that is not
// listed is counted by the address that the proxy claims, so that one person does
// not lock out everybody behind it, and against a wide limit of the proxy's own
// address, because a client can claim any. A request without any address is not
// counted: one bucket would be everybody's. The error has the code.
func (x *exchange) take(l *limiter, code string) (giveBack func(), err error) {
	from, now := x.bucketOf(), x.cfg.Now()
	switch {
	case !from.addr.IsValid():
		x.warnOfAddress("requests have no address; set twofahttp.Config.ClientIP")
		return func() {}, nil
	case from.hidden:
		x.warnOfAddress("a proxy in twofahttp.Config.TrustedProxies sends no client address in X-Forwarded-For; let it send one, or set Config.ClientIP", "address", from.addr)
	case from.claimed.IsValid():
		x.warnOfAddress("a proxy is not in twofahttp.Config.TrustedProxies; list it, or set Config.ClientIP", "address", from.addr)
		proxy := origin{addr: from.addr, hidden: true}
		if wait := l.of(proxy).take(proxy, now); wait > 0 {
			return nil, waitError{code, wait}
		}
	}
	l = l.of(from)
	if wait := l.take(from, now); wait > 0 {
		return nil, waitError{code, wait}
	}
	return func() { l.giveBack(from) }, nil
}

// bucketOf returns the origin that the request is counted as.
func (x *exchange) bucketOf() origin {
	from := x.originOf(x.r)
	from.addr, from.claimed = networkOf(from.addr), networkOf(from.claimed)
	return from
}

// of returns the limiter for an origin. For a whole proxy, it has the same buckets
// but is wide.
func (l *limiter) of(from origin) *limiter {
	if !from.hidden {
		return l
	}
	return &limiter{l.mu, l.buckets, l.size * proxyFactor, l.refill / proxyFactor}
}

// proxyFactor is how many times as much all clients of a proxy may send as one
// client, if they cannot be told apart for certain.
const proxyFactor = 10

// warnOfAddress logs once that limits by address do not work as they should.
func (x *exchange) warnOfAddress(text string, args ...any) {
	x.warnAddress.Do(func() { x.cfg.Logger.WarnContext(x.ctx(), "twofahttp: limits by address: "+text, args...) })
}

// giveBackSend gives back the message that led to a proof.
func (x *exchange) giveBackSend(m twofa.Method) {
	if sendable(m) {
		from := x.bucketOf()
		x.sends.of(from).giveBack(from)
	}
}

func sendable(m twofa.Method) bool { return m == twofa.EmailLink || m == twofa.SMS }
