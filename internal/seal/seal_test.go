package seal

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Memory that calls reuse never mixes their values, and keeps no plaintext.
func TestScratch_KeepsValuesApart(t *testing.T) {
	key, err := ParseKey("k1", "kP7nJ0sYqz1c6mG4vXw8LrT2bEoH5uAiDfKxQyZ3N9M=")
	require.NoError(t, err)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				want := &sample{Name: strings.Repeat("n", 1+(i+j)%90), Number: int64(i*1000 + j + 1), Texts: []string{"a", strings.Repeat("t", j)}}
				sealed := Seal(Encode(make([]byte, NonceSize), want), 0, key.Records, "context", want.Name)
				_, err := Open(sealed, key.Records, "context", want.Name+"x")
				if err == nil {
					t.Error("opens in another context")
				}
				plain, err := Open(sealed, key.Records, "context", want.Name)
				var back sample
				if err != nil || Decode(plain, &back) != nil || encoded(&back) != encoded(want) {
					t.Error("does not come back")
				}
			}
		})
	}
	all.Wait()

	s := &scratch{plain: []byte("plaintext")}
	memory := s.plain
	s.giveBack()
	require.Equal(t, make([]byte, len("plaintext")), memory)
}

// A text opens only as it was made: in its context, and in its one encoding.
func TestSealText_OpensUnchangedOnly(t *testing.T) {
	key, err := ParseKey("k1", "kP7nJ0sYqz1c6mG4vXw8LrT2bEoH5uAiDfKxQyZ3N9M=")
	require.NoError(t, err)
	for _, s := range []*sample{{}, {Name: "ada"}, full()} {
		sealed, ok := strings.CutPrefix(SealText("k1.", s, key.Tokens, "token"), "k1.")
		require.True(t, ok)
		plain, err := OpenText(sealed, key.Tokens, "token")
		require.NoError(t, err)
		require.Equal(t, encoded(s), plain)
		for name, other := range map[string]string{
			"empty": "", "shorter": sealed[:len(sealed)-1], "longer": sealed + "A", "padded": sealed + "=",
			"a line break": sealed[:8] + "\n" + sealed[8:], "changed": "_" + sealed[:len(sealed)-1],
		} {
			_, err := OpenText(other, key.Tokens, "token")
			require.Error(t, err, name)
		}
		_, err = OpenText(sealed, key.Tokens, "another token")
		require.Error(t, err)
		_, err = OpenText(sealed, key.Records, "token")
		require.Error(t, err)
	}
}
