package model

import (
	"context"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// Fields that an older release does not know.
const (
	fieldAddress = 146
	fieldLost    = 148
	fieldCase    = 152
	fieldOpened  = 158
	fieldStopped = 162
	fieldSince   = 166
)

// olderStore is the store as an older release sees it. The Manager behind it is of
// this release. It does not see the fields in question, and what it writes into them
// is put back. As each release does with fields that it does not know, a reset drops
// those that do not survive one.
type olderStore struct {
	twofa.Store
	next *nextStore
}

// Get implements [twofa.Store].
func (s *olderStore) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	records, err := s.Store.Get(ctx, keys...)
	for i, r := range records {
		if shapeOf(r.Key) == shapeUser {
			w := s.next.open(r)
			w.takeHelp()
			records[i] = s.next.seal(r.Key, r.Version, w)
		}
	}
	return records, err
}

// Swap implements [twofa.Store].
func (s *olderStore) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	if shapeOf(next.Key) == shapeUser && next.Version != "" {
		w := s.next.open(next)
		before, version := s.next.raw(next.Key)
		require.Equal(s.next.t, prev, version, "nobody else writes")
		unknown := before.takeHelp()
		if turnedOff := w.factors() == 0 && w.num(126) != before.num(126); turnedOff {
			unknown = slices.DeleteFunc(unknown, func(f wire) bool { return f.number&2 == 0 })
			s.next.kept[next.Key] = next.Version
		}
		w.takeHelp()
		for _, f := range unknown {
			w.add(f)
		}
		next = s.next.seal(next.Key, next.Version, w)
	}
	return s.Store.Swap(ctx, prev, next, events...)
}

// takeHelp removes the fields of modelHelp and returns them.
func (w *wires) takeHelp() (taken wires) {
	isHelp := func(f wire) bool {
		return among([]uint64{fieldAddress, fieldLost, fieldCase, fieldOpened, fieldStopped, fieldSince}, f.number)
	}
	for _, f := range *w {
		if isHelp(f) {
			taken = append(taken, f)
		}
	}
	*w = slices.DeleteFunc(*w, isHelp)
	return taken
}

// help returns what a record has of modelHelp.
func (w wires) help() (h modelHelp) {
	h.lost, h.stopped, h.since = int64(w.num(fieldLost)), int64(w.num(fieldStopped)), int64(w.num(fieldSince))
	w.eachOf(fieldAddress, func(a *wires) { h.addresses = append(h.addresses, modelAddress{a.text(4), int64(a.num(8))}) })
	w.eachOf(fieldCase, func(x *wires) { h.open = &modelCase{id: x.text(4)} })
	return h
}

// checkHelp checks that a record has what it must have of modelHelp. An older release
// has lost nothing, and a reset by any release has ended a case.
func (f *fleet) checkHelp(id string, w wires) {
	u, has := f.rules.user(id), w.help()
	require.Equal(f.t, u.lost, has.lost, "when the device of %s was lost, after a call to %s", id, f.rules.at.name)
	require.Equal(f.t, u.addresses, has.addresses, "addresses of %s after a call to %s", id, f.rules.at.name)
	require.Equal(f.t, u.stopped, has.stopped, "when %s last stopped a case, after a call to %s", id, f.rules.at.name)
	require.Equal(f.t, u.since, has.since, "since when the addresses of %s are known, after a call to %s", id, f.rules.at.name)
	require.Equal(f.t, u.open != nil, has.open != nil, "case of %s after a call to %s", id, f.rules.at.name)
	if u.open != nil && u.open.id != "" {
		require.Equal(f.t, u.open.id, has.open.id, "case of %s after a call to %s", id, f.rules.at.name)
	}
}
