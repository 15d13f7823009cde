package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Message is a value that is encoded field by field, in the wire format of
// Protocol Buffers.
//
// The number of a field says what a release that does not know the field must
// do with it. Every release keeps its bytes and writes them back. If bit 0 is
// set, the field may restrict something, so the release must refuse the whole
// value. If bit 1 is set, the field survives a reset; see
// [Unknown.DropAtReset]. The remaining bits count the fields of a message.
//
// There is one encoding of each value: fields in ascending order of their
// numbers, zero values left out, numbers as short as possible. Anything else
// is malformed. Zero must therefore be the strictest value of a field.
type Message interface {
	// Fields calls a function of this package for each field, in ascending
	// order of the numbers. It serves encoding and decoding alike, so that the
	// two cannot differ. Encoding does not modify the value.
	Fields(*Codec)
	// UnknownFields returns the fields that this release does not know.
	UnknownFields() *Unknown
}

// Unknown is the fields of a message that this release does not know. A
// message embeds it.
type Unknown struct{ encoded string }

// UnknownFields returns u.
func (u *Unknown) UnknownFields() *Unknown { return u }

// IsEmpty reports whether there are none.
func (u *Unknown) IsEmpty() bool { return u.encoded == "" }

// DropAtReset drops all fields except those that survive a reset.
func (u *Unknown) DropAtReset() {
	c := Codec{level: level{left: u.encoded}}
	c.peek()
	u.encoded = ""
	for c.left != "" && c.err == nil {
		if number, field := c.skip(); number&survivesReset != 0 {
			u.encoded += field
		}
	}
}

const (
	mustUnderstand = 1 << iota
	survivesReset
)

// A MustUnderstandError reports a field that may restrict something and that
// this release does not know.
type MustUnderstandError struct{ Field uint64 }

// Error names the field.
func (e *MustUnderstandError) Error() string {
	return fmt.Sprintf("twofa: field %d must be understood, but is not known to this release", e.Field)
}

var errMalformed = errors.New("twofa: malformed encoding")

// Encode appends the encoding of m to buf.
func Encode(buf []byte, m Message) []byte {
	s := borrow()
	defer s.giveBack()
	s.codec.buf = buf
	s.codec.message(m, "")
	return s.codec.buf
}

// Decode decodes m, whose text shares the memory of encoded. The error is a
// [*MustUnderstandError] or says that the encoding is malformed.
func Decode(encoded string, m Message) error {
	s := borrow()
	defer s.giveBack()
	s.codec.decoding = true
	s.codec.message(m, encoded)
	return s.codec.err
}

// Codec encodes or decodes messages.
type Codec struct {
	decoding bool
	buf      []byte // encoded so far
	err      error
	level
}

// level is the state of the message at hand.
type level struct {
	left    string // to be decoded; when encoding, unknown fields to be written back
	tag     uint64 // the first number in left, 0 if there is none
	tagSize int
	known   uint64 // number of the last field that this release knows
	seen    uint64 // number of the last field that it does not know
	unknown *Unknown
}

// message encodes or decodes the fields of a message.
func (c *Codec) message(m Message, encoded string) {
	outer := c.level
	c.level = level{left: encoded, unknown: m.UnknownFields()}
	if c.decoding {
		*c.unknown = Unknown{}
	} else {
		c.left = c.unknown.encoded
	}
	c.peek()
	m.Fields(c)
	c.unknownBefore(math.MaxUint64)
	c.level = outer
}

// peek reads the next tag.
func (c *Codec) peek() {
	if c.tag, c.tagSize = uvarint(c.left); c.tagSize == 0 && c.left != "" && c.err == nil {
		c.err = errMalformed
	}
}

// unknownBefore keeps the unknown fields that come before a known one, or
// writes them back.
func (c *Codec) unknownBefore(number uint64) {
	if c.tagSize > 0 && c.tag>>3 < number {
		c.keepUnknown(number)
	}
	c.known = number
}

func (c *Codec) keepUnknown(number uint64) {
	before := c.left
	for c.err == nil && c.tagSize > 0 && c.tag>>3 < number {
		if c.decoding {
			c.accept(c.tag >> 3)
		}
		c.skip()
	}
	fields := before[:len(before)-len(c.left)]
	if c.decoding {
		c.unknown.encoded += fields
	} else {
		c.buf = append(c.buf, fields...)
	}
}

// accept refuses an unknown field that must be understood, or is out of order.
// It may come several times in a row, because it may be a list.
func (c *Codec) accept(found uint64) {
	switch {
	case found <= c.known || found < c.seen:
		c.err = errMalformed
	case found&mustUnderstand != 0:
		c.err = &MustUnderstandError{found}
	}
	c.seen = found
}

// skip returns the next field and its number, and steps over it.
func (c *Codec) skip() (number uint64, field string) {
	number, left := c.tag>>3, c.left
	switch kind := c.tag & 7; {
	case c.tagSize == 0 || number == 0 || number > maxField:
		c.err = errMalformed
	case kind == varintType:
		c.left = c.left[c.tagSize:]
		c.uvarint()
	case kind == bytesType:
		c.left = c.left[c.tagSize:]
		c.bytes()
	default:
		c.err = errMalformed
	}
	if c.err != nil {
		c.left, c.tagSize = "", 0
		return 0, ""
	}
	return number, left[:len(left)-len(c.left)]
}

const (
	varintType = 0
	bytesType  = 2
	maxField   = 1<<29 - 1
)

// field prepares for a field. When decoding, it reports whether the field is
// there and steps over its tag. When encoding, it reports whether the field is
// to be written, and writes its tag.
func (c *Codec) field(number, wireType uint64, zero bool) bool {
	c.unknownBefore(number)
	if !c.decoding {
		if !zero {
			c.buf = binary.AppendUvarint(c.buf, number<<3|wireType)
		}
		return !zero
	}
	return c.another(number, wireType)
}

// another steps over a tag, if it is the one of the field.
func (c *Codec) another(number, wireType uint64) bool {
	switch {
	case c.err != nil || c.tagSize == 0 || c.tag>>3 != number:
		return false
	case c.tag&7 != wireType:
		c.err = errMalformed
		return false
	}
	c.left = c.left[c.tagSize:]
	return true
}

// uvarint returns a number and its length, 0 if it is malformed. A number has
// one encoding, and 64 bits.
func uvarint(s string) (x uint64, n int) {
	for i := range min(len(s), binary.MaxVarintLen64) {
		b := s[i]
		x |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if b == 0 && i > 0 || b > 1 && i == binary.MaxVarintLen64-1 {
				return 0, 0
			}
			return x, i + 1
		}
	}
	return 0, 0
}

// uvarint decodes a number.
func (c *Codec) uvarint() uint64 {
	x, n := uvarint(c.left)
	if n == 0 {
		c.err = errMalformed
		return 0
	}
	c.left = c.left[n:]
	c.peek()
	return x
}

// bytes decodes a length and as many bytes.
func (c *Codec) bytes() string {
	size, n := uvarint(c.left)
	if n == 0 || size > uint64(len(c.left)-n) {
		c.err = errMalformed
		return ""
	}
	text := c.left[n:][:size]
	c.left = c.left[n:][size:]
	c.peek()
	return text
}
