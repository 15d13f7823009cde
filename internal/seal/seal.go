// Package seal encrypts, authenticates, hashes and encodes what twofa stores
// and hands out.
package seal

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"sync"

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
	s := borrow()
	defer s.giveBack()
	s.packed = pack(s.packed, context)
	nonce, plain := buf[i:i+NonceSize], buf[i+NonceSize:]
	rand.Read(nonce)
	return key.Seal(buf[:i+NonceSize], nonce, plain, s.packed)
}

// Open returns the plaintext of what [Seal] sealed.
func Open(sealed []byte, key cipher.AEAD, context ...string) (string, error) {
	if len(sealed) < NonceSize {
		return "", errSealed
	}
	s := borrow()
	defer s.giveBack()
	s.packed = pack(s.packed, context)
	plain, err := key.Open(s.plain, sealed[:NonceSize], sealed[NonceSize:], s.packed)
	if err != nil {
		return "", errSealed
	}
	s.plain = plain
	return string(plain), nil
}

// SealText appends the sealed encoding of m to prefix, as base64url. [OpenText]
// needs the same context.
func SealText(prefix string, m Message, key cipher.AEAD, context ...string) string {
	s := borrow()
	defer s.giveBack()
	s.plain = Encode(append(s.plain, make([]byte, NonceSize)...), m)
	s.plain = Seal(s.plain, 0, key, context...)
	s.text = textEncoding.AppendEncode(append(s.text, prefix...), s.plain)
	return string(s.text)
}

// OpenText returns the plaintext of what [SealText] appended to a prefix.
func OpenText(text string, key cipher.AEAD, context ...string) (string, error) {
	s := borrow()
	defer s.giveBack()
	var err error
	// Decoding skips line breaks, which the length reveals. Every text has one
	// encoding.
	s.plain, err = textEncoding.AppendDecode(s.plain, []byte(text))
	if err != nil || len(text) != textEncoding.EncodedLen(len(s.plain)) {
		return "", errSealed
	}
	return Open(s.plain, key, context...)
}

// textEncoding refuses stray bits at the end.
var textEncoding = base64.RawURLEncoding.Strict()

var errSealed = errors.New("twofa: does not authenticate")

// scratch is memory that a call needs until it returns. Calls reuse it, because
// every request seals and opens several values.
type scratch struct {
	packed []byte
	plain  []byte
	text   []byte
	codec  Codec
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func borrow() *scratch { return scratches.Get().(*scratch) }

// giveBack keeps the memory for another call. Plaintext does not stay in it.
func (s *scratch) giveBack() {
	clear(s.plain)
	s.packed, s.plain, s.text, s.codec = s.packed[:0], s.plain[:0], s.text[:0], Codec{}
	scratches.Put(s)
}

// pack appends fields to b so that two different lists never give the same
// bytes.
func pack(b []byte, fields []string) []byte {
	for _, f := range fields {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	return b
}

// usualPack is enough bytes for most lists of fields, so that packing them takes
// no allocation.
const usualPack = 192

// Digest returns a short hash without a key. It is for values that are random
// themselves, or that only have to be recognized again.
func Digest(fields ...string) string {
	sum := sha256.Sum256(pack(make([]byte, 0, usualPack), fields))
	return string(sum[:16])
}

// KeyedHash returns HMAC-SHA-256, cut to 128 bits.
func KeyedHash(key []byte, fields ...string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(pack(make([]byte, 0, usualPack), fields))
	return mac.Sum(nil)[:16]
}

// Equal reports whether two hashes or codes are equal, in a time that does not
// depend on where they differ.
func Equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// NewID returns a random ID of 26 characters, at least 128 bits.
func NewID() string { return rand.Text() }
