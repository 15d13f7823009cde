package seal

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// No two lists of fields pack the same.
func FuzzPack(f *testing.F) {
	f.Add("a,b", "ab,", ",")
	f.Add("", ",", ",")
	f.Add("\x01a", "a\x01", "\x01")
	f.Add(strings.Repeat("x", 127)+","+strings.Repeat("y", 128), "", ",")
	f.Fuzz(func(t *testing.T, one, two, separator string) {
		a, b := strings.Split(one, separator), strings.Split(two, separator)
		require.Equal(t, slices.Equal(a, b), bytes.Equal(pack(nil, a), pack(nil, b)))
	})
}
