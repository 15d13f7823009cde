package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"unsafe"

	"github.com/twofa-go/twofa"
)

var ownershipRules = []storeRule{
	{name: "swap ownership", text: "Swap does not keep a reference to next.Data", check: func(p *storeProbe) {
		for i, size := range ownedSizes {
			r := p.sized(p.key(strconv.Itoa(i)), size)
			for _, prev := range []string{"", r.Version} { // create, then change
				if prev != "" {
					r.Version = rand.Text()
				}
				want := bytes.Clone(r.Data)
				p.swap(prev, r)
				p.overwrite(r.Data)
				p.wantStored(twofa.Record{Key: r.Key, Version: r.Version, Data: want})
			}
		}
	}},
	{name: "get ownership", text: "the caller owns the result of Get; it shares no memory with the store or another caller", check: func(p *storeProbe) {
		all := p.owned()
		mine, theirs := p.get(keysOf(all)...), p.get(keysOf(all)...)
		for _, r := range mine {
			for _, other := range theirs {
				if overlap(r.Data, other.Data) {
					p.failf("two calls of Get returned the same memory for key %s, with %d bytes of Data", brief(r.Key), len(r.Data))
				}
			}
		}
		for _, r := range mine {
			p.overwrite(r.Data)
		}
		p.wantSame(all, theirs)
		p.wantStored(all...)
	}},
	{name: "get unchanged", text: "the result of Get does not change, and remains readable, when records are changed later or the context ends", check: func(p *storeProbe) {
		all := p.owned()
		ctx, cancel := context.WithCancel(p.Context())
		found, err := p.b.Get(ctx, keysOf(all)...)
		cancel()
		p.noError(err)
		for round := range 3 {
			for i, r := range all {
				next := p.sized(r.Key, ownedSizes[(i+round)%len(ownedSizes)])
				p.swap(p.get(r.Key)[0].Version, next)
			}
		}
		p.noError(readable(func() { p.wantSame(all, found) }))
	}},
	{name: "get separate slices", text: "the caller owns each slice in the result of Get; appending to one does not change another", check: func(p *storeProbe) {
		all := p.owned()
		found := p.get(keysOf(all)...)
		for i, r := range found {
			found[i].Data = append(r.Data, '#')[:len(r.Data)]
		}
		p.wantSame(all, found)
		p.wantStored(all...)
	}},
}

// ownedSizes are lengths of Data for which a database may return its own memory,
// or a copy. They are fewer than sizes, because each is checked in every space.
var ownedSizes = []int{20, 300, 3000, 5000, 16_000, 64 << 10}

// owned stores a record of each of ownedSizes.
func (p *storeProbe) owned() []twofa.Record {
	p.Helper()
	var all []twofa.Record
	for i, size := range ownedSizes {
		all = append(all, p.sized(p.key(strconv.Itoa(i)), size))
		p.swap("", all[i])
	}
	return all
}

func keysOf(records []twofa.Record) (keys []string) {
	for _, r := range records {
		keys = append(keys, r.Key)
	}
	return keys
}

// overlap reports whether a and b share memory.
func overlap(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	from, to := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	return from < to+uintptr(len(b)) && to < from+uintptr(len(a))
}

// readable calls f, which reads the result of Get. If its memory is gone, readable
// returns an error and the program does not crash.
func readable(f func()) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("reading the result of Get failed: its memory is gone, such as that of an unmapped file: %v", reason)
		}
	}()
	f()
	return nil
}

// overwrite overwrites data. If the memory is read-only, the rule fails.
func (p *storeProbe) overwrite(data []byte) {
	p.Helper()
	p.noError(scribble(data))
}

// scribble overwrites data. If the memory is read-only or gone, such as a mapped
// file that the store returned, it returns an error and the program does not crash.
func scribble(data []byte) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = errors.New("writing to Data failed: it is read-only memory of the store, such as a mapped file")
		}
	}()
	for i := range data {
		data[i] ^= 0x55
	}
	return nil
}
