package twofa

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa/internal/seal"
)

type hotpVectors struct {
	Secret  string
	Vectors []struct {
		Counter int64
		Code    string
	}
}

type totpVectors struct {
	Secrets map[string]string
	Vectors []struct {
		Unix  int64
		Codes map[string]string
	}
}

func read[T any](t *testing.T, file string) (v T) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &v))
	return v
}

// oneRecord is a store of one record.
type oneRecord struct {
	mu sync.Mutex
	r  Record
}

func (o *oneRecord) Get(context.Context, ...string) ([]Record, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return []Record{o.r}, nil
}

func (o *oneRecord) Swap(_ context.Context, prev string, next Record, _ ...Event) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.r.Version != prev {
		return ErrConflict
	}
	o.r = next
	return nil
}

// appOf returns the parameters of an app with the given Base32 key.
func appOf(t *testing.T, c TOTPConfig, key string) totpParams {
	t.Helper()
	c.setDefaults()
	a := c.newParams()
	a.Key = key + strings.Repeat("=", (8-len(key)%8)%8)
	return a
}

// planted returns a function that signs in at a fixed time with a code, as a
// user whose authenticator has the key.
func planted(t *testing.T, c TOTPConfig, key string, at time.Time) func(code string) error {
	t.Helper()
	keys, err := ParseKeyRing(GenerateKeyRing().Reveal())
	require.NoError(t, err)
	store := &oneRecord{}
	m, err := New(Config{Issuer: "Acme", Store: store, Keys: keys, TOTP: c, Now: func() time.Time { return at },
		Directory: LookUp(func(context.Context, string) (User, error) { return User{ID: "ada"}, nil })})
	require.NoError(t, err)
	store.r, err = keys.encode(userKey("ada"), &userRecord{Epoch: seal.NewID(), Factors: []factor{{ID: "rfc", Method: TOTP, App: appOf(t, c, key), Step: -1}}})
	require.NoError(t, err)
	return func(code string) error {
		login, err := m.Begin(t.Context(), FirstFactor{UserID: "ada", By: ByPassword})
		require.NoError(t, err)
		require.Equal(t, NextChallenge, login.Next)
		login, err = m.Verify(t.Context(), Caller{}, login.Challenge, Proof{Method: TOTP, Code: NewSecret(code)})
		require.Equal(t, err == nil, login.Next == NextDone && !login.Session.IsZero())
		return err
	}
}

func TestAbuse_T07_Vectors(t *testing.T) {
	// each checks the function alone and a whole login. In the middle of a
	// period, a strict login accepts only the code of that period.
	each := func(t *testing.T, c TOTPConfig, key string, at time.Time, code string) {
		t.Helper()
		c.Strict = true
		c.setDefaults()
		a := appOf(t, c, key)
		require.Equal(t, code, string(a.code(a.step(unixTimeOf(at)))))
		verify := planted(t, c, key, at)
		require.NoError(t, verify(code))
		require.ErrorIs(t, verify(code), ErrInvalidCode)
		require.ErrorIs(t, planted(t, c, key, at.Add(c.Period))(code), ErrInvalidCode)
	}
	hotp := read[hotpVectors](t, "hotp_rfc4226.json")
	require.Len(t, hotp.Vectors, 10)
	for _, v := range hotp.Vectors {
		each(t, TOTPConfig{}, hotp.Secret, time.Unix(v.Counter*30, 0), v.Code)
	}
	totp := read[totpVectors](t, "totp_rfc6238.json")
	require.Len(t, totp.Vectors, 6)
	for _, v := range totp.Vectors {
		require.Len(t, v.Codes, 3)
		for algorithm, code := range v.Codes {
			at := time.Unix(v.Unix, 0)
			each(t, TOTPConfig{Algorithm: algorithm, Digits: 8}, totp.Secrets[algorithm], at, code)
			each(t, TOTPConfig{Algorithm: algorithm, Digits: 7}, totp.Secrets[algorithm], at, code[1:])
			each(t, TOTPConfig{Algorithm: algorithm}, totp.Secrets[algorithm], at, code[2:])
		}
	}
}

// The skew is one step in both directions, and zero if the configuration is
// strict.
func TestAbuse_A02_VectorsAcrossSteps(t *testing.T) {
	totp := read[totpVectors](t, "totp_rfc6238.json")
	v := totp.Vectors[1] // two seconds before a step ends
	code, key, at := v.Codes["SHA1"][2:], totp.Secrets["SHA1"], time.Unix(v.Unix, 0)
	for steps := time.Duration(-3); steps <= 3; steps++ {
		now := at.Add(steps * 30 * time.Second)
		require.Equal(t, steps >= -1 && steps <= 1, planted(t, TOTPConfig{}, key, now)(code) == nil, steps)
		require.Equal(t, steps == 0, planted(t, TOTPConfig{Strict: true}, key, now)(code) == nil, steps)
	}
}

// The code at 1111111109 is 081804. The zero is part of it.
func TestAbuse_D08_LeadingZero(t *testing.T) {
	verify := planted(t, TOTPConfig{}, read[totpVectors](t, "totp_rfc6238.json").Secrets["SHA1"], time.Unix(1111111109, 0))
	for _, code := range []string{"81804", "81804 ", "+81804", "0081804"} {
		require.ErrorIs(t, verify(code), ErrInvalidCode)
	}
	require.NoError(t, verify("081804"))
}

func TestAbuse_D09_PartsOfALongerCode(t *testing.T) {
	key, at := read[totpVectors](t, "totp_rfc6238.json").Secrets["SHA1"], time.Unix(59, 0)
	for digits, codes := range map[int][]string{8: {"287082", "942870", "9428708", "094287082"}, 7: {"287082", "94287082"}, 6: {"94287082", "4287082"}} {
		for _, code := range codes {
			require.ErrorIs(t, planted(t, TOTPConfig{Digits: digits}, key, at)(code), ErrInvalidCode)
		}
	}
}
