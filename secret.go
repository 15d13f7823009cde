package twofa

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

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
