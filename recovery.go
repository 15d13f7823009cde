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

// A recovery code is 24 characters of Crockford's Base32, or 120 random bits.
// It cannot be guessed, and storing a keyed hash of it is enough, because it
// has the 112 bits that ASVS 5.0, 6.5.2, requires.
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
			raw[j] = crockford[raw[j]%32] // without bias, because 256 is a multiple of 32
		}
		codes[i] = string(raw)
	}
	return codes
}

// formatRecoveryCode adds a hyphen after every four characters.
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

// canonicalRecovery returns the canonical form of a typed code. It ignores
// case, spaces and hyphens, and reads O as 0, and I and L as 1.
func canonicalRecovery(code string) (string, bool) {
	if len(code) > 4*recoveryLen || strings.ContainsFunc(code, func(r rune) bool { return r > unicode.MaxASCII }) {
		return "", false // ToUpper maps some other letters to ASCII
	}
	code = lookAlikes.Replace(strings.ToUpper(code))
	return code, len(code) == recoveryLen && strings.Trim(code, crockford) == ""
}

var lookAlikes = strings.NewReplacer("O", "0", "I", "1", "L", "1", "-", "", " ", "")

// newCodeSet returns an active set of codes that the user has saved.
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

// tryRecovery uses up a code. It compares every hash of the set, so that the
// time does not depend on which of them matches.
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

// opens reports whether a proof by a recovery code lets its session replace a
// factor.
func (s *userTx) opens(p provenMethod) bool {
	return s.isRecent(p.at) && p.at > s.CodesReplaced // new codes end what the old ones opened
}

// recoveredUntil returns the time until which a recovery code lets the session
// replace a factor, or zero.
func (s *userTx) recoveredUntil(t ticket) (until unixTime) {
	for _, p := range t.proven {
		if p.method == RecoveryCode && s.opens(p) {
			until = max(until, p.at.add(firstFactorMaxAge))
		}
	}
	return until
}

// recoveredAt returns the time of a recovery code if it is the newest proof of the
// session and no factor was used since, or zero.
func (s *userTx) recoveredAt(t ticket) unixTime {
	if len(t.proven) == 0 || t.proven[0].method != RecoveryCode {
		return 0
	}
	at := t.proven[0].at
	if slices.ContainsFunc(s.Factors, func(f factor) bool { return f.Used > at }) {
		return 0
	}
	return at
}

// RecoveryCodes returns the unused recovery codes of the caller, if
// [RecoveryConfig.Viewable] is set. It requires a fresh proof for
// [ActionFactors]. If the rule for that action is single-use, the call uses up
// the proof. It records an event, and if [MailConfig.Mailer] is set, the user
// is told by mail.
//
// RecoveryCodes returns [ErrNotAllowed] if the codes are not viewable, if they
// were generated while Viewable was not set, or if the user is disabled or not
// a member of the account. It returns [ErrNotEnrolled] if no code is left,
// [ErrLocked] after 20 calls in an hour, a [*DeniedError] if the session is not
// valid or the proof is missing, and [ErrUnavailable] if a record, the policy or
// the directory cannot be read or written.
func (m *Manager) RecoveryCodes(ctx context.Context, c Caller) (codes []Secret, err error) {
	err = m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		if err := s.authorizeChange(t, len(u.Emails) > 0); err != nil {
			return err
		}
		if codes, err = s.viewCodes(); err == nil {
			if err = s.reserve(changeAllowance, viewBucket); err != nil {
				return err
			}
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

// codeSet is one live set of recovery codes. It stores a hash of each code
// under a random key of the set, so an attacker who opens the record still has
// no code, unless they are viewable. A check is one hash and a look-up.
type codeSet struct {
	seal.Unknown
	Key    string
	Hashes string // of the codes that are left, one after the other
	Total  int    // number of codes when the set was generated
	Made   unixTime
	Codes  []string // the codes themselves, if they are viewable
}

func (s *codeSet) Fields(c *seal.Codec) {
	seal.Text(c, 4, &s.Key)
	seal.Text(c, 8, &s.Hashes)
	seal.Int(c, 12, &s.Total)
	seal.Int(c, 16, &s.Made)
	seal.Texts(c, 20, &s.Codes)
}
