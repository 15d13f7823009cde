package twofa

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa/internal/seal"
)

func fuzzKeys(t testing.TB) KeyRing {
	keys, err := ParseKeyRing("k1:" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdefghijklmnopqrstu\xff")))
	require.NoError(t, err)
	return keys
}

// A recovery code has one canonical form for all its spellings, and no other
// text has one.
func FuzzRecoveryCode(f *testing.F) {
	for _, code := range []string{"0123-4567-89AB-CDEF-GHJK-MNPQ", "0123456789abcdefghjkmnpq", "OILo ilOI-LOIL 0110 1010 ZZZZ", "",
		"ı123-4567-89AB-CDEF-GHJK-MNPQ", "ſ123-4567-89AB-CDEF-GHJK-MNPQ", "U123-4567-89AB-CDEF-GHJK-MNPQ", strings.Repeat("-", 97), "0123456789ABCDEFGHJKMNP\x00"} {
		f.Add(code)
	}
	f.Fuzz(func(t *testing.T, code string) {
		got, ok := canonicalRecovery(code)
		if !ok {
			return
		}
		require.Len(t, got, recoveryLen)
		require.Empty(t, strings.Trim(got, crockford))
		require.Empty(t, strings.Trim(code, crockford+strings.ToLower(crockford)+"OILoil- "), "ASCII only")
		for _, spelling := range []string{got, formatRecoveryCode(got), strings.ToLower(got), strings.ReplaceAll(got, "0", "o"),
			strings.ReplaceAll(got, "1", "l"), strings.ReplaceAll(formatRecoveryCode(got), "1", "I")} {
			same, ok := canonicalRecovery(spelling)
			require.True(t, ok, spelling)
			require.Equal(t, got, same)
		}
	})
}

// Only the token itself can be opened, whatever change is made to it.
func FuzzTicket(f *testing.F) {
	keys, err := ParseKeyRing(GenerateKeyRing().Reveal())
	require.NoError(f, err)
	now := unixTime(1_700_000_000)
	clock := now
	m := &Manager{cfg: Config{Keys: keys, Now: func() time.Time { return clock.time() }}}
	m.cfg.setDefaults()
	want := ticket{purpose: forLogin, id: "id", sessionID: "sid", user: "ada", account: "acme", epoch: "e", first: []firstFactor{{by: ByPassword, at: 1}},
		expires: now + 1, proven: []provenMethod{{method: TOTP, at: -7}, {method: rememberedBrowserMethod(TOTP), at: 9}}, browser: "b", action: "a\x00", messageKey: "k"}
	token := keys.sealTicket(want).Reveal()
	for _, text := range []string{"", token, token + "=", token + "\n", " " + token, token[:20] + "\r\n" + token[20:], token[:len(token)-1],
		strings.ToLower(token), "k2" + token[2:], "k1.", ".", token + token} {
		f.Add(text, uint16(0), byte(0))
	}
	f.Add(token, uint16(len(token)-1), byte(1))
	f.Fuzz(func(t *testing.T, text string, at uint16, flip byte) {
		mutated := []byte(token)
		mutated[int(at)%len(mutated)] ^= flip
		for _, text := range []string{text, string(mutated)} {
			got, err := m.openTicket(NewSecret(text), forLogin)
			if text != token {
				require.ErrorIs(t, err, ErrExpired, text)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		_, err := m.openTicket(NewSecret(token), forSession, forEnroll, forAction)
		require.ErrorIs(t, err, ErrExpired)
		for _, wrong := range []unixTime{now + 1, now - 61 - unixTime(challengeTTL/time.Second)} { // too late, and issued by a wrong clock
			clock = wrong
			_, err = m.openTicket(NewSecret(token), forLogin)
			require.ErrorIs(t, err, ErrExpired)
		}
		clock = now
	})
}

// A ticket has one spelling, too.
func FuzzTicketBody(f *testing.F) {
	for _, v := range []ticket{{id: "i"}, fullTicket()} {
		w := encoded(&v)
		f.Add([]byte(w))
		f.Add([]byte(w + "\x00"))
		f.Add([]byte(w[:len(w)-1]))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{0x80, 0x00})
	f.Fuzz(func(t *testing.T, plain []byte) {
		var v ticket
		if seal.Decode(string(plain), &v) == nil {
			require.Equal(t, string(plain), encoded(&v))
		}
	})
}

func encoded(m seal.Message) string { return string(seal.Encode(nil, m)) }

// A key ring that parses opens what it seals, and only for the same record.
func FuzzParseKeys(f *testing.F) {
	key := base64.StdEncoding.EncodeToString([]byte("0123456789abcdefghijklmnopqrstu\xff"))
	other := base64.RawURLEncoding.EncodeToString([]byte("\xff\xfe\xfdABCDEFGHIJKLMNOPQRSTUVWXYZ012"))
	for _, line := range []string{"", "a:" + key, "a:" + key + ",b:" + other, "a:" + key + ",a:" + other, "a:" + key + ",b:" + key, "a.b:" + key,
		":" + key, "a:" + key[:20], "a:" + strings.Repeat("A", 43), "a:\n" + key, " a :" + key, "abcdefghijklmnopq:" + key} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		keys, err := ParseKeyRing(line)
		if err != nil {
			require.NotContains(t, err.Error(), key[:12], "an error shows no key")
			return
		}
		seen := map[string]bool{}
		for _, k := range keys.all() {
			require.Regexp(t, `^[A-Za-z0-9_-]{1,16}$`, k.ID)
			require.False(t, seen[k.ID])
			seen[k.ID] = true
		}
		r, err := keys.encode("user/ada", &userRecord{Epoch: "e"})
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(r.Data), recordFormat+" "+keys.all()[0].ID+"\n"), "the first key seals")
		var u userRecord
		require.NoError(t, keys.decode(r, &u))
		require.Equal(t, "e", u.Epoch)
		r.Key = "user/bob"
		require.Error(t, keys.decode(r, &u))
	})
}

// fullRecord returns a record with a different value in every field.
func fullRecord() *userRecord {
	r := filled[userRecord]()
	r.Factors[0].Method, r.Factors[0].App = TOTP, totpParams{Key: "GAYTEMZUGU3DOOBZMFRGGZDFMYAP6===", Algorithm: "SHA256", Digits: 8, Period: 60}
	r.Factors[1].Method = SMS
	r.Pending.Method, r.Pending.App = TOTP, totpParams{Key: "MEQGWZLZEBXWMIBRGYQGE6LUMVZQ====", Algorithm: "SHA512", Digits: 7, Period: 15}
	return r
}

// A record has one spelling. If data decodes, even data that was sealed with
// the right key, it encodes to the same bytes.
func FuzzRecordBody(f *testing.F) {
	keys := fuzzKeys(f)
	for _, v := range []*userRecord{{Epoch: "e"}, fullRecord()} {
		f.Add([]byte(encoded(v)))
	}
	f.Add([]byte(encoded(fullRecord()) + "\x80\x40\x01")) // a field of a later release
	f.Add([]byte("\x22\x01e\x82\x40\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := Record{Key: "user/ada", Version: "v", Data: sealed(keys.all()[0], recordFormat+" k1", string(body), "v")}
		var u userRecord
		if err := keys.decode(r, &u); err != nil {
			require.ErrorIs(t, err, ErrUnavailable)
			return
		}
		require.Equal(t, string(body), encoded(&u))
	})
}

// Any change to a record is refused: of one byte, of the key or of the version.
func FuzzRecordTampering(f *testing.F) {
	keys := fuzzKeys(f)
	r, err := keys.encode("user/ada", fullRecord())
	require.NoError(f, err)
	f.Add(uint16(0), byte(0), "user/ada", r.Version) // unchanged
	f.Add(uint16(0), byte(1), "user/bob", r.Version)
	f.Add(uint16(2), byte(' '), "user/ada", "older")
	f.Add(uint16(len(r.Data)-1), byte(0x80), "user/ad", "a"+r.Version)
	f.Fuzz(func(t *testing.T, at uint16, flip byte, key, version string) {
		data := bytes.Clone(r.Data)
		data[int(at)%len(data)] ^= flip
		for _, other := range []Record{{r.Key, r.Version, data}, {key, version, r.Data}, {key, r.Version, data}} {
			var u userRecord
			err := keys.decode(other, &u)
			if other.Key == r.Key && other.Version == r.Version && bytes.Equal(other.Data, r.Data) {
				require.NoError(t, err)
				require.Equal(t, *fullRecord(), u)
				continue
			}
			require.ErrorIs(t, err, ErrUnavailable)
			require.Empty(t, u, "no part of it is used")
		}
	})
}

// The URI of a QR code parses back to its names with any parser, and contains
// one colon between them.
func FuzzOTPAuth(f *testing.F) {
	f.Add("ACME Co", "john.doe@email.com", "42")
	f.Add("a:b", "::", "id:1")
	f.Add("Ü+ &=#?/%41", "naïve\u202e+\n", "x")
	f.Add("Acme", strings.Repeat("é😀", 500), "y")
	f.Add("Acme", "\xff\xfe", "z")
	f.Add(strings.Repeat("é", 99), strings.Repeat("😀", 99), "the longest")
	f.Fuzz(func(t *testing.T, issuer, name, id string) {
		cfg := Config{Issuer: issuer}
		cfg.TOTP.setDefaults()
		raw := cfg.otpauth(User{ID: id, Name: name}, "", totpParams{Key: "GEZDGNBVGY3TQOJQ", Algorithm: "SHA1", Digits: 6, Period: 30})
		account := label(name)
		if account == "" {
			account = label(id)
		}
		require.Regexp(t, `^otpauth://totp/[A-Za-z0-9._~%-]*:[A-Za-z0-9._~%-]*\?[A-Za-z0-9._~%&=-]*$`, raw)
		u, err := url.Parse(raw)
		require.NoError(t, err)
		require.Equal(t, "/"+label(issuer)+":"+account, u.Path)
		require.Equal(t, 1, strings.Count(u.Path, ":"))
		q, err := url.ParseQuery(u.RawQuery)
		require.NoError(t, err)
		require.Equal(t, url.Values{"secret": {"GEZDGNBVGY3TQOJQ"}, "issuer": {label(issuer)}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {"30"}}, q)
		if len(raw) > 600 { // drawing takes milliseconds, and shorter texts fit, too
			_, err = Enrollment{URI: NewSecret(raw)}.SVG()
			require.NoError(t, err, "it fits into a QR code")
		}
	})
}

// However often a user requests a message, the limits per hour and per day
// hold, and there is a pause after each message.
func FuzzAllowance(f *testing.F) {
	f.Add([]byte{0, 1, 60, 61, 120, 255, 255, 3, 9}, false)
	f.Add(bytes.Repeat([]byte{60}, 200), true)
	f.Add(bytes.Repeat([]byte{255}, 600), false)
	f.Fuzz(func(t *testing.T, gaps []byte, texts bool) {
		a := mailAllowance
		if texts {
			a = textAllowance
		}
		now := unixTime(1_700_000_000)
		var kept, all []unixTime
		for _, gap := range gaps {
			now += unixTime(gap) * 7
			wait := a.nextSendIn(kept, now)
			require.True(t, wait >= 0 && wait <= day)
			if wait > 0 {
				require.Zero(t, a.nextSendIn(kept, now.add(wait)), "a user who waits as long as the error says is served")
				continue
			}
			kept, all = append(recentTimes(kept, now, day), now), append(all, now)
			require.LessOrEqual(t, len(recentTimes(all, now, hour)), a.perHour)
			require.LessOrEqual(t, len(recentTimes(all, now, day)), a.perDay)
			if n := len(all); n > 1 {
				require.GreaterOrEqual(t, now.sub(all[n-2]), a.coolDown[0])
			}
		}
	})
}

// A link uses TLS, or stays on this machine.
func FuzzLinkSafe(f *testing.F) {
	for _, s := range []string{"https://app.example.com/link?token=token", "http://app.example.com/token", "http://localhost:8080/token", "http://127.0.0.1/token",
		"http://[::1]:1/token", "http://localhost.evil.example/token", "http://localhost@evil.example/token", "https://u:p@example.com/token", "//example.com/token",
		"https:token", "HTTPS://example.com/token", "javascript:token", "https:///token", "https://:443/token", "https://example.com/\ntoken", "https://example.com#\ntoken", "https://example.com/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if !linkSafe(address, "token") {
			return
		}
		require.Contains(t, address, "token")
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.NotEmpty(t, u.Hostname(), "a link has a host")
		require.Nil(t, u.User)
		require.False(t, strings.ContainsAny(address, "\r\n"))
		if u.Scheme != "https" {
			require.Equal(t, "http", u.Scheme)
			require.Contains(t, []string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
		}
	})
}
