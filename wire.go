package twofa

import (
	"errors"
	"maps"
	"slices"
	"strconv"
)

// wire reads or writes a record, field by field and in order, as text: a
// string as its length, ":" and the bytes; a number in decimal and ";". Each
// kind of record has one walk that does both, so that the two cannot differ.
// A field is added only with a new schema. JSON would cost three quarters of a
// verification here (BenchmarkRecord).
type wire struct {
	buf     []byte // what was written
	reading bool
	left    string // to read; the fields share its memory
	err     error
}

var errWire = errors.New("twofa: record does not decode")

// prefix takes a number and the byte after it off what is left to read. A
// number has one spelling.
func (w *wire) prefix(end byte) int64 {
	n, sign, at := int64(0), int64(1), 0
	if w.left != "" && w.left[0] == '-' {
		sign, at = -1, 1
	}
	for i := at; w.err == nil && i < min(len(w.left), at+maxDigits+1); i++ {
		switch c := w.left[i]; {
		case c >= '0' && c <= '9' && (n != 0 || i == at):
			n = 10*n + int64(c-'0')
			continue
		case c == end && i > at && (n != 0 || sign == 1):
			w.left = w.left[i+1:]
			return sign * n
		}
		break
	}
	w.err = errWire
	return 0
}

const maxDigits = 18 // of a number; that many do not overflow

func (w *wire) number(p *int64) {
	if w.reading {
		*p = w.prefix(';')
		return
	}
	w.buf = append(strconv.AppendInt(w.buf, *p, 10), ';')
}

func (w *wire) text(p *string) {
	if !w.reading {
		w.buf = append(append(strconv.AppendInt(w.buf, int64(len(*p)), 10), ':'), *p...)
		return
	}
	n := w.prefix(':')
	if n < 0 || n > int64(len(w.left)) {
		w.err = errWire
		return
	}
	*p, w.left = w.left[:n], w.left[n:]
}

func (w *wire) small(p *int) {
	n := int64(*p)
	w.number(&n)
	*p = int(n)
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
	*p = n == 1
}

// word is text of a named type.
func word[T ~string](w *wire, p *T) {
	s := string(*p)
	w.text(&s)
	*p = T(s)
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
