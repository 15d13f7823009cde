package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// Each planted store breaks the contract in one way that has been seen in the
// field or is easy to slip into, and the rule that is named must find it.
func TestAbuse_R07_PlantedStoresAreRejected(t *testing.T) {
	for _, planted := range []struct {
		fault string
		rule  string
		store twofa.Store
	}{
		{"finds what is not there", "get missing", mapKeys(func(string) string { return "one for all" })},
		{"returns the first record only", "get several", onGet(func(rs []twofa.Record) []twofa.Record { return rs[:min(1, len(rs))] })},
		{"looks at 1000 keys only", "get many", &planted{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
			return s.Get(ctx, keys[:min(1000, len(keys))]...)
		}}},

		{"success without storing", "create", onSwap(func(*call) error { return nil })},
		{"success without storing a change", "swap", onSwap(func(c *call) error {
			if c.prev != "" {
				return nil
			}
			return c.pass()
		})},
		{"stores at the next swap", "read after write", writeBehind()},
		{"last write wins", "swap conflict", onSwap((*call).force)},
		{"create overwrites", "create conflict", onSwap(func(c *call) error {
			if c.prev == "" {
				return c.force()
			}
			return c.pass()
		})},
		{"an upsert: a change creates", "swap missing", onSwap(func(c *call) error {
			if c.stored() == "" {
				c.prev = ""
			}
			return c.pass()
		})},
		{"a conflict is another error", "swap conflict", onSwap(func(c *call) error {
			if errors.Is(c.pass(), twofa.ErrConflict) {
				return errors.New("UNIQUE constraint failed")
			}
			return nil
		})},
		{"a repeated swap conflicts", "repeated swap", onSwap(func(c *call) error {
			if c.stored() == c.next.Version {
				return twofa.ErrConflict
			}
			return c.pass()
		})},
		{"a repeated swap writes again", "repeated swap", onSwap(func(c *call) error {
			if c.stored() == c.next.Version {
				return c.force()
			}
			return c.pass()
		})},
		{"a repeat is remembered for ever", "late repeat", remembering()},
		{"delete ignored", "delete", onSwap(func(c *call) error {
			if c.next.Version == "" {
				return nil
			}
			return c.pass()
		})},
		{"delete whatever the version", "delete conflict", onSwap(func(c *call) error {
			if c.next.Version == "" {
				return c.force()
			}
			return c.pass()
		})},
		{"a repeated delete conflicts", "repeated delete", onSwap(func(c *call) error {
			if c.next.Version == "" && c.stored() == "" {
				return twofa.ErrConflict
			}
			return c.pass()
		})},
		{"what is deleted cannot come back", "recreate", graveyard()},
		{"what is deleted can be changed", "recreate", onSwap(func(c *call) error {
			if c.stored() == "" {
				c.prev = ""
			}
			return c.pass()
		})},

		{"keys compared case-insensitively", "key case", mapKeys(strings.ToLower)},
		{"trailing spaces of keys do not count", "key spaces", mapKeys(func(k string) string { return strings.TrimRight(k, " ") })},
		{"keys normalized", "key unicode", mapKeys(func(k string) string { return strings.ReplaceAll(k, "e\u0301", "é") })},
		{"invisible characters dropped from keys", "key unicode", mapKeys(func(k string) string { return strings.ReplaceAll(k, "\u200d", "") })},
		{"wildcards in keys", "key prefix", mapKeys(func(k string) string { return strings.TrimRight(k, "%_*?") })},
		{"keys truncated", "key length", mapKeys(func(k string) string { return k[:min(len(k), 255)] })},
		{"versions compared case-insensitively", "version exact", compareVersions(strings.EqualFold)},
		{"versions compared by prefix", "version exact", compareVersions(func(stored, prev string) bool { return prev != "" && strings.HasPrefix(stored, prev) })},
		{"versions truncated", "version exact", onSwap(func(c *call) error {
			c.prev, c.next.Version = c.prev[:min(len(c.prev), 31)], c.next.Version[:min(len(c.next.Version), 31)]
			return c.pass()
		})},
		{"data trimmed", "data exact", mapData(bytes.TrimSpace)},
		{"data cleaned of what a text column refuses", "data exact", mapData(func(d []byte) []byte { return bytes.ReplaceAll(d, []byte("\x00"), nil) })},
		{"data made valid UTF-8", "data exact", mapData(func(d []byte) []byte { return bytes.ToValidUTF8(d, []byte("\ufffd")) })},
		{"data cut at a zero byte", "data exact", mapData(func(d []byte) []byte {
			return append(d[:0:0], d[:max(0, bytes.IndexByte(append(d[:len(d):len(d)], 0), 0))]...)
		})},
		{"data cut at 65,535 bytes", "data large", mapData(func(d []byte) []byte { return d[:min(len(d), 1<<16-1)] })},

		{"keeps the caller's data", "data in", aliasIn()},
		{"hands out its own data", "data out", aliasOut()},
		{"hands out slices of one buffer", "data apart", onGet(carve)},

		{"ignores a cancelled context on reading", "cancelled get", &planted{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
			return s.Get(context.WithoutCancel(ctx), keys...)
		}}},
		{"ignores a cancelled context on writing", "cancelled swap", onSwap(func(c *call) error {
			c.ctx = context.WithoutCancel(c.ctx)
			return c.pass()
		})},
		{"writes, then sees that the context is cancelled", "cancelled swap", onSwap(func(c *call) error {
			err := c.ctx.Err()
			c.ctx = context.WithoutCancel(c.ctx)
			return errors.Join(c.pass(), err)
		})},
		{"takes a cancelled context for a conflict", "cancelled swap", onSwap(func(c *call) error {
			if c.ctx.Err() != nil {
				return twofa.ErrConflict
			}
			return c.pass()
		})},

		{"checks, then creates", "create race", checkThenWrite()},
		{"checks, then changes", "swap race", checkThenWrite()},
		{"checks, then deletes", "delete race", checkThenWrite()},
		{"loses updates", "counter race", checkThenWrite()},
		{"keeps the events of all who checked", "events race", checkThenWrite()},
		{"compares under one lock and writes under the next", "counter race", locksTwice()},
		{"compares what Get returned and writes under a lock", "counter race", getsThenLocks()},
		{"loads, compares and stores in a sync.Map", "counter race", loadsThenStores()},
		{"conflicts for ever", "counter race", onSwap(func(c *call) error {
			if c.prev == "" {
				return c.pass()
			}
			return twofa.ErrConflict
		})},

		{"events dropped", "events kept", onSwap(func(c *call) error { c.events = nil; return c.pass() })},
		{"one event kept of several", "events kept", onSwap(func(c *call) error { c.events = c.events[:min(1, len(c.events))]; return c.pass() })},
		{"events of a delete dropped", "events kept", onSwap(func(c *call) error {
			if c.next.Version == "" {
				c.events = nil
			}
			return c.pass()
		})},
		{"events in local time", "events kept", onEvents(func(es []twofa.Event) {
			for i := range es {
				es[i].Time = es[i].Time.In(time.FixedZone("CET", 3600))
			}
		})},
		{"a field of an event dropped", "events kept", onEvents(func(es []twofa.Event) {
			for i := range es {
				es[i].Notice = false
			}
		})},
		{"a repeated swap doubles its events", "events repeated", onSwap(func(c *call) error {
			if c.stored() == c.next.Version {
				return c.tell()
			}
			return c.pass()
		})},
		{"events kept though the swap failed", "events without change", onSwap(func(c *call) error {
			err := c.pass()
			if errors.Is(err, twofa.ErrConflict) {
				err = errors.Join(err, c.tell())
			}
			return err
		})},
		{"events kept though the swap was cancelled", "events without change", onSwap(func(c *call) error {
			err := c.ctx.Err()
			if c.ctx = context.WithoutCancel(c.ctx); err != nil {
				return errors.Join(err, c.tell())
			}
			return c.pass()
		})},
		{"the change kept though its events failed", "change without events", onSwap(func(c *call) error {
			err := c.ctx.Err()
			if c.ctx = context.WithoutCancel(c.ctx); err != nil {
				c.events = nil
			}
			return errors.Join(c.pass(), err)
		})},
		{"keeps the caller's events", "events ownership", aliasEventsIn()},
		{"hands out its own events", "events ownership", aliasEventsOut()},
		{"events oldest first", "events order", onEvents(slices.Reverse[[]twofa.Event])},
		{"users compared case-insensitively", "events selection", onQuery(func(q *twofa.EventQuery) { q.User = strings.TrimSuffix(q.User, "X") })},
		{"type not selected", "events selection", onQuery(func(q *twofa.EventQuery) { q.Type = "" })},
		{"since not selected", "events selection", onQuery(func(q *twofa.EventQuery) { q.Since = time.Time{} })},
		{"since leaves out the second it names", "events selection", onQuery(func(q *twofa.EventQuery) { q.Since = q.Since.Add(time.Second) })},
		{"pages always from the start", "events pages", onQuery(func(q *twofa.EventQuery) { q.Before = "" })},
		{"pages of any length", "events pages", onQuery(func(q *twofa.EventQuery) { q.Limit = 0 })},
		{"no limit of 1000", "events limit", unlimited()},
		{"ignores a cancelled context on listing", "cancelled events", &planted{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) ([]twofa.Event, error) {
			return s.Events(context.WithoutCancel(ctx), q)
		}}},
	} {
		t.Run(planted.fault, func(t *testing.T) {
			message := broken(t, planted.rule, planted.store, planted.store)
			require.Contains(t, message, "The rule: "+ruleNamed(t, planted.rule).text)
		})
	}
}

// A store that keeps the contract within one process may break it between two.
func TestPlantedPairsAreRejected(t *testing.T) {
	shared := memstore.New()
	for _, planted := range []struct {
		fault string
		rule  string
		b     twofa.Store
	}{
		{"a server with a cache", "read after write", caching(shared)},
		{"a server with records of its own", "create", memstore.New()},
	} {
		t.Run(planted.fault, func(t *testing.T) {
			require.NotEmpty(t, broken(t, planted.rule, shared, planted.b))
		})
	}
}

// Every rule must be able to fail.
func TestEveryRuleIsBrokenBySomePlantedStore(t *testing.T) {
	nothing := &planted{
		get: func(*memstore.Store, context.Context, []string) ([]twofa.Record, error) {
			return nil, errors.New("down")
		},
		list: func(*memstore.Store, context.Context, twofa.EventQuery) ([]twofa.Event, error) { return nil, nil },
		swap: func(*call) error { return errors.New("down") },
	}
	for _, r := range storeRules() {
		if !strings.HasPrefix(r.name, "cancelled") {
			require.NotEmpty(t, broken(t, r.name, nothing, nothing), r.name)
		}
	}
}

func TestStoreWithoutEventsPasses(t *testing.T) {
	Run(t, func(*testing.T) twofa.Store { return struct{ twofa.Store }{memstore.New()} })
}

func TestSharedStorePasses(t *testing.T) {
	RunShared(t, func(*testing.T) (a, b twofa.Store) {
		s := memstore.New()
		return &planted{Store: s}, &planted{Store: s}
	})
}

func ruleNamed(t *testing.T, name string) storeRule {
	t.Helper()
	i := slices.IndexFunc(storeRules(), func(r storeRule) bool { return r.name == name })
	require.GreaterOrEqual(t, i, 0, "there is no rule %q", name)
	return storeRules()[i]
}

// broken returns what the rule has to say against a store, "" for nothing.
func broken(t *testing.T, rule string, a, b twofa.Store) string {
	t.Helper()
	r, rec := ruleNamed(t, rule), &recorder{ctx: t.Context()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(rec, a, b)
	}()
	<-done
	return rec.message
}

// recorder is a [failer] that only takes note, and ends the goroutine as a
// [testing.T] does.
type recorder struct {
	ctx     context.Context
	message string
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Fatalf(format string, args ...any) {
	r.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// planted is a good store, except where a func is set.
type planted struct {
	*memstore.Store
	once sync.Once
	get  func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error)
	swap func(c *call) error
	list func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) ([]twofa.Event, error)
}

func (p *planted) good() *memstore.Store {
	p.once.Do(func() {
		if p.Store == nil {
			p.Store = memstore.New()
		}
	})
	return p.Store
}

func (p *planted) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	if p.get == nil {
		return p.good().Get(ctx, keys...)
	}
	return p.get(p.good(), ctx, keys)
}

func (p *planted) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	c := &call{p.good(), ctx, prev, next, events}
	if p.swap == nil {
		return c.pass()
	}
	return p.swap(c)
}

func (p *planted) Events(ctx context.Context, q twofa.EventQuery) ([]twofa.Event, error) {
	if p.list == nil {
		return p.good().Events(ctx, q)
	}
	return p.list(p.good(), ctx, q)
}

// call is one call of Swap, for a planted store to bend.
type call struct {
	good   *memstore.Store
	ctx    context.Context
	prev   string
	next   twofa.Record
	events []twofa.Event
}

func (c *call) pass() error { return c.good.Swap(c.ctx, c.prev, c.next, c.events...) }

// stored returns the version that is stored, "" for none.
func (c *call) stored() string {
	if found, _ := c.good.Get(context.Background(), c.next.Key); len(found) == 1 {
		return found[0].Version
	}
	return ""
}

// force writes whatever is stored.
func (c *call) force() error {
	for {
		stored := c.stored()
		if stored == c.next.Version { // even over itself
			_ = c.good.Swap(c.ctx, stored, twofa.Record{Key: c.next.Key})
			stored = ""
		}
		if err := c.good.Swap(c.ctx, stored, c.next, c.events...); !errors.Is(err, twofa.ErrConflict) {
			return err
		}
	}
}

// tell keeps the events without the change.
func (c *call) tell() error {
	return c.good.Swap(c.ctx, "", twofa.Record{Key: unique(), Version: "v"}, c.events...)
}

var serial atomic.Int64

func unique() string { return fmt.Sprint("planted/", serial.Add(1)) }

func onSwap(f func(c *call) error) *planted { return &planted{swap: f} }

func onGet(f func([]twofa.Record) []twofa.Record) *planted {
	return &planted{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		found, err := s.Get(ctx, keys...)
		return f(found), err
	}}
}

func onQuery(f func(q *twofa.EventQuery)) *planted {
	return &planted{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) ([]twofa.Event, error) {
		f(&q)
		return s.Events(ctx, q)
	}}
}

func onEvents(f func([]twofa.Event)) *planted {
	return &planted{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) ([]twofa.Event, error) {
		found, err := s.Events(ctx, q)
		f(found)
		return found, err
	}}
}

// mapKeys keeps records under another key than they have.
func mapKeys(f func(key string) string) *planted {
	return &planted{
		get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
			var all []twofa.Record
			for _, key := range keys {
				found, err := s.Get(ctx, f(key))
				if err != nil {
					return nil, err
				}
				for _, r := range found {
					r.Key = key
					all = append(all, r)
				}
			}
			return all, nil
		},
		swap: func(c *call) error {
			c.next.Key = f(c.next.Key)
			return c.pass()
		},
	}
}

func mapData(f func([]byte) []byte) *planted {
	return onSwap(func(c *call) error {
		c.next.Data = f(c.next.Data)
		return c.pass()
	})
}

// compareVersions takes prev for the stored version if same says so.
func compareVersions(same func(stored, prev string) bool) *planted {
	return onSwap(func(c *call) error {
		if stored := c.stored(); same(stored, c.prev) {
			c.prev = stored
		}
		return c.pass()
	})
}

// checkThenWrite compares versions and then writes what may have changed since.
// Between the two it waits until another has compared as well, or for a while.
func checkThenWrite() *planted {
	var between atomic.Int64
	return onSwap(func(c *call) error {
		switch stored := c.stored(); {
		case stored == c.next.Version:
			return nil
		case stored != c.prev:
			return twofa.ErrConflict
		}
		between.Add(1)
		defer between.Add(-1)
		for range 1000 {
			if between.Load() > 1 {
				break
			}
			runtime.Gosched()
		}
		return c.force()
	})
}

// The next three are what is written in good faith: each step of theirs is safe
// with many goroutines, and Swap is more than one step. They do not wait
// between the steps, so the suite has to find the moment by itself.

// lockedMap is where two of them keep their records.
type lockedMap struct {
	sync.RWMutex
	records map[string]twofa.Record
}

func (m *lockedMap) get(_ *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
	m.RLock()
	defer m.RUnlock()
	var found []twofa.Record
	for _, key := range keys {
		if r, ok := m.records[key]; ok {
			found = append(found, r)
		}
	}
	return found, ctx.Err()
}

func (m *lockedMap) put(r twofa.Record) {
	m.Lock()
	defer m.Unlock()
	if m.records[r.Key] = r; r.Version == "" {
		delete(m.records, r.Key)
	}
}

// compared calls write if the stored version allows it.
func (c *call) compared(stored string, write func(twofa.Record)) error {
	switch stored {
	case c.next.Version:
		return nil
	case c.prev:
		write(c.next)
		return nil
	}
	return twofa.ErrConflict
}

func locksTwice() *planted {
	m := &lockedMap{records: map[string]twofa.Record{}}
	return &planted{get: m.get, swap: func(c *call) error {
		m.Lock()
		stored := m.records[c.next.Key].Version
		m.Unlock()
		return c.compared(stored, m.put)
	}}
}

func getsThenLocks() *planted {
	m := &lockedMap{records: map[string]twofa.Record{}}
	return &planted{get: m.get, swap: func(c *call) error {
		found, err := m.get(nil, c.ctx, []string{c.next.Key})
		if err != nil {
			return err
		}
		var stored string
		if len(found) > 0 {
			stored = found[0].Version
		}
		return c.compared(stored, m.put)
	}}
}

func loadsThenStores() *planted {
	var m sync.Map
	load := func(key string) (r twofa.Record) {
		if stored, ok := m.Load(key); ok {
			r = stored.(twofa.Record)
		}
		return r
	}
	return &planted{get: func(_ *memstore.Store, ctx context.Context, keys []string) (found []twofa.Record, _ error) {
		for _, key := range keys {
			if r := load(key); r.Version != "" {
				found = append(found, r)
			}
		}
		return found, ctx.Err()
	}, swap: func(c *call) error {
		return c.compared(load(c.next.Key).Version, func(r twofa.Record) { m.Store(r.Key, r) })
	}}
}

// writeBehind returns from a change before it has made it.
func writeBehind() *planted {
	var (
		mu      sync.Mutex
		pending []*call
	)
	return onSwap(func(c *call) error {
		mu.Lock()
		defer mu.Unlock()
		for _, late := range pending {
			_ = late.pass()
		}
		if pending = nil; c.prev == "" {
			return c.pass()
		}
		pending = []*call{c}
		return nil
	})
}

// remembering answers a repeat from all versions it has ever stored.
func remembering() *planted {
	var seen sync.Map
	return onSwap(func(c *call) error {
		if _, ok := seen.Load(c.next.Version); ok && c.next.Version != "" {
			return nil
		}
		err := c.pass()
		if err == nil {
			seen.Store(c.next.Version, true)
		}
		return err
	})
}

// graveyard keeps what is deleted in the way of what comes after.
func graveyard() *planted {
	var dead sync.Map
	return onSwap(func(c *call) error {
		if _, ok := dead.Load(c.next.Key); ok && c.next.Version != "" {
			return twofa.ErrConflict
		}
		if c.next.Version == "" {
			dead.Store(c.next.Key, true)
		}
		return c.pass()
	})
}

func aliasIn() *planted {
	given := map[string][]byte{} // by version
	return &planted{
		swap: func(c *call) error {
			given[c.next.Version] = c.next.Data
			return c.pass()
		},
		get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
			found, err := s.Get(ctx, keys...)
			for i, r := range found {
				found[i].Data = bytes.Clone(given[r.Version])
			}
			return found, err
		},
	}
}

func aliasOut() *planted {
	given := map[string][]byte{} // by version
	return onGet(func(found []twofa.Record) []twofa.Record {
		for i, r := range found {
			if given[r.Version] == nil {
				given[r.Version] = r.Data
			}
			found[i].Data = given[r.Version]
		}
		return found
	})
}

// carve puts the data of all records into one buffer.
func carve(found []twofa.Record) []twofa.Record {
	var buffer []byte
	for _, r := range found {
		buffer = append(buffer, r.Data...)
	}
	for i, r := range found {
		found[i].Data, buffer = buffer[:len(r.Data)], buffer[len(r.Data):]
	}
	return found
}

func caching(s twofa.Store) twofa.Store {
	var cache sync.Map
	return &planted{get: func(_ *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		if old, ok := cache.Load(keys[0]); ok {
			return old.([]twofa.Record), nil
		}
		found, err := s.Get(ctx, keys...)
		cache.Store(keys[0], found)
		return found, err
	}, swap: func(c *call) error { return s.Swap(c.ctx, c.prev, c.next, c.events...) }}
}

func aliasEventsIn() *planted {
	var given []twofa.Event
	return &planted{
		swap: func(c *call) error { given = c.events; return c.pass() },
		list: func(*memstore.Store, context.Context, twofa.EventQuery) ([]twofa.Event, error) {
			found := slices.Clone(given)
			slices.Reverse(found)
			return found, nil
		},
	}
}

func aliasEventsOut() *planted {
	var given []twofa.Event
	return &planted{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (_ []twofa.Event, err error) {
		if given == nil {
			given, err = s.Events(ctx, q)
		}
		return given, err
	}}
}

func unlimited() *planted {
	return &planted{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) ([]twofa.Event, error) {
		limit := q.Limit
		var all []twofa.Event
		for {
			q.Limit = min(limit, 1000)
			page, err := s.Events(ctx, q)
			if all = append(all, page...); err != nil || limit <= 1000 || len(page) == 0 {
				return all, err
			}
			q.Before = page[len(page)-1].ID
		}
	}}
}
