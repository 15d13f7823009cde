package twofa

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/twofa-go/twofa/internal/seal"
)

// KeyRing is a list of 32-byte keys with IDs. The first key seals, and every
// key opens. To rotate keys, add the new key at the end on every server, then
// move it to the front on every server, run [Manager.RekeyRecords] for all
// records, wait for [Lifetimes.Session], and then remove the old key. Its events
// can no longer be verified then ([Manager.VerifyEvents]). A KeyRing never prints,
// logs or marshals its keys.
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

// Secret is text that must not leak. Only [Secret.Reveal] returns it. Printing
// a Secret with any verb, or logging it with slog, writes "[redacted]", and
// marshaling it fails. Printing never reveals the text, even in an unexported
// field of a struct. The zero Secret is empty.
type Secret struct{ reveal func() string }

// NewSecret returns a Secret of text. If text is empty, the Secret is zero.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{func() string { return text }}
}

// Reveal returns the text of the secret.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.reveal == nil }

const redacted = "[redacted]"

// Format writes a placeholder for every verb.
func (s Secret) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText always fails, so that a secret cannot be stored or sent by
// accident. Use [Secret.Reveal] to do so on purpose.
func (s Secret) MarshalText() ([]byte, error) { return nil, errSecretMarshal }

// GobEncode always fails, for the same reason as [Secret.MarshalText].
func (s Secret) GobEncode() ([]byte, error) { return nil, errSecretMarshal }

var errSecretMarshal = errors.New("twofa: a secret must not be marshaled; use Reveal to store or send it")

func redact(f fmt.State) { _, _ = io.WriteString(f, redacted) }
