package seal

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// Codec encodes or decodes a value field by field and in order: a number as a
// varint, text as its length and its bytes. One function per type does both,
// so that encoder and decoder cannot differ. Encoding does not modify the
// value. JSON would double the time of a verification (BenchmarkRecord).
type Codec struct {
	buf     []byte // encoded so far
	reading bool
	left    string // still to be decoded; decoded text shares its memory
	err     error
}

// NewEncoder returns a Codec that appends to buf.
func NewEncoder(buf []byte) *Codec { return &Codec{buf: buf} }

// NewDecoder returns a Codec that decodes encoded.
func NewDecoder(encoded string) *Codec { return &Codec{left: encoded, reading: true} }

// Bytes returns the buffer with everything encoded so far.
func (c *Codec) Bytes() []byte { return c.buf }

// Decoding reports whether the Codec decodes.
func (c *Codec) Decoding() bool { return c.reading }

// Close returns an error if the input was malformed or has bytes left.
func (c *Codec) Close() error {
	if c.left != "" {
		return errMalformed
	}
	return c.err
}

var errMalformed = errors.New("twofa: malformed encoding")

func (c *Codec) uvarint(p *uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *p)
		return
	}
	*p = 0
	for i := 0; c.err == nil && i < min(len(c.left), binary.MaxVarintLen64); i++ {
		b := c.left[i]
		*p |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if b == 0 && i > 0 || b > 1 && i == binary.MaxVarintLen64-1 {
				break // a number has one encoding, and 64 bits
			}
			c.left = c.left[i+1:]
			return
		}
	}
	*p, c.err = 0, errMalformed
}

// Int64 encodes a number in zigzag, so that small numbers are short whatever
// their sign.
func Int64[T ~int64](c *Codec, p *T) {
	n := uint64(*p)<<1 ^ uint64(*p>>63)
	c.uvarint(&n)
	if c.reading {
		*p = T(n>>1) ^ -T(n&1)
	}
}

// Int encodes a number like [Int64].
func Int(c *Codec, p *int) {
	n := int64(*p)
	Int64(c, &n)
	if c.reading {
		*p = int(n)
	}
}

// Bool encodes false as 0 and true as 1. Anything else is malformed.
func Bool(c *Codec, p *bool) {
	n := 0
	if *p {
		n = 1
	}
	Int(c, &n)
	if n != 0 && n != 1 {
		c.err = errMalformed
	}
	if c.reading {
		*p = n == 1
	}
}

// Text encodes a string, or a type based on one, as its length and its bytes.
func Text[T ~string](c *Codec, p *T) {
	n := uint64(len(*p))
	c.uvarint(&n)
	switch {
	case !c.reading:
		c.buf = append(c.buf, *p...)
	case n > uint64(len(c.left)):
		c.err = errMalformed
	default:
		*p, c.left = T(c.left[:n]), c.left[n:]
	}
}

// List encodes the number of elements, then each of them.
func List[T any](c *Codec, p *[]T, each func(*Codec, *T)) {
	n := len(*p)
	Int(c, &n)
	if c.reading {
		if n < 0 || n > len(c.left) { // an element has at least one byte
			c.err = errMalformed
		}
		if c.err != nil || n == 0 {
			*p = nil
			return
		}
		*p = make([]T, n)
	}
	for i := range *p {
		each(c, &(*p)[i])
	}
}

// Optional encodes whether there is a value, then the value.
func Optional[T any](c *Codec, p **T, fields func(*Codec, *T)) {
	present := *p != nil
	Bool(c, &present)
	if c.reading {
		*p = nil
		if present {
			*p = new(T)
		}
	}
	if present {
		fields(c, *p)
	}
}

// Map encodes a map as a list of pairs, sorted by key. Other orders and
// repeated keys are malformed.
func Map[T any](c *Codec, p *map[string]T, fields func(*Codec, *T)) {
	var keys []string
	if len(*p) > 0 {
		keys = slices.Sorted(maps.Keys(*p))
	}
	if c.reading {
		*p = nil
	}
	last := ""
	List(c, &keys, func(c *Codec, k *string) {
		Text(c, k)
		if c.reading && *p != nil && *k <= last {
			c.err = errMalformed
		}
		last = *k
		v := (*p)[*k]
		fields(c, &v)
		if c.reading {
			if *p == nil {
				*p = map[string]T{}
			}
			(*p)[*k] = v
		}
	})
}
