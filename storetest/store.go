// Package storetest proves that what a host brings keeps its contract: a
// [twofa.Store], a [twofa.Mailer], a [twofa.SMSSender]. It is for tests, and
// needs one line of them:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) twofa.Store { return mystore.New(t) })
//	}
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twofa-go/twofa"
)

// Run proves that the stores that open returns keep the contract of
// [twofa.Store], and that of [twofa.EventReader] if they implement it. Each
// rule of it is a subtest, and a failure cites the rule.
//
// open is called once for each rule and may return the same store every time,
// over a database that already holds records: the suite writes under keys and
// users of its own, and leaves them there.
//
// Run it with the race detector on.
func Run(t *testing.T, open func(t *testing.T) twofa.Store) {
	t.Helper()
	RunShared(t, func(t *testing.T) (a, b twofa.Store) {
		t.Helper()
		s := open(t)
		return s, s
	})
}

// RunShared is [Run] for two handles on one set of records, such as two
// connection pools to one database: two servers of one product. What is done
// through a must hold for b at once, and races run through both.
func RunShared(t *testing.T, open func(t *testing.T) (a, b twofa.Store)) {
	t.Helper()
	for _, r := range storeRules() {
		t.Run(r.name, func(t *testing.T) {
			a, b := open(t)
			if _, ok := b.(twofa.EventReader); r.events && !ok {
				t.Log("not checked: the store does not list events, it is no twofa.EventReader")
				return
			}
			r.run(t, a, b)
		})
	}
}

// storeRule is one sentence of the contract and how to find it broken.
type storeRule struct {
	name   string
	text   string
	events bool // needs a store that lists events
	check  func(p *storeProbe)
}

func (r storeRule) run(t failer, a, b twofa.Store) {
	t.Helper()
	r.check(&storeProbe{failer: t, rule: r.text, a: a, b: b, id: rand.Text()})
}

func storeRules() []storeRule {
	return slices.Concat(readRules, swapRules, exactRules, ownershipRules, contextRules, raceRules, eventRules)
}

// failer is what a rule needs of a [testing.T]. The suite's own test brings
// another, to see rules fail.
type failer interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
}

// storeProbe is what a rule works with. It writes through a and reads through
// b: the same store twice, or two handles on the same records.
type storeProbe struct {
	failer
	rule string
	a, b twofa.Store
	id   string // makes keys, users and accounts unlike those of any other probe

	minted atomic.Int64
}

// failf ends the rule: the store has broken it.
func (p *storeProbe) failf(format string, args ...any) {
	p.Helper()
	p.Fatalf("%s\nThe rule: %s", fmt.Sprintf(format, args...), p.rule)
}

// key returns a key of this probe's own.
func (p *storeProbe) key(suffix string) string { return "user/" + p.id + suffix }

// record returns a record with a fresh version, its data unlike any other's.
func (p *storeProbe) record(key string) twofa.Record {
	version := rand.Text()
	return twofa.Record{Key: key, Version: version, Data: []byte(`{"data of":"` + version + `"}`)}
}

// created is a record that is already stored.
func (p *storeProbe) created(key string) twofa.Record {
	p.Helper()
	r := p.record(key)
	p.swap("", r)
	return r
}

// swap must succeed.
func (p *storeProbe) swap(prev string, next twofa.Record, events ...twofa.Event) {
	p.Helper()
	if err := p.a.Swap(p.Context(), prev, next, events...); err != nil {
		p.failf("Swap from version %q to %q of %s: %v", prev, next.Version, brief(next.Key), err)
	}
}

// conflict must fail with ErrConflict.
func (p *storeProbe) conflict(prev string, next twofa.Record, events ...twofa.Event) {
	p.Helper()
	if err := p.a.Swap(p.Context(), prev, next, events...); !errors.Is(err, twofa.ErrConflict) {
		p.failf("Swap from version %q to %q of %s returned %v, want ErrConflict", prev, next.Version, brief(next.Key), err)
	}
}

func (p *storeProbe) get(keys ...string) []twofa.Record {
	p.Helper()
	found, err := p.b.Get(p.Context(), keys...)
	if err != nil {
		p.failf("Get of %d keys: %v", len(keys), err)
	}
	return found
}

// holds checks that under each of the records' keys there is that record, and
// that Get of all of them returns nothing else.
func (p *storeProbe) holds(want ...twofa.Record) {
	p.Helper()
	var keys []string
	for _, r := range want {
		keys = append(keys, r.Key)
		p.same([]twofa.Record{r}, p.get(r.Key))
	}
	p.same(want, p.get(keys...))
}

// gone checks that there is no record under key.
func (p *storeProbe) gone(key string) {
	p.Helper()
	p.same(nil, p.get(key))
}

// same compares two sets of records, in any order.
func (p *storeProbe) same(want, got []twofa.Record) {
	p.Helper()
	got = slices.Clone(got)
	for _, w := range want {
		i := slices.IndexFunc(got, func(g twofa.Record) bool { return g.Key == w.Key })
		if i < 0 {
			p.failf("there is no record under %s, want version %q", brief(w.Key), w.Version)
		}
		if got[i].Version != w.Version || string(got[i].Data) != string(w.Data) {
			p.failf("the record under %s is version %q, data %s; want version %q, data %s",
				brief(w.Key), got[i].Version, brief(string(got[i].Data)), w.Version, brief(string(w.Data)))
		}
		got = slices.Delete(got, i, i+1)
	}
	if len(got) > 0 {
		p.failf("there is a record under %s, version %q, that was not asked for", brief(got[0].Key), got[0].Version)
	}
}

// brief quotes what may be long.
func brief(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%q … (%d bytes)", strings.ToValidUTF8(s[:40], ""), len(s))
	}
	return fmt.Sprintf("%q", s)
}
