package protowire

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/twofa-go/twofa/internal/seal"
)

// sample has a field of each kind.
type sample struct {
	seal.Unknown
	Name   string
	Number int64
	Times  []int64
	Texts  []string
	Inner  *sample
	List   []sample
	Map    map[string]sample
}

func (s *sample) Fields(c *seal.Codec) {
	seal.Text(c, 4, &s.Name)
	seal.Int(c, 8, &s.Number)
	seal.Ints(c, 12, &s.Times)
	seal.Texts(c, 16, &s.Texts)
	seal.Optional(c, 20, &s.Inner)
	seal.List(c, 24, &s.List)
	seal.Map(c, 28, &s.Map)
}

// wire encodes the value with the reference implementation.
func (s *sample) wire(b []byte) []byte {
	if s.Name != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 4, protowire.BytesType), s.Name)
	}
	if s.Number != 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 8, protowire.VarintType), uint64(s.Number))
	}
	if len(s.Times) > 0 {
		var packed []byte
		for _, t := range s.Times {
			packed = protowire.AppendVarint(packed, uint64(t))
		}
		b = protowire.AppendBytes(protowire.AppendTag(b, 12, protowire.BytesType), packed)
	}
	for _, text := range s.Texts {
		b = protowire.AppendString(protowire.AppendTag(b, 16, protowire.BytesType), text)
	}
	if s.Inner != nil {
		b = protowire.AppendBytes(protowire.AppendTag(b, 20, protowire.BytesType), s.Inner.wire(nil))
	}
	for i := range s.List {
		b = protowire.AppendBytes(protowire.AppendTag(b, 24, protowire.BytesType), s.List[i].wire(nil))
	}
	keys := make([]string, 0, len(s.Map))
	for key := range s.Map {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		var pair []byte
		if key != "" {
			pair = protowire.AppendString(protowire.AppendTag(pair, 1, protowire.BytesType), key)
		}
		value := s.Map[key]
		if body := value.wire(nil); len(body) > 0 {
			pair = protowire.AppendBytes(protowire.AppendTag(pair, 2, protowire.BytesType), body)
		}
		b = protowire.AppendBytes(protowire.AppendTag(b, 28, protowire.BytesType), pair)
	}
	return b
}

// Whatever we encode, the reference implementation encodes to the same bytes.
func FuzzEncode(f *testing.F) {
	f.Add("ada", int64(-1), int64(1<<40), "x", true)
	f.Add("", int64(0), int64(0), "", false)
	f.Add(string(make([]byte, 127)), int64(math.MinInt64), int64(128), string(make([]byte, 20_000)), true)
	f.Fuzz(func(t *testing.T, name string, number, time int64, text string, deep bool) {
		s := sample{Name: name, Number: number, Times: []int64{time, 0, -time}, Texts: []string{text, "", name}}
		if deep {
			inner := s
			s.Inner, s.List, s.Map = &inner, []sample{inner, {}, {Name: text}}, map[string]sample{name: inner, text: {}, "": {Number: 1}}
		}
		want := s.wire(nil)
		require.Equal(t, want, seal.Encode(nil, &s))
		var back sample
		require.NoError(t, seal.Decode(string(want), &back))
		require.Equal(t, s, back)
	})
}

// Whatever we decode, the reference implementation reads as well, with the same
// fields, and we write it back byte for byte.
func FuzzDecode(f *testing.F) {
	s := sample{Name: "ada", Number: 7, Times: []int64{1, 2}, Texts: []string{"a"}, List: []sample{{}, {Name: "b"}}}
	f.Add(s.wire(nil))
	f.Add(protowire.AppendVarint(protowire.AppendTag(s.wire(nil), 42, protowire.VarintType), 1))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s sample
		if seal.Decode(string(text), &s) != nil {
			return
		}
		require.Equal(t, text, seal.Encode([]byte{}, &s))
		for left := text; len(left) > 0; {
			number, kind, n := protowire.ConsumeField(left)
			require.Positive(t, n, "the reference implementation reads it")
			require.Contains(t, []protowire.Type{protowire.VarintType, protowire.BytesType}, kind)
			if number == 4 {
				_, _, tag := protowire.ConsumeTag(left)
				name, _ := protowire.ConsumeString(left[tag:])
				require.Equal(t, name, s.Name)
			}
			left = left[n:]
		}
	})
}
