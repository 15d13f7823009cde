// Package seal encrypts, authenticates, hashes and encodes what twofa stores
// and hands out.
package seal

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"
)

// NonceSize is the number of bytes that [Seal] needs before the plaintext. A
// nonce of XChaCha20-Poly1305 is long enough to be random, however much is
// sealed under one key.
const NonceSize = chacha20poly1305.NonceSizeX

// Seal encrypts and authenticates buf[i+NonceSize:] in place and puts a random
// nonce at buf[i:]. [Open] needs the same context. It names the kind and the
// owner of the data, so that sealed data cannot be moved elsewhere.
func Seal(buf []byte, i int, key cipher.AEAD, context ...string) []byte {
	nonce, plain := buf[i:i+NonceSize], buf[i+NonceSize:]
	rand.Read(nonce)
	return key.Seal(buf[:i+NonceSize], nonce, plain, pack(context...))
}

// Open returns the plaintext of what [Seal] sealed.
func Open(sealed []byte, key cipher.AEAD, context ...string) (string, error) {
	if len(sealed) < NonceSize {
		return "", errSealed
	}
	plain, err := key.Open(nil, sealed[:NonceSize], sealed[NonceSize:], pack(context...))
	if err != nil {
		return "", errSealed
	}
	return string(plain), nil
}

var errSealed = errors.New("twofa: does not authenticate")

// pack joins fields so that two different lists never give the same bytes.
func pack(fields ...string) []byte {
	b := make([]byte, 0, 128)
	for _, f := range fields {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	return b
}

// Digest returns a short hash without a key. It is for values that are random
// themselves, or that only have to be recognized again.
func Digest(fields ...string) string {
	sum := sha256.Sum256(pack(fields...))
	return string(sum[:16])
}

// KeyedHash returns HMAC-SHA-256, cut to 128 bits.
func KeyedHash(key []byte, fields ...string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(pack(fields...))
	return mac.Sum(nil)[:16]
}

// Equal reports whether two hashes or codes are equal, in a time that does not
// depend on where they differ.
func Equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// NewID returns a random ID of 26 characters, at least 128 bits.
func NewID() string { return rand.Text() }
