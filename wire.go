package twofa

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// wire reads or writes what is sealed, field by field and in order: a number as
// a varint, text as its length and its bytes. Each kind of record and the ticket
// has one walk that does both, so that the two cannot differ. Writing changes
// nothing of what is walked: a policy is shared. A field is added only with a
// new schema. JSON would double a verification (BenchmarkRecord).
type wire struct {
	buf     []byte // what was written
	reading bool
	left    string // to read; the fields share its memory
	err     error
}

// end reports whether all was read, and nothing is left.
func (w *wire) end() error {
	if w.left != "" {
		return errWire
	}
	return w.err
}

var errWire = errors.New("twofa: does not decode")

func (w *wire) uvarint(p *uint64) {
	if !w.reading {
		w.buf = binary.AppendUvarint(w.buf, *p)
		return
	}
	*p = 0
	for i := 0; w.err == nil && i < min(len(w.left), binary.MaxVarintLen64); i++ {
		b := w.left[i]
		*p |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if b == 0 && i > 0 || b > 1 && i == binary.MaxVarintLen64-1 {
				break // a number has one spelling, and 64 bits
			}
			w.left = w.left[i+1:]
			return
		}
	}
	*p, w.err = 0, errWire
}

func (w *wire) number(p *int64) {
	n := uint64(*p)<<1 ^ uint64(*p>>63) // zigzag: small numbers are short, whatever their sign
	w.uvarint(&n)
	if w.reading {
		*p = int64(n>>1) ^ -int64(n&1)
	}
}

func (w *wire) text(p *string) {
	n := uint64(len(*p))
	w.uvarint(&n)
	switch {
	case !w.reading:
		w.buf = append(w.buf, *p...)
	case n > uint64(len(w.left)):
		w.err = errWire
	default:
		*p, w.left = w.left[:n], w.left[n:]
	}
}

func (w *wire) small(p *int) {
	n := int64(*p)
	w.number(&n)
	if w.reading {
		*p = int(n)
	}
}

func (w *wire) flag(p *bool) {
	n := int64(0)
	if *p {
		n = 1
	}
	w.number(&n)
	if n != 0 && n != 1 {
		w.err = errWire
	}
	if w.reading {
		*p = n == 1
	}
}

// word is text of a named type.
func word[T ~string](w *wire, p *T) {
	s := string(*p)
	w.text(&s)
	if w.reading {
		*p = T(s)
	}
}

// list is a number of elements and the elements.
func list[T any](w *wire, p *[]T, each func(*T)) {
	n := len(*p)
	w.small(&n)
	if w.reading {
		if n < 0 || n > len(w.left) { // every element takes a byte at least
			w.err = errWire
		}
		if w.err != nil || n == 0 {
			*p = nil
			return
		}
		*p = make([]T, n)
	}
	for i := range *p {
		each(&(*p)[i])
	}
}

// optional is a flag, and the value if it is set.
func optional[T any](w *wire, p **T, walk func(*T)) {
	there := *p != nil
	w.flag(&there)
	if w.reading {
		*p = nil
		if there {
			*p = new(T)
		}
	}
	if there {
		walk(*p)
	}
}

// table is a map, sorted by key.
func table[T any](w *wire, p *map[string]T, walk func(*T)) {
	var keys []string
	if len(*p) > 0 {
		keys = slices.Sorted(maps.Keys(*p))
	}
	if w.reading {
		*p = nil
	}
	last := ""
	list(w, &keys, func(k *string) {
		w.text(k)
		if w.reading && *p != nil && *k <= last {
			w.err = errWire // in another order, or twice
		}
		last = *k
		v := (*p)[*k]
		walk(&v)
		if w.reading {
			if *p == nil {
				*p = map[string]T{}
			}
			(*p)[*k] = v
		}
	})
}
