package storetest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
)

var plantedRuns = flag.Int("storetest.runs", 1, "how often each planted store is tested")

// planted is a store, or a pair of servers, with one fault that has been found in
// practice or is easy to make. The rule must find it.
type planted struct {
	fault, rule string
	a, b        twofa.Store
}

func plantedStores() []planted {
	return slices.Concat(plantedBasics(), plantedInKeys(), plantedInLists(), plantedInServers(), plantedInTime(), plantedInMemory(), plantedInSizes(), plantedInNotices(), plantedInRetention())
}

// Every planted store must be rejected in every run. To run each ten times:
//
//	go test -run TestAbuse_R07 -cpu 2 ./storetest -storetest.runs 10
func TestAbuse_R07_FaultyStoresAreRejected(t *testing.T) {
	require.GreaterOrEqual(t, len(plantedStores()), 200)
	for range *plantedRuns {
		for _, p := range plantedStores() {
			t.Run(p.fault, func(t *testing.T) {
				require.Contains(t, broken(t, p.rule, p.a, p.b), "The rule: "+ruleNamed(t, p.rule).text)
			})
		}
	}
}

// Each of these stores breaks the contract in one simple way.
func plantedBasics() []planted {
	var all []planted
	for _, p := range []struct {
		fault string
		rule  string
		store twofa.Store
	}{
		{"returns records that do not exist", "get missing", mapKeys(func(string) string { return "same key" })},
		{"returns only the first record", "get several", onGet(func(rs []twofa.Record) []twofa.Record { return rs[:min(1, len(rs))] })},
		{"uses only the first 1000 keys", "get many", &faulty{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
			return s.Get(ctx, keys[:min(1000, len(keys))]...)
		}}},

		{"create returns nil without storing", "create", onSwap(func(*call) error { return nil })},
		{"change returns nil without storing", "swap", onSwap(func(c *call) error {
			if c.prev != "" {
				return nil
			}
			return c.pass()
		})},
		{"stores at the next Swap", "read after write", writeBehind()},
		{"last write wins", "swap conflict", onSwap((*call).force)},
		{"create overwrites a record", "create conflict", onSwap(func(c *call) error {
			if c.prev == "" {
				return c.force()
			}
			return c.pass()
		})},
		{"change creates a missing record", "swap missing", onSwap(func(c *call) error {
			if c.stored() == "" {
				c.prev = ""
			}
			return c.pass()
		})},
		{"conflict returns another error", "swap conflict", onSwap(func(c *call) error {
			if errors.Is(c.pass(), twofa.ErrConflict) {
				return errors.New("UNIQUE constraint failed")
			}
			return nil
		})},
		{"repeated Swap conflicts", "repeated swap", onSwap(func(c *call) error {
			if c.stored() == c.next.Version {
				return twofa.ErrConflict
			}
			return c.pass()
		})},
		{"repeated Swap writes again", "repeated swap", onSwap(func(c *call) error {
			if c.stored() == c.next.Version {
				return c.force()
			}
			return c.pass()
		})},
		{"repeat returns nil after another change", "late repeat", remembering()},
		{"delete does nothing", "delete", onSwap(func(c *call) error {
			if c.next.Version == "" {
				return nil
			}
			return c.pass()
		})},
		{"delete ignores the version", "delete conflict", onSwap(func(c *call) error {
			if c.next.Version == "" {
				return c.force()
			}
			return c.pass()
		})},
		{"repeated delete conflicts", "repeated delete", onSwap(func(c *call) error {
			if c.next.Version == "" && c.stored() == "" {
				return twofa.ErrConflict
			}
			return c.pass()
		})},
		{"deleted record cannot be created again", "recreate", graveyard()},
		{"deleted record can be changed", "recreate", onSwap(func(c *call) error {
			if c.stored() == "" {
				c.prev = ""
			}
			return c.pass()
		})},

		{"keys compared case-insensitively", "key case", mapKeys(strings.ToLower)},
		{"trailing spaces in keys ignored", "key spaces", mapKeys(func(k string) string { return strings.TrimRight(k, " ") })},
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
		{"zero bytes dropped from data", "data exact", mapData(func(d []byte) []byte { return bytes.ReplaceAll(d, []byte("\x00"), nil) })},
		{"data converted to valid UTF-8", "data exact", mapData(func(d []byte) []byte { return bytes.ToValidUTF8(d, []byte("\ufffd")) })},
		{"data truncated at a zero byte", "data exact", mapData(func(d []byte) []byte {
			return append(d[:0:0], d[:max(0, bytes.IndexByte(append(d[:len(d):len(d)], 0), 0))]...)
		})},
		{"data truncated at 65,535 bytes", "data large", mapData(func(d []byte) []byte { return d[:min(len(d), 1<<16-1)] })},

		{"keeps a reference to next.Data", "swap ownership", aliasIn()},
		{"Get returns the store's own data", "get ownership", aliasOut()},
		{"Get returns slices of one buffer", "get separate slices", onGet(carve)},

		{"Get ignores a canceled context", "canceled get", &faulty{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
			return s.Get(context.WithoutCancel(ctx), keys...)
		}}},
		{"Swap ignores a canceled context", "canceled swap", onSwap(func(c *call) error {
			c.ctx = context.WithoutCancel(c.ctx)
			return c.pass()
		})},
		{"Swap checks the context after writing", "canceled swap", onSwap(func(c *call) error {
			err := c.ctx.Err()
			c.ctx = context.WithoutCancel(c.ctx)
			return errors.Join(c.pass(), err)
		})},
		{"Swap returns ErrConflict if the context is canceled", "canceled swap", onSwap(func(c *call) error {
			if c.ctx.Err() != nil {
				return twofa.ErrConflict
			}
			return c.pass()
		})},

		{"checks, then creates", "create race", checkThenWrite()},
		{"checks, then changes", "swap race", checkThenWrite()},
		{"checks, then deletes", "delete race", checkThenWrite()},
		{"loses updates", "counter race", checkThenWrite()},
		{"stores the events of every racer", "events race", checkThenWrite()},
		{"compares under one lock, writes under another", "counter race", locksTwice()},
		{"compares the result of Get, writes under a lock", "counter race", getsThenLocks()},
		{"loads, compares and stores in a sync.Map", "counter race", loadsThenStores()},
		{"always conflicts", "counter race", onSwap(func(c *call) error {
			if c.prev == "" {
				return c.pass()
			}
			return twofa.ErrConflict
		})},

		{"events dropped", "events stored", onSwap(func(c *call) error { c.events = nil; return c.pass() })},
		{"only the first event stored", "events stored", onSwap(func(c *call) error { c.events = c.events[:min(1, len(c.events))]; return c.pass() })},
		{"events of a delete dropped", "events stored", onSwap(func(c *call) error {
			if c.next.Version == "" {
				c.events = nil
			}
			return c.pass()
		})},
		{"events in local time", "events stored", onEvent(func(e *twofa.Event) { e.Time = e.Time.In(time.FixedZone("CET", 3600)) })},
		{"numbers in Before rounded", "events stored", onEvent(func(e *twofa.Event) {
			e.Before = bytes.ReplaceAll(e.Before, []byte("9007199254740993"), []byte("9007199254740992"))
		})},
		{"Seq rounded", "events stored", onEvent(func(e *twofa.Event) { e.Seq = uint64(float64(e.Seq)) })},
		{"After returned as a string", "events stored", onEvent(func(e *twofa.Event) {
			if e.After != nil {
				e.After, _ = json.Marshal(string(e.After))
			}
		})},
		{"missing Before returned as null", "events stored", onEvent(func(e *twofa.Event) {
			if e.Before == nil {
				e.Before = json.RawMessage("null")
			}
		})},
		{"MAC converted to valid UTF-8", "events stored", onEvent(func(e *twofa.Event) { e.MAC = bytes.ToValidUTF8(e.MAC, []byte("\ufffd")) })},
		{"events of a repeated Swap stored again", "events repeated", onSwap(func(c *call) error {
			if c.stored() == c.next.Version {
				return c.storeEvents()
			}
			return c.pass()
		})},
		{"events stored although Swap failed", "events without change", onSwap(func(c *call) error {
			err := c.pass()
			if errors.Is(err, twofa.ErrConflict) {
				err = errors.Join(err, c.storeEvents())
			}
			return err
		})},
		{"events stored although Swap was canceled", "events without change", onSwap(func(c *call) error {
			err := c.ctx.Err()
			if c.ctx = context.WithoutCancel(c.ctx); err != nil {
				return errors.Join(err, c.storeEvents())
			}
			return c.pass()
		})},
		{"change stored although its events were not", "change without events", onSwap(func(c *call) error {
			err := c.ctx.Err()
			if c.ctx = context.WithoutCancel(c.ctx); err != nil {
				c.events = nil
			}
			return errors.Join(c.pass(), err)
		})},
		{"keeps a reference to events", "events ownership", aliasEventsIn()},
		{"keeps a reference to MAC", "events ownership", aliasMACIn()},
		{"Events returns the store's own events", "events ownership", aliasEventsOut()},
		{"Events returns the store's own Before", "events ownership", aliasBeforeOut()},

		{"events oldest first", "events order", onQuery(func(q *twofa.EventQuery) { q.Forward = !q.Forward })},
		{"Forward ignored", "events order", onQuery(func(q *twofa.EventQuery) { q.Forward = false })},
		{"Forward reverses each page only", "events pages", reversesPages()},
		{"order within a second does not depend on Forward", "events order", onPage(func(q twofa.EventQuery, page *twofa.EventPage) {
			if q.Forward {
				slices.Reverse(page.Events)
				slices.SortStableFunc(page.Events, func(a, b twofa.Event) int { return a.Time.Compare(b.Time) })
			}
		})},
		{"events in the order in which they were stored", "events late", inOrderOfStoring()},
		{"events forward in the order in which they were stored", "events late", inOrderOfStoring().only(true)},
		{"events backward in the order in which they were stored", "events late", inOrderOfStoring().only(false)},
		{"pages are read from a snapshot", "events late", snapshot()},
		{"events that are late are dropped", "events late", dropsLate()},

		{"users compared case-insensitively", "events exact", onQuery(func(q *twofa.EventQuery) { q.User = strings.TrimSuffix(q.User, "X") })},
		{"trailing spaces in accounts ignored", "events exact", onQuery(func(q *twofa.EventQuery) { q.Account = strings.TrimRight(q.Account, " ") })},
		{"actors normalized", "events exact", onQuery(func(q *twofa.EventQuery) { q.Actor = strings.ReplaceAll(q.Actor, "e\u0301", "é") })},
		{"Actor matches the user", "events exact", filter(func(q *twofa.EventQuery, e twofa.Event) bool {
			return q.Actor == "" || e.Actor.ID == q.Actor || e.User == q.Actor
		}, func(q *twofa.EventQuery) { q.Actor = "" })},
		{"Types compared by prefix", "events exact", filter(func(q *twofa.EventQuery, e twofa.Event) bool {
			return len(q.Types) == 0 || slices.ContainsFunc(q.Types, func(t string) bool { return strings.HasPrefix(e.Type, t) })
		}, func(q *twofa.EventQuery) { q.Types = nil })},
		{"Types compared case-insensitively", "events exact", onQuery(func(q *twofa.EventQuery) {
			for i, t := range q.Types {
				q.Types[i] = strings.ToLower(t)
			}
		})},

		{"Since excludes its own second", "events times", onQuery(func(q *twofa.EventQuery) { q.Since = q.Since.Add(time.Second) })},
		{"Since rounded down", "events times", onQuery(func(q *twofa.EventQuery) { q.Since = q.Since.Truncate(time.Second) })},
		{"Since in another time zone", "events times", onQuery(func(q *twofa.EventQuery) { q.Since = wallClock(q.Since) })},
		{"Until includes its own second", "events times", onQuery(func(q *twofa.EventQuery) { q.Until = q.Until.Add(1) })},
		{"Until rounded down", "events times", onQuery(func(q *twofa.EventQuery) { q.Until = q.Until.Truncate(time.Second) })},
		{"Until in another time zone", "events times", onQuery(func(q *twofa.EventQuery) { q.Until = wallClock(q.Until) })},

		{"User ignored", "events selection", onQuery(func(q *twofa.EventQuery) { q.User = "" })},
		{"Account ignored", "events selection", onQuery(func(q *twofa.EventQuery) { q.Account = "" })},
		{"Actor ignored", "events selection", onQuery(func(q *twofa.EventQuery) { q.Actor = "" })},
		{"Types ignored", "events selection", onQuery(func(q *twofa.EventQuery) { q.Types = nil })},
		{"only the first of Types used", "events selection", onQuery(func(q *twofa.EventQuery) { q.Types = q.Types[:min(1, len(q.Types))] })},
		{"Since ignored", "events selection", onQuery(func(q *twofa.EventQuery) { q.Since = time.Time{} })},
		{"Until ignored", "events selection", onQuery(func(q *twofa.EventQuery) { q.Until = time.Time{} })},
		{"Account ignored if User is set", "events selection", onQuery(func(q *twofa.EventQuery) {
			if q.User != "" {
				q.Account = ""
			}
		})},
		{"Types ignored after the first page", "events selection", onQuery(func(q *twofa.EventQuery) {
			if q.Cursor != "" {
				q.Types = nil
			}
		})},
		{"Since ignored if Forward is set", "events selection", onQuery(func(q *twofa.EventQuery) {
			if q.Forward {
				q.Since = time.Time{}
			}
		})},
		{"Next is empty after a short page", "events selection", shortPages(func(page *twofa.EventPage, q twofa.EventQuery) {
			if len(page.Events) < q.Limit {
				page.Next = ""
			}
		})},

		{"Cursor ignored", "events pages", onQuery(func(q *twofa.EventQuery) { q.Cursor = "" })},
		{"no Next", "events pages", onPage(func(_ twofa.EventQuery, page *twofa.EventPage) { page.Next = "" })},
		{"Next is never empty", "events pages", onPage(func(q twofa.EventQuery, page *twofa.EventPage) { page.Next = cmp.Or(page.Next, q.Cursor, "0.0") })},
		{"cursor is a number of events to skip", "events pages", offsets()},
		{"cursor is a time, page begins after it", "events pages", timeCursor(false)},
		{"cursor is a time, page begins with it", "events pages", timeCursor(true)},
		{"cursor points one event too far", "events pages", tooFar()},
		{"Limit ignored", "events pages", onQuery(func(q *twofa.EventQuery) { q.Limit = 0 })},
		{"cursor works once", "events cursor", cursorOnce()},
		{"malformed cursor is an empty page", "events malformed cursor", malformedIsEmpty()},
		{"malformed cursor is ignored", "events malformed cursor", onQuery(func(q *twofa.EventQuery) {
			if !strings.Contains(q.Cursor, ".") {
				q.Cursor = ""
			}
		})},
		{"Limit above 1000 accepted", "events limit", unlimited()},
		{"Limit defaults to 1000", "events limit", onQuery(func(q *twofa.EventQuery) { q.Limit = cmp.Or(q.Limit, 1000) })},
		{"Events ignores a canceled context", "canceled events", &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
			return s.Events(context.WithoutCancel(ctx), q)
		}}},
	} {
		all = append(all, one(p.fault, p.rule, p.store))
	}
	return all
}

// A store that drops any field of an event must be rejected, also if a later
// release adds the field.
func TestDroppedFieldsAreRejected(t *testing.T) {
	event := reflect.TypeFor[twofa.Event]()
	for i := range event.NumField() {
		t.Run(event.Field(i).Name, func(t *testing.T) {
			store := onEvent(func(e *twofa.Event) { reflect.ValueOf(e).Elem().Field(i).SetZero() })
			require.NotEmpty(t, broken(t, "events stored", store, store))
		})
	}
	actor := reflect.TypeFor[twofa.EventActor]()
	for i := range actor.NumField() {
		t.Run("Actor."+actor.Field(i).Name, func(t *testing.T) {
			store := onEvent(func(e *twofa.Event) { reflect.ValueOf(&e.Actor).Elem().Field(i).SetZero() })
			require.NotEmpty(t, broken(t, "events stored", store, store))
		})
	}
}

// A store that ignores any field of a query must be rejected.
func TestIgnoredQueryFieldsAreRejected(t *testing.T) {
	query := reflect.TypeFor[twofa.EventQuery]()
	for i := range query.NumField() {
		name := query.Field(i).Name
		t.Run(name, func(t *testing.T) {
			store := onQuery(func(q *twofa.EventQuery) { reflect.ValueOf(q).Elem().Field(i).SetZero() })
			rule := map[string]string{"Forward": "events order", "Cursor": "events pages", "Limit": "events pages"}[name]
			require.NotEmpty(t, broken(t, cmp.Or(rule, "events selection"), store, store))
		})
	}
}

// A store may be correct in one process but not in two.
func TestFaultyPairsAreRejected(t *testing.T) {
	shared := memstore.New()
	for _, faulty := range []struct {
		fault string
		rule  string
		b     twofa.Store
	}{
		{"server with a cache", "read after write", caching(shared)},
		{"server with its own records", "create", memstore.New()},
		{"server with its own cursors", "events cursor", ownCursors(shared)},
	} {
		t.Run(faulty.fault, func(t *testing.T) {
			require.NotEmpty(t, broken(t, faulty.rule, shared, faulty.b))
		})
	}
}

// A store that stores nothing must break every rule.
func TestEveryRuleCanFail(t *testing.T) {
	nothing := &faulty{
		get: func(*memstore.Store, context.Context, []string) ([]twofa.Record, error) {
			return nil, errors.New("down")
		},
		list: func(*memstore.Store, context.Context, twofa.EventQuery) (twofa.EventPage, error) {
			return twofa.EventPage{}, nil
		},
		swap: func(*call) error { return errors.New("down") },
	}
	for _, r := range storeRules() {
		require.NotEmpty(t, broken(t, r.name, nothing, nothing), r.name)
	}
}

// Records and events that expire while the other rules are checked are missed at
// the end.
func TestExpiredRecordsAreRejected(t *testing.T) {
	for _, s := range []twofa.Store{
		expiring(0, "", false),
		expiring(0, "config/", false),
		onEvents(func(es []twofa.Event) { clear(es) }),
	} {
		rec := &recorder{ctx: t.Context()}
		finish := keptRule.start(rec, s, s)
		rec.catch(func() { finish(rec) })
		require.Contains(t, rec.message, "The rule: "+keptRule.text)
	}
}

// A page of keys may be short although more follow.
func TestStoreWithShortPagesOfKeysPasses(t *testing.T) {
	short := &faulty{keys: func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error) {
		return s.Keys(ctx, after, (limit+1)/2)
	}}
	for _, r := range keyRules {
		require.Empty(t, broken(t, r.name, short, short))
	}
}

func TestStoreWithoutEventsPasses(t *testing.T) {
	Run(t, func(*testing.T) twofa.Store { return struct{ twofa.Store }{memstore.New()} })
}

// A page may be short or even empty although more follow, and there may be an
// empty page at the end.
func TestStoreWithShortPagesPasses(t *testing.T) {
	Run(t, func(*testing.T) twofa.Store { return shortPages(nil) })
}

func TestSharedStorePasses(t *testing.T) {
	RunShared(t, func(*testing.T) (a, b twofa.Store) {
		s := memstore.New()
		return &faulty{Store: s}, &faulty{Store: s}
	})
}

func ruleNamed(t *testing.T, name string) storeRule {
	t.Helper()
	i := slices.IndexFunc(storeRules(), func(r storeRule) bool { return r.name == name })
	require.GreaterOrEqual(t, i, 0, "there is no rule %q", name)
	return storeRules()[i]
}

// broken runs the rule and returns its failure message, or "" if it passes.
func broken(t *testing.T, rule string, a, b twofa.Store) string {
	t.Helper()
	r, rec := ruleNamed(t, rule), &recorder{ctx: t.Context()}
	rec.catch(func() { r.run(rec, a, b) })
	return rec.message
}

// recorder is a [failer] that records the failure message and, like [testing.T],
// ends the goroutine.
type recorder struct {
	ctx     context.Context
	message string
}

// catch calls f, which may fail.
func (r *recorder) catch(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Fatalf(format string, args ...any) {
	r.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// faulty is a correct store, except for the methods whose func is set.
type faulty struct {
	*memstore.Store
	once sync.Once
	get  func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error)
	swap func(c *call) error
	list func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error)
	keys func(s *memstore.Store, ctx context.Context, after string, limit int) ([]string, error)

	claim  func(s *memstore.Store, ctx context.Context, now, until time.Time, limit int) ([]twofa.Event, error)
	settle func(s *memstore.Store, ctx context.Context, until time.Time, events []twofa.Event) error // until is zero if the notices are done

	replace func(s *memstore.Store, ctx context.Context, events []twofa.Event) error
	drop    func(s *memstore.Store, ctx context.Context, before time.Time, deleted func(int)) error
}

func (p *faulty) ClaimNotices(ctx context.Context, now, until time.Time, limit int) ([]twofa.Event, error) {
	if p.claim == nil {
		return p.good().ClaimNotices(ctx, now, until, limit)
	}
	return p.claim(p.good(), ctx, now, until, limit)
}

func (p *faulty) DelayNotices(ctx context.Context, until time.Time, events ...twofa.Event) error {
	if p.settle == nil {
		return p.good().DelayNotices(ctx, until, events...)
	}
	return p.settle(p.good(), ctx, until, events)
}

func (p *faulty) NoticesDone(ctx context.Context, events ...twofa.Event) error {
	if p.settle == nil {
		return p.good().NoticesDone(ctx, events...)
	}
	return p.settle(p.good(), ctx, time.Time{}, events)
}

func (p *faulty) ReplaceEvents(ctx context.Context, events ...twofa.Event) error {
	if p.replace == nil {
		return p.good().ReplaceEvents(ctx, events...)
	}
	return p.replace(p.good(), ctx, events)
}

func (p *faulty) DeleteEvents(ctx context.Context, before time.Time, deleted func(int)) error {
	if p.drop == nil {
		return p.good().DeleteEvents(ctx, before, deleted)
	}
	return p.drop(p.good(), ctx, before, deleted)
}

func (p *faulty) Keys(ctx context.Context, after string, limit int) ([]string, error) {
	if p.keys == nil {
		return p.good().Keys(ctx, after, limit)
	}
	return p.keys(p.good(), ctx, after, limit)
}

func (p *faulty) good() *memstore.Store {
	p.once.Do(func() {
		if p.Store == nil {
			p.Store = memstore.New()
		}
	})
	return p.Store
}

func (p *faulty) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	if p.get == nil {
		return p.good().Get(ctx, keys...)
	}
	return p.get(p.good(), ctx, keys)
}

func (p *faulty) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	c := &call{p.good(), ctx, prev, next, events}
	if p.swap == nil {
		return c.pass()
	}
	return p.swap(c)
}

func (p *faulty) Events(ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
	if p.list == nil {
		return p.good().Events(ctx, q)
	}
	return p.list(p.good(), ctx, q)
}

// call is one call of Swap, which a faulty store may modify.
type call struct {
	good   *memstore.Store
	ctx    context.Context
	prev   string
	next   twofa.Record
	events []twofa.Event
}

// pass makes the call to the correct store.
func (c *call) pass() error { return c.good.Swap(c.ctx, c.prev, c.next, c.events...) }

// stored returns the stored version, or "" if there is no record.
func (c *call) stored() string {
	if found, _ := c.good.Get(context.Background(), c.next.Key); len(found) == 1 {
		return found[0].Version
	}
	return ""
}

// force writes next regardless of the stored version.
func (c *call) force() error {
	for {
		stored := c.stored()
		if stored == c.next.Version { // write it again, too
			_ = c.good.Swap(c.ctx, stored, twofa.Record{Key: c.next.Key})
			stored = ""
		}
		if err := c.good.Swap(c.ctx, stored, c.next, c.events...); !errors.Is(err, twofa.ErrConflict) {
			return err
		}
	}
}

// storeEvents stores the events without the change.
func (c *call) storeEvents() error {
	return c.good.Swap(c.ctx, "", twofa.Record{Key: unique(), Version: "v"}, c.events...)
}

var serial atomic.Int64

func unique() string { return fmt.Sprint("faulty/", serial.Add(1)) }

func onSwap(f func(c *call) error) *faulty { return &faulty{swap: f} }

func onGet(f func([]twofa.Record) []twofa.Record) *faulty {
	return &faulty{get: func(s *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		found, err := s.Get(ctx, keys...)
		return f(found), err
	}}
}

func onQuery(f func(q *twofa.EventQuery)) *faulty {
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		f(&q)
		return s.Events(ctx, q)
	}}
}

func onEvents(f func([]twofa.Event)) *faulty {
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		page, err := s.Events(ctx, q)
		f(page.Events)
		return page, err
	}}
}

// onEvent calls f for each event of a page.
func onEvent(f func(e *twofa.Event)) *faulty {
	return onEvents(func(es []twofa.Event) {
		for i := range es {
			f(&es[i])
		}
	})
}

// onPage calls f with each query and its page.
func onPage(f func(q twofa.EventQuery, page *twofa.EventPage)) *faulty {
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		page, err := s.Events(ctx, q)
		f(q, &page)
		return page, err
	}}
}

// mapKeys stores each record under f(key) instead of its key.
func mapKeys(f func(key string) string) *faulty {
	return &faulty{
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

func mapData(f func([]byte) []byte) *faulty {
	return onSwap(func(c *call) error {
		c.next.Data = f(c.next.Data)
		return c.pass()
	})
}

// compareVersions compares prev with the stored version by the function same.
func compareVersions(same func(stored, prev string) bool) *faulty {
	return onSwap(func(c *call) error {
		if stored := c.stored(); same(stored, c.prev) {
			c.prev = stored
		}
		return c.pass()
	})
}

// checkThenWrite compares versions and writes in two steps. In between, it waits for
// a while until another call has compared as well.
func checkThenWrite() *faulty {
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

// The next three stores are typical mistakes. Each step is safe for concurrent use,
// but Swap is more than one step. They do not wait between the steps, so the suite
// must hit the right moment itself.

// lockedMap contains the records of locksTwice and getsThenLocks.
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

func locksTwice() *faulty {
	m := &lockedMap{records: map[string]twofa.Record{}}
	return &faulty{get: m.get, swap: func(c *call) error {
		m.Lock()
		stored := m.records[c.next.Key].Version
		m.Unlock()
		return c.compared(stored, m.put)
	}}
}

func getsThenLocks() *faulty {
	m := &lockedMap{records: map[string]twofa.Record{}}
	return &faulty{get: m.get, swap: func(c *call) error {
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

func loadsThenStores() *faulty {
	var m sync.Map
	load := func(key string) (r twofa.Record) {
		if stored, ok := m.Load(key); ok {
			r = stored.(twofa.Record)
		}
		return r
	}
	return &faulty{get: func(_ *memstore.Store, ctx context.Context, keys []string) (found []twofa.Record, _ error) {
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

// writeBehind returns from Swap before it has stored the change.
func writeBehind() *faulty {
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

// remembering returns nil for every version it has ever stored, even if the record
// has changed since.
func remembering() *faulty {
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

// graveyard returns a conflict for every key whose record has been deleted.
func graveyard() *faulty {
	var deleted sync.Map
	return onSwap(func(c *call) error {
		if _, ok := deleted.Load(c.next.Key); ok && c.next.Version != "" {
			return twofa.ErrConflict
		}
		if c.next.Version == "" {
			deleted.Store(c.next.Key, true)
		}
		return c.pass()
	})
}

func aliasIn() *faulty {
	given := map[string][]byte{} // by version
	return &faulty{
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

func aliasOut() *faulty {
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

// carve returns the records with their data in one shared buffer.
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
	return &faulty{get: func(_ *memstore.Store, ctx context.Context, keys []string) ([]twofa.Record, error) {
		if old, ok := cache.Load(keys[0]); ok {
			return old.([]twofa.Record), nil
		}
		found, err := s.Get(ctx, keys...)
		cache.Store(keys[0], found)
		return found, err
	}, swap: func(c *call) error { return s.Swap(c.ctx, c.prev, c.next, c.events...) }}
}

func aliasEventsIn() *faulty {
	var given []twofa.Event
	return &faulty{
		swap: func(c *call) error { given = c.events; return c.pass() },
		list: func(*memstore.Store, context.Context, twofa.EventQuery) (twofa.EventPage, error) {
			found := slices.Clone(given)
			slices.Reverse(found)
			return twofa.EventPage{Events: found}, nil
		},
	}
}

func aliasMACIn() *faulty {
	given := map[string][]byte{} // by ID
	store := onEvent(func(e *twofa.Event) { e.MAC = bytes.Clone(given[e.ID]) })
	store.swap = func(c *call) error {
		for _, e := range c.events {
			given[e.ID] = e.MAC
		}
		return c.pass()
	}
	return store
}

func aliasEventsOut() *faulty {
	var given twofa.EventPage
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (_ twofa.EventPage, err error) {
		if given.Events == nil {
			given, err = s.Events(ctx, q)
		}
		return given, err
	}}
}

func aliasBeforeOut() *faulty {
	given := map[string][]byte{} // by ID
	return onEvent(func(e *twofa.Event) {
		if given[e.ID] == nil {
			given[e.ID] = e.Before
		}
		e.Before = given[e.ID]
	})
}

// everything returns all events that q selects, in its order, and ignores its
// Cursor and Limit.
func everything(ctx context.Context, s *memstore.Store, q twofa.EventQuery) ([]twofa.Event, error) {
	var all []twofa.Event
	q.Cursor, q.Limit = "", 1000
	for {
		page, err := s.Events(ctx, q)
		if all = append(all, page.Events...); err != nil || page.Next == "" {
			return all, err
		}
		q.Cursor = page.Next
	}
}

// sliced returns a store whose list is a page of the events that choose returns.
// A cursor is the ID of the last event of the page before it.
func sliced(choose func(ctx context.Context, s *memstore.Store, q twofa.EventQuery) ([]twofa.Event, error)) *faulty {
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (page twofa.EventPage, err error) {
		all, err := choose(ctx, s, q)
		start := slices.IndexFunc(all, func(e twofa.Event) bool { return e.ID == q.Cursor }) + 1
		end := min(start+min(cmp.Or(q.Limit, 100), 1000), len(all))
		if page.Events = all[start:end]; end > start && end < len(all) {
			page.Next = all[end-1].ID
		}
		return page, err
	}}
}

// filter applies a condition to the events of a query without the field that
// ignore removes.
func filter(condition func(q *twofa.EventQuery, e twofa.Event) bool, ignore func(q *twofa.EventQuery)) *faulty {
	return sliced(func(ctx context.Context, s *memstore.Store, q twofa.EventQuery) ([]twofa.Event, error) {
		wide := q
		ignore(&wide)
		all, err := everything(ctx, s, wide)
		return slices.DeleteFunc(all, func(e twofa.Event) bool { return !condition(&q, e) }), err
	})
}

func reversesPages() *faulty {
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		forward := q.Forward
		q.Forward = false
		page, err := s.Events(ctx, q)
		if forward {
			slices.Reverse(page.Events)
		}
		return page, err
	}}
}

// storedOrder is a correct store that knows in which order events were stored.
type storedOrder struct {
	*faulty
	numbers map[string]int // by ID
}

func newStoredOrder(choose func(o storedOrder, all []twofa.Event, q twofa.EventQuery) []twofa.Event) storedOrder {
	o := storedOrder{numbers: map[string]int{}}
	o.faulty = sliced(func(ctx context.Context, s *memstore.Store, q twofa.EventQuery) ([]twofa.Event, error) {
		all, err := everything(ctx, s, q)
		return choose(o, all, q), err
	})
	o.swap = func(c *call) error {
		for _, e := range c.events {
			o.numbers[e.ID] = len(o.numbers)
		}
		return c.pass()
	}
	return o
}

func inOrderOfStoring() storedOrder {
	return newStoredOrder(func(o storedOrder, all []twofa.Event, q twofa.EventQuery) []twofa.Event {
		slices.SortFunc(all, func(a, b twofa.Event) int { return o.numbers[a.ID] - o.numbers[b.ID] })
		if !q.Forward {
			slices.Reverse(all)
		}
		return all
	})
}

// only makes the fault apply to one direction.
func (o storedOrder) only(forward bool) storedOrder {
	bad, good := o.list, sliced(everything).list
	o.list = func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		if q.Forward == forward {
			return bad(s, ctx, q)
		}
		return good(s, ctx, q)
	}
	return o
}

// snapshot returns, on later pages, only events that were stored before the first
// page was read.
func snapshot() storedOrder {
	first := 0
	return newStoredOrder(func(o storedOrder, all []twofa.Event, q twofa.EventQuery) []twofa.Event {
		if q.Cursor == "" {
			first = len(o.numbers)
		}
		return slices.DeleteFunc(all, func(e twofa.Event) bool { return o.numbers[e.ID] >= first })
	})
}

// dropsLate does not store an event that is older than one it has stored.
func dropsLate() *faulty {
	var newest time.Time
	return onSwap(func(c *call) error {
		c.events = slices.DeleteFunc(slices.Clone(c.events), func(e twofa.Event) bool { return e.Time.Before(newest) })
		for _, e := range c.events {
			newest = e.Time
		}
		return c.pass()
	})
}

// wallClock returns the time that a clock in UTC shows if it is read as local
// time.
func wallClock(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	_, offset := t.Zone()
	return t.Add(time.Duration(offset) * time.Second)
}

// shortPages is a correct store whose pages have at most two events, every second
// page none, and the last none. Then it calls f, which may be nil.
func shortPages(f func(page *twofa.EventPage, q twofa.EventQuery)) *faulty {
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		given := q
		cursor, skip := strings.CutPrefix(q.Cursor, "empty ")
		if skip {
			return twofa.EventPage{Next: cursor}, nil
		}
		if cursor == "end" {
			return twofa.EventPage{}, nil
		}
		q.Limit = min(cmp.Or(q.Limit, 100), 2)
		page, err := s.Events(ctx, q)
		page.Next = "empty " + cmp.Or(page.Next, "end")
		if f != nil {
			f(&page, given)
		}
		return page, err
	}}
}

func offsets() *faulty {
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (page twofa.EventPage, err error) {
		all, err := everything(ctx, s, q)
		start, _ := strconv.Atoi(q.Cursor)
		end := min(start+min(cmp.Or(q.Limit, 100), 1000), len(all))
		if page.Events = all[start:end]; end < len(all) {
			page.Next = strconv.Itoa(end)
		}
		return page, err
	}}
}

// timeCursor uses the time of the last event as cursor. Events of the same second
// are missed, or repeated if inclusive.
func timeCursor(inclusive bool) *faulty {
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (page twofa.EventPage, err error) {
		all, err := everything(ctx, s, q)
		if last, bad := time.Parse(time.RFC3339, q.Cursor); bad == nil {
			all = slices.DeleteFunc(all, func(e twofa.Event) bool {
				return e.Time.Before(last) == q.Forward && !e.Time.Equal(last) || e.Time.Equal(last) && !inclusive
			})
		}
		end := min(min(cmp.Or(q.Limit, 100), 1000), len(all))
		if page.Events = all[:end]; end < len(all) {
			page.Next = all[end-1].Time.Format(time.RFC3339)
		}
		return page, err
	}}
}

// tooFar uses the first event of the next page as cursor, and begins after it.
func tooFar() *faulty {
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (page twofa.EventPage, err error) {
		all, err := everything(ctx, s, q)
		start := slices.IndexFunc(all, func(e twofa.Event) bool { return e.ID == q.Cursor }) + 1
		end := min(start+min(cmp.Or(q.Limit, 100), 1000), len(all))
		if page.Events = all[start:end]; end < len(all) {
			page.Next = all[end].ID
		}
		return page, err
	}}
}

func cursorOnce() *faulty {
	used := map[string]bool{}
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		if used[q.Cursor] && q.Cursor != "" {
			return twofa.EventPage{}, errors.New("cursor has expired")
		}
		used[q.Cursor] = true
		return s.Events(ctx, q)
	}}
}

func malformedIsEmpty() *faulty {
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		page, err := s.Events(ctx, q)
		if errors.Is(err, twofa.ErrInvalid) {
			return twofa.EventPage{}, nil
		}
		return page, err
	}}
}

// ownCursors has the records and events of s, but accepts only cursors that it has
// returned itself.
func ownCursors(s *memstore.Store) *faulty {
	returned := map[string]bool{"": true}
	return &faulty{Store: s, list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		if !returned[q.Cursor] {
			return twofa.EventPage{}, errors.New("no such cursor")
		}
		page, err := s.Events(ctx, q)
		returned[page.Next] = true
		return page, err
	}}
}

func unlimited() *faulty {
	return &faulty{list: func(s *memstore.Store, ctx context.Context, q twofa.EventQuery) (twofa.EventPage, error) {
		if q.Limit <= 1000 {
			return s.Events(ctx, q)
		}
		all, err := everything(ctx, s, q)
		return twofa.EventPage{Events: all}, err
	}}
}
