package twofa

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/twofa-go/twofa/internal/seal"
)

// KeyRing is a list of 32-byte keys with IDs. The first key seals, and every
// key opens. To rotate keys, add the new key at the end on every server, then
// move it to the front on every server, run [Manager.Rekey] for all users and
// accounts, wait for [Lifetimes.Session], and then remove the old key. A
// KeyRing never prints, logs or marshals its keys.
type KeyRing struct{ ring func() []seal.Key }

// ParseKeyRing parses a key ring from one line, such as the value of an
// environment variable: "id:key" pairs separated by commas, the sealing key
// first. An ID is 1 to 16 letters, digits, "-" or "_", and must never be used
// for another key. A key is 32 random bytes in Base64, in the standard or the
// URL alphabet, as printed by `openssl rand -base64 32`. A key that was typed,
// which is text or has letters of one case only, is refused. An attacker who has a
// key can read and forge second-factor state. Keep keys out of the database and
// out of the repository.
func ParseKeyRing(s string) (KeyRing, error) {
	if strings.TrimSpace(s) == "" {
		return KeyRing{}, errors.New("twofa: no keys: is the variable that holds them set?")
	}
	var ring []seal.Key
	for i, pair := range strings.Split(s, ",") {
		id, encoded, ok := strings.Cut(strings.TrimSpace(pair), ":")
		if !ok {
			return KeyRing{}, fmt.Errorf("twofa: key %d: has no id: want one before it, as in k1:base64", i+1)
		}
		k, err := seal.ParseKey(id, encoded)
		if err != nil {
			return KeyRing{}, fmt.Errorf("twofa: key %d: %w", i+1, err)
		}
		if seal.Typed(encoded) {
			return KeyRing{}, fmt.Errorf("twofa: key %d: is not random: generate it, for example by openssl rand -base64 32, instead of typing it", i+1)
		}
		for _, other := range ring {
			if other.ID == id || seal.Equal(string(other.Lookup), string(k.Lookup)) {
				return KeyRing{}, fmt.Errorf("twofa: key %d: id or key is there twice", i+1)
			}
		}
		ring = append(ring, k)
	}
	return KeyRing{func() []seal.Key { return ring }}, nil
}

// GenerateKeyRing returns a ring of one new key, as text for [ParseKeyRing].
func GenerateKeyRing() Secret {
	key := make([]byte, 32)
	rand.Read(key)
	return NewSecret(strings.ToLower(rand.Text()[:6]) + ":" + base64.StdEncoding.EncodeToString(key))
}

func (k KeyRing) all() []seal.Key {
	if k.ring == nil {
		return nil
	}
	return k.ring()
}

func (k KeyRing) byID(id string) (seal.Key, bool) {
	for _, key := range k.all() {
		if key.ID == id {
			return key, true
		}
	}
	return seal.Key{}, false
}

// Format writes a placeholder.
func (k KeyRing) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns a placeholder.
func (k KeyRing) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText always returns an error, so that keys are not stored by accident.
func (k KeyRing) MarshalText() ([]byte, error) { return nil, errSecretMarshal }
