package storetest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
)

var serverRules = []storeRule{
	{name: "servers", text: "each server sees at once what the other has written, even if it has read the record before, and compares with it", check: func(p *storeProbe) {
		for i, size := range []int{20, 3000, 20_000} {
			for _, space := range spaces {
				p.alternate(space+p.id+strconv.Itoa(i), size)
			}
		}
	}},
	{name: "servers list", events: true, text: "each server lists at once the events that the other has stored, even if it has listed events before", check: func(p *storeProbe) {
		var all []twofa.Event
		for i := range 6 {
			all = append(all, p.event(i))
			p.turn(i).swap("", p.record(p.key(strconv.Itoa(i))), all[i])
			for _, reader := range p.readers() {
				for _, q := range []twofa.EventQuery{{User: p.id}, {Account: p.id, Forward: true}, {Actor: p.id, Limit: 2}} {
					p.wantSameEvents(q, all, p.pages(reader, q, nil))
				}
			}
		}
	}},
}

// turn returns a probe that writes through b if i is odd.
func (p *storeProbe) turn(i int) *storeProbe {
	if i%2 == 0 {
		return p
	}
	return &storeProbe{failer: p.failer, rule: p.rule, a: p.b, b: p.a, space: p.space, id: p.id}
}

// alternate changes a record on one server and then on the other. Both read it
// before and after each change.
func (p *storeProbe) alternate(key string, size int) {
	p.Helper()
	other := p.create(key + "other")
	check := func(want twofa.Record) {
		p.Helper()
		for i := range 4 {
			s := p.turn(i)
			if want.Version == "" {
				s.wantMissing(key)
				s.wantSame([]twofa.Record{other}, s.get(key, other.Key))
			} else {
				s.wantStored(want)
				s.wantSame([]twofa.Record{want, other}, s.get(other.Key, key))
			}
		}
	}
	stored := twofa.Record{Key: key}
	check(stored)
	for i, turn := range []int{0, 1, 0, 1, 1, 0, 0, 1, 1, 0} {
		next := p.sized(key, size)
		if i == 4 || i == 7 {
			next = twofa.Record{Key: key}
		}
		s, older := p.turn(turn), stored
		s.swap(stored.Version, next)
		stored = next
		check(stored)
		if older.Version != "" && stored.Version != "" {
			p.turn(turn+1).wantConflict(older.Version, p.sized(key, size))
			p.turn(turn+1).wantConflict("", p.sized(key, size))
			check(stored)
		}
		p.turn(turn+1).swap(older.Version, next) // a repetition, on the other server
		check(stored)
	}
}

// readsKeepUp changes records and reads each change at once, for a while, because
// a replica may be behind only now and then.
func (p *storeProbe) readsKeepUp() {
	p.Helper()
	r := p.create(p.key(""))
	until := time.Now().Add(250 * time.Millisecond)
	for i := 0; i < rounds || time.Now().Before(until); i++ {
		next := p.record(r.Key)
		p.turn(i).swap(r.Version, next)
		p.inParallel(func(_ int, s twofa.Store) error {
			found, err := s.Get(p.Context(), r.Key)
			if err == nil && (len(found) != 1 || found[0].Version != next.Version) {
				err = fmt.Errorf("found %d records, want 1 with the version just stored", len(found))
			}
			return err
		})
		r = next
	}
}
