package twofa

import (
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAbuse_F14_SecretsAreRandom(t *testing.T) {
	c := TOTPConfig{}
	c.setDefaults()
	seen := map[string]bool{}
	var counts [256]int
	for range 10_000 {
		raw, err := base32.StdEncoding.DecodeString(c.newParams().Key)
		require.NoError(t, err)
		key := string(raw)
		if len(key) != 20 || seen[key] {
			t.Fatal("short, or seen before")
		}
		seen[key] = true
		for _, b := range []byte(key) {
			counts[b]++
		}
	}
	requireUniform(t, counts[:])
}

func TestAbuse_H05_RecoveryCodesAreRandom(t *testing.T) {
	seen := map[string]bool{}
	counts := make([]int, len(crockford))
	for _, code := range newRecoveryCodes(10_000) {
		if len(code) != 24 || seen[code] {
			t.Fatal("short, or seen before")
		}
		seen[code] = true
		for i := range len(code) {
			counts[strings.IndexByte(crockford, code[i])]++
		}
	}
	requireUniform(t, counts)
}

func TestAbuse_I13_TokensHave256BitsAndNeverRepeat(t *testing.T) {
	seen := map[string]bool{}
	for range 10_000 {
		token := newLinkToken().Reveal()
		raw, err := base64.RawURLEncoding.DecodeString(token)
		require.NoError(t, err, "URL-safe")
		require.Len(t, raw, 32)
		seen[token] = true
	}
	require.Len(t, seen, 10_000)
}

func TestAbuse_J01_CodesAreUniform(t *testing.T) {
	const n = 100_000
	leading, bins := 0, [1000]float64{}
	for range n {
		code := newTextCode()
		require.Len(t, code, 6)
		var value int
		_, err := fmt.Sscanf(code, "%06d", &value)
		require.NoError(t, err)
		bins[value%1000]++
		if code[0] == '0' {
			leading++
		}
	}
	require.InDelta(t, n/10, leading, n/100, "including leading zeros")
	chi := 0.0
	for _, got := range bins {
		chi += (got - n/1000) * (got - n/1000) / (n / 1000)
	}
	require.Less(t, chi, 1300.0, "chi-square with 999 degrees of freedom: above this once in 10^9")
}

// requireUniform is a chi-square test with a limit of more than six deviations.
// A fair source passes, and a source with a bias of a few percent fails.
func requireUniform(t *testing.T, counts []int) {
	t.Helper()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	want, chi := float64(sum)/float64(len(counts)), 0.0
	for _, n := range counts {
		chi += (float64(n) - want) * (float64(n) - want) / want
	}
	freedom := float64(len(counts) - 1)
	require.Less(t, chi, freedom+6*math.Sqrt(2*freedom)+12)
}
