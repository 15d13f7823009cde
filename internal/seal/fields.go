package seal

import (
	"encoding/binary"
	"maps"
	"slices"
)

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
			start := c.beginLength()
			for _, x := range *p {
				c.buf = binary.AppendUvarint(c.buf, uint64(x))
			}
			c.endLength(start)
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

// beginLength leaves room for a length, and endLength fills it in.
func (c *Codec) beginLength() (start int) {
	c.buf = append(c.buf, 0)
	return len(c.buf)
}

func (c *Codec) endLength(start int) {
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
	start := c.beginLength()
	c.message(m, "")
	c.endLength(start)
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
