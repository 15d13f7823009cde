package twofa

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pquerna/otp/hotp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/internal/seal"
)

// BenchmarkRecord encodes and decodes the record of a typical user: sealed, not
// sealed, and as JSON.
func BenchmarkRecord(b *testing.B) {
	keys, _ := ParseKeyRing(GenerateKeyRing().Reveal())
	r := userRecord{Epoch: seal.NewID(), KeptSession: seal.NewID(), Stamp: seal.Digest("x"), LastLogin: 1800000000,
		Factors:  []factor{{ID: seal.NewID(), Method: TOTP, Name: "Authenticator app", App: totpParams{Key: strings.Repeat("x", 20), Algorithm: "SHA1", Digits: 6, Period: 30}, Step: 60000000, Added: 1800000000, Used: 1800000000}},
		Codes:    &codeSet{Key: strings.Repeat("x", 32), Hashes: strings.Repeat("x", 160), Total: 10, Made: 1800000000},
		Browsers: []browser{{ID: seal.NewID(), Hash: seal.Digest("x"), Device: "Firefox on Linux", First: 1800000000, Used: 1800000000, Proven: 1800000000, Method: TOTP, Family: seal.Digest("f"), Salt: seal.NewID()}},
	}
	b.Run("record", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var back userRecord
			if data, err := keys.encode("user/ada", &r); err != nil || keys.decode(data, &back) != nil {
				b.Fatal("does not come back")
			}
		}
	})
	b.Run("walk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var back userRecord
			if seal.Decode(string(seal.Encode(nil, &r)), &back) != nil {
				b.Fatal("does not come back")
			}
		}
	})
	b.Run("JSON", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var back userRecord
			data, err := json.Marshal(&r)
			if err != nil || json.Unmarshal(data, &back) != nil {
				b.Fatal("does not come back")
			}
		}
	})
}

// A code costs only what package hotp needs for it. Our checks and the Base32
// key allocate nothing.
func TestTOTP_AddsNoAllocation(t *testing.T) {
	for name, size := range map[string]int{"SHA1": 20, "SHA256": 32, "SHA512": 64} {
		c := TOTPConfig{Algorithm: name, SecretSize: size}
		c.setDefaults()
		a := c.newParams()
		bare := fewestAllocs(func() {
			_, _ = hotp.GenerateCodeCustom(a.Key, 1, hotp.ValidateOpts{Digits: 6, Algorithm: algorithms[name]})
		})
		require.Equal(t, bare, fewestAllocs(func() { a.code(1) }), name)
	}
}

// fewestAllocs returns the lowest number of allocations of several runs. The
// average varies, because the race detector makes every sync.Pool drop values
// at random.
func fewestAllocs(f func()) float64 {
	fewest := testing.AllocsPerRun(1, f)
	for range 200 {
		fewest = min(fewest, testing.AllocsPerRun(1, f))
	}
	return fewest
}
