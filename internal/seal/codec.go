package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
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
	c := Codec{buf: buf}
	c.message(m, "")
	return c.buf
}

// Decode decodes m, whose text shares the memory of encoded. The error is a
// [*MustUnderstandError] or says that the encoding is malformed.
func Decode(encoded string, m Message) error {
	c := Codec{decoding: true}
	c.message(m, encoded)
	return c.err
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
	c.known = number
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

// Int is a field that holds a whole number.
func Int[T ~int | ~int64 | ~uint64](c *Codec, number uint64, p *T) {
	there := c.field(number, varintType, *p == 0)
	switch {
	case !c.decoding && there:
		c.buf = binary.AppendUvarint(c.buf, uint64(*p))
	case there:
		x := c.uvarint()
		*p = T(x)
		c.require(x != 0 && uint64(*p) == x) // an int may have 32 bits
	case c.decoding:
		*p = 0
	}
}

// Bool is a field that holds true or is left out.
func Bool(c *Codec, number uint64, p *bool) {
	n := 0
	if *p {
		n = 1
	}
	Int(c, number, &n)
	if n != 0 && n != 1 {
		c.err = errMalformed
	}
	if c.decoding {
		*p = n == 1
	}
}

// Text is a field that holds a string.
func Text[T ~string](c *Codec, number uint64, p *T) {
	there := c.field(number, bytesType, *p == "")
	switch {
	case !c.decoding && there:
		c.buf = append(binary.AppendUvarint(c.buf, uint64(len(*p))), *p...)
	case there:
		*p = T(c.bytes())
		c.require(*p != "")
	case c.decoding:
		*p = ""
	}
}

// require refuses an encoding that is not the only one of its value.
func (c *Codec) require(ok bool) {
	if !ok && c.err == nil {
		c.err = errMalformed
	}
}

// Texts is a field that holds a list of strings.
func Texts[T ~string](c *Codec, number uint64, p *[]T) {
	if !c.decoding {
		for _, text := range *p {
			c.field(number, bytesType, false)
			c.buf = append(binary.AppendUvarint(c.buf, uint64(len(text))), text...)
		}
		return
	}
	*p = nil
	for there := c.field(number, bytesType, false); there; there = c.another(number, bytesType) {
		*p = append(*p, T(c.bytes()))
	}
}

// Ints is a field that holds a list of whole numbers, packed.
func Ints[T ~int64](c *Codec, number uint64, p *[]T) {
	if !c.decoding {
		if c.field(number, bytesType, len(*p) == 0) {
			start := c.open()
			for _, x := range *p {
				c.buf = binary.AppendUvarint(c.buf, uint64(x))
			}
			c.close(start)
		}
		return
	}
	*p = nil
	if !c.field(number, bytesType, false) {
		return
	}
	packed := c.bytes()
	c.require(packed != "")
	for packed != "" && c.err == nil {
		x, n := uvarint(packed)
		if n == 0 {
			c.err = errMalformed
			return
		}
		*p, packed = append(*p, T(x)), packed[n:]
	}
}

// open leaves room for a length, and close fills it in.
func (c *Codec) open() (start int) {
	c.buf = append(c.buf, 0)
	return len(c.buf)
}

func (c *Codec) close(start int) {
	n := len(c.buf) - start
	if n < 0x80 {
		c.buf[start-1] = byte(n)
		return
	}
	var length [binary.MaxVarintLen64]byte
	c.buf = slices.Insert(c.buf, start, length[:binary.PutUvarint(length[:], uint64(n))-1]...)
	binary.PutUvarint(c.buf[start-1:], uint64(n))
}

// nested encodes or decodes a message that is a field of another.
func (c *Codec) nested(m Message) {
	if c.decoding {
		if encoded := c.bytes(); c.err == nil {
			c.message(m, encoded)
		}
		return
	}
	start := c.open()
	c.message(m, "")
	c.close(start)
}

// message is a pointer to T that is a Message.
type message[T any] interface {
	*T
	Message
}

// Struct is a field that holds a message. An empty message is left out.
func Struct[T any, P message[T]](c *Codec, number uint64, p *T) {
	if c.decoding {
		*p = *new(T)
		if c.field(number, bytesType, false) {
			c.require(c.left == "" || c.left[0] != 0)
			c.nested(P(p))
		}
		return
	}
	c.unknownBefore(number)
	before := len(c.buf)
	c.field(number, bytesType, false)
	empty := len(c.buf) + 1 // the length alone
	c.nested(P(p))
	if len(c.buf) == empty {
		c.buf = c.buf[:before]
	}
}

// Optional is a field that holds a message or nothing.
func Optional[T any, P message[T]](c *Codec, number uint64, p **T) {
	there := c.field(number, bytesType, *p == nil)
	if c.decoding {
		*p = nil
		if there {
			*p = new(T)
		}
	}
	if there {
		c.nested(P(*p))
	}
}

// List is a field that holds a list of messages.
func List[T any, P message[T]](c *Codec, number uint64, p *[]T) {
	if !c.decoding {
		for i := range *p {
			c.field(number, bytesType, false)
			c.nested(P(&(*p)[i]))
		}
		return
	}
	*p = nil
	if !c.field(number, bytesType, false) {
		return
	}
	*p = make([]T, 0, c.count(number))
	for there := true; there && c.err == nil; there = c.another(number, bytesType) {
		*p = append(*p, *new(T))
		c.nested(P(&(*p)[len(*p)-1]))
	}
}

// count returns how many elements of a list follow, the one at hand included.
func (c *Codec) count(number uint64) int {
	ahead := Codec{level: level{left: c.left}}
	ahead.bytes()
	n := 1
	for ahead.another(number, bytesType) {
		ahead.bytes()
		n++
	}
	return n
}

// Map is a field that holds a map, as a list of pairs in ascending order of the
// keys.
func Map[T any, P message[T]](c *Codec, number uint64, p *map[string]T) {
	if !c.decoding {
		if len(*p) == 0 {
			return
		}
		for _, key := range slices.Sorted(maps.Keys(*p)) {
			value := (*p)[key]
			c.field(number, bytesType, false)
			c.nested(&pair[T, P]{key: key, value: &value})
		}
		return
	}
	*p = nil
	last := ""
	for there := c.field(number, bytesType, false); there && c.err == nil; there = c.another(number, bytesType) {
		var value T
		entry := pair[T, P]{value: &value}
		c.nested(&entry)
		c.require(entry.encoded == "") // a pair has a key and a value, now and later
		if *p == nil {
			*p = map[string]T{}
		} else if entry.key <= last {
			c.err = errMalformed
		}
		(*p)[entry.key], last = value, entry.key
	}
}

// pair is a key and a value of a map, numbered as in Protocol Buffers.
type pair[T any, P message[T]] struct {
	Unknown
	key   string
	value *T
}

func (e *pair[T, P]) Fields(c *Codec) {
	Text(c, 1, &e.key)
	Struct[T, P](c, 2, e.value)
}
