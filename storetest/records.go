package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

var readRules = []storeRule{
	{name: "get missing", text: "Get returns no record for a key that has none", check: func(p *storeProbe) {
		p.create(p.key("other"))
		p.wantMissing(p.key(""))
		p.wantSame(nil, p.get())
		p.wantSame(nil, p.get(p.key("1"), p.key("2")))
	}},
	{name: "get several", text: "Get returns the existing records for the keys, in any order, and skips keys without a record", check: func(p *storeProbe) {
		one, two := p.create(p.key("1")), p.create(p.key("2"))
		p.create(p.key("3"))
		p.wantSame([]twofa.Record{one, two}, p.get(two.Key, p.key("none"), one.Key))
	}},
	{name: "get many", text: "Get accepts any number of keys", check: func(p *storeProbe) {
		var keys []string
		for i := range 2500 {
			keys = append(keys, p.key(strconv.Itoa(i)))
		}
		first, last := p.create(keys[0]), p.create(keys[2499])
		p.wantSame([]twofa.Record{first, last}, p.get(keys...))
	}},
}

var swapRules = []storeRule{
	{name: "create", text: `if prev is empty and there is no record, Swap stores next`, check: func(p *storeProbe) {
		p.wantStored(p.create(p.key("")))
	}},
	{name: "create conflict", text: `if prev is empty and there is a record of another version than next, Swap returns ErrConflict and changes nothing`, check: func(p *storeProbe) {
		r := p.create(p.key(""))
		p.wantConflict("", p.record(r.Key))
		p.wantStored(r)
	}},
	{name: "swap", text: "if prev is the stored version, Swap replaces the record with next", check: func(p *storeProbe) {
		r := p.create(p.key(""))
		for range 3 {
			next := p.record(r.Key)
			p.swap(r.Version, next)
			p.wantStored(next)
			r = next
		}
	}},
	{name: "swap conflict", text: "if the stored version is neither prev nor next.Version, Swap returns ErrConflict and changes nothing", check: func(p *storeProbe) {
		old := p.create(p.key(""))
		r := p.record(old.Key)
		p.swap(old.Version, r)
		p.wantConflict(old.Version, p.record(r.Key))
		p.wantConflict(rand.Text(), p.record(r.Key))
		p.wantStored(r)
	}},
	{name: "swap missing", text: "if prev and next.Version are not empty and there is no record, Swap returns ErrConflict and stores nothing", check: func(p *storeProbe) {
		p.wantConflict(rand.Text(), p.record(p.key("")))
		p.wantMissing(p.key(""))
	}},
	{name: "repeated swap", text: "if the stored version already equals next.Version, Swap returns nil and changes nothing", check: func(p *storeProbe) {
		r := p.create(p.key(""))
		p.swap("", r)
		next := p.record(r.Key)
		p.swap(r.Version, next)
		p.swap(r.Version, next)
		for _, prev := range []string{"", rand.Text(), next.Version} {
			p.swap(prev, twofa.Record{Key: next.Key, Version: next.Version, Data: []byte("other data")})
			if found := p.get(next.Key); len(found) == 1 && string(found[0].Data) != string(next.Data) {
				p.failf("Swap from version %q to %q, which is already stored, changed Data", prev, next.Version)
			}
		}
		p.wantStored(next)
	}},
	{name: "late repeat", text: "a Swap repeated after another Swap has changed the record returns ErrConflict and changes nothing", check: func(p *storeProbe) {
		old := p.create(p.key(""))
		mine, theirs := p.record(old.Key), p.record(old.Key)
		p.swap(old.Version, mine)
		p.swap(mine.Version, theirs)
		p.wantConflict(old.Version, mine)
		p.wantConflict("", old)
		p.wantStored(theirs)
	}},
	{name: "delete", text: `if next.Version is empty, Swap deletes the record`, check: func(p *storeProbe) {
		r, other := p.create(p.key("")), p.create(p.key("other"))
		p.swap(r.Version, twofa.Record{Key: r.Key})
		p.wantMissing(r.Key)
		p.wantStored(other)
	}},
	{name: "delete conflict", text: `if next.Version is empty and there is a record of another version than prev, Swap returns ErrConflict and deletes nothing`, check: func(p *storeProbe) {
		r := p.create(p.key(""))
		p.wantConflict(rand.Text(), twofa.Record{Key: r.Key})
		p.wantConflict("", twofa.Record{Key: r.Key})
		p.wantStored(r)
	}},
	{name: "repeated delete", text: `if next.Version is empty and there is no record, Swap returns nil and changes nothing`, check: func(p *storeProbe) {
		r := p.create(p.key(""))
		for range 2 {
			p.swap(r.Version, twofa.Record{Key: r.Key})
		}
		p.swap("", twofa.Record{Key: r.Key})
		p.swap(rand.Text(), twofa.Record{Key: p.key("never")})
		p.wantMissing(r.Key)
	}},
	{name: "recreate", text: `after a record has been deleted, a Swap stores another only if prev is empty, and earlier versions never match again`, check: func(p *storeProbe) {
		old := p.create(p.key(""))
		p.swap(old.Version, twofa.Record{Key: old.Key})
		p.wantConflict(old.Version, p.record(old.Key))
		r := p.create(old.Key)
		p.wantConflict(old.Version, p.record(old.Key))
		p.wantConflict(old.Version, twofa.Record{Key: old.Key})
		p.wantStored(r)
	}},
}

var exactRules = []storeRule{
	distinctKeys("key case", "keys are case-sensitive", "a", "A", "é", "É", "ı", "i", "I", "ß", "SS"),
	distinctKeys("key spaces", "keys are compared byte for byte, including trailing spaces", "", " ", "  ", "\t", "\u00a0", " x", "x"),
	distinctKeys("key unicode", "keys are compared byte for byte, without Unicode normalization", "é", "e\u0301", "ﬁ", "fi", "Å", "\u212b", "ａ", "a\u200b", "👩‍💻", "👩💻"),
	distinctKeys("key prefix", "keys are compared as a whole, and no character is a wildcard", "", "1", "10", "%", "_", "*", "?", "[1]", ":1", "/1", `\`, `\1`, "'", `"`, "{1}"),
	distinctKeys("key length", "keys of 512 bytes are stored without truncation", longKey("1"), longKey("2"), longKey(""), longKey("é")),
	{name: "version exact", text: "versions of up to 32 characters are compared as a whole and are case-sensitive", check: func(p *storeProbe) {
		r := p.record(p.key(""))
		r.Version += "abcdef"
		p.swap("", r)
		near := []string{r.Version[:31], r.Version[:31] + "F", r.Version[:31] + "g", strings.ToLower(r.Version), strings.ToUpper(r.Version), r.Version[:1]}
		for _, v := range near {
			p.wantConflict(v, p.record(r.Key))
			p.wantConflict(v, twofa.Record{Key: r.Key})
		}
		for _, v := range near {
			next := p.record(r.Key)
			next.Version = v
			p.swap(r.Version, next)
			p.wantStored(next)
			r = next
		}
	}},
	{name: "data exact", text: "Data is arbitrary bytes, stored unchanged; this needs a binary column, not a text column", check: func(p *storeProbe) {
		r := p.create(p.key(""))
		for _, data := range []string{
			everyByte(), "\x00", "\x00\x00a\x00", "a\x80\xff", "\xef\xbb", "\xc0\xaf", "\xed\xa0\x80", "\x1f\x8b\b\x00",
			`{"a":"'; DROP TABLE twofa_records; --","b":"\\ \" \u0000 $1 ? :name @p1 %s %% {{.}}"}`,
			"\ufeffline\r\nline\n\ttab  \u2028 e\u0301 👩‍💻 \U0010fffd \\x00 \\",
			" ",
			"0", "null", "true", "1e3",
		} {
			next := p.record(r.Key)
			next.Data = []byte(data)
			p.swap(r.Version, next)
			p.wantStored(next)
			r = next
		}
	}},
	{name: "data large", text: "Data of up to 64 KB is stored without truncation, by a Swap that creates or changes the record, and with events", check: func(p *storeProbe) {
		r := twofa.Record{Key: p.key("")}
		for i, size := range slices.Concat(sizes, []int{1, 64 << 10, 1}) {
			created, changed := p.sized(p.key(strconv.Itoa(i)), size), p.sized(r.Key, size)
			p.swap("", created)
			p.swap(r.Version, changed)
			p.wantStored(created, changed)
			withEvents := p.sized(created.Key, size)
			p.swap(created.Version, withEvents, p.event(i), p.event(i))
			p.wantStored(changed, withEvents)
			r = changed
		}
		p.swap(r.Version, twofa.Record{Key: r.Key}, p.event(0))
		p.wantMissing(r.Key)
	}},
}

// sized returns a record with random Data of the given length.
func (p *storeProbe) sized(key string, size int) twofa.Record {
	r := p.record(key)
	r.Data = make([]byte, size)
	_, _ = rand.Read(r.Data) // never fails
	return r
}

func everyByte() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

// longKey returns a suffix that ends in tail, for a key of 512 bytes in the longest
// space.
func longKey(tail string) string {
	return strings.Repeat("k", 512-len("account/")-len(rand.Text())-len(tail)) + tail
}

// distinctKeys returns a rule that creates, changes and deletes a record for each
// of several similar keys, and checks that the other records are unchanged.
func distinctKeys(name, text string, suffixes ...string) storeRule {
	return storeRule{name: name, text: text, check: func(p *storeProbe) {
		var keys []string
		for _, s := range suffixes {
			keys = append(keys, p.key(s))
		}
		p.independent(keys)
	}}
}

// independent creates, changes and deletes a record for each key, and checks that
// the other records are unchanged.
func (p *storeProbe) independent(keys []string) {
	p.Helper()
	var all []twofa.Record
	for _, key := range keys {
		p.wantMissing(key)
		all = append(all, p.create(key))
	}
	p.wantStored(all...)
	for i, r := range all {
		all[i] = p.record(r.Key)
		p.swap(r.Version, all[i])
	}
	p.wantStored(all...)
	for len(all) > 0 {
		p.swap(all[0].Version, twofa.Record{Key: all[0].Key})
		p.wantMissing(all[0].Key)
		all = all[1:]
		p.wantStored(all...)
	}
}

var contextRules = []storeRule{
	{name: "canceled get", text: "if the context is canceled, Get returns an error", check: func(p *storeProbe) {
		r := p.create(p.key(""))
		if found, err := p.b.Get(canceled(p), r.Key); err == nil {
			p.failf("Get with a canceled context returned %d records and no error", len(found))
		}
	}},
	{name: "canceled swap", text: "if the context is canceled, Swap returns an error other than ErrConflict and changes nothing", check: func(p *storeProbe) {
		r := p.create(p.key(""))
		for prev, next := range map[string]twofa.Record{
			"":        p.record(p.key("new")),
			r.Version: p.record(r.Key),
		} {
			p.wantCanceled(prev, next)
		}
		p.wantCanceled(r.Version, twofa.Record{Key: r.Key})
		p.wantStored(r)
		p.wantMissing(p.key("new"))
	}},
}

var spaceRules = []storeRule{
	{name: "key beginnings", text: "keys that differ only in their beginning (user/, account/, number/, config/, audit/) are different keys", check: func(p *storeProbe) {
		var keys []string
		for _, suffix := range []string{"", "1", "/1"} {
			for _, space := range spaces {
				keys = append(keys, space+p.id+suffix)
			}
		}
		p.independent(keys)
	}},
	{name: "many records", text: "records are stored until they are deleted, however many there are and however large they are", check: func(p *storeProbe) {
		var all []twofa.Record
		start := time.Now()
		for i := 0; i < 3000 && (i < 200 || time.Since(start) < 2*time.Second); i++ {
			size := 500
			if i%20 == 0 {
				size = 64 << 10
			}
			r := p.sized(spaces[i%len(spaces)]+p.id+strconv.Itoa(i), size)
			p.swap("", r)
			all = append(all, r)
		}
		for time.Since(start) < 200*time.Millisecond { // not the records that must not expire
			p.wantMissing(p.key("none"))
		}
		p.wantSame(all, p.get(keysOf(all)...))
		for i, r := range all {
			if i%97 == 0 {
				p.swap(r.Version, twofa.Record{Key: r.Key})
				p.wantMissing(r.Key)
			}
		}
	}},
}

// keptRule is checked at the end of the suite, with records from its beginning.
var keptRule = keptRecords{name: "kept", text: "records and events are stored until they are deleted, however old they are"}

type keptRecords struct{ name, text string }

// start stores records and returns a function that checks that they are still
// there.
func (k keptRecords) start(t failer, a, b twofa.Store) (finish func(t failer)) {
	t.Helper()
	var (
		p   = storeRule{text: k.text}.probe(t, a, b, spaces[0])
		all []twofa.Record
		es  []twofa.Event
	)
	for i, space := range spaces {
		es = append(es, p.event(i))
		all = append(all, p.sized(space+p.id, 2000), p.sized(space+p.id+"never read", 200))
		p.swap("", all[2*i], es[i])
		p.swap("", all[2*i+1])
	}
	return func(t failer) {
		t.Helper()
		p.failer = t
		p.wantSame(all, p.get(keysOf(all)...))
		if _, ok := b.(twofa.EventReader); ok {
			p.wantEvents(twofa.EventQuery{User: p.id}, es...)
		}
	}
}

// wantCanceled calls Swap with a canceled context, which must return an error.
func (p *storeProbe) wantCanceled(prev string, next twofa.Record, events ...twofa.Event) {
	p.Helper()
	if err := p.a.Swap(canceled(p), prev, next, events...); err == nil || errors.Is(err, twofa.ErrConflict) {
		p.failf("Swap from version %q to %q with a canceled context returned %v, want an error other than ErrConflict", prev, next.Version, err)
	}
}

func canceled(p *storeProbe) context.Context {
	ctx, cancel := context.WithCancel(p.Context())
	cancel()
	return ctx
}
