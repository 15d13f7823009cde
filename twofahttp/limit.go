package twofahttp

import (
	"net/netip"
	"sync"
	"time"

	"github.com/twofa-go/twofa"
)

// limiter has a token bucket for each address. A full bucket equals none, so
// full buckets are dropped first to bound its memory.
type limiter struct {
	mu      *sync.Mutex
	buckets map[netip.Addr]bucket
	size    float64       // tokens in a full bucket
	refill  time.Duration // time in which one token is added
}

type bucket struct {
	tokens float64
	at     time.Time
}

const maxBuckets = 20_000

func newLimiter(n int, per time.Duration) limiter {
	return limiter{&sync.Mutex{}, map[netip.Addr]bucket{}, float64(n), per / time.Duration(n)}
}

// take takes one token and returns 0, or returns the wait until there is one.
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

// giveBack returns a token after a success.
func (l *limiter) giveBack(addr netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b, ok := l.buckets[addr]; ok {
		b.tokens = min(b.tokens+1, l.size)
		l.buckets[addr] = b
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

// takeAttempt counts an attempt against the client's address. Call giveBack after
// a success.
func (x *exchange) takeAttempt() (giveBack func(), err error) { return x.take(&x.attempts) }

func (x *exchange) takeSend() error {
	_, err := x.take(&x.sends)
	return err
}

func (x *exchange) take(l *limiter) (giveBack func(), err error) {
	addr := networkOf(x.clientIP(x.r))
	if wait := l.take(addr, x.cfg.Now()); wait > 0 {
		return nil, limitError{wait}
	}
	return func() { l.giveBack(addr) }, nil
}

// giveBackSend gives back the message that led to a proof.
func (x *exchange) giveBackSend(m twofa.Method) {
	if sendable(m) {
		x.sends.giveBack(networkOf(x.clientIP(x.r)))
	}
}

func sendable(m twofa.Method) bool { return m == twofa.EmailLink || m == twofa.SMS }
