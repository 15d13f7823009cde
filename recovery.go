package twofa

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"unicode"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
)

// Recovery codes have 24 characters of Crockford's base32, 120 bits, so that a
// keyed hash is enough (ASVS 6.5.2: 112 bits or more) and guessing hopeless.
const (
	crockford   = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	recoveryLen = 24
)

func newRecoveryCodes(n int) []string {
	codes := make([]string, n)
	for i := range codes {
		raw := make([]byte, recoveryLen)
		rand.Read(raw)
		for j := range raw {
			raw[j] = crockford[raw[j]%32] // 256 is a multiple of 32: no bias
		}
		codes[i] = string(raw)
	}
	return codes
}

// formatRecoveryCode groups a code for reading.
func formatRecoveryCode(code string) string {
	var groups []string
	for ; len(code) > 4; code = code[4:] {
		groups = append(groups, code[:4])
	}
	return strings.Join(append(groups, code), "-")
}

func asSecrets(codes []string) []Secret {
	secrets := make([]Secret, len(codes))
	for i, code := range codes {
		secrets[i] = NewSecret(formatRecoveryCode(code))
	}
	return secrets
}

// canonicalRecovery is the one form behind all spellings: case, spaces and
// hyphens do not matter, O is 0, I and L are 1.
func canonicalRecovery(code string) (string, bool) {
	if len(code) > 4*recoveryLen || strings.ContainsFunc(code, func(r rune) bool { return r > unicode.MaxASCII }) {
		return "", false // ToUpper would make ASCII of some other letters
	}
	code = lookAlikes.Replace(strings.ToUpper(code))
	return code, len(code) == recoveryLen && strings.Trim(code, crockford) == ""
}

var lookAlikes = strings.NewReplacer("O", "0", "I", "1", "L", "1", "-", "", " ", "")

// newCodeSet makes the live set of codes that were shown and saved.
func (s *userTx) newCodeSet(codes []string) *codeSet {
	if len(codes) == 0 {
		return nil
	}
	key := make([]byte, 32)
	rand.Read(key)
	hashes := make([]byte, 0, recoveryHashLen*len(codes))
	for _, code := range codes {
		hashes = append(hashes, seal.KeyedHash(key, s.user, code)...)
	}
	set := &codeSet{Key: string(key), Hashes: string(hashes), Total: len(codes), Made: s.now}
	if s.m.cfg.Recovery.Viewable {
		set.Codes = codes
	}
	return set
}

// tryRecovery spends a code. Every hash of the set is looked at, whichever
// matches.
func (s *userTx) tryRecovery(code string) outcome {
	code, ok := canonicalRecovery(code)
	if !ok || s.Codes == nil {
		return wrong
	}
	set, found := s.Codes, -1
	hash := string(seal.KeyedHash([]byte(set.Key), s.user, code))
	for i := range set.left() {
		if seal.Equal(set.hash(i), hash) {
			found = i
		}
	}
	if found < 0 {
		return wrong
	}
	if set.viewable() {
		set.Codes = slices.Delete(set.Codes, found, found+1)
	}
	set.Hashes = set.Hashes[:found*recoveryHashLen] + set.Hashes[(found+1)*recoveryHashLen:]
	s.emit(Event{Type: event.RecoveryUsed, Method: RecoveryCode, Left: s.codesLeft(), Notice: true})
	return right
}

// RecoveryCodes shows the caller's codes that are left, where the deployment
// keeps them viewable ([RecoveryConfig.Viewable]). It needs a fresh proof for
// [ActionFactors]; showing them is an event.
//
// Errors: [ErrNotAllowed] where they are not viewable, [ErrNotEnrolled] where
// there are none, [*DeniedError].
func (m *Manager) RecoveryCodes(ctx context.Context, c Caller) (codes []Secret, err error) {
	err = m.change(ctx, c, func(s *userTx, t ticket, _ User) error {
		if err := s.authorizeChange(t); err != nil {
			return err
		}
		codes, err = s.viewCodes()
		if err == nil {
			s.emit(Event{Type: event.CodesViewed, Session: t.sessionID, Left: len(codes), Notice: true})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

func (s *userTx) viewCodes() ([]Secret, error) {
	switch {
	case s.codesLeft() == 0:
		return nil, ErrNotEnrolled
	case !s.m.cfg.Recovery.Viewable || !s.Codes.viewable():
		return nil, ErrNotAllowed
	}
	return asSecrets(s.Codes.Codes), nil
}
