package twofa

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Secret holds text that must not leak. Printing it with any verb, logging it
// with slog, or marshalling it gives "[redacted]" or an error, also where it is
// an unexported field of another struct. [Secret.Reveal] is the only door.
// The zero Secret is empty.
type Secret struct{ reveal func() string }

// NewSecret wraps text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{func() string { return text }}
}

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.reveal == nil }

const redacted = "[redacted]"

// Format writes a placeholder, whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) { redact(f) }

// LogValue is a placeholder.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText fails: a secret is stored or sent only on purpose, by Reveal.
func (s Secret) MarshalText() ([]byte, error) { return nil, errSecretMarshal }

// GobEncode fails, for the same reason.
func (s Secret) GobEncode() ([]byte, error) { return nil, errSecretMarshal }

var errSecretMarshal = errors.New("twofa: a secret does not marshal; use Reveal where it has to be stored or sent")

func redact(f fmt.State) { _, _ = io.WriteString(f, redacted) }
