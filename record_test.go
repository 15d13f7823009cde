package twofa

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa/internal/seal"
)

// filled returns a value with a different value in every field.
func filled[T any]() *T {
	v, n := new(T), 0
	fill(reflect.ValueOf(v).Elem(), &n)
	return v
}

func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.String:
		v.SetString("text " + strconv.Itoa(*n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n) << (*n % 40))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range 2 {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(value, n)
			v.SetMapIndex(reflect.ValueOf("key "+strconv.Itoa(i)), value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic(v.Kind().String() + " is not filled yet")
	}
}

func TestEveryFieldIsStored(t *testing.T) {
	kept := func(v, back encodable) {
		t.Helper()
		w := seal.NewDecoder(encoded(v))
		back.encodeOrDecode(w)
		require.NoError(t, w.Close())
		require.Equal(t, v, back)
	}
	kept(filled[userRecord](), &userRecord{})
	kept(filled[accountRecord](), &accountRecord{})
	kept(filled[numberRecord](), &numberRecord{})

	full := fullTicket()
	for i, v := 0, reflect.ValueOf(full); i < v.NumField(); i++ {
		require.False(t, v.Field(i).IsZero(), v.Type().Field(i).Name)
	}
	kept(&full, &ticket{})
}

func fullTicket() ticket {
	return ticket{purpose: forAction, id: "i", sessionID: "s", user: "u", account: "a", epoch: "e", stamp: "t", by: BySSO, sso: "o", at: 1, expires: 1 << 40,
		proven: []provenMethod{{TOTP, 5}, {rememberedBrowserMethod(SMS), -7}}, ends: 2, browser: "b", host: "h", action: "c", resource: "r", messageID: "x", messageMethod: SMS, messageKey: "k"}
}

// A value that this release does not know is refused, because it may be a
// restriction or a factor.
func TestAbuse_R01_UnknownValueInARecordIsRefused(t *testing.T) {
	key := totpParams{"GAYTEMZUGU3DOOBZMFRGGZDFMY======", "SHA1", 6, 30}
	without := func(change func(*totpParams)) []factor {
		a := key
		change(&a)
		return []factor{{ID: "f", Method: TOTP, App: a}}
	}
	for name, r := range map[string]userRecord{
		"a factor of a later release":      {Epoch: "e", Factors: []factor{{ID: "f", Method: "webauthn", App: key}}},
		"one after a known one":            {Epoch: "e", Factors: []factor{{ID: "f", Method: TOTP, App: key}, {ID: "g", Method: "webauthn"}}},
		"a factor without a method":        {Epoch: "e", Factors: []factor{{ID: "f", App: key}}},
		"an app without a key":             {Epoch: "e", Factors: []factor{{ID: "f", Method: TOTP}}},
		"an app with half a key":           {Epoch: "e", Factors: without(func(a *totpParams) { a.Key = a.Key[:16] })},
		"an app of another hash":           {Epoch: "e", Factors: without(func(a *totpParams) { a.Algorithm = "SHA3" })},
		"an app without digits":            {Epoch: "e", Factors: without(func(a *totpParams) { a.Digits = 0 })},
		"an app of no period":              {Epoch: "e", Factors: without(func(a *totpParams) { a.Period = 0 })},
		"an app of an endless period":      {Epoch: "e", Factors: without(func(a *totpParams) { a.Period = 1 << 40 })},
		"a phone without a number":         {Epoch: "e", Factors: []factor{{ID: "f", Method: SMS, App: key}}},
		"an enrollment of a later release": {Epoch: "e", Pending: &pendingEnrollment{FactorID: "f", Method: "webauthn", App: key, Expires: 1 << 40}},
		"an enrollment without a key":      {Epoch: "e", Pending: &pendingEnrollment{FactorID: "f", Method: TOTP, Expires: 1 << 40}},
		"no epoch":                         {Factors: []factor{{ID: "f", Method: TOTP, App: key}}},
	} {
		t.Run(name, func(t *testing.T) {
			keys := fuzzKeys(t)
			stored, err := keys.encode(userKey("ada"), &r)
			require.NoError(t, err)
			m, err := New(Config{Issuer: "Acme", Store: &oneRecord{r: stored}, Keys: keys, Policy: PolicyAuthenticator(),
				User: func(context.Context, string) (User, error) { return User{ID: "ada"}, nil }})
			require.NoError(t, err)
			login, err := m.Begin(t.Context(), FirstFactor{UserID: "ada", By: ByPassword})
			var problem *RecordError
			require.ErrorAs(t, err, &problem)
			require.ErrorIs(t, err, ErrUnavailable)
			require.Empty(t, login)
		})
	}
}

// A phone has no key, so a code computed from an empty key proves nothing.
func TestAbuse_D16_PhoneIsNoAuthenticator(t *testing.T) {
	cfg := TOTPConfig{}
	cfg.setDefaults()
	now := time.Unix(1_700_000_000, 0)
	s := &userTx{m: &Manager{Config{TOTP: cfg}}, now: unixTimeOf(now)}
	empty := totpParams{"", "SHA1", 6, 30}
	s.Factors = []factor{{ID: "f", Method: SMS, App: empty, Phone: "+41791234567"}}
	require.Equal(t, wrong, s.tryTOTP(string(empty.code(empty.step(unixTimeOf(now))))))
}

// No plain part of a record can be changed, and nothing sealed for one purpose
// opens for another.
func TestAbuse_Q04_ContextIsAuthenticated(t *testing.T) {
	keys := fuzzKeys(t)
	key := keys.all()[0]
	r, err := keys.encode("user/ada", fullRecord())
	require.NoError(t, err)
	header, sealed, _ := strings.Cut(string(r.Data), "\n")
	require.Equal(t, "1 k1", header)
	_, err = seal.Open([]byte(sealed), key.Records, header, r.Key, r.Version)
	require.NoError(t, err)
	for _, context := range [][]string{{"2 k1", r.Key, r.Version}, {"1 k2", r.Key, r.Version}, {header, "user/bob", r.Version}, {header, r.Key, "v"},
		{header, r.Key + r.Version}, {header + r.Key, r.Version}, {header, r.Key, r.Version, ""}, {header, r.Key}, {}} {
		_, err = seal.Open([]byte(sealed), key.Records, context...)
		require.Error(t, err, context)
	}
	_, err = seal.Open([]byte(sealed), key.Tokens, header, r.Key, r.Version)
	require.Error(t, err, "tokens have a key of their own")

	_, body, _ := strings.Cut(keys.sealTicket(fullTicket()).Reveal(), ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	require.NoError(t, err)
	_, err = seal.Open(raw, key.Tokens, schema, key.ID)
	require.NoError(t, err)
	for _, context := range [][]string{{"2", key.ID}, {schema, "k2"}, {key.ID}, {}} {
		_, err = seal.Open(raw, key.Tokens, context...)
		require.Error(t, err, context)
	}
	_, err = seal.Open(raw, key.Records, schema, key.ID)
	require.Error(t, err)
}

// sealed returns a record as a release with another format but the same keys
// would write it.
func sealed(key seal.Key, header, body, version string) []byte {
	buf := append([]byte(header+"\n"), make([]byte, seal.NonceSize)...)
	return seal.Seal(append(buf, body...), len(header)+1, key.Records, header, "user/ada", version)
}

func TestAbuse_R01_OtherFormatsAreRefused(t *testing.T) {
	keys := fuzzKeys(t)
	key := keys.all()[0]
	body := encoded(fullRecord())
	for data, want := range map[string]string{
		string(sealed(key, "1 k1", body, "v")):        "",
		string(sealed(key, "2 k1", body, "v")):        "has a schema that this release does not read",
		string(sealed(key, "10 k1", body, "v")):       "has a schema that this release does not read",
		string(sealed(key, "", body, "v")):            "has a schema that this release does not read",
		string(sealed(key, "1 k2", body, "v")):        "is sealed with a key that is not in the ring",
		string(sealed(key, "1 k1 ", body, "v")):       "is sealed with a key that is not in the ring",
		string(sealed(key, "1 k1", body+"\x00", "v")): "does not decode",
		string(sealed(key, "1 k1", body[1:], "v")):    "does not decode",
		string(sealed(key, "1 k1", body, "w")):        "does not authenticate",
		string(sealed(key, "1 k1", body, "v")[:20]):   "does not authenticate",
		strings.Repeat("1", 20):                       "has no header",
		"1 k1\n" + strings.Repeat("1", maxRecord):     "too large",
	} {
		err := keys.decode(Record{Key: "user/ada", Version: "v", Data: []byte(data)}, &userRecord{})
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}

	full := fullTicket()
	token := func(plain string) Secret {
		sealed := seal.Seal(append(make([]byte, seal.NonceSize), plain...), 0, key.Tokens, schema, "k1")
		return NewSecret("k1." + tokenEncoding.EncodeToString(sealed))
	}
	_, err := keys.openTicket(token(encoded(&full)), unixTime(1), forAction)
	require.NoError(t, err)
	_, err = keys.openTicket(token(encoded(&full)+"\x00"), unixTime(1), forAction)
	require.ErrorIs(t, err, ErrExpired)
}

// A record that was written by the first release can be read by every later
// one.
func TestRecordOfTheFirstRelease(t *testing.T) {
	var golden struct {
		Keys, Key, Version string
		Data               []byte
	}
	text, err := os.ReadFile("testdata/record_schema_1.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &golden))
	keys, err := ParseKeyRing(golden.Keys)
	require.NoError(t, err)
	var u userRecord
	require.NoError(t, keys.decode(Record{golden.Key, golden.Version, golden.Data}, &u))
	require.Equal(t, fullRecord(), &u)
}

// A record and a ticket each have one spelling.
func TestWireHasOneSpelling(t *testing.T) {
	record, token := encoded(&userRecord{Epoch: "e"}), encoded(&ticket{})
	read := func(text string, v encodable) error {
		w := seal.NewDecoder(text)
		v.encodeOrDecode(w)
		return w.Close()
	}
	require.NoError(t, read(record, &userRecord{}))
	require.NoError(t, read(token, &ticket{}))
	zero := strings.IndexByte(record[2:], 0) + 2
	for name, change := range map[string]string{
		"longer zero":        record[:zero] + "\x80\x00" + record[zero+1:],
		"longer length":      "\x81\x00" + record[1:],
		"65 bits":            record[:4] + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02" + record[5:],
		"no end of a number": record[:4] + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" + record[5:],
		"a flag of two":      record[:7] + "\x04" + record[8:],
		"a flag of minus":    record[:7] + "\x01" + record[8:],
		"a negative count":   record[:6] + "\x01" + record[7:],
		"one byte more":      record + "\x00",
		"one byte less":      record[:len(record)-1],
		"nothing":            "",
	} {
		require.NotEqual(t, record, change)
		require.Error(t, read(change, &userRecord{}), name)
	}
	require.NoError(t, read(record[:4]+"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"+record[5:], &userRecord{}), "64 bits")
	require.Error(t, read(token+"\x00", &ticket{}))
	require.Error(t, read(token[:len(token)-1], &ticket{}))
}

// Hashes of text codes and recovery codes are keyed, with another key for each
// message and each set.
func TestAbuse_Q02_KeysOfHashesAreRandom(t *testing.T) {
	s := &userTx{m: &Manager{}, user: "ada", now: unixTime(1)}
	s.m.cfg.setDefaults()
	seen := map[string]bool{"": true}
	fresh := func(key string) {
		t.Helper()
		require.False(t, seen[key])
		seen[key] = true
	}
	for range 10 {
		var to ticket
		x := message{ID: "one"}
		s.composeText(&to, &x, Phone{E164: "+41791234567"}, budgetKnown)
		fresh(to.messageKey)
		fresh(x.Hash)
		set := s.newCodeSet([]string{"CODE"})
		fresh(set.Key)
		fresh(set.Hashes)
	}
}

// A number is confirmed only by the code that was sent for this enrollment.
func TestAbuse_J07_CodeOfAnotherEnrollment(t *testing.T) {
	keys := fuzzKeys(t)
	s := &userTx{m: &Manager{Config{Keys: keys}}, user: "ada", now: unixTime(1)}
	s.m.cfg.setDefaults()
	to := ticket{purpose: forPhone, user: "ada", expires: 2}
	x := message{ID: "x", Method: SMS, Attempt: "this"}
	to.messageID = x.ID
	out := s.composeText(&to, &x, Phone{E164: "+41791234567"}, budgetUnconfirmed)
	code := out.text.Body[:textDigits]
	caller := Caller{Challenge: Challenge{keys.sealTicket(to)}}
	s.Pending = &pendingEnrollment{FactorID: "another"}
	s.Messages = []message{x}
	require.False(t, s.confirmsPhone(caller, code))
	s.Pending.FactorID = "this"
	require.True(t, s.confirmsPhone(caller, code))
}
