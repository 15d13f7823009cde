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
	"log/slog"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// KeyRing is a ring of 32-byte keys with ids. The first seals, all open. To
// rotate, add the new key at the end everywhere, then move it to the front
// everywhere, then run [Manager.Rekey], and drop the old one when sessions that
// began before have ended ([Lifetimes.Session]).
// KeyRing does not print, log or marshal.
type KeyRing struct{ ring func() []ringKey }

type ringKey struct {
	id string
	subkeys
}

// subkeys are derived once, one for each purpose, so that no value made for
// one purpose means anything in another.
type subkeys struct {
	records cipher.AEAD
	tokens  cipher.AEAD
	lookup  []byte // hides phone numbers in keys of records
}

// ParseKeyRing reads a ring from one line, as an environment variable holds it:
// "id:key" pairs joined by commas, the sealing key first. An id is 1 to 16
// letters, digits, "-" or "_" and never changes its key; a key is 32 random
// bytes in base64, standard or URL alphabet, as `openssl rand -base64 32`
// prints them. Whoever has a key can read and forge second-factor state: keep
// it out of the database's reach, and out of the repository.
func ParseKeyRing(s string) (KeyRing, error) {
	if strings.TrimSpace(s) == "" {
		return KeyRing{}, errors.New("twofa: no keys: is the variable that holds them set?")
	}
	var ring []ringKey
	for i, pair := range strings.Split(s, ",") {
		id, text, ok := strings.Cut(strings.TrimSpace(pair), ":")
		if !ok {
			return KeyRing{}, fmt.Errorf("twofa: key %d: has no id: want one before it, as in k1:base64", i+1)
		}
		k, err := newRingKey(id, text)
		if err != nil {
			return KeyRing{}, fmt.Errorf("twofa: key %d: %w", i+1, err)
		}
		for _, other := range ring {
			if other.id == id || hmac.Equal(other.lookup, k.lookup) {
				return KeyRing{}, fmt.Errorf("twofa: key %d: id or key is there twice", i+1)
			}
		}
		ring = append(ring, k)
	}
	return KeyRing{func() []ringKey { return ring }}, nil
}

// GenerateKeyRing makes a ring of one fresh key and returns it as text for
// [ParseKeyRing].
func GenerateKeyRing() Secret {
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
	records, err := chacha20poly1305.NewX(sub("record"))
	if err != nil {
		return subkeys{}, err
	}
	tokens, err := chacha20poly1305.NewX(sub("token"))
	return subkeys{records, tokens, sub("lookup")}, err
}

func (k KeyRing) all() []ringKey {
	if k.ring == nil {
		return nil
	}
	return k.ring()
}

func (k KeyRing) byID(id string) (ringKey, bool) {
	for _, key := range k.all() {
		if key.id == id {
			return key, true
		}
	}
	return ringKey{}, false
}

// nonceSize is what seal wants before the plaintext. XChaCha20-Poly1305 has
// nonces long enough to be random, however much is sealed.
const nonceSize = chacha20poly1305.NonceSizeX

// seal encrypts and authenticates buf in place, from room for the nonce at i
// on. The same context has to be given to open: it says what this is and
// whose, so that it cannot be moved.
func seal(buf []byte, i int, key cipher.AEAD, context ...string) []byte {
	nonce, plain := buf[i:i+nonceSize], buf[i+nonceSize:]
	rand.Read(nonce)
	return key.Seal(buf[:i+nonceSize], nonce, plain, pack(context...))
}

// open returns what seal sealed, to be read.
func open(sealed []byte, key cipher.AEAD, context ...string) (wire, error) {
	if len(sealed) < nonceSize {
		return wire{}, errSealed
	}
	plain, err := key.Open(nil, sealed[:nonceSize], sealed[nonceSize:], pack(context...))
	if err != nil {
		return wire{}, errSealed
	}
	return wire{left: string(plain), reading: true}, nil
}

var errSealed = errors.New("twofa: does not authenticate")

// Format writes a placeholder.
func (k KeyRing) Format(f fmt.State, _ rune) { redact(f) }

// LogValue is a placeholder.
func (k KeyRing) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText fails.
func (k KeyRing) MarshalText() ([]byte, error) { return nil, errSecretMarshal }

// pack joins fields so that no two lists give the same bytes, for what is
// hashed or authenticated.
func pack(fields ...string) []byte {
	b := make([]byte, 0, 128)
	for _, f := range fields {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	return b
}

// digest is a short keyless hash, for values that are random themselves or
// only have to be recognised again.
func digest(fields ...string) string {
	sum := sha256.Sum256(pack(fields...))
	return string(sum[:16])
}

// keyedHash is HMAC-SHA-256, cut to 128 bits.
func keyedHash(key []byte, fields ...string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(pack(fields...))
	return mac.Sum(nil)[:16]
}

// constantTimeEqual compares two hashes or codes without telling by time where they differ.
func constantTimeEqual(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
