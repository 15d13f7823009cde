package abuse

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/harness"
)

// asked returns a user who has every method and is challenged in a new browser.
// A text message has been sent.
func asked(t testing.TB) *person {
	t.Helper()
	w := newWorld(t, func(c *twofa.Config) {
		c.Policy = twofa.Policy{Methods: []twofa.Method{twofa.TOTP, twofa.SMS, twofa.EmailLink},
			Fallback: []twofa.Method{twofa.SMS, twofa.EmailLink}, Required: true}
	})
	p := w.person("ada")
	p.begin()
	require.NoError(t, p.send(twofa.EmailLink))
	require.NoError(t, p.verify(twofa.EmailLink, p.token()))
	p.enroll()
	require.NoError(t, p.stepUp(twofa.ActionFactors))
	e, err := p.Enroll(t.Context(), p.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: number})
	require.NoError(t, err)
	p.login.Challenge = e.Challenge
	require.NoError(t, p.took(p.Confirm(t.Context(), p.caller(), w.out.TextCode(t, number))))
	w.clock.Add(time.Hour)
	return p.another()
}

var allMethods = []twofa.Method{twofa.TOTP, twofa.SMS, twofa.EmailLink, twofa.RecoveryCode}

// An empty code never equals a value that is absent, not yet sent or expired.
func TestAbuse_D01_EmptyCode(t *testing.T) {
	sent := func(p *person, m twofa.Method) {
		if m == twofa.SMS || m == twofa.EmailLink {
			require.NoError(p.t, p.send(m))
		}
	}
	for _, m := range allMethods {
		for _, code := range []string{"", " ", "-", "\x00", strings.Repeat("-", 6), strings.Repeat(" ", 24)} {
			p := asked(t)
			require.Equal(t, allMethods, p.login.Methods)
			require.ErrorIs(t, p.verify(m, code), twofa.ErrInvalidCode, "nothing was sent")
			sent(p, m)
			require.ErrorIs(t, p.verify(m, code), twofa.ErrInvalidCode, "pending")
			p.clock.Add(5 * time.Minute)
			require.ErrorIs(t, p.verify(m, code), twofa.ErrInvalidCode, "expired")
			p.login.Challenge = twofa.Challenge{}
			require.ErrorIs(t, p.verify(m, code), twofa.ErrExpired, "no challenge")
		}
	}
}

// digitsOf writes a code in the script whose digits begin at zero.
func digitsOf(code string, zero rune) string {
	return strings.Map(func(r rune) rune { return r - '0' + zero }, code)
}

func TestAbuse_D04_D06_D07_CodesThatAreAlmostRight(t *testing.T) {
	for name, bend := range map[string]func(code string) string{
		"fullwidth":             func(c string) string { return digitsOf(c, '０') },
		"Arabic-Indic":          func(c string) string { return digitsOf(c, '٠') },
		"Devanagari":            func(c string) string { return digitsOf(c, '०') },
		"mathematical":          func(c string) string { return digitsOf(c, '𝟎') },
		"one digit fullwidth":   func(c string) string { return digitsOf(c[:1], '０') + c[1:] },
		"NUL behind":            func(c string) string { return c + "\x00" },
		"NUL before":            func(c string) string { return "\x00" + c },
		"line break behind":     func(c string) string { return c + "\r\n" },
		"line break inside":     func(c string) string { return c[:3] + "\n" + c[3:] },
		"tab":                   func(c string) string { return c[:3] + "\t" + c[3:] },
		"no-break space":        func(c string) string { return c[:3] + "\u00a0" + c[3:] },
		"zero-width space":      func(c string) string { return c[:3] + "\u200b" + c[3:] },
		"en dash":               func(c string) string { return c[:3] + "–" + c[3:] },
		"percent sign":          func(c string) string { return c + "%00" },
		"plus":                  func(c string) string { return "+" + c },
		"decimal":               func(c string) string { return c + ".0" },
		"exponent":              func(c string) string { return c[:1] + "." + c[1:] + "e5" },
		"underscore":            func(c string) string { return c[:3] + "_" + c[3:] },
		"zero before":           func(c string) string { return "0" + c },
		"cut":                   func(c string) string { return c[:5] },
		"twice":                 func(c string) string { return c + c },
		"several candidates":    func(c string) string { return "000000," + c },
		"JSON":                  func(c string) string { return `"` + c + `"` },
		"invalid UTF-8":         func(c string) string { return c + "\xff" },
		"a megabyte":            func(c string) string { return c + strings.Repeat(" ", 1<<20) },
		"a megabyte of hyphens": func(c string) string { return strings.Repeat("-", 1<<20) + c },
	} {
		for _, m := range []twofa.Method{twofa.TOTP, twofa.SMS} {
			t.Run(name+" "+string(m), func(t *testing.T) {
				p := asked(t)
				require.NoError(t, p.send(twofa.SMS))
				code := map[twofa.Method]string{twofa.TOTP: p.now(), twofa.SMS: p.out.TextCode(t, number)}[m]
				for range 20 {
					err := p.verify(m, bend(code))
					require.ErrorIs(t, err, twofa.ErrInvalidCode)
					require.ErrorIs(t, err, twofa.ErrMalformedCode)
					n, ok := twofa.AttemptsLeft(err)
					require.True(t, ok)
					require.Equal(t, 5, n, "it is not counted")
				}
				require.NoError(t, p.verify(m, code))
			})
		}
	}
}

// ASCII spaces and hyphens, which apps show for readability, are removed. What
// remains is the same code.
func TestAbuse_D05_SpacesAndHyphens(t *testing.T) {
	for _, form := range []string{"123 456", "123-456", " 123456 ", "12 34 56", "1-2-3-4-5-6"} {
		p := asked(t)
		code := p.now()
		written := strings.NewReplacer("1", code[:1], "2", code[1:2], "3", code[2:3], "4", code[3:4], "5", code[4:5], "6", code[5:]).Replace(form)
		again := p.another()
		require.NoError(t, p.verify(twofa.TOTP, written))
		require.ErrorIs(t, again.verify(twofa.TOTP, code), twofa.ErrInvalidCode)
		require.ErrorIs(t, again.verify(twofa.TOTP, written), twofa.ErrInvalidCode)
	}
}

func TestAbuse_D11_MethodsThatAreNotOffered(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	w.clock.Add(30 * time.Second)
	login := ada.another()
	for _, m := range []twofa.Method{"", "none", "unknown", "TOTP", "totp ", "browser", "password", "sso", "mfa", twofa.SMS, twofa.EmailLink} {
		for _, code := range []string{ada.now(), ada.codes[0], ""} {
			err := login.verify(m, code)
			require.True(t, isAny(err, twofa.ErrNotAllowed, twofa.ErrNotEnrolled), "%q: %v", m, err)
			require.ErrorIs(t, login.send(m), twofa.ErrNotAllowed)
		}
	}
	require.ErrorIs(t, login.verify(twofa.RecoveryCode, ada.now()), twofa.ErrInvalidCode, "no code is accepted by another method")
	require.ErrorIs(t, login.verify(twofa.TOTP, ada.codes[0]), twofa.ErrInvalidCode)
	require.NoError(t, login.verify(twofa.TOTP, ada.now()), "none of these attempts used up the code")
}

// damaged lists ways in which a record can come back changed.
var damaged = map[string]func(r *twofa.Record){
	"no data":                func(r *twofa.Record) { r.Data = nil },
	"half of the data":       func(r *twofa.Record) { r.Data = r.Data[:len(r.Data)/2] },
	"one byte more":          func(r *twofa.Record) { r.Data = append(r.Data, '0') },
	"one byte less":          func(r *twofa.Record) { r.Data = r.Data[:len(r.Data)-1] },
	"one bit":                func(r *twofa.Record) { r.Data[len(r.Data)/2] ^= 1 },
	"a bit of the nonce":     func(r *twofa.Record) { r.Data[12] ^= 1 },
	"a bit of the tag":       func(r *twofa.Record) { r.Data[len(r.Data)-1] ^= 1 },
	"another schema":         func(r *twofa.Record) { r.Data[0]++ },
	"another version":        func(r *twofa.Record) { r.Version += "x" },
	"another user's":         func(r *twofa.Record) { r.Key = strings.Replace(r.Key, "ada", "bob", 1) },
	"JSON of someone's tool": func(r *twofa.Record) { r.Data = []byte(`{"Factors":[]}`) },
	"far too much":           func(r *twofa.Record) { r.Data = append(r.Data, make([]byte, 1<<20)...) },
}

func TestAbuse_D16_DamagedRecord(t *testing.T) {
	for name, damage := range damaged {
		t.Run(name, func(t *testing.T) {
			w, store := newFault(t)
			ada := w.enrolled("ada")
			login := ada.another()
			store.Mangle = damage
			var problem *twofa.RecordError
			_, err := w.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword})
			for _, err := range []error{err, login.verify(twofa.TOTP, login.code()), login.verify(twofa.RecoveryCode, ada.codes[0]),
				ada.Check(t.Context(), ada.caller()), ada.stepUp("contacts.export"), ada.Remove(t.Context(), ada.caller(), "x")} {
				require.ErrorIs(t, err, twofa.ErrUnavailable)
				require.ErrorAs(t, err, &problem)
			}
			store.Mangle = nil
			require.NoError(t, login.verify(twofa.TOTP, login.code()), "the attempts changed nothing")
		})
	}
}

// ring parses a key ring.
func ring(t testing.TB, text string) twofa.KeyRing {
	t.Helper()
	keys, err := twofa.ParseKeyRing(text)
	require.NoError(t, err)
	return keys
}

// The old key is removed from the ring after one write under the new key. That
// write is enough, because nothing in the record stays under the old key.
func TestAbuse_D16_SecretsOfARemovedKey(t *testing.T) {
	before, after := twofa.GenerateKeyRing().Reveal(), twofa.GenerateKeyRing().Reveal()
	w := newWorld(t, func(c *twofa.Config) { c.Keys = ring(t, before) })
	ada := w.enrolled("ada")
	server := func(text string) *twofa.Manager {
		w.cfg.Keys = ring(t, text)
		return w.again()
	}
	rotating, late := server(after+","+before), server(after)
	login := ada.on(rotating).stranger()
	login.begin()
	stored := w.record("ada")
	for range 10 {
		var problem *twofa.RecordError
		require.ErrorAs(t, login.on(late).verify(twofa.TOTP, login.now()), &problem)
		require.ErrorIs(t, login.on(late).verify(twofa.RecoveryCode, ada.codes[0]), twofa.ErrUnavailable)
	}
	require.Equal(t, stored, w.record("ada"), "nothing was counted")
	login.misses(1, twofa.TOTP)
	require.NoError(t, ada.on(late).stranger().hit(), "nothing is lost")
	require.NoError(t, ada.on(late).another().verify(twofa.RecoveryCode, ada.codes[0]))
}

// After Rekey the old key is no longer needed, and nothing else has changed.
func TestAbuse_Q03_Rekey(t *testing.T) {
	before, after := twofa.GenerateKeyRing().Reveal(), twofa.GenerateKeyRing().Reveal()
	w := newWorld(t, func(c *twofa.Config) { c.Keys = ring(t, before) })
	w.policy("acme", twofa.PolicyAuthenticator())
	ada := w.enrolled("ada")
	w.events = nil
	w.cfg.Keys = ring(t, after+","+before)
	rush(t, 10, w.servers(2), func(m *twofa.Manager, i int) error { return m.Rekey(t.Context(), "ada", "acme") })
	stored := w.record("ada")
	require.NoError(t, w.again().Rekey(t.Context(), "ada", "acme"))
	require.Equal(t, stored, w.record("ada"), "one call is enough")
	require.NoError(t, w.again().Rekey(t.Context(), "nobody", "none"), "there is nothing to do")
	require.NoError(t, w.again().Rekey(t.Context(), "", ""))
	require.ErrorIs(t, w.again().Rekey(t.Context(), "a\nb", ""), twofa.ErrInvalid)
	require.Empty(t, w.types())

	w.cfg.Keys = ring(t, after)
	w.Manager = w.again()
	info, err := w.Account(twofa.AsHost("test"), "acme").Policy(t.Context())
	require.NoError(t, err)
	require.Equal(t, twofa.PolicyAuthenticator(), info.Policy)
	require.NoError(t, ada.another().hit())
	require.NoError(t, ada.another().verify(twofa.RecoveryCode, ada.codes[0]))
}

func TestAbuse_D17_SpellingsOfARecoveryCode(t *testing.T) {
	plain := strings.NewReplacer("-", "")
	spellings := []func(code string) string{
		strings.ToLower, plain.Replace, strings.NewReplacer("-", " ").Replace, strings.NewReplacer("-", "--").Replace,
		strings.NewReplacer("0", "O", "1", "I").Replace, strings.NewReplacer("0", "o", "1", "l", "-", "").Replace,
		func(code string) string { return " " + code + " " }, strings.Clone,
	}
	ada := newWorld(t).enrolled("ada")
	for i, spell := range spellings {
		logins := ada.begun(2)
		require.NoError(t, logins[0].verify(twofa.RecoveryCode, spell(ada.codes[i])))
		next := spellings[(i+1)%len(spellings)]
		require.ErrorIs(t, logins[1].verify(twofa.RecoveryCode, next(ada.codes[i])), twofa.ErrInvalidCode)
	}
	login, last := ada.another(), ada.codes[9]
	for _, code := range []string{plain.Replace(last)[1:], last + last, strings.Repeat("-", 1<<20) + last} {
		require.ErrorIs(t, login.verify(twofa.RecoveryCode, code), twofa.ErrInvalidCode)
	}
	require.NoError(t, login.verify(twofa.RecoveryCode, last))
}

// isAny reports whether err is one of the targets.
func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// FuzzAbuse_D18_Proof tries any text as a code, by any method. Only the right
// code succeeds, and nothing panics.
func FuzzAbuse_D18_Proof(f *testing.F) {
	for _, code := range []string{"", "287082", "287 082", "2870\x0082", "O0I1-L", "\xff", strings.Repeat("A", 24), strings.Repeat("-", 97)} {
		f.Add("totp", code)
		f.Add("recovery", code)
		f.Add("email", code)
		f.Add(code, code)
	}
	f.Fuzz(func(t *testing.T, method, code string) {
		login := newWorld(t).enrolled("ada").another()
		right := login.code() == strings.NewReplacer(" ", "", "-", "").Replace(code)
		require.Equal(t, right && method == "totp", login.verify(twofa.Method(method), code) == nil)
	})
}

// FuzzAbuse_D18_Token tries any text as a sealed token of any kind.
func FuzzAbuse_D18_Token(f *testing.F) {
	for _, token := range []string{"", ".", "test1.", "test1.AAAA"} {
		f.Add(token, 0, byte(0))
	}
	f.Add("", 3, byte(1))
	f.Fuzz(func(t *testing.T, token string, at int, bits byte) {
		w := newWorld(t)
		ada := w.enrolled("ada")
		if bits != 0 { // or a valid token with one change
			b := []byte(ada.session.Reveal())
			b[uint(at)%uint(len(b))] ^= bits
			token = string(b)
		}
		c := twofa.Caller{Session: twofa.ParseSession(token), Challenge: twofa.ParseChallenge(token), Client: ada.client}
		notSignedIn(t, w.Check(t.Context(), c))
		_, err := w.Enroll(t.Context(), c, twofa.EnrollRequest{})
		notSignedIn(t, err)
		_, err = w.Verify(t.Context(), ada.caller(), c.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(ada.now())})
		require.ErrorIs(t, err, twofa.ErrExpired)
		require.ErrorIs(t, w.Cancel(t.Context(), ada.client, c.Challenge), twofa.ErrExpired)
	})
}

// FuzzAbuse_D18_Keys parses key rings. A ring that parses works.
func FuzzAbuse_D18_Keys(f *testing.F) {
	for _, text := range []string{"", "a", "a:", ":", "a:AAAA", "a:b,c:d", twofa.GenerateKeyRing().Reveal(), twofa.GenerateKeyRing().Reveal() + "," + twofa.GenerateKeyRing().Reveal()} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := twofa.ParseKeyRing(text)
		if err != nil {
			require.Less(t, len(err.Error()), 150)
			if len(text) > 20 {
				require.NotContains(t, err.Error(), text[len(text)-20:], "the error does not repeat the input")
			}
			return
		}
		w := newWorld(t, func(c *twofa.Config) { c.Keys = keys })
		require.Equal(t, twofa.NextDone, w.person("ada").begin())
	})
}

// After RekeyRecords no record remains under the old key, whatever its kind, and
// one that cannot be read stops nothing.
func TestAbuse_Q03_RekeyRecords(t *testing.T) {
	before, after := twofa.GenerateKeyRing().Reveal(), twofa.GenerateKeyRing().Reveal()
	w := newWorld(t, byText, func(c *twofa.Config) { c.Keys = ring(t, before) })
	require.NoError(t, w.Ready(t.Context()))
	w.policy("beta", twofa.PolicySMS())
	w.withPhone("ada", "+41791234567")
	w.person("bob").begin()
	w.setUser("corrupt", func(u *twofa.User) {
		*u = twofa.User{ID: "corrupt", Emails: []string{"corrupt@example.com"}, Members: []twofa.Member{{Account: "acme"}}}
	})
	w.person("corrupt").begin()
	broken := w.stored("corrupt")
	require.NoError(t, w.cfg.Store.Swap(t.Context(), broken.Version, twofa.Record{Key: broken.Key, Version: "v", Data: broken.Data}))
	require.NoError(t, w.cfg.Store.Swap(t.Context(), "", twofa.Record{Key: "later/1", Version: "v", Data: broken.Data}))
	keys, err := w.cfg.Store.(twofa.KeyLister).Keys(t.Context(), "", 1000)
	require.NoError(t, err)
	numbers := 0
	for _, key := range keys {
		if strings.HasPrefix(key, "number/") {
			numbers++
		}
	}
	require.Positive(t, numbers)
	w.events = nil

	w.cfg.Keys = ring(t, after+","+before)
	m := w.again()
	done, err := m.RekeyRecords(t.Context(), append(keys, "user/nobody")...)
	require.NoError(t, err)
	require.Equal(t, 4, done.Rekeyed, "config, beta, ada and bob")
	require.Equal(t, numbers, done.Deleted)
	require.Zero(t, done.Current)
	require.Len(t, done.Failed, 2)
	for i, key := range []string{"later/1", "user/corrupt"} {
		require.Equal(t, key, done.Failed[i].Key)
		_, unreadable := errors.AsType[*twofa.RecordError](done.Failed[i].Err)
		require.True(t, unreadable)
	}
	done, err = m.RekeyRecords(t.Context(), keys...)
	require.NoError(t, err)
	require.Equal(t, 4, done.Current, "once is enough")
	require.Zero(t, done.Rekeyed+done.Deleted)
	require.Empty(t, w.types())

	_, err = m.RekeyRecords(t.Context(), make([]string, 1001)...)
	require.ErrorIs(t, err, twofa.ErrInvalid)
	w.cfg.Keys = ring(t, after)
	for _, id := range []string{"ada", "bob"} {
		_, err := w.again().User(twofa.AsHost("test"), id).Export(t.Context())
		require.NoError(t, err)
	}
	require.NoError(t, w.again().Ready(t.Context()))
}

// If the store fails, RekeyRecords reports the error and what it has done.
func TestAbuse_R01_RekeyRecordsFails(t *testing.T) {
	before, after := twofa.GenerateKeyRing().Reveal(), twofa.GenerateKeyRing().Reveal()
	w := newWorld(t, func(c *twofa.Config) { c.Keys = ring(t, before) })
	w.enrolled("ada")
	w.enrolled("bob")
	keys := []string{"user/ada", "user/bob"}
	w.cfg.Keys = ring(t, after+","+before)
	store := &harness.FaultStore{Store: w.cfg.Store, Refuse: func(next twofa.Record) error {
		if next.Key == "user/bob" {
			return errors.New("disk full")
		}
		return nil
	}}
	m := w.with(func(c *twofa.Config) { c.Store = store })
	done, err := m.RekeyRecords(t.Context(), keys...)
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.Equal(t, twofa.RekeyResult{Rekeyed: 1}, done)
	store.Read = func([]string) error { return errors.New("down") }
	_, err = m.RekeyRecords(t.Context(), keys...)
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	store.Read, store.Refuse = nil, nil
	done, err = m.RekeyRecords(t.Context(), keys...)
	require.NoError(t, err)
	require.Equal(t, twofa.RekeyResult{Rekeyed: 1, Current: 1}, done)
}
