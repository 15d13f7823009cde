package abuse

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

const (
	key20 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // "12345678901234567890"
	uri20 = "otpauth://totp/Old:ada%40example.com?secret=" + key20 + "&issuer=Old"
)

func imported(key string) twofa.ImportFactor { return twofa.ImportFactor{Key: twofa.NewSecret(key)} }

// app returns the user as the owner of an app of another product.
func (w *world) app(id, uri string) *person {
	p := w.person(id)
	p.uri = uri
	return p
}

func (w *world) importAs(by twofa.Actor, id string, list ...twofa.ImportFactor) (twofa.ImportOutcome, error) {
	return w.User(by, id).Import(w.t.Context(), list...)
}

func (w *world) mustImport(id string, list ...twofa.ImportFactor) {
	w.t.Helper()
	outcome, err := w.importAs(twofa.AsHost("migration"), id, list...)
	require.NoError(w.t, err)
	require.Equal(w.t, twofa.ImportDone, outcome)
}

// An imported app is asked for at the next login, and proves every step after
// those that the other product may have accepted.
func TestImport_AppSignsIn(t *testing.T) {
	for _, strict := range []bool{false, true} {
		t.Run(fmt.Sprint("strict ", strict), func(t *testing.T) {
			w := newWorld(t, func(c *twofa.Config) { c.TOTP.Strict = strict })
			w.mustImport("ada", imported(key20))
			ada := w.app("ada", uri20)
			require.Equal(t, twofa.NextChallenge, ada.begin())
			require.Equal(t, []twofa.Method{twofa.TOTP}, ada.login.Methods)
			require.ErrorIs(t, ada.verify(twofa.TOTP, ada.now()), twofa.ErrInvalidCode, "the code of this period may be used up")
			code := ada.code()
			if !strict {
				require.ErrorIs(t, ada.verify(twofa.TOTP, code), twofa.ErrInvalidCode, "and so may that of the next one")
				code = ada.code()
			}
			require.NoError(t, ada.verify(twofa.TOTP, code))
			require.Equal(t, twofa.NextDone, ada.login.Next)
			require.True(t, ada.login.CodesMissing)
			require.NoError(t, ada.Check(t.Context(), ada.caller()))
		})
	}
}

// After an import, the user is asked to save recovery codes until that is done.
func TestImport_CodesAreMissingUntilSaved(t *testing.T) {
	w := newWorld(t)
	w.mustImport("ada", imported(key20))
	ada := w.app("ada", uri20)
	login := func() {
		t.Helper()
		w.clock.Add(time.Minute)
		require.Equal(t, twofa.NextChallenge, ada.begin())
		require.NotContains(t, ada.login.Methods[1:], twofa.EmailLink)
		require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	}
	login()
	require.True(t, ada.login.CodesMissing)
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.True(t, f.CodesMissing)
	e, err := ada.RegenerateCodes(t.Context(), ada.caller())
	require.NoError(t, err)
	ada.keep(e)
	login()
	require.True(t, ada.login.CodesMissing, "the codes are not saved yet")
	_, err = ada.RegenerateCodes(t.Context(), ada.caller())
	require.NoError(t, err)
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	f, err = ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.False(t, f.CodesMissing)
	login()
	require.False(t, ada.login.CodesMissing)

	bob := w.enrolled("bob")
	require.False(t, bob.login.CodesMissing)
	none := newWorld(t, func(c *twofa.Config) { c.Recovery.Codes = twofa.NoRecoveryCodes })
	none.mustImport("ada", imported(key20))
	eve := none.app("ada", uri20)
	none.clock.Add(time.Minute)
	eve.begin()
	require.NoError(t, eve.verify(twofa.TOTP, eve.code()))
	require.False(t, eve.login.CodesMissing, "this host has no recovery codes")
}

// Keys come in many spellings. All of these are the same key.
func TestImport_Spellings(t *testing.T) {
	raw := "12345678901234567890"
	key := twofa.NewSecret
	for name, in := range map[string]twofa.ImportFactor{
		"Base32":              {Key: key(key20)},
		"lower case":          {Key: key(strings.ToLower(key20))},
		"groups":              {Key: key("gezd gnbv gy3t qojq gezd gnbv gy3t qojq")},
		"hyphens":             {Key: key("GEZD-GNBV-GY3T-QOJQ-GEZD-GNBV-GY3T-QOJQ")},
		"space around it":     {Key: key("\t" + key20 + "\r\n")},
		"no-break spaces":     {Key: key(strings.ReplaceAll("GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ", " ", "\u00a0"))},
		"bytes":               {KeyBytes: key(raw)},
		"address":             {URI: key(uri20)},
		"address, all fields": {URI: key("otpauth://TOTP/ada?secret=" + strings.ToLower(key20) + "&algorithm=sha1&digits=6&period=30&image=x")},
		"fields":              {Method: twofa.TOTP, Key: key(key20), Algorithm: "hmac-sha-1", Digits: 6, Period: 30 * time.Second},
		"old Java name":       {Key: key(key20), Algorithm: "HmacSHA1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mustImport("ada", in)
			ada := w.app("ada", uri20)
			w.clock.Add(time.Minute)
			ada.begin()
			require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
		})
	}
	for name, c := range map[string]struct {
		in  twofa.ImportFactor
		uri string
	}{
		"padding, 16 bytes": {imported("GEZDGNBVGY3TQOJQGEZDGNBVGY======"), "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY"},
		"padding left out":  {imported("GEZDGNBVGY3TQOJQGEZDGNBVGY"), "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY"},
		"other fields": {twofa.ImportFactor{Key: key(key20), Algorithm: "sha512", Digits: 8, Period: time.Minute},
			"otpauth://totp/x?secret=" + key20 + "&algorithm=SHA512&digits=8&period=60"},
		"other fields in the address": {twofa.ImportFactor{URI: key("otpauth://totp/x?secret=" + key20 + "&algorithm=SHA256&digits=8&period=60")},
			"otpauth://totp/x?secret=" + key20 + "&algorithm=SHA256&digits=8&period=60"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.mustImport("ada", c.in)
			ada := w.app("ada", c.uri)
			w.clock.Add(3 * time.Minute)
			ada.begin()
			require.NoError(t, ada.verify(twofa.TOTP, ada.now()))
		})
	}
}

// Bad input is refused with a report that names the factor, the field and the
// rule, and no key. Nothing is stored, even if the other factors are right.
func TestImport_BadInput(t *testing.T) {
	w := newWorld(t)
	key := twofa.NewSecret
	bytes := func(n int) twofa.Secret { return key(strings.Repeat("k", n)) }
	b32 := base32.StdEncoding.EncodeToString([]byte("nine byte"))
	for name, c := range map[string]struct {
		want string
		in   []twofa.ImportFactor
	}{
		"nothing":            {"factors: must be at least 1", nil},
		"no key":             {"exactly one of Key, KeyBytes and URI must be set, are 0", []twofa.ImportFactor{{}}},
		"only padding":       {"Key: must be 10 to 128 bytes, is 0", []twofa.ImportFactor{imported("====")}},
		"two keys":           {"must be set, are 2", []twofa.ImportFactor{{Key: key(key20), KeyBytes: bytes(20)}}},
		"zero digit":         {"must be Base32, of A to Z and 2 to 7", []twofa.ImportFactor{imported("GEZDGNBVGY3TQOJ0")}},
		"hexadecimal":        {"must be Base32", []twofa.ImportFactor{imported("3132333435363738393031323334353637383930")}},
		"letter that is not": {"must be Base32", []twofa.ImportFactor{imported("GEZDGNBVGY3TQOJſ")}},
		"padding inside":     {"must be Base32", []twofa.ImportFactor{imported("GEZDGNBV=GY3TQOJQ")}},
		"cut key":            {"never 11 characters long", []twofa.ImportFactor{imported("GEZDGNBVGY3")}},
		"cut by one":         {"never 17 characters long", []twofa.ImportFactor{imported("GEZDGNBVGY3TQOJQG")}},
		"short":              {"must be 10 to 128 bytes, is 9", []twofa.ImportFactor{imported(b32)}},
		"short bytes":        {"must be 10 to 128 bytes, is 9", []twofa.ImportFactor{{KeyBytes: bytes(9)}}},
		"long bytes":         {"must be 10 to 128 bytes, is 129", []twofa.ImportFactor{{KeyBytes: bytes(129)}}},
		"MD5":                {`Algorithm: must be SHA1, SHA256 or SHA512, is "md5"`, []twofa.ImportFactor{{Key: key(key20), Algorithm: "md5"}}},
		"SHA3":               {"Algorithm: must be", []twofa.ImportFactor{{Key: key(key20), Algorithm: "SHA3-256"}}},
		"Steam":              {"Digits: must be 6 to 8, is 5", []twofa.ImportFactor{{Key: key(key20), Digits: 5}}},
		"minus digits":       {"Digits: must be 6 to 8, is -6", []twofa.ImportFactor{{Key: key(key20), Digits: -6}}},
		"period 30":          {"Period: must be 15s to 2m", []twofa.ImportFactor{{Key: key(key20), Period: 30}}},
		"endless period":     {"Period: must be 15s to 2m", []twofa.ImportFactor{{Key: key(key20), Period: time.Hour}}},
		"HOTP":               {"must be of type totp", []twofa.ImportFactor{{URI: key("otpauth://hotp/x?secret=" + key20 + "&counter=1")}}},
		"web address":        {"must be an otpauth address", []twofa.ImportFactor{{URI: key("https://totp/x?secret=" + key20)}}},
		"broken address":     {"must be an otpauth address", []twofa.ImportFactor{{URI: key("otpauth://totp/%zz?secret=" + key20)}}},
		"broken query":       {"query without errors", []twofa.ImportFactor{{URI: key("otpauth://totp/x?secret=" + key20 + "&a=%zz")}}},
		"no secret":          {"secret: is missing", []twofa.ImportFactor{{URI: key("otpauth://totp/x?issuer=Old")}}},
		"two secrets":        {"secret: must not be there twice", []twofa.ImportFactor{{URI: key(uri20 + "&secret=" + key20)}}},
		"Steam address":      {"encoder", []twofa.ImportFactor{{URI: key(uri20 + "&encoder=steam")}}},
		"digits in words":    {"digits: must be a number", []twofa.ImportFactor{{URI: key(uri20 + "&digits=six")}}},
		"no digits":          {"digits: must be a number", []twofa.ImportFactor{{URI: key(uri20 + "&digits=0")}}},
		"period in words":    {"period: must be a number", []twofa.ImportFactor{{URI: key(uri20 + "&period=30s")}}},
		"minus period":       {"period: must be a number", []twofa.ImportFactor{{URI: key(uri20 + "&period=-30")}}},
		"address and digits": {"Algorithm, Digits and Period must be zero", []twofa.ImportFactor{{URI: key(uri20), Digits: 6}}},
		"email link":         {`Method: must be TOTP or SMS, is "email"`, []twofa.ImportFactor{{Method: twofa.EmailLink}}},
		"recovery codes":     {"Method: must be TOTP or SMS", []twofa.ImportFactor{{Method: twofa.RecoveryCode}}},
		"premium number":     {"factor 1: Phone: must be a mobile number", []twofa.ImportFactor{{Method: twofa.SMS, Phone: "+41900123456"}}},
		"another country":    {"Phone: must be a mobile number", []twofa.ImportFactor{{Method: twofa.SMS, Phone: "+33612345678"}}},
		"no number":          {"Phone: must be a mobile number", []twofa.ImportFactor{{Method: twofa.SMS}}},
		"phone with a key":   {"must have either a key or a Phone", []twofa.ImportFactor{{Method: twofa.SMS, Phone: "+41791234567", Key: key(key20)}}},
		"app with a phone":   {"must have either a key or a Phone", []twofa.ImportFactor{{Phone: "+41791234567", Key: key(key20)}}},
		"phone, no method":   {"must have either a key or a Phone", []twofa.ImportFactor{{Phone: "+41791234567"}}},
		"two phones":         {"phones: must be at most 1, are 2", []twofa.ImportFactor{{Method: twofa.SMS, Phone: "+41791234567"}, {Method: twofa.SMS, Phone: "+41791234568"}}},
		"six apps":           {"authenticator apps: must be at most 5, are 6", make([]twofa.ImportFactor, 6)},
		"one key twice":      {"factor 2: is the same as that of an earlier one", []twofa.ImportFactor{imported(key20), {URI: key(uri20 + "&digits=8")}}},
		"one good, one bad":  {"factor 2: Key: must be Base32", []twofa.ImportFactor{imported(key20), imported("no!")}},
	} {
		t.Run(name, func(t *testing.T) {
			outcome, err := w.importAs(twofa.AsHost("migration"), "ada", c.in...)
			require.ErrorIs(t, err, twofa.ErrInvalid)
			require.ErrorContains(t, err, c.want)
			require.Empty(t, outcome)
			for _, secret := range []string{key20, strings.ToLower(key20), "GEZDG", "12345678901234567890"} {
				require.NotContains(t, err.Error(), secret)
			}
			require.Empty(t, w.types())
			require.Equal(t, twofa.NextDone, w.person("ada").begin())
			w.mu.Lock()
			w.events = nil
			w.mu.Unlock()
		})
	}
	_, err := w.importAs(twofa.AsHost("migration"), " ada", imported(key20))
	require.ErrorIs(t, err, twofa.ErrInvalid)
	_, err = w.importAs(twofa.AsHost("migration"), "ada", imported("!"), imported("?"), twofa.ImportFactor{Method: twofa.SMS})
	for _, part := range []string{"factor 1", "factor 2", "factor 3"} {
		require.ErrorContains(t, err, part, "one error has all problems")
	}
}

// One member of staff could import an authenticator whose codes they know, and with
// it lock out a user who has none. Only the host may import.
func TestAbuse_N01_OnlyTheHostImports(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	for name, by := range map[string]twofa.Actor{"nobody": {}, "the user": twofa.AsUser(ada.caller(), "x"), "staff": twofa.AsStaff("s1", "ticket 7"), "staff without a name": twofa.AsStaff("", "x")} {
		for _, id := range []string{"ada", "bob"} {
			_, err := w.importAs(by, id, imported(key20))
			require.ErrorIs(t, err, twofa.ErrNotAllowed, name)
			require.ErrorIs(t, w.Import(t.Context(), by, []twofa.ImportUser{{ID: id, Factors: []twofa.ImportFactor{imported(key20)}}})[0].Err, twofa.ErrNotAllowed, name)
			if name == "staff" {
				continue // who may export
			}
			_, err = w.User(by, id).Export(t.Context())
			require.ErrorIs(t, err, twofa.ErrNotAllowed, name)
		}
	}
	_, err := w.importAs(twofa.AsHost("x"), "nobody", imported(key20))
	require.ErrorIs(t, err, twofa.ErrUnavailable, "this directory fails for unknown users")
	outcome, err := w.importAs(twofa.AsHost("ticket 7"), "bob", imported(key20))
	require.NoError(t, err)
	require.Equal(t, twofa.ImportDone, outcome)
}

// Each imported factor has an event with the actor and the reason. Nobody is
// told by mail.
func TestImport_Events(t *testing.T) {
	w := newWorld(t)
	name := twofa.ImportFactor{Key: twofa.NewSecret(key20), Name: "Ada's\u202e phone\n", Added: w.clock.Now().Add(-1000 * time.Hour)}
	_, err := w.importAs(twofa.AsHost("ticket 7"), "ada", name, twofa.ImportFactor{Method: twofa.SMS, Phone: "+41 79 123 45 67"})
	require.NoError(t, err)
	w.mustImport("bob", imported(key20))
	require.Len(t, w.events, 3)
	for i, want := range []twofa.Event{
		{User: "ada", Method: twofa.TOTP, Detail: "Ada's phone", Actor: twofa.EventActor{Kind: "host"}, Reason: "ticket 7"},
		{User: "ada", Method: twofa.SMS, Detail: "Phone", Actor: twofa.EventActor{Kind: "host"}, Reason: "ticket 7"},
		{User: "bob", Method: twofa.TOTP, Detail: "Authenticator app", Actor: twofa.EventActor{Kind: "host"}, Reason: "migration"},
	} {
		got := w.events[i]
		require.Equal(t, event.Imported, got.Type)
		got.ID, got.Seq, got.Time, got.Type, got.MAC = "", 0, time.Time{}, "", nil
		require.Equal(t, want, got)
	}
}

// An import is run again without harm: it never changes a user who has a factor,
// and never brings back one that was taken away.
func TestImport_AgainAndAfterRemoval(t *testing.T) {
	again := func(t *testing.T, w *world, id string) twofa.ImportOutcome {
		t.Helper()
		w.events = nil
		var before []byte
		if records, err := w.store.Get(t.Context(), "user/"+id); err == nil && len(records) == 1 {
			before = records[0].Data
		}
		outcome, err := w.importAs(twofa.AsHost("migration"), id, imported(key20))
		require.NoError(t, err)
		if outcome != twofa.ImportDone {
			records, err := w.store.Get(t.Context(), "user/"+id)
			require.NoError(t, err)
			require.Equal(t, before, records[0].Data, "a skipped user is not written")
			require.Empty(t, w.events)
		}
		return outcome
	}
	signedIn := func(t *testing.T, w *world) *person {
		t.Helper()
		w.mustImport("ada", imported(key20))
		w.clock.Add(time.Minute)
		ada := w.app("ada", uri20)
		ada.begin()
		require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
		return ada
	}
	remove := func(t *testing.T, p *person) {
		t.Helper()
		f, err := p.Factors(t.Context(), p.caller())
		require.NoError(t, err)
		require.NoError(t, p.Remove(t.Context(), p.caller(), f.List[0].ID))
	}
	t.Run("at once", func(t *testing.T) {
		w := newWorld(t)
		w.mustImport("ada", imported(key20))
		require.Equal(t, twofa.ImportRepeated, again(t, w, "ada"))
	})
	t.Run("after the login", func(t *testing.T) {
		w := newWorld(t)
		ada := signedIn(t, w)
		require.Equal(t, twofa.ImportRepeated, again(t, w, "ada"))
		require.NoError(t, ada.Check(t.Context(), ada.caller()), "a skipped import ends no session")
	})
	t.Run("after it was removed", func(t *testing.T) {
		w := newWorld(t)
		remove(t, signedIn(t, w))
		require.Equal(t, twofa.ImportTakenAway, again(t, w, "ada"))
		require.Equal(t, twofa.NextDone, w.person("ada").begin())
	})
	t.Run("after one of two was removed, and then the other", func(t *testing.T) {
		w := newWorld(t)
		w.mustImport("ada", imported(key20), imported(strings.Repeat("A", 32)))
		w.clock.Add(time.Minute)
		ada := w.app("ada", uri20)
		ada.begin()
		require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
		remove(t, ada)
		require.Equal(t, twofa.ImportRepeated, again(t, w, "ada"))
		require.NoError(t, ada.User(twofa.AsHost("x"), "ada").Revoke(t.Context()))
		ada.uri = "otpauth://totp/x?secret=" + strings.Repeat("A", 32)
		ada.begin()
		require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
		remove(t, ada)
		require.Equal(t, twofa.ImportTakenAway, again(t, w, "ada"))
	})
	t.Run("after a reset", func(t *testing.T) {
		w := newWorld(t)
		signedIn(t, w)
		require.NoError(t, w.User(twofa.AsHost("lost"), "ada").Reset(t.Context(), twofa.ResetRequest{}))
		require.Equal(t, twofa.ImportTakenAway, again(t, w, "ada"))
	})
	t.Run("after a reset and another enrollment", func(t *testing.T) {
		w := newWorld(t)
		signedIn(t, w)
		require.NoError(t, w.User(twofa.AsHost("lost"), "ada").Reset(t.Context(), twofa.ResetRequest{InPerson: true}))
		ada := w.enrolled("ada")
		require.Equal(t, twofa.ImportRepeated, again(t, w, "ada"))
		ada.clock.Add(time.Minute)
		require.NoError(t, ada.stepUp(twofa.ActionFactors))
		remove(t, ada)
		require.Equal(t, twofa.ImportTakenAway, again(t, w, "ada"))
	})
	t.Run("a reset before the first import", func(t *testing.T) {
		w := newWorld(t)
		require.NoError(t, w.User(twofa.AsHost("lost"), "ada").Reset(t.Context(), twofa.ResetRequest{}))
		require.Equal(t, twofa.ImportTakenAway, again(t, w, "ada"))
	})
	t.Run("enrolled here", func(t *testing.T) {
		w := newWorld(t)
		ada := w.enrolled("ada")
		require.Equal(t, twofa.ImportEnrolled, again(t, w, "ada"))
		require.NoError(t, ada.Check(t.Context(), ada.caller()))
	})
	t.Run("enrolled and removed here", func(t *testing.T) {
		w := newWorld(t)
		remove(t, w.enrolled("ada"))
		require.Equal(t, twofa.ImportTakenAway, again(t, w, "ada"))
	})
	t.Run("signed in here without a factor", func(t *testing.T) {
		w := newWorld(t)
		ada := w.person("ada")
		require.Equal(t, twofa.NextDone, ada.begin())
		require.Equal(t, twofa.ImportDone, again(t, w, "ada"))
		denied(t, ada.Check(t.Context(), ada.caller()), twofa.ReasonSignedOut)
	})
	t.Run("deleted", func(t *testing.T) {
		w := newWorld(t)
		signedIn(t, w)
		require.NoError(t, w.User(twofa.AsHost("gone"), "ada").Delete(t.Context()))
		require.Equal(t, twofa.ImportDone, again(t, w, "ada"))
	})
}

// A pending enrollment or a challenge from before the import must not add a
// factor to the imported one.
func TestImport_EndsWhatIsPending(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.PolicyAuthenticator() })
	session := w.person("ada")
	session.account = ""
	require.Equal(t, twofa.NextChallenge, session.begin(), "a link comes first")
	require.NoError(t, session.send(twofa.EmailLink))
	require.NoError(t, session.verify(twofa.EmailLink, session.token()))
	require.Equal(t, twofa.NextEnroll, session.login.Next)
	e, err := session.Enroll(t.Context(), session.caller(), twofa.EnrollRequest{})
	require.NoError(t, err)
	session.uri = e.URI.Reveal()
	w.mustImport("ada", imported(key20))
	require.Error(t, failure(session.Confirm(t.Context(), session.caller(), session.code())))
	require.Error(t, failure(session.SaveCodes(t.Context(), session.caller())))
	require.Error(t, failure(session.Enroll(t.Context(), session.caller(), twofa.EnrollRequest{})))
}

// Of many imports of one user at once, one imports, and the factors are those of
// one request.
func TestImport_Concurrently(t *testing.T) {
	w := newWorld(t)
	outcomes := make([]twofa.ImportOutcome, 16)
	var group sync.WaitGroup
	for i := range outcomes {
		group.Go(func() {
			f := imported(key20)
			f.Name = fmt.Sprint("app ", i)
			outcomes[i], _ = w.importAs(twofa.AsHost("migration"), "ada", f, imported(strings.Repeat("A", 32)))
		})
	}
	group.Wait()
	done := 0
	for _, o := range outcomes {
		if o == twofa.ImportDone {
			done++
		} else {
			require.Equal(t, twofa.ImportRepeated, o)
		}
	}
	require.Equal(t, 1, done)
	ada := w.app("ada", uri20)
	ada.begin()
	w.clock.Add(time.Minute)
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Len(t, f.List, 2)
}

// A phone keeps its number, an app its name and date; a future date is the time
// of the import. Short keys are marked.
func TestImport_WhatIsShown(t *testing.T) {
	w := newWorld(t)
	start := w.clock.Now().UTC().Truncate(time.Second)
	old := start.Add(-500 * 24 * time.Hour)
	ten := imported("GEZDGNBVGY3TQOJQ")
	ten.Name, ten.Added = "Old app", old
	fifteen := imported("GEZDGNBVGY3TQOJQGEZDGNBV")
	fifteen.Added = start.Add(time.Hour)
	sixteen := twofa.ImportFactor{KeyBytes: twofa.NewSecret(strings.Repeat("k", 16)), Added: time.Unix(-5, 0)}
	w.mustImport("ada", ten, fifteen, sixteen, twofa.ImportFactor{Method: twofa.SMS, Phone: "+41 79 123 45 67", Added: old})
	w.clock.Add(time.Minute)
	ada := w.app("ada", "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ")
	ada.begin()
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.Len(t, f.List, 4)
	for i := range f.List {
		require.NotEmpty(t, f.List[i].ID)
		f.List[i].ID = ""
	}
	require.Equal(t, []twofa.Factor{
		{Method: twofa.TOTP, Name: "Old app", Named: true, Added: old, LastUsed: w.clock.Now().UTC(), Legacy: true, Removable: true},
		{Method: twofa.TOTP, Name: "Authenticator app", Added: start, LastUsed: start, Legacy: true, Removable: true},
		{Method: twofa.TOTP, Name: "Authenticator app", Added: start, LastUsed: start, Removable: true},
		{Method: twofa.SMS, Name: "Phone", Phone: "•••• 67", Added: old, LastUsed: old, Removable: true},
	}, f.List)

	e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{})
	require.NoError(t, err)
	ada.uri = e.URI.Reveal()
	require.NoError(t, ada.took(ada.Confirm(t.Context(), ada.caller(), ada.code())))
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	f, err = ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	require.False(t, f.List[4].Legacy, "an app that is enrolled here has a long key")
}

// A phone alone is asked for, and its code signs in.
func TestImport_PhoneSignsIn(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.PolicySMS() })
	w.mustImport("ada", twofa.ImportFactor{Method: twofa.SMS, Phone: "+41791234567"})
	ada := w.person("ada")
	require.Equal(t, twofa.NextChallenge, ada.begin())
	require.Equal(t, []twofa.Method{twofa.SMS}, ada.login.Methods)
	require.NoError(t, ada.send(twofa.SMS))
	require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, "+41791234567")))
	require.True(t, ada.login.CodesMissing)

	w = newWorld(t, func(c *twofa.Config) { c.SMS = twofa.SMSConfig{} })
	_, err := w.importAs(twofa.AsHost("migration"), "ada", imported(key20), twofa.ImportFactor{Method: twofa.SMS, Phone: "+41791234567"})
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.Equal(t, twofa.NextDone, w.person("ada").begin(), "nothing half done")
}

// A list of users has a result for each. A bad user does not stop the others,
// and a user who is there twice is not imported.
func TestImport_List(t *testing.T) {
	w := newWorld(t)
	w.users["eve"] = twofa.User{ID: "eve"}
	w.users["gus"] = twofa.User{ID: "gus"}
	bob := w.enrolled("bob")
	list := []twofa.ImportUser{
		{ID: "ada", Factors: []twofa.ImportFactor{imported(key20)}},
		{ID: "bob", Factors: []twofa.ImportFactor{imported(key20)}},
		{ID: "eve", Factors: []twofa.ImportFactor{imported(key20)}},
		{ID: "gus", Factors: []twofa.ImportFactor{imported("bad!")}},
		{ID: "eve", Factors: []twofa.ImportFactor{imported(strings.Repeat("A", 32))}},
		{ID: "zoe", Factors: []twofa.ImportFactor{imported(key20)}},
	}
	results := w.Import(t.Context(), twofa.AsHost("migration"), list)
	require.Len(t, results, len(list))
	for i, r := range results {
		require.Equal(t, list[i].ID, r.User)
		require.Equal(t, r.Err == nil, r.Outcome != "")
	}
	require.Equal(t, twofa.ImportDone, results[0].Outcome)
	require.Equal(t, twofa.ImportEnrolled, results[1].Outcome)
	require.ErrorIs(t, results[2].Err, twofa.ErrInvalid)
	require.ErrorIs(t, results[3].Err, twofa.ErrInvalid)
	require.ErrorIs(t, results[4].Err, twofa.ErrInvalid)
	require.ErrorContains(t, results[4].Err, "2 times")
	require.ErrorIs(t, results[5].Err, twofa.ErrUnavailable)
	require.Equal(t, twofa.NextDone, w.person("eve").begin())
	require.NoError(t, bob.Check(t.Context(), bob.caller()))

	results = w.Import(t.Context(), twofa.AsHost("migration"), list[:1])
	require.Equal(t, []twofa.ImportResult{{User: "ada", Outcome: twofa.ImportRepeated}}, results)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	results = w.Import(ended, twofa.AsHost("migration"), list[2:3])
	require.ErrorIs(t, results[0].Err, context.Canceled)
}

// A store that fails leaves no half of an import, and a later run completes it.
func TestImport_FailingStore(t *testing.T) {
	w := newWorld(t)
	failing := &failOnce{Store: w.store}
	w.cfg.Store = failing
	m := w.again()
	_, err := m.User(twofa.AsHost("migration"), "ada").Import(t.Context(), imported(key20))
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.Empty(t, w.types())
	failing.off = true
	outcome, err := m.User(twofa.AsHost("migration"), "ada").Import(t.Context(), imported(key20))
	require.NoError(t, err)
	require.Equal(t, twofa.ImportDone, outcome)
}

type failOnce struct {
	twofa.Store
	off bool
}

func (s *failOnce) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	if s.off {
		return s.Store.Swap(ctx, prev, next, events...)
	}
	return errors.New("disk full")
}

// FuzzImport finds no input that panics, that is stored without being checkable,
// or whose error quotes the key.
func FuzzImport(f *testing.F) {
	f.Add(key20, "", "SHA1", 6, int64(30))
	f.Add("", uri20, "", 0, int64(0))
	f.Add("gezd gnbv", "otpauth://totp/x?secret=a&period=0", "hmac", -1, int64(-30))
	f.Fuzz(func(t *testing.T, key, uri, algorithm string, digits int, period int64) {
		w := newWorld(t)
		_, err := w.importAs(twofa.AsHost("fuzz"), "ada", twofa.ImportFactor{Key: twofa.NewSecret(key), URI: twofa.NewSecret(uri),
			Algorithm: algorithm, Digits: digits, Period: time.Duration(period) * time.Second})
		if err != nil {
			require.ErrorIs(t, err, twofa.ErrInvalid)
			require.Equal(t, twofa.NextDone, w.person("ada").begin())
			return
		}
		require.Equal(t, twofa.NextChallenge, w.person("ada").begin())
	})
}
