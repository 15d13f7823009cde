package twofa

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// Keys is a ring of 32-byte keys with ids. The first seals, all open. To
// rotate, add the new key at the end everywhere, then move it to the front
// everywhere; drop the old one only when nothing sealed with it is left.
// Keys does not print, log or marshal.
type Keys struct{ ring func() []ringKey }

type ringKey struct {
	id string
	subkeys
}

// subkeys are derived once, one for each purpose, so that no value made for
// one purpose means anything in another.
type subkeys struct {
	aead   cipher.AEAD // seals secrets and tokens
	mac    hash.Cloner // authenticates records; cloned for each, so that the key is prepared once
	lookup []byte      // hides phone numbers in keys of records
}

// ParseKeys reads a ring from one line, as an environment variable holds it:
// "id:key" pairs joined by commas, the sealing key first. An id is 1 to 16
// letters, digits, "-" or "_" and never changes its key; a key is 32 random
// bytes in base64, standard or URL alphabet, as `openssl rand -base64 32`
// prints them. Whoever has a key can read and forge second-factor state: keep
// it out of the database's reach, and out of the repository.
func ParseKeys(s string) (Keys, error) {
	if strings.TrimSpace(s) == "" {
		return Keys{}, errors.New("twofa: no keys: is the variable that holds them set?")
	}
	var ring []ringKey
	for i, pair := range strings.Split(s, ",") {
		id, text, ok := strings.Cut(strings.TrimSpace(pair), ":")
		if !ok {
			return Keys{}, fmt.Errorf("twofa: key %d: has no id: want one before it, as in k1:base64", i+1)
		}
		k, err := newRingKey(id, text)
		if err != nil {
			return Keys{}, fmt.Errorf("twofa: key %d: %w", i+1, err)
		}
		for _, other := range ring {
			if other.id == id || hmac.Equal(other.lookup, k.lookup) {
				return Keys{}, fmt.Errorf("twofa: key %d: id or key is there twice", i+1)
			}
		}
		ring = append(ring, k)
	}
	return Keys{func() []ringKey { return ring }}, nil
}

// GenerateKeys makes a ring of one fresh key and returns it as text for
// [ParseKeys].
func GenerateKeys() Secret {
	key := make([]byte, 32)
	rand.Read(key)
	return NewSecret(strings.ToLower(rand.Text()[:6]) + ":" + base64.StdEncoding.EncodeToString(key))
}

func newRingKey(id, text string) (ringKey, error) {
	if len(id) < 1 || len(id) > 16 || strings.Trim(id, keyIDAlphabet) != "" {
		return ringKey{}, errors.New("id must be 1 to 16 letters, digits, - or _")
	}
	text = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "=")
	key, err := base64.RawStdEncoding.Strict().DecodeString(text)
	if err != nil {
		return ringKey{}, errors.New("key is not base64")
	}
	if len(key) != 32 {
		return ringKey{}, fmt.Errorf("key has %d bytes, want 32", len(key))
	}
	if distinct(key) < 12 {
		return ringKey{}, errors.New("key is not random")
	}
	sub, err := derive(key)
	return ringKey{id, sub}, err
}

const keyIDAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// distinct counts the values among the bytes; 32 random bytes have fewer than
// 20 about once in 10^8, a typed or repeated key nearly always has.
func distinct(key []byte) int {
	seen := map[byte]bool{}
	for _, b := range key {
		seen[b] = true
	}
	return len(seen)
}

func derive(key []byte) (subkeys, error) {
	sub := func(purpose string) []byte {
		// Fails only for output longer than 255 hashes.
		k, _ := hkdf.Key(sha256.New, key, nil, "twofa v1 "+purpose, 32)
		return k
	}
	aead, err := chacha20poly1305.NewX(sub("seal"))
	if err != nil {
		return subkeys{}, err
	}
	return subkeys{aead, hmac.New(sha256.New, sub("record")).(hash.Cloner), sub("lookup")}, nil
}

func (k Keys) all() []ringKey {
	if k.ring == nil {
		return nil
	}
	return k.ring()
}

// seal encrypts plain as "id.base64url". The same context has to be given to
// open: it says what the text is and whose, so that it cannot be moved.
func (k Keys) seal(plain []byte, context ...string) string {
	key := k.all()[0]
	buf := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	rand.Read(buf)
	sealed := key.aead.Seal(buf, buf, plain, pack(context...))
	out := make([]byte, 0, len(key.id)+1+base64.RawURLEncoding.EncodedLen(len(sealed)))
	out = append(append(out, key.id...), '.')
	return string(base64.RawURLEncoding.AppendEncode(out, sealed))
}

func (k Keys) open(text string, context ...string) ([]byte, error) {
	id, body, _ := strings.Cut(text, ".")
	for _, key := range k.all() {
		if key.id != id {
			continue
		}
		raw, err := tokenEncoding.DecodeString(body)
		if err != nil || len(raw) < chacha20poly1305.NonceSizeX || len(body) != tokenEncoding.EncodedLen(len(raw)) {
			return nil, errSealed
		}
		nonce, sealed := raw[:chacha20poly1305.NonceSizeX], raw[chacha20poly1305.NonceSizeX:]
		plain, err := key.aead.Open(sealed[:0], nonce, sealed, pack(context...))
		if err != nil {
			return nil, errSealed
		}
		return plain, nil
	}
	return nil, errUnknownKey
}

// tokenEncoding refuses stray bits at the end. It skips line breaks; the length
// tells of them. So every token has one spelling.
var tokenEncoding = base64.RawURLEncoding.Strict()

var (
	errSealed     = errors.New("twofa: sealed text does not open")
	errUnknownKey = errors.New("twofa: sealed with a key that is not in the ring")
)

// Format writes a placeholder.
func (k Keys) Format(f fmt.State, _ rune) { redact(f) }

// LogValue is a placeholder.
func (k Keys) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText fails.
func (k Keys) MarshalText() ([]byte, error) { return nil, errSecretMarshal }

// pack joins fields so that no two lists give the same bytes; unpack reverses
// it. Tokens and the input of every hash are packed.
func pack(fields ...string) []byte {
	n := 0
	for _, f := range fields {
		n += len(f) + 2
	}
	b := make([]byte, 0, n)
	for _, f := range fields {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	return b
}

func unpack(b []byte) ([]string, bool) {
	fields, text := make([]string, 0, 20), string(b)
	for at := 0; at < len(b); {
		n, size := binary.Uvarint(b[at:])
		if size <= 0 || n > uint64(len(b)-at-size) {
			return nil, false
		}
		at += size
		fields = append(fields, text[at:at+int(n)])
		at += int(n)
	}
	return fields, true
}

// digest is a short keyless hash, for values that are random themselves or
// only have to be recognised again.
func digest(fields ...string) string {
	sum := sha256.Sum256(pack(fields...))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// keyedHash is HMAC-SHA-256, cut to 128 bits.
func keyedHash(key []byte, fields ...string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(pack(fields...))
	return mac.Sum(nil)[:16]
}

// same compares two hashes or codes without telling by time where they differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
