package seal

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sample has a field of each kind.
type sample struct {
	Unknown
	Name   string
	Number int64
	Flag   bool
	Texts  []string
	Times  []int64
	Inner  inner
	Maybe  *inner
	List   []inner
	Map    map[string]inner
}

func (s *sample) Fields(c *Codec) {
	Text(c, 4, &s.Name)
	Int(c, 8, &s.Number)
	Bool(c, 12, &s.Flag)
	Texts(c, 16, &s.Texts)
	Ints(c, 20, &s.Times)
	Struct(c, 24, &s.Inner)
	Optional(c, 28, &s.Maybe)
	List(c, 32, &s.List)
	Map(c, 36, &s.Map)
}

type inner struct {
	Unknown
	Text   string
	Number int
}

func (i *inner) Fields(c *Codec) {
	Text(c, 4, &i.Text)
	Int(c, 12, &i.Number)
}

func full() *sample {
	return &sample{Name: "ada", Number: -1, Flag: true, Texts: []string{"", "a", strings.Repeat("x", 300)}, Times: []int64{0, 1, 1 << 40},
		Inner: inner{Text: "i", Number: 7}, Maybe: &inner{}, List: []inner{{}, {Text: strings.Repeat("y", 200)}, {Number: 3}},
		Map: map[string]inner{"": {}, "b": {Number: 1}, "a": {Text: "m"}}}
}

func encoded(m Message) string { return string(Encode(nil, m)) }

func TestCodec_KeepsEveryField(t *testing.T) {
	for name, s := range map[string]*sample{"full": full(), "zero": {}} {
		var back sample
		require.NoError(t, Decode(encoded(s), &back), name)
		require.Equal(t, s, &back, name)
	}
	require.Empty(t, encoded(&sample{}), "zero values are left out")
}

func TestCodec_RefusesEveryOtherEncoding(t *testing.T) {
	for name, text := range map[string]string{
		"a zero number":             "\x40\x00",
		"a zero text":               "\x22\x00",
		"a false flag":              "\x60\x00",
		"a flag of two":             "\x60\x02",
		"an empty message":          "\xc2\x01\x00",
		"an empty packed list":      "\xa2\x01\x00",
		"twice":                     "\x40\x01\x40\x01",
		"out of order":              "\x40\x01\x22\x01a",
		"unknown out of order":      "\x50\x01\x48\x01",
		"a longer number":           "\x40\x81\x00",
		"a longer tag":              "\xc0\x00\x01",
		"a longer length":           "\x22\x81\x00a",
		"65 bits":                   "\x40\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
		"no end of a number":        "\x40\xff",
		"another wire type":         "\x42\x01a",
		"a group":                   "\x53",
		"32 bits":                   "\x55abcd",
		"64 bits":                   "\x51abcdefgh",
		"a field number of 30 bits": "\x80\x80\x80\x80\x10\x01",
		"field zero":                "\x00\x01",
		"a length past the end":     "\x22\x05a",
		"a huge length":             "\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"an unknown huge length":    "\x52\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"keys out of order":         "\xa2\x02\x03\x0a\x01b\xa2\x02\x03\x0a\x01a",
		"a key twice":               "\xa2\x02\x03\x0a\x01b\xa2\x02\x03\x0a\x01b",
		"a message that goes bad":   "\xc2\x01\x02\x22\x05",
	} {
		require.ErrorIs(t, Decode(text, &sample{}), errMalformed, name)
	}
}

// A later release writes fields that this one does not know, in any message.
func TestCodec_KeepsUnknownFields(t *testing.T) {
	const number, text, list = "\x50\x2a", "\x52\x03new", "\xd2\x02\x01a\xd2\x02\x01b" // fields 10, 10 and 42
	field := func(tag byte, content string) string { return string([]byte{tag, 1, byte(len(content))}) + content }
	for name, later := range map[string]string{
		"alone":      number,
		"between":    "\x40\x01" + text + "\x60\x01",
		"after":      "\x60\x01" + list,
		"in Struct":  field(0xc2, text),
		"in a pair":  "\xa2\x02\x0a\x0a\x01k\x12\x05" + text,
		"in List":    "\x82\x02\x02\x50\x01\x82\x02\x00",
		"everywhere": "\x40\x01" + number + field(0xc2, "\x22\x01a"+text) + list,
	} {
		var s sample
		require.NoError(t, Decode(later, &s), name)
		require.Equal(t, later, encoded(&s), name)
		s.Name = "changed"
		var again sample
		require.NoError(t, Decode(encoded(&s), &again), name)
		require.Equal(t, s, again, name)
	}
}

func TestCodec_RefusesAnUnknownFieldThatMustBeUnderstood(t *testing.T) {
	for name, text := range map[string]string{"outside": "\x58\x01", "inside": "\xc2\x01\x02\x58\x01"} { // field 11
		var unknown *MustUnderstandError
		require.ErrorAs(t, Decode(text, &sample{}), &unknown, name)
		require.EqualValues(t, 11, unknown.Field, name)
	}
}

func TestCodec_AResetDropsWhatDoesNotSurvive(t *testing.T) {
	var s sample
	require.NoError(t, Decode("\x50\x01"+"\xc0\x02\x07"+"\xd0\x02\x09", &s)) // fields 10, 40 and 42
	s.DropAtReset()
	require.Equal(t, "\x50\x01\xd0\x02\x09", encoded(&s))
}

func FuzzCodec(f *testing.F) {
	f.Add([]byte(encoded(full())))
	f.Add([]byte("\x50\x2a\xc2\x01\x02\x50\x01"))
	f.Add([]byte("\x82\x02\x00\x82\x02\x00\x82\x02\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s sample
		if Decode(string(text), &s) != nil {
			return
		}
		require.Equal(t, string(text), encoded(&s), "one encoding, unknown fields included")
	})
}

// Decoding costs memory in proportion to the input, however it is made.
func TestCodec_AllocatesInProportion(t *testing.T) {
	for name, text := range map[string]string{
		"empty elements": strings.Repeat("\x82\x02\x00", 20_000),
		"texts":          strings.Repeat("\x82\x01\x00", 20_000),
		"unknown":        strings.Repeat("\x50\x01", 30_000),
		"packed":         "\xa2\x01\xe0\xd4\x03" + strings.Repeat("\x01", 60_000),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.NoError(t, Decode(text, &sample{}), name)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(60*len(text)), name)
	}
}
