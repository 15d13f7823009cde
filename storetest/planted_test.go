package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

// pair returns a planted store of two servers.
func pair(fault, rule string, a, b twofa.Store) planted { return planted{fault, rule, a, b} }

func one(fault, rule string, s twofa.Store) planted { return planted{fault, rule, s, s} }

// plantedInKeys are stores that treat some keys in another way, or that mix up
// changes of different keys.
func plantedInKeys() []planted {
	return []planted{
		one("the whole content read and written, each key under a lock of its own", "walks race", wholeContent(1)),
		one("several keys in one row, which is replaced as a whole", "walks race", wholeContent(16)),
		one("a new key replaces the whole content", "walks race", wholeContent(1).onlyIf(func(c *call) bool { return c.prev == "" })),
		one("a delete replaces the whole content", "walks race", wholeContent(1).onlyIf(func(c *call) bool { return c.next.Version == "" })),
		one("arguments of a call kept in the store", "walks race", keepsArguments()),
		one("data encoded in a buffer of all calls", "large walks race", sharedBuffer()),
		one("events of concurrent Swaps stored once", "walks race", eventsOnce()),

		one("accounts and users with the same ID share a record", "key beginnings", mapKeys(func(k string) string { return strings.Replace(k, "account/", "user/", 1) })),
		one("only the ID in the key", "key beginnings", mapKeys(func(k string) string { return k[strings.Index(k, "/")+1:] })),
		one("numbers not stored", "create", inSpace("number/", onSwap(func(*call) error { return nil }))),
		one("numbers stored without a comparison", "swap conflict", inSpace("number/", onSwap((*call).force))),
		one("accounts compared case-insensitively", "key case", mapKeys(lowerIn("account/"))),
		one("long accounts truncated", "key length", mapKeys(func(k string) string {
			if strings.HasPrefix(k, "account/") {
				k = k[:min(len(k), 300)]
			}
			return k
		})),
		one("config in a text column", "data exact", inSpace("config/", mapData(func(d []byte) []byte { return bytes.ToValidUTF8(d, []byte("\ufffd")) }))),
		one("deletes of config ignored", "delete", inSpace("config/", onSwap(func(c *call) error {
			if c.next.Version == "" {
				return nil
			}
			return c.pass()
		}))),
		one("numbers compared and written in two steps", "counter race", locksTwiceIn("number/")),
		one("config expires", "many records", expiring(20*time.Millisecond, "config/", false)),
		one("records expire after a change", "many records", expiring(50*time.Millisecond, "", false)),
		one("records expire if nobody reads them", "many records", expiring(50*time.Millisecond, "", true)),
		one("more than 1000 records are evicted", "many records", evicting(1000, 1<<40)),
		one("more than 4 MB are evicted", "many records", evicting(1<<40, 4<<20)),
		one("Get returns at most 100 records", "many records", onGet(func(rs []twofa.Record) []twofa.Record { return rs[:min(100, len(rs))] })),
		one("Get also returns the next key", "walk", &faulty{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
			if len(keys) == 1 && strings.HasSuffix(keys[0], "0") {
				keys = append(keys, strings.TrimSuffix(keys[0], "0")+"1")
			}
			return s.Get(ctx, keys...)
		}}),
		one("every 50th change lost", "walk", everyNth(50, func(*call) error { return nil })),
		one("every 50th change conflicts", "walk", everyNth(50, func(*call) error { return twofa.ErrConflict })),
		one("every 50th change stored twice, with its events", "walk", everyNth(50, func(c *call) error { return errors.Join(c.pass(), c.storeEvents()) })),
		one("a version of another key accepted as prev", "walk", anyKnownVersion()),
		one("the version that was deleted accepted as prev", "recreate", deletedVersion()),
		one("conflicting data visible for a moment", "reads race", dirtyReads()),
		one("version and data written one after the other", "reads race", tornWrites()),
	}
}

// plantedInLists are stores that list keys wrongly.
func plantedInLists() []planted {
	shared := memstore.New()
	stale := &faulty{Store: shared}
	var once sync.Once
	var snapshot []string
	stale.keys = func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
		once.Do(func() { snapshot = allKeys(s) })
		i, found := slices.BinarySearch(snapshot, after)
		if found {
			i++
		}
		return snapshot[i:min(i+limit, len(snapshot))], ctx.Err()
	}
	// sorted lists all keys in another order, which is consistent in itself.
	sorted := func(as func(key string) string) *faulty {
		return &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
			keys := slices.DeleteFunc(allKeys(s), func(key string) bool { return as(key) <= as(after) })
			slices.SortFunc(keys, func(a, b string) int { return strings.Compare(as(a), as(b)) })
			return keys[:min(len(keys), limit)], ctx.Err()
		}}
	}
	var offset, ownMu = map[string]int{}, sync.Mutex{}
	return []planted{
		one("keys sorted case-insensitively", "keys sorted", sorted(strings.ToLower)),
		one("keys sorted by a collation that ignores punctuation", "keys sorted", sorted(func(key string) string {
			return strings.NewReplacer("-", "", "_", "", ".", "", "'", "").Replace(key)
		})),
		one("keys in no order", "keys sorted", onKeys(func(keys []string) []string { slices.Reverse(keys); return keys })),
		one("the last key of a page listed again", "keys sorted", &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
			keys := allKeys(s)
			i, _ := slices.BinarySearch(keys, after)
			return keys[i:min(i+limit, len(keys))], ctx.Err()
		}}),
		one("the first key of a page skipped", "keys sorted", onKeys(func(keys []string) []string { return keys[min(1, len(keys)):] })),
		one("numbers not listed", "keys sorted", onKeys(func(keys []string) []string {
			return slices.DeleteFunc(keys, func(key string) bool { return strings.HasPrefix(key, "number/") })
		})),
		one("only keys of ASCII listed", "keys sorted", onKeys(func(keys []string) []string {
			return slices.DeleteFunc(keys, func(key string) bool { return strings.ContainsFunc(key, func(r rune) bool { return r > 127 }) })
		})),
		one("one key too many", "keys limit", &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
			return s.Keys(ctx, after, limit+1)
		}}),
		one("keys after a key without a record begin again", "keys after", &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
			if found, _ := s.Get(ctx, after); len(found) == 0 {
				after = after[:strings.Index(after, "/")+1+min(26, len(after)-1-strings.Index(after, "/"))]
			}
			return s.Keys(ctx, after, limit)
		}}),
		one("no keys after the key of a deleted record", "keys after", &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
			if found, _ := s.Get(ctx, after); len(found) == 0 && len(after) > len("user/")+26 {
				return nil, ctx.Err()
			}
			return s.Keys(ctx, after, limit)
		}}),
		one("no keys after an empty key", "keys first", &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
			if after == "" {
				return nil, ctx.Err()
			}
			return s.Keys(ctx, after, limit)
		}}),
		one("keys begin with users", "keys first", &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
			return s.Keys(ctx, max(after, "user/"), limit)
		}}),
		pair("keys of a snapshot", "keys current", stale, stale),
		one("deleted keys listed", "keys current", func() *faulty {
			all, mu := map[string]bool{}, sync.Mutex{}
			f := onSwap(func(c *call) error {
				mu.Lock()
				defer mu.Unlock()
				all[c.next.Key] = true
				return c.pass()
			})
			f.keys = func(_ *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
				mu.Lock()
				defer mu.Unlock()
				keys := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(key string) bool { return key <= after })
				return keys[:min(len(keys), limit)], ctx.Err()
			}
			return f
		}()),
		one("Keys returns the store's own list", "keys ownership", func() *faulty {
			var list []string
			return &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
				if now := allKeys(s); len(now) != len(list) {
					list = now
				}
				i, found := slices.BinarySearch(list, after)
				if found {
					i++
				}
				return list[i:min(i+limit, len(list))], ctx.Err()
			}}
		}()),
		one("pages of keys by a number to skip", "keys race", &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
			ownMu.Lock()
			defer ownMu.Unlock()
			keys := allKeys(s)
			i, known := offset[after]
			if !known {
				i, _ = slices.BinarySearch(keys, after)
			}
			page := keys[min(i, len(keys)):min(i+limit, len(keys))]
			if len(page) > 0 {
				offset[page[len(page)-1]] = i + len(page)
			}
			return page, ctx.Err()
		}}),
		one("Keys ignores a canceled context", "canceled keys", &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
			return s.Keys(context.WithoutCancel(ctx), after, limit)
		}}),
		one("canceled Keys returns what it has found", "cut keys", &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) (page []string, _ error) {
			keys, _ := s.Keys(context.WithoutCancel(ctx), after, limit)
			if ctx.Err() != nil {
				return nil, nil
			}
			return keys, nil
		}}),
	}
}

func onKeys(f func([]string) []string) *faulty {
	return &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
		keys, err := s.Keys(ctx, after, limit)
		return f(keys), err
	}}
}

// allKeys returns all keys of a store, sorted.
func allKeys(s *memstore.Store) (all []string) {
	for {
		after := ""
		if len(all) > 0 {
			after = all[len(all)-1]
		}
		page, _ := s.Keys(context.Background(), after, 1000)
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

// plantedInServers are stores that are correct if there is only one server.
func plantedInServers() []planted {
	cache := func(fault, rule string, c cachingServer) planted {
		shared := memstore.New()
		c.own, c.shared, c.mu = map[string]cached{}, shared, &sync.Mutex{}
		return pair(fault, rule, &c, &faulty{Store: shared})
	}
	both := func(fault, rule string, c cachingServer) planted {
		shared := memstore.New()
		one, two := c, c
		one.own, one.shared, one.mu = map[string]cached{}, shared, &sync.Mutex{}
		two.own, two.shared, two.mu = map[string]cached{}, shared, &sync.Mutex{}
		return pair(fault, rule, &one, &two)
	}
	return []planted{
		cache("cache in a", "servers", cachingServer{}),
		both("cache in both", "servers", cachingServer{}),
		both("cache of records that do not exist", "servers", cachingServer{if_: func(_ string, r *twofa.Record) bool { return r == nil }}),
		both("cache of records that exist", "servers", cachingServer{if_: func(_ string, r *twofa.Record) bool { return r != nil }}),
		both("cache for five milliseconds", "servers", cachingServer{ttl: 5 * time.Millisecond}),
		both("cache of large records", "servers", cachingServer{if_: func(_ string, r *twofa.Record) bool { return r != nil && len(r.Data) > 2000 }}),
		both("cache of accounts", "servers", cachingServer{if_: func(key string, _ *twofa.Record) bool { return strings.HasPrefix(key, "account/") }}),
		both("cache of config", "servers", cachingServer{if_: func(key string, _ *twofa.Record) bool { return strings.HasPrefix(key, "config/") }}),
		both("cache that Swap compares with", "servers", cachingServer{compare: true}),
		both("cache filled by Swap", "servers", cachingServer{fill: true}),
		withEventCache("cache of events", func(twofa.EventQuery) bool { return true }),
		withEventCache("cache of events, newest first", func(q twofa.EventQuery) bool { return !q.Forward }),
		withEventCache("cache of events of an account", func(q twofa.EventQuery) bool { return q.Account != "" }),
		replica("reads from a replica that is one change behind", "servers", func(int) bool { return true }),
		replica("every 20th read from a replica", "read after write", func(n int) bool { return n%20 == 0 }),
		replica("every 500th read from a replica", "read after write", func(n int) bool { return n%500 == 0 }),
		listReplica(),
		func() planted {
			shared := memstore.New()
			return pair("own list of deleted keys", "servers", sharing(shared, graveyard()), sharing(shared, graveyard()))
		}(),
	}
}

// plantedInTime are stores that fail if a call is canceled while it runs, or after
// it has returned.
func plantedInTime() []planted {
	return []planted{
		one("canceled Swap returns nil", "cut swap", whenCut(func(*call) error { return nil })),
		one("canceled Swap returns ErrConflict, but is stored", "cut swap", whenCut(func(c *call) error {
			_ = c.pass()
			return twofa.ErrConflict
		})),
		one("canceled Swap stored without its events", "cut swap", whenCut(func(c *call) error {
			c.events = nil
			return errors.Join(c.pass(), context.Canceled)
		})),
		one("only the events of a canceled Swap stored", "cut swap", whenCut(func(c *call) error { return errors.Join(c.storeEvents(), context.Canceled) })),
		one("only the first event of a canceled Swap stored", "cut swap", whenCut(func(c *call) error {
			c.events = c.events[:min(1, len(c.events))]
			return errors.Join(c.pass(), context.Canceled)
		})),
		one("half of the data of a canceled Swap stored", "cut swap", whenCut(func(c *call) error {
			c.next.Data = c.next.Data[:len(c.next.Data)/2]
			return errors.Join(c.pass(), context.Canceled)
		})),
		one("canceled delete returns nil", "cut swap", whenCut(func(c *call) error {
			if c.next.Version == "" {
				return nil
			}
			return context.Canceled
		})),
		one("record deleted by a canceled change", "cut swap", whenCut(func(c *call) error {
			c.next = twofa.Record{Key: c.next.Key}
			return errors.Join(c.pass(), context.Canceled)
		})),
		one("slow Swap returns nil if it is canceled", "cut swap", onSwap(func(c *call) error {
			slow := time.NewTimer(time.Millisecond)
			defer slow.Stop()
			select {
			case <-slow.C:
				return c.pass()
			case <-c.ctx.Done():
				return nil
			}
		})),
		one("canceled Get returns nothing", "cut get", cutGet(0)),
		one("canceled Get returns what it has found", "cut get", cutGet(20)),
		one("canceled Events returns what it has found", "cut events", &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
			page, _ := s.Events(context.WithoutCancel(ctx), q)
			for i := range page.Events {
				if ctx.Err() != nil {
					return twofa.EventPage{Events: page.Events[:i]}, nil
				}
			}
			return page, nil
		}}),

		one("canceled Swap stored later", "late swap", onSwap(func(c *call) error {
			if c.ctx.Err() != nil {
				c.later(20 * time.Millisecond)
			}
			return c.pass()
		})),
		one("Swap that is canceled while it runs stored later", "late swap", whenCut(func(c *call) error {
			c.later(time.Millisecond)
			return context.Canceled
		})),
		one("Swap that conflicted stored later", "late swap", onSwap(func(c *call) error {
			err := c.pass()
			if errors.Is(err, twofa.ErrConflict) {
				time.AfterFunc(20*time.Millisecond, func() { _ = c.force() })
			}
			return err
		})),
		one("change rolled back when its context ends", "after the call", onSwap(func(c *call) error {
			before, _ := c.good.Get(c.ctx, c.next.Key)
			err := c.pass()
			if err == nil {
				c.undo(before)
			}
			return err
		})),
	}
}

// plantedInMemory are stores that share memory with their callers.
func plantedInMemory() []planted {
	large := func(n int) func(twofa.Record) bool { return func(r twofa.Record) bool { return len(r.Data) > n } }
	return []planted{
		one("large data returned without a copy", "get ownership", aliasOutIf(large(1000))),
		one("very large data returned without a copy", "get ownership", aliasOutIf(large(60_000))),
		one("data of accounts returned without a copy", "get ownership", aliasOutIf(func(r twofa.Record) bool { return strings.HasPrefix(r.Key, "account/") })),
		one("data returned in a buffer that the next Get uses again", "get ownership", sharedResult()),
		one("data returned in memory that later changes overwrite", "get unchanged", overwritten(large(0))),
		one("large data returned in memory that later changes overwrite", "get unchanged", overwritten(large(10_000))),
		one("versions returned in memory that later calls overwrite", "get unchanged", overwrittenVersions()),
		one("result of Get overwritten when its context ends", "get unchanged", untilContextEnds()),
		one("large data returned in one buffer", "get separate slices", &faulty{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
			found, err := s.Get(ctx, keys...)
			if slices.ContainsFunc(found, large(10_000)) {
				found = carve(found)
			}
			return found, err
		}}),
		one("keeps a reference to next.Data of a change", "swap ownership", aliasInIf(func(c *call) bool { return c.prev != "" })),
		one("keeps a reference to large next.Data", "swap ownership", aliasInIf(func(c *call) bool { return len(c.next.Data) > 10_000 })),
	}
}

// plantedInSizes are stores that fail for long values.
func plantedInSizes() []planted {
	update := func(c *call) bool { return c.prev != "" }
	withEvents := func(c *call) bool { return len(c.events) > 0 }
	cut := func(n int, cond func(c *call) bool) *faulty {
		return onSwap(func(c *call) error {
			if cond(c) {
				c.next.Data = c.next.Data[:min(n, len(c.next.Data))]
			}
			return c.pass()
		})
	}
	event := func(fault, rule string, f func(e *twofa.Event)) planted { return one(fault, rule, onEvent(f)) }
	return []planted{
		one("data of changes truncated at 32 KB", "data large", cut(32<<10-1, update)),
		one("data of changes truncated at 60,000 bytes", "data large", cut(60_000, update)),
		one("data truncated at 8 KB if there are events", "data large", cut(8<<10-2, withEvents)),
		one("data truncated at 64 KB less one if there are events", "data large", cut(64<<10-1, withEvents)),
		one("large changes not stored", "data large", onSwap(func(c *call) error {
			if c.prev != "" && len(c.next.Data) > 50_000 {
				return nil
			}
			return c.pass()
		})),
		one("data of a multiple of 256 bytes padded", "data large", mapData(func(d []byte) []byte {
			if len(d)%256 == 0 {
				d = append(slices.Clone(d), 0)
			}
			return d
		})),
		one("length of data stored in 15 bits", "data large", mapData(func(d []byte) []byte { return d[:len(d)&(1<<15-1)+len(d)>>15<<15&(1<<16)] })),
		one("events dropped if the data is large", "events many", onSwap(func(c *call) error {
			if len(c.next.Data) > 16_000 {
				c.events = nil
			}
			return c.pass()
		})),
		one("at most 50 events of a Swap stored", "events many", onSwap(func(c *call) error { c.events = c.events[:min(50, len(c.events))]; return c.pass() })),
		one("events without a user dropped", "events of every kind", dropEvents(func(_ *call, e twofa.Event) bool { return e.User == "" })),
		one("events without an account dropped", "events of every kind", dropEvents(func(_ *call, e twofa.Event) bool { return e.Account == "" })),
		one("events without a user or an account dropped", "events of every kind", dropEvents(func(_ *call, e twofa.Event) bool { return e.User+e.Account == "" })),
		one("events of changes of accounts dropped", "events of every kind", dropEvents(func(c *call, _ twofa.Event) bool { return strings.HasPrefix(c.next.Key, "account/") })),
		one("events of changes of config dropped", "events of every kind", dropEvents(func(c *call, _ twofa.Event) bool { return strings.HasPrefix(c.next.Key, "config/") })),
		one("events of a repeated change of a number stored", "events of every kind", inSpace("number/", onSwap(func(c *call) error {
			if c.stored() == c.next.Version {
				return c.storeEvents()
			}
			return c.pass()
		}))),
		one("missing user replaced by the key of the record", "events of every kind", onSwap(func(c *call) error {
			c.events = slices.Clone(c.events)
			for i := range c.events {
				if c.events[i].User == "" {
					c.events[i].User = c.next.Key
				}
			}
			return c.pass()
		})),
		one("events of a deleted record deleted", "events stored", dropsEventsOfDeleted()),
		one("long users compared by their first 255 bytes", "events long", onEventUser(255)),
		one("long users compared by their first 510 bytes", "events long", onEventUser(510)),
		event("user truncated at 255 bytes", "events long", func(e *twofa.Event) { e.User = e.User[:min(255, len(e.User))] }),
		event("type truncated at 32 bytes", "events long", func(e *twofa.Event) { e.Type = e.Type[:min(32, len(e.Type))] }),
		event("agent truncated at 255 bytes", "events long", func(e *twofa.Event) { e.Agent = e.Agent[:min(255, len(e.Agent))] }),
		event("detail truncated at 512 bytes", "events long", func(e *twofa.Event) { e.Detail = e.Detail[:min(512, len(e.Detail))] }),
		event("reason truncated at 1 KB", "events long", func(e *twofa.Event) { e.Reason = e.Reason[:min(1024, len(e.Reason))] }),
		event("ID truncated at 36 bytes", "events long", func(e *twofa.Event) { e.ID = e.ID[:min(36, len(e.ID))] }),
		event("MAC truncated at 32 bytes", "events stored", func(e *twofa.Event) { e.MAC = e.MAC[:min(32, len(e.MAC))] }),
		event("Before of more than 16 KB dropped", "events long", func(e *twofa.Event) {
			if len(e.Before) > 16<<10 {
				e.Before = nil
			}
		}),
		event("Seq as a signed number of 32 bits", "events stored", func(e *twofa.Event) { e.Seq = uint64(int32(e.Seq)) }),
		event("Left as a number of 8 bits", "events extreme", func(e *twofa.Event) { e.Left = int(int8(e.Left)) }),
		event("times as numbers of 32 bits", "events extreme", func(e *twofa.Event) { e.Time = time.Unix(int64(int32(e.Time.Unix())), 0).UTC() }),
		event("times before 1970 lost", "events extreme", func(e *twofa.Event) { e.Time = time.Unix(max(0, e.Time.Unix()), 0).UTC() }),
		event("numbers in Before as floats", "events extreme", func(e *twofa.Event) {
			var v any
			if json.Unmarshal(e.Before, &v) == nil && e.Left == 0 {
				e.Before, _ = json.Marshal(v)
			}
		}),
	}
}

// inSpace is a store that is faulty only for keys that begin with space.
func inSpace(space string, bad *faulty) *faulty {
	return onSwap(func(c *call) error {
		if strings.HasPrefix(c.next.Key, space) {
			return bad.swap(c)
		}
		return c.pass()
	})
}

func lowerIn(space string) func(string) string {
	return func(key string) string {
		if strings.HasPrefix(key, space) {
			key = strings.ToLower(key)
		}
		return key
	}
}

// contents keeps records in rows of several keys. A Swap holds the lock of its key,
// but replaces the whole row.
type contents struct {
	*faulty
	rows []atomic.Pointer[map[string]twofa.Record]
	keys sync.Map // of *sync.Mutex
	if_  func(c *call) bool
}

func wholeContent(rows int) *contents {
	w := &contents{rows: make([]atomic.Pointer[map[string]twofa.Record], rows)}
	for i := range w.rows {
		w.rows[i].Store(&map[string]twofa.Record{})
	}
	w.faulty = &faulty{get: func(_ *memstore.Store, ctx context.Context, keys []string) (found []twofa.Record, _ error) {
		for _, key := range keys {
			if r, ok := (*w.row(key).Load())[key]; ok {
				r.Data = bytes.Clone(r.Data)
				found = append(found, r)
			}
		}
		return found, ctx.Err()
	}, swap: w.change}
	return w
}

// onlyIf makes the fault apply to some calls only.
func (w *contents) onlyIf(cond func(c *call) bool) *contents {
	w.if_ = cond
	return w
}

func (w *contents) row(key string) *atomic.Pointer[map[string]twofa.Record] {
	sum := 0
	for _, c := range []byte(key) {
		sum = sum*31 + int(c)
	}
	return &w.rows[uint(sum)%uint(len(w.rows))]
}

func (w *contents) change(c *call) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	lock, _ := w.keys.LoadOrStore(c.next.Key, &sync.Mutex{})
	lock.(*sync.Mutex).Lock()
	defer lock.(*sync.Mutex).Unlock()
	row := w.row(c.next.Key)
	before := row.Load()
	return c.compared((*before)[c.next.Key].Version, func(r twofa.Record) {
		replace := func(before *map[string]twofa.Record) *map[string]twofa.Record {
			content := maps.Clone(*before)
			r.Data = bytes.Clone(r.Data)
			if content[r.Key] = r; r.Version == "" {
				delete(content, r.Key)
			}
			return &content
		}
		if w.if_ == nil || w.if_(c) {
			after := replace(before)
			runtime.Gosched()
			row.Store(after)
			return
		}
		for after := replace(before); !row.CompareAndSwap(before, after); after = replace(before) {
			before = row.Load()
		}
	})
}

// keepsArguments keeps the record of a call where another call may replace it.
func keepsArguments() *faulty {
	var next atomic.Pointer[twofa.Record]
	return onSwap(func(c *call) error {
		kept := c.next
		kept.Data = bytes.Clone(kept.Data) // the suite writes over its own
		next.Store(&kept)
		runtime.Gosched()
		if mine := next.Load(); c.stored() == c.prev && mine.Key == c.next.Key {
			return c.pass()
		} else if c.stored() == c.prev && c.ctx.Err() == nil {
			c.next = twofa.Record{Key: c.next.Key, Version: c.next.Version, Data: mine.Data}
		}
		return c.pass()
	})
}

// sharedBuffer encodes the data of all calls in one buffer. The lock makes each
// step safe, but not all of them together.
func sharedBuffer() *faulty {
	var (
		mu     sync.Mutex
		buffer []byte
	)
	return onSwap(func(c *call) error {
		mu.Lock()
		buffer = append(buffer[:0], c.next.Data...)
		mu.Unlock()
		runtime.Gosched()
		mu.Lock()
		c.next.Data = bytes.Clone(buffer)
		mu.Unlock()
		return c.pass()
	})
}

// eventsOnce loses the events of a Swap if another one stores events at the same
// time.
func eventsOnce() *faulty {
	var busy atomic.Int64
	return onSwap(func(c *call) error {
		if len(c.events) == 0 {
			return c.pass()
		}
		if busy.Add(1) > 1 {
			c.events = nil
		}
		defer busy.Add(-1)
		runtime.Gosched()
		return c.pass()
	})
}

// locksTwiceIn is locksTwice for the keys of one space.
func locksTwiceIn(space string) *faulty {
	bad := locksTwice()
	return &faulty{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		var in, out []string
		for _, key := range keys {
			if strings.HasPrefix(key, space) {
				in = append(in, key)
			} else {
				out = append(out, key)
			}
		}
		one, err1 := bad.get(s, ctx, in)
		two, err2 := s.Get(ctx, out...)
		return append(one, two...), errors.Join(err1, err2)
	}, swap: inSpace(space, bad).swap}
}

// expiring loses records some time after they were changed. If renewed, reading a
// record counts as a change.
func expiring(ttl time.Duration, space string, renewed bool) *faulty {
	var touched sync.Map
	expire := func(s *memstore.Store, keys ...string) {
		for _, key := range keys {
			at, ok := touched.Load(key)
			if !ok || !strings.HasPrefix(key, space) {
				continue
			}
			if time.Since(at.(time.Time)) > ttl {
				found, _ := s.Get(context.Background(), key)
				for _, r := range found {
					_ = s.Swap(context.Background(), r.Version, twofa.Record{Key: key})
				}
			} else if renewed {
				touched.Store(key, time.Now())
			}
		}
	}
	return &faulty{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		expire(s, keys...)
		return s.Get(ctx, keys...)
	}, swap: func(c *call) error {
		expire(c.good, c.next.Key)
		err := c.pass()
		if err == nil {
			touched.Store(c.next.Key, time.Now())
		}
		return err
	}}
}

// evicting loses the oldest records if there are too many or if they are too large.
func evicting(count, size int) *faulty {
	var (
		mu    sync.Mutex
		order []string
		total int
		sizes = map[string]int{}
	)
	return onSwap(func(c *call) error {
		err := c.pass()
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			return err
		}
		if _, ok := sizes[c.next.Key]; !ok {
			order = append(order, c.next.Key)
		}
		total += len(c.next.Data) - sizes[c.next.Key]
		sizes[c.next.Key] = len(c.next.Data)
		for len(order) > count || total > size {
			found, _ := c.good.Get(context.Background(), order[0])
			for _, r := range found {
				_ = c.good.Swap(context.Background(), r.Version, twofa.Record{Key: r.Key})
			}
			total -= sizes[order[0]]
			delete(sizes, order[0])
			order = order[1:]
		}
		return nil
	})
}

// everyNth calls f instead of each nth Swap that would change something.
func everyNth(n int64, f func(c *call) error) *faulty {
	var calls atomic.Int64
	return onSwap(func(c *call) error {
		if stored := c.stored(); stored == c.prev && stored != c.next.Version && c.ctx.Err() == nil && calls.Add(1)%n == 0 {
			return f(c)
		}
		return c.pass()
	})
}

// anyKnownVersion compares prev with the versions of all keys.
func anyKnownVersion() *faulty {
	var versions sync.Map
	return onSwap(func(c *call) error {
		_, known := versions.Load(c.prev)
		versions.Store(c.next.Version, true)
		if stored := c.stored(); known && c.prev != "" && stored != "" && c.ctx.Err() == nil && stored != c.next.Version {
			c.prev = stored
		}
		return c.pass()
	})
}

// deletedVersion accepts the version that a deleted record had.
func deletedVersion() *faulty {
	var deleted sync.Map
	return onSwap(func(c *call) error {
		if c.next.Version == "" && c.prev != "" {
			deleted.Store(c.next.Key, c.prev)
		}
		if last, ok := deleted.Load(c.next.Key); ok && last == c.prev && c.stored() == "" && c.next.Version != "" {
			c.prev = ""
		}
		return c.pass()
	})
}

// dirtyReads writes before it compares, and takes back what conflicts.
func dirtyReads() *faulty {
	var dirty sync.Map
	return &faulty{swap: func(c *call) error {
		dirty.Store(c.next.Key, c.next)
		defer dirty.Delete(c.next.Key)
		runtime.Gosched()
		return c.pass()
	}, get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		found, err := s.Get(ctx, keys...)
		for i := range found {
			if r, ok := dirty.Load(found[i].Key); ok && r.(twofa.Record).Version != "" {
				found[i] = r.(twofa.Record)
				found[i].Data = bytes.Clone(found[i].Data)
			}
		}
		return found, err
	}}
}

// tornWrites keeps versions and data apart.
func tornWrites() *faulty {
	var data sync.Map
	return &faulty{swap: func(c *call) error {
		err := c.pass()
		if err == nil && c.next.Version != "" && c.stored() == c.next.Version {
			runtime.Gosched()
			data.Store(c.next.Key, bytes.Clone(c.next.Data))
		}
		return err
	}, get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		found, err := s.Get(ctx, keys...)
		for i := range found {
			if d, ok := data.Load(found[i].Key); ok {
				found[i].Data = bytes.Clone(d.([]byte))
			}
		}
		return found, err
	}}
}

// cachingServer is one server that remembers records. Its own Swap updates or drops what it
// remembers.
type cachingServer struct {
	shared  *memstore.Store
	own     map[string]cached
	if_     func(key string, r *twofa.Record) bool // nil r if there is none
	ttl     time.Duration
	compare bool // whether Swap compares prev with the cache first
	fill    bool // whether only Swap fills the cache
	mu      *sync.Mutex
}

type cached struct {
	record *twofa.Record
	at     time.Time
}

func (c *cachingServer) keep(key string, r *twofa.Record) {
	if c.if_ == nil || c.if_(key, r) {
		c.own[key] = cached{r, time.Now()}
	}
}

func (c *cachingServer) Get(ctx context.Context, keys ...string) (found []twofa.Record, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range keys {
		hit, ok := c.own[key]
		if !ok || c.ttl > 0 && time.Since(hit.at) > c.ttl {
			hit = cached{}
			records, err := c.shared.Get(ctx, key)
			if err != nil {
				return nil, err
			}
			if len(records) == 1 {
				hit.record = &records[0]
			}
			if !c.fill {
				c.keep(key, hit.record)
			}
		}
		if hit.record != nil {
			r := *hit.record
			r.Data = bytes.Clone(r.Data)
			found = append(found, r)
		}
	}
	return found, ctx.Err()
}

func (c *cachingServer) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if hit, ok := c.own[next.Key]; ok && c.compare && hit.record != nil && hit.record.Version != prev && hit.record.Version != next.Version && ctx.Err() == nil {
		return twofa.ErrConflict
	}
	err := c.shared.Swap(ctx, prev, next, events...)
	delete(c.own, next.Key)
	if err == nil && c.fill && next.Version != "" {
		if found, _ := c.shared.Get(ctx, next.Key); len(found) == 1 {
			c.keep(next.Key, &found[0])
		}
	}
	return err
}

// sharing makes f use the records of s.
func sharing(s *memstore.Store, f *faulty) *faulty {
	f.Store = s
	return f
}

func withEventCache(fault string, if_ func(twofa.EventQuery) bool) planted {
	shared := memstore.New()
	server := func() *faulty {
		pages := map[string]twofa.EventPage{}
		return &faulty{Store: shared, list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
			key, _ := json.Marshal(q)
			if page, ok := pages[string(key)]; ok && if_(q) {
				return page, nil
			}
			page, err := s.Events(ctx, q)
			pages[string(key)] = page
			return page, err
		}, swap: func(c *call) error {
			clear(pages)
			return c.pass()
		}}
	}
	return pair(fault, "servers list", server(), server())
}

// replica is a pair of servers of which one reads, now and then, the records before
// the last change.
func replica(fault, rule string, behind func(n int) bool) planted {
	var (
		shared = memstore.New()
		last   sync.Map // of the record before the last change, by key
		reads  atomic.Int64
	)
	server := func(replicated bool) *faulty {
		return &faulty{Store: shared, swap: func(c *call) error {
			before, _ := c.good.Get(c.ctx, c.next.Key)
			err := c.pass()
			if err == nil && len(before) == 1 && before[0].Version != c.next.Version {
				last.Store(c.next.Key, before[0])
			}
			return err
		}, get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
			found, err := s.Get(ctx, keys...)
			if !replicated || !behind(int(reads.Add(1))) {
				return found, err
			}
			for i := range found {
				if before, ok := last.Load(found[i].Key); ok {
					found[i] = before.(twofa.Record)
					found[i].Data = bytes.Clone(found[i].Data)
				}
			}
			return found, err
		}}
	}
	return pair(fault, rule, server(false), server(true))
}

// listReplica is a pair of servers of which one lists events without the newest.
func listReplica() planted {
	shared := memstore.New()
	behind := &faulty{Store: shared, list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		page, err := s.Events(ctx, q)
		if !q.Forward && q.Cursor == "" && len(page.Events) > 0 {
			page.Events = page.Events[1:]
		}
		return page, err
	}}
	return pair("events listed from a replica", "servers list", &faulty{Store: shared}, behind)
}

// whenCut calls f if the context of a Swap ends after the Swap has begun.
func whenCut(f func(c *call) error) *faulty {
	return onSwap(func(c *call) error {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if c.ctx.Err() != nil {
			c.ctx = context.WithoutCancel(c.ctx)
			return f(c)
		}
		return c.pass()
	})
}

func cutGet(n int) *faulty {
	return &faulty{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		found, err := s.Get(context.WithoutCancel(ctx), keys...)
		if ctx.Err() != nil {
			return found[:min(n, len(found))], nil
		}
		return found, err
	}}
}

// later makes the call again after a while, whatever has become of its context.
func (c *call) later(wait time.Duration) {
	again := *c
	again.ctx = context.WithoutCancel(c.ctx)
	time.AfterFunc(wait, func() { _ = again.pass() })
}

// undo restores the record when the context ends.
func (c *call) undo(before []twofa.Record) {
	restored := twofa.Record{Key: c.next.Key}
	if len(before) == 1 {
		restored = before[0]
	}
	context.AfterFunc(c.ctx, func() { _ = c.good.Swap(context.Background(), c.next.Version, restored) })
}

func aliasOutIf(cond func(twofa.Record) bool) *faulty {
	var given sync.Map // by version
	return onGet(func(found []twofa.Record) []twofa.Record {
		for i, r := range found {
			if cond(r) {
				first, _ := given.LoadOrStore(r.Version, r.Data)
				found[i].Data = first.([]byte)
			}
		}
		return found
	})
}

// sharedResult returns all data in one buffer, which the next Get uses again.
func sharedResult() *faulty {
	var buffer []byte
	return onGet(func(found []twofa.Record) []twofa.Record {
		buffer = buffer[:0]
		for _, r := range found {
			buffer = append(buffer, r.Data...)
		}
		rest := buffer
		for i, r := range found {
			n := len(r.Data)
			found[i].Data, rest = rest[:n:n], rest[n:]
		}
		return found
	})
}

// overwritten returns memory which a later change of the record overwrites.
func overwritten(cond func(twofa.Record) bool) *faulty {
	given := map[string][][]byte{} // by key
	return &faulty{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		found, err := s.Get(ctx, keys...)
		for _, r := range found {
			if cond(r) {
				given[r.Key] = append(given[r.Key], r.Data)
			}
		}
		return found, err
	}, swap: func(c *call) error {
		err := c.pass()
		if err == nil {
			for _, data := range given[c.next.Key] {
				copy(data, c.next.Data)
			}
			delete(given, c.next.Key)
		}
		return err
	}}
}

// overwrittenVersions returns versions as strings in memory that later calls of
// Swap overwrite.
func overwrittenVersions() *faulty {
	var given [][]byte
	return &faulty{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		found, err := s.Get(ctx, keys...)
		for i, r := range found {
			memory := []byte(r.Version)
			given = append(given, memory)
			found[i].Version = unsafe.String(&memory[0], len(memory))
		}
		return found, err
	}, swap: func(c *call) error {
		c.prev, c.next.Version = strings.Clone(c.prev), strings.Clone(c.next.Version)
		err := c.pass()
		for _, memory := range given {
			copy(memory, "overwritten")
		}
		given = nil
		return err
	}}
}

// untilContextEnds overwrites the result of Get at the next call after its context
// has ended.
func untilContextEnds() *faulty {
	type result struct {
		ctx   context.Context
		found []twofa.Record
	}
	var results []result
	end := func() {
		for _, r := range results {
			if r.ctx.Err() != nil {
				for _, record := range r.found {
					clear(record.Data)
				}
			}
		}
	}
	return &faulty{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		end()
		found, err := s.Get(ctx, keys...)
		results = append(results, result{ctx, found})
		return found, err
	}, swap: func(c *call) error {
		end()
		return c.pass()
	}}
}

// aliasInIf keeps references to the data of some calls.
func aliasInIf(cond func(c *call) bool) *faulty {
	given := map[string][]byte{} // by version
	return &faulty{swap: func(c *call) error {
		if cond(c) {
			given[c.next.Version] = c.next.Data
		}
		return c.pass()
	}, get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		found, err := s.Get(ctx, keys...)
		for i, r := range found {
			if data, ok := given[r.Version]; ok {
				found[i].Data = bytes.Clone(data)
			}
		}
		return found, err
	}}
}

func dropEvents(drop func(c *call, e twofa.Event) bool) *faulty {
	return onSwap(func(c *call) error {
		c.events = slices.DeleteFunc(slices.Clone(c.events), func(e twofa.Event) bool { return drop(c, e) })
		return c.pass()
	})
}

// dropsEventsOfDeleted lists no event of a record that was deleted, except those of
// the delete.
func dropsEventsOfDeleted() *faulty {
	byKey, gone := map[string][]string{}, map[string]bool{}
	return &faulty{swap: func(c *call) error {
		err := c.pass()
		if err == nil && c.next.Version == "" {
			for _, id := range byKey[c.next.Key] {
				gone[id] = true
			}
		}
		for _, e := range c.events {
			byKey[c.next.Key] = append(byKey[c.next.Key], e.ID)
		}
		return err
	}, list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		page, err := s.Events(ctx, q)
		page.Events = slices.DeleteFunc(page.Events, func(e twofa.Event) bool { return gone[e.ID] })
		return page, err
	}}
}

// onEventUser compares the first n bytes of users.
func onEventUser(n int) *faulty {
	return filter(func(q *twofa.EventQuery, e twofa.Event) bool {
		return q.User == "" || e.User[:min(n, len(e.User))] == q.User[:min(n, len(q.User))]
	}, func(q *twofa.EventQuery) { q.User = "" })
}
