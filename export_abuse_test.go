package twofa

import (
	"strings"

	"github.com/twofa-go/twofa/internal/seal"
)

// NewTextCode and NewBrowserToken are where texted codes and the tokens of
// links and browsers come from.
var (
	NewTextCode     = newTextCode
	NewBrowserToken = newBrowserToken
)

// Seal is what every record and token goes through; here with nothing in it,
// so that what comes out begins with the nonce.
func Seal(k KeyRing) []byte { return seal.Seal(make([]byte, seal.NonceSize), 0, k.all()[0].Tokens) }

// Opened returns the plaintext of a record, as an attacker who has the keys
// would see it.
func Opened(k KeyRing, r Record) (string, error) {
	header, sealed, _ := strings.Cut(string(r.Data), "\n")
	_, id, _ := strings.Cut(header, " ")
	key, _ := k.byID(id)
	return seal.Open([]byte(sealed), key.Records, header, r.Key, r.Version)
}
