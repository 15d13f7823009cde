package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/twofa-go/twofa"
)

// Enough to make a store that checks and then writes fail every time, few
// enough for a database that flushes to disk on every swap.
const (
	racers = 8
	rounds = 25
)

var raceRules = []storeRule{
	{name: "create race", text: "of several concurrent Swaps that create one record exactly one returns nil, and its record is stored", check: func(p *storeProbe) {
		for i := range rounds {
			p.race("", func(int) (twofa.Record, []twofa.Event) {
				return p.record(p.key(strconv.Itoa(i))), nil
			})
		}
	}},
	{name: "swap race", text: "of several concurrent Swaps from one version exactly one returns nil, and its record is stored", check: func(p *storeProbe) {
		r := p.created(p.key(""))
		for range rounds {
			r = p.race(r.Version, func(int) (twofa.Record, []twofa.Event) {
				return p.record(r.Key), nil
			})
		}
	}},
	{name: "delete race", text: "of a delete and changes from one version exactly one returns nil", check: func(p *storeProbe) {
		for i := range rounds {
			r := p.created(p.key(strconv.Itoa(i)))
			p.race(r.Version, func(racer int) (twofa.Record, []twofa.Event) {
				if racer == i%racers {
					return twofa.Record{Key: r.Key}, nil
				}
				return p.record(r.Key), nil
			})
		}
	}},
	{name: "counter race", text: "no Swap that returned nil is lost, and none that returned ErrConflict is kept", check: func(p *storeProbe) {
		count := p.record(p.key(""))
		count.Data = []byte("0")
		p.swap("", count)
		p.inParallel(func(_ int, s twofa.Store) error {
			for range rounds {
				if err := p.increment(s, count.Key); err != nil {
					return err
				}
			}
			return nil
		})
		if got := string(p.get(count.Key)[0].Data); got != strconv.Itoa(racers*rounds) {
			p.failf("after %d increments the counter is %s", racers*rounds, got)
		}
	}},
	{name: "read after write", text: "Get sees every Swap that returned nil before Get was called, on whatever server", check: func(p *storeProbe) {
		r := p.created(p.key(""))
		for range rounds {
			next := p.record(r.Key)
			p.swap(r.Version, next)
			p.inParallel(func(_ int, s twofa.Store) error {
				found, err := s.Get(p.Context(), r.Key)
				if err == nil && (len(found) != 1 || found[0].Version != next.Version) {
					err = fmt.Errorf("found %d records, not the version just stored", len(found))
				}
				return err
			})
			r = next
		}
	}},
}

// inParallel runs f in several goroutines that start together, half of them on
// either handle. Any error breaks the rule.
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
		p.failf("%d goroutines at once: %v", racers, err)
	}
}

// race lets several goroutines swap from one version to what next gives each
// of them, and returns the record of the only winner.
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
	if winners[0].Version == "" {
		p.gone(winners[0].Key)
	} else {
		p.holds(winners[0])
	}
	return winners[0]
}

// increment adds one to the number under key, as often as it takes. Each
// conflict is another racer's success, hence the bound.
func (p *storeProbe) increment(s twofa.Store, key string) error {
	for range 2 * racers * rounds {
		found, err := s.Get(p.Context(), key)
		if err != nil {
			return err
		}
		if len(found) != 1 {
			return fmt.Errorf("found %d records, want 1", len(found))
		}
		n, err := strconv.Atoi(string(found[0].Data))
		if err != nil {
			return err
		}
		next := p.record(key)
		next.Data = []byte(strconv.Itoa(n + 1))
		if err := s.Swap(p.Context(), found[0].Version, next); !errors.Is(err, twofa.ErrConflict) {
			return err
		}
	}
	return errors.New("more conflicts than there are swaps to conflict with")
}
