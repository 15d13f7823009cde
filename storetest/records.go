package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"runtime/debug"
	"strconv"
	"strings"

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
	{name: "data large", text: "Data of 64 KB is stored without truncation", check: func(p *storeProbe) {
		large := p.record(p.key(""))
		large.Data = []byte(strings.Repeat(everyByte(), 64<<10/256))
		p.swap("", large)
		p.wantStored(large)
		small := p.record(large.Key)
		p.swap(large.Version, small)
		p.wantStored(small)
	}},
}

func everyByte() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

// longKey returns a suffix for a key of 512 bytes that ends in tail.
func longKey(tail string) string {
	return strings.Repeat("k", 512-len("user/")-len(rand.Text())-len(tail)) + tail
}

// distinctKeys returns a rule that creates, changes and deletes a record for each
// of several similar keys, and checks that the other records are unchanged.
func distinctKeys(name, text string, suffixes ...string) storeRule {
	return storeRule{name: name, text: text, check: func(p *storeProbe) {
		var all []twofa.Record
		for _, s := range suffixes {
			p.wantMissing(p.key(s))
			all = append(all, p.create(p.key(s)))
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
	}}
}

var ownershipRules = []storeRule{
	{name: "swap ownership", text: "Swap does not keep a reference to next.Data", check: func(p *storeProbe) {
		r := p.record(p.key(""))
		want := string(r.Data)
		p.swap("", r)
		p.overwrite(r.Data)
		p.wantStored(twofa.Record{Key: r.Key, Version: r.Version, Data: []byte(want)})
	}},
	{name: "get ownership", text: "the caller owns the result of Get; it shares no memory with the store or another caller", check: func(p *storeProbe) {
		one, two := p.create(p.key("1")), p.create(p.key("2"))
		mine, theirs := p.get(one.Key, two.Key), p.get(one.Key, two.Key)
		for _, r := range mine {
			p.overwrite(r.Data)
		}
		p.wantSame([]twofa.Record{one, two}, theirs)
		p.wantStored(one, two)
	}},
	{name: "get separate slices", text: "the caller owns each slice in the result of Get; appending to one does not change another", check: func(p *storeProbe) {
		one, two := p.create(p.key("1")), p.create(p.key("2"))
		found := p.get(one.Key, two.Key)
		for i, r := range found {
			found[i].Data = append(r.Data, '#')[:len(r.Data)]
		}
		p.wantSame([]twofa.Record{one, two}, found)
		p.wantStored(one, two)
	}},
}

// overwrite overwrites data. If the memory is read-only, such as a mapped file that
// the store returned, the rule fails and the program does not crash.
func (p *storeProbe) overwrite(data []byte) {
	p.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			p.failf("writing to Data failed: it is read-only memory of the store, such as a mapped file")
		}
	}()
	for i := range data {
		data[i] = '#'
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
