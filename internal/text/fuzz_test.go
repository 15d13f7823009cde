package text

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// A typed code is its digits, in any grouping, or refused.
func FuzzDigits(f *testing.F) {
	for _, code := range []string{"287082", "287 082", "287-082", " 287082 ", "", "81804", "081804", "+287082", "0x46162", "287082.0", "2.87082e5",
		"287082\x00", "287082\r\n", "２８７０８２", "٢٨٧٠٨٢", "𝟐𝟖𝟕𝟎𝟖𝟐", "28708２", strings.Repeat(" ", 99) + "287082"} {
		f.Add(code, uint8(6))
	}
	f.Fuzz(func(t *testing.T, code string, n uint8) {
		want := 6 + int(n)%3
		got, ok := Digits(code, want)
		if !ok {
			return
		}
		require.Regexp(t, `^[0-9]+$`, got)
		require.Len(t, got, want)
		require.Equal(t, strings.NewReplacer(" ", "", "-", "").Replace(code), got, "nothing but spaces and hyphens goes")
		again, ok := Digits(got, want)
		require.True(t, ok)
		require.Equal(t, got, again)
	})
}

// Text from outside becomes one harmless line.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"", " a ", "a\nb\r\n", "\x1b[31mred", "\u202eevil\u2066", "\xff\xfea", "é", "ab c", "😀😀", "a\u2028b\u2029", "\ufffd", "a \u0000 "} {
		f.Add(s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, s string, n uint8) {
		got := Clean(s, int(n))
		require.LessOrEqual(t, len(got), int(n))
		require.True(t, utf8.ValidString(got))
		require.Equal(t, got, Clean(got, int(n)), "idempotent")
		require.Equal(t, strings.TrimSpace(got), got)
		for _, r := range got {
			require.False(t, unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029', "%q", got)
		}
	})
}

// A mask shows two digits of a number, and of an address its first letter and
// its domain.
func FuzzMask(f *testing.F) {
	for _, s := range []string{"", "+41791234567", "+1", "12345", "ada@example.com", "@example.com", "a@b@c", "@", "é@x", "\xff@x", "nobody"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown := strings.TrimPrefix(MaskPhone(s), "•••• ")
		require.True(t, shown == "••" || len(shown) == 2 && len(s) >= 5 && strings.HasSuffix(s, shown))
		before, after, masked := strings.Cut(MaskEmail(s), "•••")
		require.True(t, masked)
		require.LessOrEqual(t, utf8.RuneCountInString(before), 1)
		require.True(t, strings.HasPrefix(s, before))
		require.True(t, after == "" || after == s[strings.LastIndexByte(s, '@'):], "the domain is what stands after the last @")
	})
}
