// Package storetest tests implementations of [twofa.Store], [twofa.Mailer] and
// [twofa.SMSSender] against their contracts. One line in a test runs the suite:
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

// Run tests the stores that open returns against the contract of [twofa.Store], and
// against those of [twofa.EventReader], [twofa.EventEraser], [twofa.EventDeleter],
// [twofa.KeyLister] and [twofa.NoticeStore] if they implement them.
// Each rule of the contract is a subtest, and a failure message includes the rule.
//
// Run calls open once for each rule, and once for the whole suite, to check that
// nothing is lost in the meantime. open may return the same store every time, and
// its database may already contain records: the suite uses its own keys, users and
// accounts, which are random. It does not delete what it has written, except that
// it deletes all events before 2 January 1970 from an EventDeleter. It ends the
// notices of events that are older than the year 2000.
//
// The suite takes 5 to 30 seconds. Only if the store is an EventDeleter does it test
// that a cursor remains valid after the events around it were deleted. It cannot delay a
// Swap between its write and its commit, and it does not wait longer than some
// seconds for a fault. Test these yourself, see [Stores]. If a store can see a
// transaction of the host, use [RunInTransaction] as well.
//
// Run the test with the race detector enabled. A store that compares and writes in
// two steps fails with high probability, but not always. A test that fails only
// sometimes has therefore found a fault.
//
// [Stores]: https://github.com/twofa-go/twofa/blob/main/docs/stores.md
func Run(t *testing.T, open func(t *testing.T) twofa.Store) {
	t.Helper()
	RunShared(t, func(t *testing.T) (a, b twofa.Store) {
		t.Helper()
		s := open(t)
		return s, s
	})
}

// RunShared is like [Run], but open returns two handles on the same records, such as
// two connection pools to one database. They represent two servers of one product.
// A change made through a must be visible through b at once. Concurrent calls use
// both.
//
// A store that keeps anything between two calls, such as a cache, must pass it,
// because [Run] cannot see that another server has changed a record.
func RunShared(t *testing.T, open func(t *testing.T) (a, b twofa.Store)) {
	t.Helper()
	a, b := open(t)
	finish := keptRule.start(t, a, b)
	for _, r := range storeRules() {
		t.Run(r.name, func(t *testing.T) {
			a, b := open(t)
			if missing := r.missing(b); missing != "" {
				t.Logf("not checked: %T does not implement %s", b, missing)
				return
			}
			r.run(t, a, b)
		})
	}
	t.Run(keptRule.name, func(t *testing.T) { finish(t) })
}

// RunInTransaction tests a store that uses a transaction of the host if it finds one
// in the context of a call. begin begins such a transaction and returns a context
// with it, and a function that rolls it back.
//
// Such a store is allowed only if its changes do not depend on the transaction. A
// host rolls back if a request fails, and a request with a wrong code does fail: the
// code would never be counted. See [Stores].
//
// [Stores]: https://github.com/twofa-go/twofa/blob/main/docs/stores.md
func RunInTransaction(t *testing.T, open func(t *testing.T) twofa.Store, begin func(ctx context.Context) (inTx context.Context, rollback func())) {
	t.Helper()
	for _, r := range transactionRules {
		t.Run(r.name, func(t *testing.T) {
			s := open(t)
			p := storeRule{text: r.text}.probe(t, s, s, spaces[0])
			r.check(p, begin)
		})
	}
}

// storeRule is one sentence of the contract and a check of it.
type storeRule struct {
	name    string
	text    string
	events  bool // needs a store that implements twofa.EventReader
	keys    bool // needs a store that implements twofa.KeyLister
	notices bool // needs a store that implements twofa.NoticeStore
	erases  bool // needs a store that implements twofa.EventEraser
	drops   bool // needs a store that implements twofa.EventDeleter
	spaces  bool // is checked with keys of every kind
	check   func(p *storeProbe)
}

// missing returns an interface that the rule needs and the store does not implement.
func (r storeRule) missing(s twofa.Store) string {
	_, reads := s.(twofa.EventReader)
	_, lists := s.(twofa.KeyLister)
	_, erases := s.(twofa.EventEraser)
	_, drops := s.(twofa.EventDeleter)
	_, keepsNotices := s.(twofa.NoticeStore)
	switch {
	case r.events && !reads:
		return "twofa.EventReader"
	case r.keys && !lists:
		return "twofa.KeyLister"
	case r.erases && !erases:
		return "twofa.EventEraser"
	case r.drops && !drops:
		return "twofa.EventDeleter"
	case r.notices && !keepsNotices:
		return "twofa.NoticeStore"
	}
	return ""
}

func (r storeRule) run(t failer, a, b twofa.Store) {
	t.Helper()
	r.check(r.probe(t, a, b, spaces[0]))
	if !r.spaces {
		return
	}
	for _, space := range spaces[1:] {
		r.check(r.probe(t, a, b, space))
	}
}

func (r storeRule) probe(t failer, a, b twofa.Store, space string) *storeProbe {
	return &storeProbe{failer: t, rule: r.text, a: a, b: b, space: space, id: rand.Text()}
}

// everySpace makes the rules apply to keys of every kind.
func everySpace(rules []storeRule) []storeRule {
	rules = slices.Clone(rules)
	for i := range rules {
		rules[i].spaces = true
	}
	return rules
}

func storeRules() []storeRule {
	return slices.Concat(
		everySpace(readRules), everySpace(swapRules), everySpace(exactRules), everySpace(ownershipRules), everySpace(contextRules),
		spaceRules, serverRules, cutRules, raceRules, walkRules, eventRules, eventFieldRules, retentionRules, keyRules, noticeRules)
}

// failer has the methods of [testing.T] that rules use. The tests of the suite use
// another implementation, which records failures.
type failer interface {
	Helper()
	Context() context.Context
	Fatalf(format string, args ...any)
}

// storeProbe runs one rule. It writes through a and reads through b, which are the
// same store or two handles on the same records.
type storeProbe struct {
	failer
	rule  string
	a, b  twofa.Store
	space string // beginning of the probe's keys, one of spaces
	id    string // random part of the probe's keys, users and accounts

	versions atomic.Int64 // number of versions that quickVersion has returned
}

// failf ends the test with a message that includes the rule.
func (p *storeProbe) failf(format string, args ...any) {
	p.Helper()
	p.Fatalf("%s\nThe rule: %s", fmt.Sprintf(format, args...), p.rule)
}

// key returns a key that only this probe uses.
func (p *storeProbe) key(suffix string) string { return p.space + p.id + suffix }

// record returns a record with a new version and unique data.
func (p *storeProbe) record(key string) twofa.Record {
	version := rand.Text()
	return twofa.Record{Key: key, Version: version, Data: []byte(`{"data of":"` + version + `"}`)}
}

// create stores a new record and returns it.
func (p *storeProbe) create(key string) twofa.Record {
	p.Helper()
	r := p.record(key)
	p.swap("", r)
	return r
}

// swap calls Swap, which must succeed.
func (p *storeProbe) swap(prev string, next twofa.Record, events ...twofa.Event) {
	p.Helper()
	if err := p.a.Swap(p.Context(), prev, next, events...); err != nil {
		p.failf("Swap from version %q to %q of key %s: %v", prev, next.Version, brief(next.Key), err)
	}
}

// wantConflict calls Swap, which must return ErrConflict.
func (p *storeProbe) wantConflict(prev string, next twofa.Record, events ...twofa.Event) {
	p.Helper()
	if err := p.a.Swap(p.Context(), prev, next, events...); !errors.Is(err, twofa.ErrConflict) {
		p.failf("Swap from version %q to %q of key %s returned %v, want ErrConflict", prev, next.Version, brief(next.Key), err)
	}
}

// get calls Get, which must succeed.
func (p *storeProbe) get(keys ...string) []twofa.Record {
	p.Helper()
	found, err := p.b.Get(p.Context(), keys...)
	if err != nil {
		p.failf("Get of %d keys: %v", len(keys), err)
	}
	return found
}

// wantStored checks that Get returns each of the records for its key, and exactly
// these records for all of their keys.
func (p *storeProbe) wantStored(want ...twofa.Record) {
	p.Helper()
	var keys []string
	for _, r := range want {
		keys = append(keys, r.Key)
		p.wantSame([]twofa.Record{r}, p.get(r.Key))
	}
	if len(want) > 1 {
		p.wantSame(want, p.get(keys...))
	}
}

// wantMissing checks that there is no record for key.
func (p *storeProbe) wantMissing(key string) {
	p.Helper()
	p.wantSame(nil, p.get(key))
}

// wantSame checks that got contains exactly the records in want, in any order.
func (p *storeProbe) wantSame(want, got []twofa.Record) {
	p.Helper()
	got = slices.Clone(got)
	for _, w := range want {
		i := slices.IndexFunc(got, func(g twofa.Record) bool { return g.Key == w.Key })
		if i < 0 {
			p.failf("there is no record for key %s, want version %q", brief(w.Key), w.Version)
		}
		if got[i].Version != w.Version || string(got[i].Data) != string(w.Data) {
			p.failf("the record for key %s has version %q, data %s; want version %q, data %s",
				brief(w.Key), got[i].Version, brief(string(got[i].Data)), w.Version, brief(string(w.Data)))
		}
		got = slices.Delete(got, i, i+1)
	}
	if len(got) > 0 {
		p.failf("unexpected record for key %s, version %q", brief(got[0].Key), got[0].Version)
	}
}

// brief quotes s, and shortens it if it is long.
func brief(s string) string {
	if len(s) > 80 {
		return fmt.Sprintf("%q … (%d bytes)", strings.ToValidUTF8(s[:40], ""), len(s))
	}
	return fmt.Sprintf("%q", s)
}
