package twofa

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/twofa-go/twofa/internal/text"
)

// TOTPConfig sets the kind of code authenticator apps make (RFC 6238). The
// zero value, SHA-1 with 6 digits every 30 seconds, is what every app does;
// several apps show wrong codes for anything else, silently (docs/standards.md).
// A change concerns authenticators that are set up from then on, but for
// Strict, which concerns all.
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

func (c *TOTPConfig) validate() error {
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
	if c.SecretSize < minKey || c.SecretSize > 64 {
		errs = append(errs, fmt.Errorf("TOTP.SecretSize: %d is not %d to 64", c.SecretSize, minKey))
	}
	return errors.Join(errs...)
}

func (c TOTPConfig) newApp() totpParams {
	key := make([]byte, c.SecretSize)
	rand.Read(key) // never returns short: crypto/rand ends the program instead
	return totpParams{string(key), c.Algorithm, c.Digits, int64(c.Period / time.Second)}
}

// match returns the step that a typed code belongs to, among those accepted at
// now, the likeliest first. How long that takes tells only who has a right
// code, and of that only which step it is for.
func (a totpParams) match(typed string, now unixTime, strict bool) (step int64, ok bool) {
	code, ok := text.Digits(typed, a.Digits)
	if !ok {
		return 0, false
	}
	steps := []int64{0, -1, 1}
	if strict {
		steps = steps[:1]
	}
	for _, d := range steps {
		if step = a.step(now) + d; a.codeMatches(code, step) {
			return step, true
		}
	}
	return 0, false
}

// offset looks for the code within an hour and returns how far the clock that
// made it is ahead.
func (a totpParams) offset(typed string, now unixTime) (time.Duration, bool) {
	code, ok := text.Digits(typed, a.Digits)
	if !ok {
		return 0, false
	}
	for d := int64(1); d <= int64(hour/time.Second)/a.Period; d++ {
		for _, ahead := range [2]int64{d, -d} {
			if a.codeMatches(code, a.step(now)+ahead) {
				return time.Duration(ahead*a.Period) * time.Second, true
			}
		}
	}
	return 0, false
}

// tryTOTP compares a code with all of the user's authenticators. The step that
// matches, and all before it, are spent for that authenticator, whatever the
// code was used for.
func (s *userTx) tryTOTP(code string) outcome {
	result := wrong
	for i := range s.Factors {
		f := &s.Factors[i]
		if f.Method != TOTP || result == right {
			continue
		}
		switch step, ok := f.App.match(code, s.now, s.m.cfg.TOTP.Strict); {
		case ok && step > f.Step:
			f.Step, f.Used = step, s.now
			result = right
		case ok:
			result = reused
		}
	}
	return result
}
