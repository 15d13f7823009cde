package twofa

import (
	"cmp"
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// ImportFactor is a confirmed authenticator app or phone of another product, for
// [ManagedUser.Import].
type ImportFactor struct {
	// Method is TOTP or SMS. If empty, it defaults to TOTP.
	Method Method
	// Name is the name that the user knows the factor by. Control characters are
	// removed, and it is cut to 128 bytes. If empty, it defaults to
	// "Authenticator app" or "Phone".
	Name string
	// Added is the time of enrollment. If it is zero, before 1970 or in the
	// future, it defaults to the time of the import.
	Added time.Time

	// Key is the key of an authenticator app in Base32. Lower case, spaces,
	// hyphens and missing padding are accepted. For TOTP, exactly one of Key,
	// KeyBytes and URI is required.
	Key Secret
	// KeyBytes is the key itself, of 10 to 128 bytes, for example decoded from
	// hexadecimal.
	KeyBytes Secret
	// URI is the otpauth address of the QR code. It also has the algorithm,
	// digits and period, so those fields must be zero.
	URI Secret
	// Algorithm is "SHA1", "SHA256" or "SHA512", in upper or lower case, also as
	// in "hmac-sha-1". If empty, it defaults to "SHA1", whatever [Config.TOTP]
	// says.
	Algorithm string
	// Digits is 6, 7 or 8. If zero, it defaults to 6.
	Digits int
	// Period is 15 to 120 seconds, in whole seconds. If zero, it defaults to 30
	// seconds.
	Period time.Duration

	// Phone is a phone number that the user has confirmed. It is required for
	// SMS. It must be one that [SMSConfig] allows.
	Phone string
	// Region is the ISO 3166-1 alpha-2 code of the country that is assumed if
	// Phone has no country code. If empty, Phone must have one.
	Region string
}

// ImportOutcome is what [ManagedUser.Import] did.
type ImportOutcome string

// The outcomes of an import. Only after ImportDone has anything changed.
const (
	// ImportDone means that all factors were imported.
	ImportDone ImportOutcome = "imported"
	// ImportRepeated means that the user was imported before and still has a
	// factor, which may be another one by now.
	ImportRepeated ImportOutcome = "imported_before"
	// ImportEnrolled means that the user has enrolled a factor here.
	ImportEnrolled ImportOutcome = "enrolled"
	// ImportTakenAway means that a factor was removed or reset here, so that an
	// import could bring back one that was lost or stolen.
	ImportTakenAway ImportOutcome = "taken_away"
)

// Import gives a user the factors that they have confirmed in another product.
// It imports all of them in one swap, or none. The user goes on with the same
// authenticator app. Codes of the current and the next period count as used,
// because the other product may have accepted them.
//
// Import never changes a user who has a factor, and never brings back a factor
// that was taken away: users who were imported before, or whose factors were
// removed or reset, are skipped, and the outcome says so. It can therefore be
// run again. Only [ManagedUser.Delete] forgets that a user was imported.
//
// Recovery codes cannot be imported. [Result.CodesMissing] and
// [Factors.CodesMissing] report that the user must be asked to generate some.
// Keys of less than 16 bytes are imported, and [Factor.Legacy] reports them.
//
// All sessions, pending logins and pending enrollments of the user become
// invalid, as after an enrollment. Only the host may call Import: one member of staff
// could otherwise give a user an authenticator whose codes they know. It records an
// event for each factor, with the reason. The user is not notified by mail. No policy
// is read.
//
// Errors: [ErrInvalid] with every problem of the factors, by field name, or for
// a malformed user ID; [ErrNotAllowed] if the actor is not [AsHost], or if the user
// does not exist; [ErrUnavailable], also if a phone is imported but
// [SMSConfig.Sender] is not set.
func (u *ManagedUser) Import(ctx context.Context, list ...ImportFactor) (ImportOutcome, error) {
	if u.by.kind != actorHost {
		return "", notAllowed("only AsHost may import, because a member of staff could import a key that they know")
	}
	if err := text.ValidateID("user", u.id); err != nil {
		return "", invalid("%w", err)
	}
	factors, err := u.m.importedFactors(list)
	if err != nil {
		return "", err
	}
	var outcome ImportOutcome
	err = u.m.update(ctx, Client{}, u.id, noPolicy, func(s *userTx) error {
		now, err := u.m.find(ctx, u.id)
		if err != nil {
			return err
		}
		if outcome = s.importOutcome(); outcome != ImportDone {
			return errUnchanged
		}
		s.setStamp(now)
		s.noteAddresses(now)
		s.newEpoch("")
		s.Imported = s.now
		for _, f := range factors {
			if f.Method == TOTP {
				f.Step = f.App.newestStep(s.now, s.m.cfg.TOTP.Strict)
			}
			s.Factors = append(s.Factors, f)
			s.emit(Event{Type: event.Imported, Method: f.Method, Detail: f.Name, Actor: u.by.event(), Reason: u.by.reason})
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	return outcome, nil
}

// importOutcome returns ImportDone if factors may be imported.
func (s *userTx) importOutcome() ImportOutcome {
	switch {
	case len(s.Factors) > 0 && s.Imported != 0:
		return ImportRepeated
	case len(s.Factors) > 0:
		return ImportEnrolled
	case s.Imported != 0 || s.TakenAway != 0 || s.Reset != nil:
		return ImportTakenAway
	}
	return ImportDone
}

// ImportUser is one user of [Manager.Import].
type ImportUser struct {
	ID      string         // ID of the user
	Factors []ImportFactor // factors of the user
}

// ImportResult is what [Manager.Import] did for one user.
type ImportResult struct {
	User    string        // ID of the user
	Outcome ImportOutcome // empty if there was an error
	Err     error         // an error of [ManagedUser.Import]; nothing has changed for this user
}

// Import calls [ManagedUser.Import] for each user and returns a result for each,
// in the same order. Users who are in the list twice are not imported and have an
// [ErrInvalid], because the second entry would be skipped and its factors lost.
// If ctx ends, the remaining users have an error.
func (m *Manager) Import(ctx context.Context, by Actor, users []ImportUser) []ImportResult {
	times := map[string]int{}
	for _, u := range users {
		times[u.ID]++
	}
	results := make([]ImportResult, len(users))
	for i, u := range users {
		r := ImportResult{User: u.ID}
		switch n := times[u.ID]; {
		case n > 1:
			r.Err = invalid("user %q is in the list %d times; put all factors of a user into one entry", text.Clean(u.ID, 255), n)
		case ctx.Err() != nil:
			r.Err = unavailable("import", ctx.Err())
		default:
			r.Outcome, r.Err = m.User(by, u.ID).Import(ctx, u.Factors...)
		}
		results[i] = r
	}
	return results
}

// importedFactors returns the factors as they are stored. The error is an
// ErrInvalid with every problem, or ErrUnavailable.
func (m *Manager) importedFactors(list []ImportFactor) ([]factor, error) {
	var p problems
	var factors []factor
	apps, phones, keys := 0, 0, map[string]bool{}
	for i, in := range list {
		f := factor{ID: seal.NewID(), Method: cmp.Or(in.Method, TOTP), Added: m.now()}
		f.Name = cmp.Or(text.Clean(in.Name, maxName), defaultName(f.Method))
		if added := unixTimeOf(in.Added); added > 0 && added < f.Added {
			f.Added = added
		}
		f.Used = f.Added
		var err error
		switch {
		case f.Method == SMS && in.keys() > 0, f.Method == TOTP && in.Phone != "":
			err = errors.New("must have either a key or a Phone, and the Method of it")
		case f.Method == TOTP:
			apps++
			if f.App, err = in.app(); err == nil && keys[f.App.Key] {
				err = errors.New("is the same as that of an earlier one, so each code could be used twice")
			}
			keys[f.App.Key] = true
		case f.Method == SMS:
			phones++
			var phone Phone
			phone, err = m.cfg.destination(in.Phone, in.Region)
			if errors.Is(err, ErrUnavailable) {
				return nil, err
			}
			if f.Phone = phone.E164; err != nil {
				err = errors.New("Phone: must be a mobile number of a country in Config.SMS.Countries")
			}
		default:
			err = fmt.Errorf("Method: must be TOTP or SMS, is %q", text.Clean(string(f.Method), 20))
		}
		if err != nil {
			p.add(fmt.Errorf("factor %d: %w", i+1, err))
		}
		factors = append(factors, f)
	}
	p.require(len(list) > 0, "factors: must be at least 1, are 0")
	p.require(apps <= maxFactors, "authenticator apps: must be at most %d, are %d", maxFactors, apps)
	p.require(phones <= 1, "phones: must be at most 1, are %d", phones)
	if err := p.err(); err != nil {
		return nil, invalid("%w", err)
	}
	return factors, nil
}

// keys returns how many keys are set.
func (f ImportFactor) keys() (n int) {
	for _, key := range []Secret{f.Key, f.KeyBytes, f.URI} {
		if !key.IsZero() {
			n++
		}
	}
	return n
}

// app returns the parameters of an authenticator app. No error contains its key.
func (f ImportFactor) app() (a totpParams, err error) {
	if n := f.keys(); n != 1 {
		return a, fmt.Errorf("exactly one of Key, KeyBytes and URI must be set, are %d", n)
	}
	if !f.URI.IsZero() {
		if f.Algorithm != "" || f.Digits != 0 || f.Period != 0 {
			return a, errors.New("with a URI, Algorithm, Digits and Period must be zero, because it has them")
		}
		if f, err = parseURI(f.URI.Reveal()); err != nil {
			return a, fmt.Errorf("otpauth address: %w", err)
		}
	}
	var p problems
	key := []byte(f.KeyBytes.Reveal())
	if !f.Key.IsZero() {
		key, err = parseKey(f.Key.Reveal())
		p.require(err == nil, "Key: %w", err)
	}
	a = totpParams{Key: base32.StdEncoding.EncodeToString(key), Digits: cmp.Or(f.Digits, 6), Period: int64(cmp.Or(f.Period, defaultPeriod) / time.Second)}
	var known bool
	a.Algorithm, known = parseAlgorithm(f.Algorithm)
	p.require(err != nil || len(key) >= minImportedKey && len(key) <= maxImportedKey, "Key: must be %d to %d bytes, is %d", minImportedKey, maxImportedKey, len(key))
	p.require(known, "Algorithm: must be SHA1, SHA256 or SHA512, is %q", text.Clean(f.Algorithm, 20))
	p.require(a.Digits >= 6 && a.Digits <= 8, "Digits: must be 6 to 8, is %d", f.Digits)
	p.require(isPeriod(cmp.Or(f.Period, defaultPeriod)), "Period: must be 15s to 2m in whole seconds, is %v", f.Period)
	return a, p.err()
}

// parseKey decodes Base32 as other products store and show it. Lengths that no
// whole number of bytes has are refused, because the key was probably cut.
func parseKey(s string) ([]byte, error) {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), r == '-':
			return -1
		case 'a' <= r && r <= 'z': // and no other letter, because some become ASCII
			return r - 'a' + 'A'
		}
		return r
	}, s)
	s = strings.TrimRight(s, "=")
	if rest := len(s) % 8; rest == 1 || rest == 3 || rest == 6 {
		return nil, fmt.Errorf("must be Base32, which is never %d characters long", len(s))
	}
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(s)
	if err != nil {
		return nil, errors.New("must be Base32, of A to Z and 2 to 7")
	}
	return key, nil
}

// parseAlgorithm returns the canonical name of a hash function.
func parseAlgorithm(s string) (name string, known bool) {
	if s == "" {
		return "SHA1", true
	}
	name = strings.TrimPrefix(strings.NewReplacer("-", "", "_", "").Replace(strings.ToUpper(s)), "HMAC")
	_, known = algorithms[name]
	return name, known
}

// parseURI parses an otpauth address. The label and the issuer are not used,
// because they name the account and not the device.
func parseURI(uri string) (f ImportFactor, err error) {
	u, err := url.Parse(strings.TrimSpace(uri))
	if err != nil || u.Scheme != "otpauth" {
		return f, errors.New("must be an otpauth address") // the cause would quote the key
	}
	if strings.ToLower(u.Host) != "totp" {
		return f, errors.New("must be of type totp, because codes of a counter are not supported")
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return f, errors.New("must have a query without errors")
	}
	for _, name := range []string{"secret", "algorithm", "digits", "period", "encoder"} {
		if len(q[name]) > 1 || name == "encoder" && q.Has(name) {
			return f, fmt.Errorf("%s: must not be there twice, and encoder not at all", name)
		}
	}
	f = ImportFactor{Key: NewSecret(q.Get("secret")), Algorithm: q.Get("algorithm")}
	if f.Key.IsZero() {
		return f, errors.New("secret: is missing")
	}
	if v := q.Get("digits"); v != "" {
		if f.Digits, err = strconv.Atoi(v); err != nil || f.Digits == 0 {
			return f, errors.New("digits: must be a number")
		}
	}
	if v := q.Get("period"); v != "" {
		seconds, err := strconv.ParseUint(v, 10, 16)
		if err != nil || seconds == 0 {
			return f, errors.New("period: must be a number of seconds")
		}
		f.Period = time.Duration(seconds) * time.Second
	}
	return f, nil
}
