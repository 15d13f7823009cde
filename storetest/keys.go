package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twofa-go/twofa"
)

var keyRules = []storeRule{
	{name: "keys sorted", keys: true, spaces: true, text: "Keys lists every record once, page by page, in ascending order of the bytes of the keys", check: func(p *storeProbe) {
		want := p.mixedKeys()
		for _, limit := range []int{1, 2, 3, 7, len(want), 1000} {
			p.wantKeys(limit, want)
		}
	}},
	{name: "keys limit", keys: true, text: "Keys returns at most limit keys", check: func(p *storeProbe) {
		p.mixedKeys()
		for limit := 1; limit < 10; limit++ {
			if keys := p.keysAfter(p.b, p.key(""), limit); len(keys) > limit {
				p.failf("with limit %d, Keys returned %d keys", limit, len(keys))
			}
		}
	}},
	{name: "keys after", keys: true, text: "the keys are greater than after, whether after is the key of a record, was one or never will be", check: func(p *storeProbe) {
		want := p.mixedKeys()
		deleted := p.create(p.key("m"))
		p.swap(deleted.Version, twofa.Record{Key: deleted.Key})
		for _, after := range append(slices.Clone(want), deleted.Key, p.key("A"), p.key("zz"), p.key("\u00ff"), p.key("1")+"\x01") {
			i, found := slices.BinarySearch(want, after)
			if found {
				i++
			}
			next := p.keysAfter(p.b, after, 1)
			switch {
			case i < len(want) && (len(next) != 1 || next[0] != want[i]):
				p.failf("after %s, Keys returned %q, want %s", brief(after), next, brief(want[i]))
			case i == len(want) && len(next) > 0 && strings.HasPrefix(next[0], p.key("")):
				p.failf("after %s, the greatest key, Keys returned %s", brief(after), brief(next[0]))
			}
		}
	}},
	{name: "keys first", keys: true, text: "if after is empty, Keys begins with the first key of any kind", check: func(p *storeProbe) {
		p.create("account/" + p.id)
		first := p.keysAfter(p.b, "", 1)
		if len(first) != 1 || first[0] > "account/"+p.id {
			p.failf("after an empty key, Keys returned %q, although there is a record for %s", first, brief("account/"+p.id))
		}
	}},
	{name: "keys current", keys: true, spaces: true, text: "Keys sees every Swap that returned nil before Keys was called, on any server", check: func(p *storeProbe) {
		var want []string
		for i := range 6 {
			r := p.record(p.key(strconv.Itoa(i)))
			p.turn(i).swap("", r)
			want = append(want, r.Key)
			p.wantKeys(2, want)
			p.turn(1).wantKeys(3, want)
			if i%3 == 2 {
				p.turn(i).swap(r.Version, twofa.Record{Key: r.Key})
				want = want[:len(want)-1]
				p.wantKeys(2, want)
				p.turn(1).wantKeys(3, want)
			}
		}
	}},
	{name: "keys ownership", keys: true, text: "the caller owns the result of Keys", check: func(p *storeProbe) {
		want := p.mixedKeys()
		for range 2 {
			clear(p.keysAfter(p.b, p.key(""), 1000))
		}
		p.wantKeys(1000, want)
	}},
	{name: "keys race", keys: true, text: "a record that exists while all keys are listed is listed exactly once, whatever else is written at the same time", check: func(p *storeProbe) {
		p.listWhileChanging()
	}},
	{name: "canceled keys", keys: true, text: "if the context is canceled, Keys returns an error", check: func(p *storeProbe) {
		p.create(p.key("1"))
		if keys, err := p.lister(p.b).Keys(canceled(p), p.key(""), 10); err == nil {
			p.failf("Keys with a canceled context returned %d keys and no error", len(keys))
		}
	}},
	{name: "cut keys", keys: true, text: "if the context is canceled during Keys, Keys returns an error or keys without a gap", check: func(p *storeProbe) {
		want := p.mixedKeys()
		p.cut(func(ctx context.Context, _ int) {
			keys, err := p.lister(p.b).Keys(ctx, p.key(""), len(want))
			if err == nil && (len(keys) == 0 || !slices.Equal(keys, want[:len(keys)])) {
				p.failf("Keys returned %q and no error, want the first of %q", keys, want)
			}
		})
	}},
}

// mixedKeys creates records whose keys are sorted in another way by a collation, and
// returns the keys in ascending order.
func (p *storeProbe) mixedKeys() (keys []string) {
	p.Helper()
	for _, suffix := range []string{"b", "B", "a", "Z", "aa", "a ", "a-b", "ab", "a/b", "a.b", "a_b", "a%", "10", "9", "1", "é", "e\u0301", "ez", "ﬁ", "ａ", "👩‍💻", "\u007e", "'", `"`, `\`, "[", strings.Repeat("x", 200)} {
		keys = append(keys, p.create(p.key(suffix)).Key)
	}
	slices.Sort(keys)
	return keys
}

func (p *storeProbe) lister(s twofa.Store) twofa.KeyLister {
	p.Helper()
	lister, ok := s.(twofa.KeyLister)
	if !ok {
		p.failf("%T does not implement twofa.KeyLister", s)
	}
	return lister
}

func (p *storeProbe) keysAfter(s twofa.Store, after string, limit int) []string {
	p.Helper()
	keys, err := p.lister(s).Keys(p.Context(), after, limit)
	if err != nil {
		p.failf("Keys after %s with limit %d: %v", brief(after), limit, err)
	}
	return keys
}

// wantKeys checks that pages of at most limit keys have exactly these keys of the
// probe.
func (p *storeProbe) wantKeys(limit int, want []string) {
	p.Helper()
	got, err := p.listed(p.b, limit)
	if err != nil {
		p.failf("%v", err)
	}
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			p.failf("with limit %d, %s is not listed", limit, brief(want[i]))
		case i >= len(want) || got[i] != want[i]:
			p.failf("with limit %d, key %d is %s, want %q", limit, i, brief(got[i]), want[min(i, len(want)):min(i+1, len(want))])
		}
	}
}

// listed returns all keys of the probe, page by page.
func (p *storeProbe) listed(s twofa.Store, limit int) (all []string, err error) {
	lister, ok := s.(twofa.KeyLister)
	if !ok {
		return nil, fmt.Errorf("%T does not implement twofa.KeyLister", s)
	}
	after := p.key("")
	for {
		page, err := lister.Keys(p.Context(), after, limit)
		if err != nil || len(page) == 0 {
			return all, err
		}
		if len(page) > limit {
			return nil, fmt.Errorf("with limit %d, Keys returned %d keys", limit, len(page))
		}
		for _, key := range page {
			if key <= after {
				return nil, fmt.Errorf("key %s is listed after %s, which is not less", brief(key), brief(after))
			}
			if after = key; !strings.HasPrefix(key, p.key("")) {
				return all, nil
			}
			all = append(all, key)
		}
	}
}

// listWhileChanging lets some racers create, change and delete records, while
// others list the keys, among them those of records that nobody deletes.
func (p *storeProbe) listWhileChanging() {
	p.Helper()
	var stay []twofa.Record
	for i := range 12 {
		stay = append(stay, p.create(p.key(fmt.Sprintf("%02d stays", i))))
	}
	var listing atomic.Int64
	listing.Store(racers / 2)
	until := time.Now().Add(250 * time.Millisecond)
	p.inParallel(func(racer int, s twofa.Store) error {
		if racer < racers/2 {
			defer listing.Add(-1)
			for n := 0; n < rounds || time.Now().Before(until); n++ {
				got, err := p.listed(s, 1+(racer+n)%5)
				if err != nil {
					return err
				}
				i := 0
				for _, key := range got {
					if i < len(stay) && key == stay[i].Key {
						i++
					}
				}
				if i < len(stay) {
					return fmt.Errorf("the record for %s is not listed", brief(stay[i].Key))
				}
			}
			return nil
		}
		changed := stay[racer%len(stay)]
		for n := 0; listing.Load() > 0; n++ {
			// A store may report a conflict with a change of another record.
			swap := func(prev string, next twofa.Record) error {
				err := s.Swap(p.Context(), prev, next)
				for errors.Is(err, twofa.ErrConflict) && listing.Load() > 0 {
					err = s.Swap(p.Context(), prev, next)
				}
				return err
			}
			next, other := p.record(changed.Key), p.record(p.key(fmt.Sprintf("%02d comes and goes, of %d", n%12, racer)))
			err := swap(changed.Version, next)
			if err == nil {
				changed, err = next, swap("", other)
			}
			if err == nil {
				err = swap(other.Version, twofa.Record{Key: other.Key})
			}
			switch {
			case errors.Is(err, twofa.ErrConflict):
				return nil // the others have finished
			case err != nil:
				return err
			}
		}
		return nil
	})
}
