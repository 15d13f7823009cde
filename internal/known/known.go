// Package known reads and writes the cookie by which a browser is known.
package known

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/twofa-go/twofa/internal/seal"
)

// Cookie is the text of a browser's long-lived cookie: one secret of the browser,
// to which challenges, sessions and enrollments are bound and which never
// changes, and an entry for each user to whom the browser is known, the latest
// first. The parts are separated by dots.
type Cookie struct {
	Secret  string
	Entries []Entry
}

// Entry is what a browser keeps for one user. The family stays the same while
// the browser is known. The token is replaced at each login without a proof, so
// that a copy of the cookie can be noticed.
type Entry struct{ tag, Family, Token string }

const (
	tagLen   = 6  // bytes
	tokenLen = 16 // bytes of a family and of a token
	maxUsers = 4
)

var (
	encoding = base64.RawURLEncoding.Strict()
	entryLen = encoding.EncodedLen(tagLen + 2*tokenLen) // decoding skips line breaks, which the length reveals
)

// maxText is more than a secret and four entries take.
const maxText = 512

// Parse reads a cookie. It skips what it cannot read.
func Parse(text string) (c Cookie) {
	secret, rest, _ := strings.Cut(text, ".")
	c.Secret = secret
	if len(text) > maxText {
		return c
	}
	for rest != "" && len(c.Entries) < maxUsers {
		var part string
		part, rest, _ = strings.Cut(rest, ".")
		if raw, err := encoding.DecodeString(part); err == nil && len(part) == entryLen {
			e := string(raw)
			c.Entries = append(c.Entries, Entry{e[:tagLen], e[tagLen : tagLen+tokenLen], e[tagLen+tokenLen:]})
		}
	}
	return c
}

// Secret returns the secret of a cookie.
func Secret(text string) string {
	secret, _, _ := strings.Cut(text, ".")
	return secret
}

// Text returns the text of the cookie.
func (c Cookie) Text() string {
	parts := []string{c.Secret}
	for _, e := range c.Entries {
		parts = append(parts, encoding.EncodeToString([]byte(e.tag+e.Family+e.Token)))
	}
	return strings.Join(parts, ".")
}

// tag identifies the entry of a user. Without the browser's secret, it reveals
// nothing about the user.
func (c Cookie) tag(user string) string { return seal.Digest("user", c.Secret, user)[:tagLen] }

// Entry returns the entry of a user, if there is one.
func (c Cookie) Entry(user string) (Entry, bool) {
	tag := c.tag(user)
	i := slices.IndexFunc(c.Entries, func(e Entry) bool { return e.tag == tag })
	if i < 0 {
		return Entry{}, false
	}
	return c.Entries[i], true
}

// With returns the cookie with another entry for a user. The one used least
// recently is dropped if there would be more than four.
func (c Cookie) With(user, family, token string) Cookie {
	e := Entry{c.tag(user), family, token}
	others := slices.DeleteFunc(slices.Clone(c.Entries), func(o Entry) bool { return o.tag == e.tag })
	c.Entries = append([]Entry{e}, others[:min(len(others), maxUsers-1)]...)
	return c
}

// Next returns the token that replaces another. A server that is shown the
// one before can derive it again with the salt. A record alone cannot, because
// it has only the salt and hashes.
func Next(token, salt string) string {
	return string(seal.KeyedHash([]byte(token), "next token", salt))
}

// First returns the family and the token of a browser that becomes known,
// derived from a secret seed.
func First(seed string) (family, token string) {
	return string(seal.KeyedHash([]byte(seed), "family")), string(seal.KeyedHash([]byte(seed), "token"))
}
