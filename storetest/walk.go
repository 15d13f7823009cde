package storetest

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
)

// spaces are the beginnings of keys. A store may treat them differently, by
// mistake or because it has a table for each.
var spaces = []string{"user/", "account/", "number/", "config/", "audit/"}

// sizes are lengths of Data near which databases, drivers and serializers change
// how they store a value.
var sizes = []int{1, 20, 127, 255, 256, 1000, 1023, 2100, 3000, 4096, 8191, 16_000, 32_767, 32_768, 65_535, 65_536}

var walkRules = []storeRule{
	{name: "walk", text: "the answer to each call follows from the calls before it: Get returns exactly the records that were stored last, and Swap compares with these, for keys of any kind, on any server", check: func(p *storeProbe) {
		w := p.walker("", 12)
		w.sizes = sizes
		p.noError(w.walk(p.Context(), 250, 600*time.Millisecond))
		w.wantEvents()
	}},
	{name: "walks race", text: "a Swap of one key changes no other key and no event of another Swap, even if both run at the same time", check: func(p *storeProbe) {
		p.walkTogether(0, sizes[:8])
	}},
	{name: "large walks race", text: "concurrent calls do not mix up their keys, versions, data and events, even if these are large", check: func(p *storeProbe) {
		p.walkTogether(3000, sizes)
	}},
}

// walkTogether lets racers walk at the same time, each with keys of its own. The
// Data of all their records has at least smallest bytes.
func (p *storeProbe) walkTogether(smallest int, sizes []int) {
	p.Helper()
	var walkers []*walker
	for i := range racers {
		w := p.walker("of"+strconv.Itoa(i), 8)
		w.contended, w.smallest, w.sizes = true, smallest, sizes
		walkers = append(walkers, w)
	}
	ctx := p.Context()
	p.inParallel(func(racer int, _ twofa.Store) error {
		return walkers[racer].walk(ctx, 30, 400*time.Millisecond)
	})
	for _, w := range walkers {
		p.noError(w.compare(ctx, w.keys...))
		w.wantEvents()
	}
}

func (p *storeProbe) noError(err error) {
	p.Helper()
	if err != nil {
		p.failf("%v", err)
	}
}

// walker makes random calls for keys that nothing else uses, and compares each
// answer with what it knows about them. Its methods return errors, because several
// walkers may run at once.
type walker struct {
	*storeProbe
	random    *rand.ChaCha8
	rand      *rand.Rand
	stores    []twofa.Store
	id        string
	keys      []string
	stored    map[string]twofa.Record // by key
	versions  map[string][]string     // earlier versions, by key
	events    []twofa.Event
	contended bool // whether other walkers run, because of which a Swap may conflict
	smallest  int  // shortest Data
	sizes     []int
}

func (p *storeProbe) walker(suffix string, keys int) *walker {
	random := rand.NewChaCha8([32]byte([]byte((crand.Text() + crand.Text())[:32])))
	w := &walker{
		storeProbe: p, id: p.id + suffix, stores: []twofa.Store{p.a, p.b},
		random: random, rand: rand.New(random),
		stored: map[string]twofa.Record{}, versions: map[string][]string{},
	}
	for i := range keys {
		// The keys are in all spaces, and some differ only in their space.
		w.keys = append(w.keys, spaces[i%len(spaces)]+w.id+strconv.Itoa(i/len(spaces)))
	}
	return w
}

// walk makes at least the given number of calls, and more until the time is over.
func (w *walker) walk(ctx context.Context, steps int, least time.Duration) error {
	until := time.Now().Add(least)
	for step := 0; step < steps || time.Now().Before(until) && step < 200*steps; step++ {
		if err := w.one(ctx); err != nil {
			return fmt.Errorf("call %d of a random walk: %w", step, err)
		}
	}
	return nil
}

func (w *walker) one(ctx context.Context) error {
	switch n := w.rand.IntN(20); {
	case n < 4:
		return w.compare(ctx, w.anyKey())
	case n < 7:
		keys := slices.Clone(w.keys)
		w.rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		return w.compare(ctx, keys[:w.rand.IntN(len(keys)+1)]...)
	}
	key := w.anyKey()
	if err := w.change(ctx, key); err != nil || w.rand.IntN(2) == 0 {
		return err
	}
	return w.compare(ctx, key)
}

func (w *walker) anyKey() string { return w.keys[w.rand.IntN(len(w.keys))] }

func (w *walker) server() twofa.Store { return w.stores[w.rand.IntN(len(w.stores))] }

// change makes a random Swap. Two in three of them change something.
func (w *walker) change(ctx context.Context, key string) error {
	stored := w.stored[key]
	prev, next := stored.Version, w.record(key)
	if w.rand.IntN(5) == 0 {
		prev = w.wrongVersion(key)
	}
	switch n := w.rand.IntN(16); {
	case n < 2:
		next = twofa.Record{Key: key}
	case n == 2 && stored.Version != "":
		next.Version = stored.Version // a repetition, with other data
	}
	var events []twofa.Event
	for range max(0, w.rand.IntN(6)-2) {
		events = append(events, w.event())
	}
	given, want := next, outcome(stored.Version, prev, next.Version)
	if given.Data = bytes.Clone(next.Data); w.rand.IntN(25) == 0 {
		canceled, cancel := context.WithCancel(ctx)
		cancel()
		ctx, want = canceled, errCanceled
	}
	err := w.call(ctx, prev, given, events, want)
	if !answers(err, want) {
		return fmt.Errorf("a Swap of key %s from version %q to %q, while %q is stored, returned %v, want %v", brief(key), prev, next.Version, stored.Version, err, want)
	}
	if want == nil && stored.Version != next.Version {
		w.versions[key] = append(w.versions[key], stored.Version)
		w.events = append(w.events, events...)
		if w.stored[key] = next; next.Version == "" {
			delete(w.stored, key)
		}
	}
	return scribble(given.Data)
}

// call calls Swap. If other walkers run, the database may roll back a Swap because
// of theirs, which is a conflict, so it is called again.
func (w *walker) call(ctx context.Context, prev string, next twofa.Record, events []twofa.Event, want error) error {
	for tries := 0; ; tries++ {
		err := w.server().Swap(ctx, prev, next, events...)
		if !w.contended || want != nil || !errors.Is(err, twofa.ErrConflict) || tries > 100 {
			return err
		}
		if err := w.compare(ctx, next.Key); err != nil {
			return fmt.Errorf("after a Swap that returned ErrConflict: %w", err)
		}
	}
}

// errCanceled is an error other than ErrConflict.
var errCanceled = errors.New("an error other than ErrConflict, because the context was canceled")

// outcome returns the result of a Swap.
func outcome(stored, prev, next string) error {
	if stored == next || stored == prev {
		return nil
	}
	return twofa.ErrConflict
}

func answers(err, want error) bool {
	switch want {
	case nil:
		return err == nil
	case errCanceled:
		return err != nil && !errors.Is(err, twofa.ErrConflict)
	}
	return errors.Is(err, want)
}

// wrongVersion returns a version that was stored under the key or another, or
// never, or none.
func (w *walker) wrongVersion(key string) string {
	switch earlier := w.versions[key]; w.rand.IntN(4) {
	case 0:
		return ""
	case 1:
		if len(earlier) > 0 { // in half of the cases, the last
			return earlier[min(w.rand.IntN(2*len(earlier)), len(earlier)-1)]
		}
	case 2:
		if other := w.stored[w.anyKey()]; other.Version != "" && other.Key != key {
			return other.Version
		}
	}
	return crand.Text()
}

// record returns a record of a random size with a new version.
func (w *walker) record(key string) twofa.Record {
	size := w.sizes[w.rand.IntN(len(w.sizes))]
	if w.rand.IntN(3) > 0 {
		size = 1 + w.rand.IntN(1000)
	}
	data := make([]byte, min(w.smallest+size, 64<<10))
	_, _ = w.random.Read(data) // never fails
	return twofa.Record{Key: key, Version: (crand.Text() + crand.Text())[:20+w.rand.IntN(13)], Data: data}
}

// event returns an event about a user, an account, both or only with an actor.
func (w *walker) event() twofa.Event {
	e := w.storeProbe.event(len(w.events) + w.rand.IntN(3))
	e.User, e.Account, e.Actor.ID = w.id, w.id, w.id
	e.Type = "t" + w.id
	switch w.rand.IntN(6) {
	case 0:
		e.User = ""
	case 1:
		e.Account, e.Actor = "", twofa.EventActor{}
	case 2:
		e.User, e.Account = "", ""
	}
	return e
}

// compare calls Get, which must return exactly the records that are stored.
func (w *walker) compare(ctx context.Context, keys ...string) error {
	found, err := w.server().Get(ctx, keys...)
	if err != nil {
		return fmt.Errorf("a Get of %d keys: %w", len(keys), err)
	}
	seen := map[string]bool{}
	for _, got := range found {
		want, ok := w.stored[got.Key]
		switch {
		case !slices.Contains(keys, got.Key) || seen[got.Key]:
			return fmt.Errorf("a Get of %d keys returned key %s, which it was not asked for, or twice", len(keys), brief(got.Key))
		case !ok:
			return fmt.Errorf("a Get returned version %q of key %s, which has no record", got.Version, brief(got.Key))
		case got.Version != want.Version:
			return fmt.Errorf("a Get returned version %q of key %s, want %q", got.Version, brief(got.Key), want.Version)
		case !bytes.Equal(got.Data, want.Data):
			return fmt.Errorf("a Get of key %s returned %d bytes of Data that differ from the %d bytes that were stored", brief(got.Key), len(got.Data), len(want.Data))
		}
		seen[got.Key] = true
		if err := scribble(got.Data); err != nil {
			return err
		}
	}
	for _, key := range keys {
		if want, ok := w.stored[key]; ok && !seen[key] {
			return fmt.Errorf("a Get of %d keys did not return key %s, want version %q", len(keys), brief(key), want.Version)
		}
	}
	return nil
}

// wantEvents checks that the events of the walk are stored, if the store can list
// events.
func (w *walker) wantEvents() {
	w.Helper()
	if _, ok := w.b.(twofa.EventReader); !ok {
		return
	}
	for _, q := range []twofa.EventQuery{{Types: []string{"t" + w.id}}, {User: w.id}, {Account: w.id}, {Actor: w.id}} {
		var want []twofa.Event
		for _, e := range w.events {
			if selects(q, e) {
				want = append(want, e)
			}
		}
		w.storeProbe.wantEvents(q, want...)
	}
}
