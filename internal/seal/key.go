package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// Key is one key of a ring. Its parts are derived from the host's key, one for
// each purpose, so that a value made for one purpose means nothing in another.
type Key struct {
	ID      string
	Records cipher.AEAD // seals records
	Tokens  cipher.AEAD // seals challenges and sessions
	Lookup  []byte      // hides phone numbers in the keys of records
	Events  []byte      // authenticates events
}

// ParseKey derives a key from its ID and 32 random bytes in Base64, in the
// standard or the URL alphabet.
func ParseKey(id, encoded string) (Key, error) {
	if len(id) < 1 || len(id) > 16 || strings.Trim(id, idAlphabet) != "" {
		return Key{}, errors.New("id must be 1 to 16 letters, digits, - or _")
	}
	key, err := decodeKey(encoded)
	if err != nil {
		return Key{}, errors.New("key is not base64")
	}
	if len(key) != 32 {
		return Key{}, fmt.Errorf("key has %d bytes, want 32", len(key))
	}
	if distinct(key) < 12 {
		return Key{}, errors.New("key is not random")
	}
	return derive(id, key)
}

const idAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// distinct returns the number of different bytes. Of 32 random bytes fewer
// than 20 differ about once in 10^8; a typed or repeated key nearly always has
// fewer.
func distinct(key []byte) int {
	seen := map[byte]bool{}
	for _, b := range key {
		seen[b] = true
	}
	return len(seen)
}

// Typed reports whether a key in Base64 was typed instead of generated: it is
// printable ASCII, as in "this is a secret key for our app", or its Base64 has
// letters of one case only. Of 10^9 random keys, about one is.
func Typed(encoded string) bool {
	if strings.ToLower(encoded) == encoded || strings.ToUpper(encoded) == encoded {
		return true
	}
	key, err := decodeKey(encoded)
	return err == nil && !slices.ContainsFunc(key, func(b byte) bool { return b < ' ' || b > '~' })
}

func decodeKey(encoded string) ([]byte, error) {
	encoded = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(encoded), "=")
	return base64.RawStdEncoding.Strict().DecodeString(encoded)
}

func derive(id string, key []byte) (Key, error) {
	sub := func(purpose string) []byte {
		// HKDF fails only for an output longer than 255 hashes.
		k, _ := hkdf.Key(sha256.New, key, nil, "twofa v1 "+purpose, 32)
		return k
	}
	records, err := chacha20poly1305.NewX(sub("record"))
	if err != nil {
		return Key{}, err
	}
	tokens, err := chacha20poly1305.NewX(sub("token"))
	return Key{id, records, tokens, sub("lookup"), sub("event")}, err
}
