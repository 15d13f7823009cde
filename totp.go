package twofa

import (
	"cmp"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
)

// TOTPConfig sets the kind of code authenticator apps make (RFC 6238). The
// zero value, SHA-1 with 6 digits every 30 seconds, is what every app does;
// several apps show wrong codes for anything else, silently (docs/standards.md).
// Authenticators that are set up keep the kind they were set up with only if
// this does not change: decide before the first user.
type TOTPConfig struct {
	// Algorithm is "SHA1", "SHA256" or "SHA512"; "" means "SHA1".
	Algorithm string
	// Digits is 6, 7 or 8; 0 means 6. Fewer would be guessed.
	Digits int
	// Period is 15 to 120 s in whole seconds; 0 means 30 s. A longer one gives
	// a phisher more time.
	Period time.Duration
	// Strict accepts the code of the present period only, as ASVS 6.5.5 has
	// it, not also the one before and after, as RFC 6238, section 5.2, allows.
	Strict bool
	// SecretSize is the key's length in bytes, 16 to 64; 0 means 20 (RFC 4226,
	// section 4, R6: at least 16, 20 recommended).
	SecretSize int
}

func (c *TOTPConfig) setDefaults() {
	c.Algorithm = cmp.Or(c.Algorithm, "SHA1")
	c.Digits = cmp.Or(c.Digits, 6)
	c.Period = cmp.Or(c.Period, 30*time.Second)
	c.SecretSize = cmp.Or(c.SecretSize, 20)
}

func (c *TOTPConfig) check() error {
	var errs []error
	if _, ok := algorithms[c.Algorithm]; !ok {
		errs = append(errs, fmt.Errorf("TOTP.Algorithm: %q is not SHA1, SHA256 or SHA512", c.Algorithm))
	}
	if c.Digits < 6 || c.Digits > 8 {
		errs = append(errs, fmt.Errorf("TOTP.Digits: %d is not 6 to 8", c.Digits))
	}
	if c.Period < 15*time.Second || c.Period > 2*time.Minute || c.Period%time.Second != 0 {
		errs = append(errs, fmt.Errorf("TOTP.Period: %v is not 15s to 2m in whole seconds", c.Period))
	}
	if c.SecretSize < 16 || c.SecretSize > 64 {
		errs = append(errs, fmt.Errorf("TOTP.SecretSize: %d is not 16 to 64", c.SecretSize))
	}
	return errors.Join(errs...)
}

var algorithms = map[string]otp.Algorithm{"SHA1": otp.AlgorithmSHA1, "SHA256": otp.AlgorithmSHA256, "SHA512": otp.AlgorithmSHA512}

func (c TOTPConfig) step(now time.Time) int64 { return now.Unix() / int64(c.Period/time.Second) }

// code returns the code of a time step.
func (c TOTPConfig) code(key string, step int64) (string, error) {
	if step < 0 {
		return "", errors.New("twofa: time before 1970")
	}
	return hotp.GenerateCodeCustom(key, uint64(step), hotp.ValidateOpts{Digits: otp.Digits(c.Digits), Algorithm: algorithms[c.Algorithm]})
}

// match returns the step that a code belongs to, within the steps that are
// accepted at now. All of them are computed, whichever it is.
func (c TOTPConfig) match(key, code string, now time.Time) (step int64, ok bool) {
	skew := int64(1)
	if c.Strict {
		skew = 0
	}
	for at := c.step(now) - skew; at <= c.step(now)+skew; at++ {
		if want, err := c.code(key, at); err == nil && same(want, code) {
			step, ok = at, true
		}
	}
	return step, ok
}

// offset looks for the code within an hour and returns how far the clock that
// made it is ahead.
func (c TOTPConfig) offset(key, code string, now time.Time) (time.Duration, bool) {
	steps := int64(time.Hour / c.Period)
	for d := int64(1); d <= steps; d++ {
		for _, at := range [2]int64{d, -d} {
			if want, err := c.code(key, c.step(now)+at); err == nil && same(want, code) {
				return time.Duration(at) * c.Period, true
			}
		}
	}
	return 0, false
}

// digits brings a typed code into its one form: ASCII spaces and hyphens, which
// apps show for reading, go; what is left must be exactly n ASCII digits.
func digits(code string, n int) (string, bool) {
	if len(code) > 4*n {
		return "", false
	}
	code = strings.NewReplacer(" ", "", "-", "").Replace(code)
	return code, len(code) == n && strings.Trim(code, "0123456789") == ""
}

func (c TOTPConfig) newSecret() string {
	b := make([]byte, c.SecretSize)
	rand.Read(b) // never returns short: crypto/rand ends the program instead
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
}

// tryTOTP compares a code with all of the user's authenticators. The step that
// matches, and all before it, are spent for that authenticator, whatever the
// code was used for.
func (s *state) tryTOTP(code string) outcome {
	code, ok := digits(code, s.m.cfg.TOTP.Digits)
	if !ok {
		return wrong
	}
	result := wrong
	for i := range s.Factors {
		f := &s.Factors[i]
		if f.Method != TOTP || result == right {
			continue
		}
		key, err := s.unseal(f)
		if err != nil {
			continue
		}
		if step, ok := s.m.cfg.TOTP.match(key, code, s.now); ok {
			if step <= f.Step {
				result = reused
				continue
			}
			f.Step, f.Used = step, s.now.Unix()
			result = right
		}
	}
	return result
}

// unseal opens an authenticator's key or a phone's number.
func (s *state) unseal(f *factor) (string, error) {
	plain, err := s.m.cfg.Keys.open(f.Seal, "factor", s.user, f.ID, string(f.Method))
	return string(plain), err
}

func (s *state) sealFactor(id string, m Method, plain string) string {
	return s.m.cfg.Keys.seal([]byte(plain), "factor", s.user, id, string(m))
}
