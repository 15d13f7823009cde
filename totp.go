package twofa

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"time"

	"github.com/twofa-go/twofa/internal/seal"
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
	var p problems
	_, known := algorithms[c.Algorithm]
	p.require(known, "TOTP.Algorithm: must be SHA1, SHA256 or SHA512, is %q", c.Algorithm)
	p.require(c.Digits >= 6 && c.Digits <= 8, "TOTP.Digits: must be 6 to 8, is %d", c.Digits)
	p.require(c.Period >= 15*time.Second && c.Period <= 2*time.Minute && c.Period%time.Second == 0,
		"TOTP.Period: must be 15s to 2m in whole seconds, is %v", c.Period)
	p.require(c.SecretSize >= minKey && c.SecretSize <= 64, "TOTP.SecretSize: must be %d to 64, is %d", minKey, c.SecretSize)
	return p.err()
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

// totpParams is what an authenticator app computes codes from. It is kept whole with
// each, so that a change of [Config.TOTP] concerns new ones only.
type totpParams struct {
	Key       string
	Algorithm string
	Digits    int
	Period    int64 // seconds
}

func (a *totpParams) encodeOrDecode(w *seal.Codec) {
	seal.Text(w, &a.Key)
	seal.Text(w, &a.Algorithm)
	seal.Int(w, &a.Digits)
	seal.Int64(w, &a.Period)
}

func (a totpParams) valid() bool {
	c := TOTPConfig{Algorithm: a.Algorithm, Digits: a.Digits, Period: time.Duration(a.Period) * time.Second, SecretSize: len(a.Key)}
	return c.validate() == nil
}

// key is as apps take it: in Base32.
func (a totpParams) key() string { return secretEncoding.EncodeToString([]byte(a.Key)) }

func (a totpParams) step(now unixTime) int64 { return int64(now) / a.Period }

// code is that of a time step: HOTP, RFC 4226, section 5.3.
func (a totpParams) code(step int64) []byte {
	mac := hmac.New(algorithms[a.Algorithm], []byte(a.Key))
	var buf [sha512.Size]byte
	mac.Write(binary.BigEndian.AppendUint64(buf[:0], uint64(step)))
	sum := mac.Sum(buf[:0])
	value := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&0xf:]) & 0x7fffffff
	code := make([]byte, a.Digits)
	for i := len(code) - 1; i >= 0; i-- {
		code[i] = '0' + byte(value%10)
		value /= 10
	}
	return code
}

// is reports whether a typed code is that of a step.
func (a totpParams) codeMatches(code string, step int64) bool {
	return step >= 0 && subtle.ConstantTimeCompare(a.code(step), []byte(code)) == 1
}

var algorithms = map[string]func() hash.Hash{"SHA1": sha1.New, "SHA256": sha256.New, "SHA512": sha512.New}

var secretEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)
