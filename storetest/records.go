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
	{name: "get missing", text: "Get returns nothing for a key that has no record", check: func(p *storeProbe) {
		p.created(p.key("other"))
		p.gone(p.key(""))
		p.same(nil, p.get())
		p.same(nil, p.get(p.key("1"), p.key("2")))
	}},
	{name: "get several", text: "Get returns the records that exist under keys, in any order, and nothing for those that do not", check: func(p *storeProbe) {
		one, two := p.created(p.key("1")), p.created(p.key("2"))
		p.created(p.key("3"))
		p.same([]twofa.Record{one, two}, p.get(two.Key, p.key("none"), one.Key))
	}},
	{name: "get many", text: "Get takes any number of keys", check: func(p *storeProbe) {
		var keys []string
		for i := range 2500 {
			keys = append(keys, p.key(strconv.Itoa(i)))
		}
		first, last := p.created(keys[0]), p.created(keys[2499])
		p.same([]twofa.Record{first, last}, p.get(keys...))
	}},
}

var swapRules = []storeRule{
	{name: "create", text: `where there is no record, Swap from prev "" stores next`, check: func(p *storeProbe) {
		p.holds(p.created(p.key("")))
	}},
	{name: "create conflict", text: `where there is a record, Swap from prev "" is ErrConflict and changes nothing`, check: func(p *storeProbe) {
		r := p.created(p.key(""))
		p.conflict("", p.record(r.Key))
		p.holds(r)
	}},
	{name: "swap", text: "Swap from the stored version makes next the record", check: func(p *storeProbe) {
		r := p.created(p.key(""))
		for range 3 {
			next := p.record(r.Key)
			p.swap(r.Version, next)
			p.holds(next)
			r = next
		}
	}},
	{name: "swap conflict", text: "Swap from a version that is not the stored one is ErrConflict and changes nothing", check: func(p *storeProbe) {
		old := p.created(p.key(""))
		r := p.record(old.Key)
		p.swap(old.Version, r)
		p.conflict(old.Version, p.record(r.Key))
		p.conflict(rand.Text(), p.record(r.Key))
		p.holds(r)
	}},
	{name: "swap missing", text: "Swap from a version where there is no record is ErrConflict and stores nothing", check: func(p *storeProbe) {
		p.conflict(rand.Text(), p.record(p.key("")))
		p.gone(p.key(""))
	}},
	{name: "repeated swap", text: "if the stored version already is next.Version, Swap returns nil and does nothing", check: func(p *storeProbe) {
		r := p.created(p.key(""))
		p.swap("", r)
		next := p.record(r.Key)
		p.swap(r.Version, next)
		p.swap(r.Version, next)
		for _, prev := range []string{"", rand.Text(), next.Version} {
			p.swap(prev, twofa.Record{Key: next.Key, Version: next.Version, Data: []byte("other data")})
			if found := p.get(next.Key); len(found) == 1 && string(found[0].Data) != string(next.Data) {
				p.failf("Swap from version %q to %q, which is stored already, changed Data", prev, next.Version)
			}
		}
		p.holds(next)
	}},
	{name: "late repeat", text: "a Swap that is repeated after another has changed the record is ErrConflict and changes nothing", check: func(p *storeProbe) {
		old := p.created(p.key(""))
		mine, theirs := p.record(old.Key), p.record(old.Key)
		p.swap(old.Version, mine)
		p.swap(mine.Version, theirs)
		p.conflict(old.Version, mine)
		p.conflict("", old)
		p.holds(theirs)
	}},
	{name: "delete", text: `Swap to next.Version "" removes the record`, check: func(p *storeProbe) {
		r, other := p.created(p.key("")), p.created(p.key("other"))
		p.swap(r.Version, twofa.Record{Key: r.Key})
		p.gone(r.Key)
		p.holds(other)
	}},
	{name: "delete conflict", text: `Swap to next.Version "" from a version that is not the stored one is ErrConflict and removes nothing`, check: func(p *storeProbe) {
		r := p.created(p.key(""))
		p.conflict(rand.Text(), twofa.Record{Key: r.Key})
		p.conflict("", twofa.Record{Key: r.Key})
		p.holds(r)
	}},
	{name: "repeated delete", text: `where there is no record, Swap to next.Version "" returns nil and does nothing`, check: func(p *storeProbe) {
		r := p.created(p.key(""))
		for range 2 {
			p.swap(r.Version, twofa.Record{Key: r.Key})
		}
		p.swap("", twofa.Record{Key: r.Key})
		p.swap(rand.Text(), twofa.Record{Key: p.key("never")})
		p.gone(r.Key)
	}},
	{name: "recreate", text: `after a record is gone, only Swap from prev "" stores another, and what went before stays dead`, check: func(p *storeProbe) {
		old := p.created(p.key(""))
		p.swap(old.Version, twofa.Record{Key: old.Key})
		p.conflict(old.Version, p.record(old.Key))
		r := p.created(old.Key)
		p.conflict(old.Version, p.record(old.Key))
		p.conflict(old.Version, twofa.Record{Key: old.Key})
		p.holds(r)
	}},
}

var exactRules = []storeRule{
	distinctKeys("key case", "keys are case-sensitive", "a", "A", "é", "É", "ı", "i", "I", "ß", "SS"),
	distinctKeys("key spaces", "keys differ if one byte differs: trailing spaces count", "", " ", "  ", "\t", "\u00a0", " x", "x"),
	distinctKeys("key unicode", "keys are compared byte for byte, not by what they look like", "é", "e\u0301", "ﬁ", "fi", "Å", "\u212b", "ａ", "a\u200b", "👩‍💻", "👩💻"),
	distinctKeys("key prefix", "a key is found by the whole of it, and no character in it is a wildcard", "", "1", "10", "%", "_", "*", "?", "[1]", ":1", "/1", `\`, `\1`, "'", `"`, "{1}"),
	distinctKeys("key length", "keys of 512 bytes are kept whole", longKey("1"), longKey("2"), longKey(""), longKey("é")),
	{name: "version exact", text: "versions of up to 32 characters are compared whole and with their case", check: func(p *storeProbe) {
		r := p.record(p.key(""))
		r.Version += "abcdef"
		p.swap("", r)
		near := []string{r.Version[:31], r.Version[:31] + "F", r.Version[:31] + "g", strings.ToLower(r.Version), strings.ToUpper(r.Version), r.Version[:1]}
		for _, v := range near {
			p.conflict(v, p.record(r.Key))
			p.conflict(v, twofa.Record{Key: r.Key})
		}
		for _, v := range near {
			next := p.record(r.Key)
			next.Version = v
			p.swap(r.Version, next)
			p.holds(next)
			r = next
		}
	}},
	{name: "data exact", text: "Data is any bytes, kept as they are: a column for text does not do", check: func(p *storeProbe) {
		r := p.created(p.key(""))
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
			p.holds(next)
			r = next
		}
	}},
	{name: "data large", text: "Data of 64 KB is kept whole", check: func(p *storeProbe) {
		large := p.record(p.key(""))
		large.Data = []byte(strings.Repeat(everyByte(), 64<<10/256))
		p.swap("", large)
		p.holds(large)
		small := p.record(large.Key)
		p.swap(large.Version, small)
		p.holds(small)
	}},
}

func everyByte() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

// longKey is a suffix that makes a key of 512 bytes which ends in tail.
func longKey(tail string) string {
	return strings.Repeat("k", 512-len("user/")-len(rand.Text())-len(tail)) + tail
}

// distinctKeys proves that changing one of several similar keys leaves the
// others alone.
func distinctKeys(name, text string, suffixes ...string) storeRule {
	return storeRule{name: name, text: text, check: func(p *storeProbe) {
		var all []twofa.Record
		for _, s := range suffixes {
			p.gone(p.key(s))
			all = append(all, p.created(p.key(s)))
		}
		p.holds(all...)
		for i, r := range all {
			all[i] = p.record(r.Key)
			p.swap(r.Version, all[i])
		}
		p.holds(all...)
		for len(all) > 0 {
			p.swap(all[0].Version, twofa.Record{Key: all[0].Key})
			p.gone(all[0].Key)
			all = all[1:]
			p.holds(all...)
		}
	}}
}

var ownershipRules = []storeRule{
	{name: "data in", text: "Swap keeps no reference to next.Data", check: func(p *storeProbe) {
		r := p.record(p.key(""))
		want := string(r.Data)
		p.swap("", r)
		p.scribble(r.Data)
		p.holds(twofa.Record{Key: r.Key, Version: r.Version, Data: []byte(want)})
	}},
	{name: "data out", text: "the caller owns the result of Get: no slice in it is shared with the store or with another caller", check: func(p *storeProbe) {
		one, two := p.created(p.key("1")), p.created(p.key("2"))
		mine, theirs := p.get(one.Key, two.Key), p.get(one.Key, two.Key)
		for _, r := range mine {
			p.scribble(r.Data)
		}
		p.same([]twofa.Record{one, two}, theirs)
		p.holds(one, two)
	}},
	{name: "data apart", text: "the caller owns each slice in the result of Get: appending to one leaves the others alone", check: func(p *storeProbe) {
		one, two := p.created(p.key("1")), p.created(p.key("2"))
		found := p.get(one.Key, two.Key)
		for i, r := range found {
			found[i].Data = append(r.Data, '#')[:len(r.Data)]
		}
		p.same([]twofa.Record{one, two}, found)
		p.holds(one, two)
	}},
}

// scribble writes over data. Memory that must not be written to, such as the
// map of a file that a store hands out, ends the rule and not the program.
func (p *storeProbe) scribble(data []byte) {
	p.Helper()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			p.failf("writing to Data failed: it is memory of the store's own, as of a file mapped to read")
		}
	}()
	for i := range data {
		data[i] = '#'
	}
}

var contextRules = []storeRule{
	{name: "cancelled get", text: "Get under a context that is cancelled returns an error", check: func(p *storeProbe) {
		r := p.created(p.key(""))
		if found, err := p.b.Get(cancelled(p), r.Key); err == nil {
			p.failf("Get under a cancelled context returned %d records and no error", len(found))
		}
	}},
	{name: "cancelled swap", text: "Swap under a context that is cancelled returns an error and changes nothing", check: func(p *storeProbe) {
		r := p.created(p.key(""))
		for prev, next := range map[string]twofa.Record{
			"":        p.record(p.key("new")),
			r.Version: p.record(r.Key),
		} {
			p.refusesCancelled(prev, next)
		}
		p.refusesCancelled(r.Version, twofa.Record{Key: r.Key})
		p.holds(r)
		p.gone(p.key("new"))
	}},
}

func (p *storeProbe) refusesCancelled(prev string, next twofa.Record, events ...twofa.Event) {
	p.Helper()
	if err := p.a.Swap(cancelled(p), prev, next, events...); err == nil || errors.Is(err, twofa.ErrConflict) {
		p.failf("Swap from version %q to %q under a cancelled context returned %v, want an error that is not ErrConflict", prev, next.Version, err)
	}
}

func cancelled(p *storeProbe) context.Context {
	ctx, cancel := context.WithCancel(p.Context())
	cancel()
	return ctx
}
