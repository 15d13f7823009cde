package storetest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twofa-go/twofa"
)

// These numbers are large enough to catch a store that is slow between comparing
// and writing, and small enough for a database that flushes to disk on every Swap.
// In a store in memory, only a few instructions are in between. Catching it takes
// many more swaps, see [storeProbe.countUp].
const (
	racers = 8
	rounds = 25
)

var raceRules = []storeRule{
	{name: "create race", text: "of several concurrent Swaps that create the same record, exactly one returns nil, and its record is stored", check: func(p *storeProbe) {
		for i := range rounds {
			p.race("", func(int) (twofa.Record, []twofa.Event) {
				return p.record(p.inSpace(i).key(strconv.Itoa(i))), nil
			})
		}
	}},
	{name: "swap race", text: "of several concurrent Swaps with the same prev, exactly one returns nil, and its record is stored", check: func(p *storeProbe) {
		stored := make([]twofa.Record, len(spaces))
		for i, space := range spaces {
			stored[i] = p.create(space + p.id)
		}
		for i := range rounds {
			r := &stored[i%len(spaces)]
			*r = p.race(r.Version, func(int) (twofa.Record, []twofa.Event) {
				return p.record(r.Key), nil
			})
		}
	}},
	{name: "delete race", text: "of a delete and several changes with the same prev, exactly one returns nil", check: func(p *storeProbe) {
		for i := range rounds {
			r := p.create(p.inSpace(i).key(strconv.Itoa(i)))
			p.race(r.Version, func(racer int) (twofa.Record, []twofa.Event) {
				if racer == i%racers {
					return twofa.Record{Key: r.Key}, nil
				}
				return p.record(r.Key), nil
			})
		}
	}},
	{name: "counter race", spaces: true, text: "a Swap that returned nil is never lost, and one that returned ErrConflict is never stored", check: func(p *storeProbe) {
		p.countUp(p.key(""))
	}},
	{name: "read after write", text: "Get sees every Swap that returned nil before Get was called, on any server", check: func(p *storeProbe) {
		p.readsKeepUp()
	}},
	{name: "reads race", text: "Get returns a whole record that a successful Swap has stored, even if other calls change the record at the same time", check: func(p *storeProbe) {
		p.readWhileChanging()
	}},
}

// inSpace returns a probe whose keys are in another space for each i.
func (p *storeProbe) inSpace(i int) *storeProbe {
	return &storeProbe{failer: p.failer, rule: p.rule, a: p.a, b: p.b, space: spaces[i%len(spaces)], id: p.id}
}

// readWhileChanging lets one racer change a record, others fail to change it, and
// the rest read it.
func (p *storeProbe) readWhileChanging() {
	p.Helper()
	versioned := func(version string, n int) twofa.Record { // Data follows from the version
		return twofa.Record{Key: p.key(""), Version: version, Data: bytes.Repeat([]byte(version), 1+n%200)}
	}
	r := versioned(rand.Text(), 0)
	p.swap("", r)
	until := time.Now().Add(300 * time.Millisecond)
	p.inParallel(func(racer int, s twofa.Store) error {
		for n := 0; n < rounds || time.Now().Before(until); n++ {
			switch {
			case racer == 0:
				next := versioned(rand.Text(), n)
				if err := s.Swap(p.Context(), r.Version, next); err == nil {
					r = next
				} else if !errors.Is(err, twofa.ErrConflict) {
					return err
				}
			case racer < 4:
				if err := s.Swap(p.Context(), "never", versioned("wrong", n)); !errors.Is(err, twofa.ErrConflict) {
					return fmt.Errorf("a Swap from a version that was never stored returned %v, want ErrConflict", err)
				}
			default:
				found, err := s.Get(p.Context(), p.key(""))
				if err != nil || len(found) != 1 || found[0].Version == "wrong" || string(found[0].Data) != strings.Repeat(found[0].Version, len(found[0].Data)/len(found[0].Version)) {
					return fmt.Errorf("a Get returned %d records (error: %v), want one, and with the Data of its version", len(found), err)
				}
			}
		}
		return nil
	})
	p.wantStored(r)
}

// inParallel runs f in several goroutines that start together, half of them with
// each handle. If f returns an error, the rule fails.
func (p *storeProbe) inParallel(f func(racer int, s twofa.Store) error) {
	p.Helper()
	var (
		wg    sync.WaitGroup
		start = make(chan struct{})
		errs  [racers]error
	)
	for i := range racers {
		s := p.a
		if i%2 == 1 {
			s = p.b
		}
		wg.Go(func() {
			<-start
			errs[i] = f(i, s)
		})
	}
	close(start)
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		p.failf("%d concurrent goroutines: %v", racers, err)
	}
}

// race calls Swap in several goroutines, all with the same prev and each with its
// own record from next. Exactly one must succeed. race returns its record.
func (p *storeProbe) race(prev string, next func(racer int) (twofa.Record, []twofa.Event)) twofa.Record {
	p.Helper()
	var (
		mu      sync.Mutex
		winners []twofa.Record
	)
	p.inParallel(func(racer int, s twofa.Store) error {
		r, events := next(racer)
		err := s.Swap(p.Context(), prev, r, events...)
		if errors.Is(err, twofa.ErrConflict) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		winners = append(winners, r)
		return err
	})
	if len(winners) != 1 {
		p.failf("%d of %d concurrent Swaps from version %q returned nil, want 1", len(winners), racers, prev)
	}
	p.wantStoredOrMissing(winners[0])
	return winners[0]
}

// countUp lets racers increment one number, each for at least a few rounds, until
// countingTime has passed. A lost update is found whenever
// it happens, because the number then stays lower than the count of Swaps that
// returned nil.
func (p *storeProbe) countUp(key string) {
	p.Helper()
	count := p.record(key)
	count.Data = []byte("0")
	p.swap("", count)
	var swaps atomic.Int64
	until := time.Now().Add(countingTime())
	p.inParallel(func(_ int, s twofa.Store) error {
		for n := 0; n < rounds/4 || time.Now().Before(until); n++ {
			if err := p.increment(s, key, &swaps); err != nil {
				return err
			}
		}
		return nil
	})
	if _, got, err := p.number(p.b, key); err != nil || got != swaps.Load() {
		p.failf("after %d increments, the counter is %d (error: %v)", swaps.Load(), got, err)
	}
}

// countingTime returns a duration that is long enough to interrupt a racer between
// comparing and writing, even if these are only a few instructions apart. It is
// longer with one processor, because there racers never run in parallel, and are
// interrupted only about a hundred times a second.
func countingTime() time.Duration {
	if runtime.GOMAXPROCS(0) == 1 {
		return time.Second
	}
	return 600 * time.Millisecond
}

// increment adds one to the number for key, and tries again after a conflict. Each
// conflict is caused by another racer's success, or by a transaction that the
// database rolled back because of another. Their number is therefore bounded.
func (p *storeProbe) increment(s twofa.Store, key string, swaps *atomic.Int64) error {
	for tries := int64(0); tries < 2*racers*rounds+swaps.Load(); tries++ {
		version, n, err := p.number(s, key)
		if err != nil {
			return err
		}
		next := twofa.Record{Key: key, Version: p.quickVersion(), Data: strconv.AppendInt(nil, n+1, 10)}
		if err = s.Swap(p.Context(), version, next); err == nil {
			swaps.Add(1)
		}
		if !errors.Is(err, twofa.ErrConflict) {
			return err
		}
	}
	return errors.New("more conflicts than concurrent Swaps can cause")
}

// number returns the version and the value of the number for key.
func (p *storeProbe) number(s twofa.Store, key string) (version string, n int64, err error) {
	found, err := s.Get(p.Context(), key)
	if err != nil {
		return "", 0, err
	}
	if len(found) != 1 {
		return "", 0, fmt.Errorf("found %d records, want 1", len(found))
	}
	n, err = strconv.ParseInt(string(found[0].Data), 10, 64)
	return found[0].Version, n, err
}

// quickVersion returns a new version. It is faster than rand.Text, so that racers
// can spend more of their time in the store.
func (p *storeProbe) quickVersion() string {
	return p.id[:16] + strconv.FormatInt(p.versions.Add(1), 36)
}
