package abuse

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

func TestAbuse_H01_CodeTwice(t *testing.T) {
	ada := newWorld(t).enrolled("ada")
	for i, login := range ada.begun(3) {
		err := login.verify(twofa.RecoveryCode, ada.codes[0])
		if i == 0 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, twofa.ErrInvalidCode)
	}
}

func TestAbuse_H02_CodeOfAnotherUser(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.enrolled("ada"), w.enrolled("bob")
	require.ErrorIs(t, bob.another().verify(twofa.RecoveryCode, ada.codes[0]), twofa.ErrInvalidCode)
	require.NoError(t, ada.another().verify(twofa.RecoveryCode, ada.codes[0]))
}

// renew generates a new set of codes and returns the old one.
func (p *person) renew() (old []string) {
	p.t.Helper()
	require.NoError(p.t, p.stepUp(twofa.ActionFactors))
	e, err := p.RegenerateCodes(p.t.Context(), p.caller())
	require.NoError(p.t, err)
	old = p.codes
	p.keep(e)
	require.NoError(p.t, p.took(p.SaveCodes(p.t.Context(), p.caller())))
	return old
}

func TestAbuse_H03_OldSet(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	require.NoError(t, ada.another().verify(twofa.RecoveryCode, ada.codes[0]))
	for _, code := range ada.renew() {
		require.ErrorIs(t, ada.another().verify(twofa.RecoveryCode, code), twofa.ErrInvalidCode)
		w.clock.Add(time.Minute)
	}
	require.Len(t, ada.codes, 10)
	for _, code := range ada.codes {
		require.NoError(t, ada.another().verify(twofa.RecoveryCode, code))
	}
}

// The whole store is searched for each code, in every form, while the set is
// pending, active or viewable.
func TestAbuse_H04_CodesInTheStore(t *testing.T) {
	for _, viewable := range []bool{false, true} {
		w, store := newFault(t, func(c *twofa.Config) { c.Recovery.Viewable = viewable })
		var dump bytes.Buffer
		store.Mangle = func(r *twofa.Record) { dump.Write(r.Data) }
		ada := w.enrolled("ada")
		codes := append(ada.renew(), ada.codes...)
		require.NoError(t, ada.another().verify(twofa.RecoveryCode, ada.codes[0]))
		w.record("ada")
		if !viewable { // even an attacker with the keys finds no active code
			dump.WriteString(w.opened("ada"))
		}
		for _, code := range codes {
			plain := strings.ReplaceAll(code, "-", "")
			for _, form := range []string{code, plain, strings.ToLower(code), strings.ToLower(plain)} {
				for _, written := range []string{form, base64.StdEncoding.EncodeToString([]byte(form)), hex.EncodeToString([]byte(form))} {
					require.False(t, bytes.Contains(dump.Bytes(), []byte(written)))
				}
			}
			require.False(t, bytes.Contains(dump.Bytes(), []byte(plain[:6])), "nor a part of one")
		}
	}
}

func TestAbuse_H05_FormOfACode(t *testing.T) {
	form := regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){5}$`)
	for n, want := range map[int]int{0: 10, 1: 1, 20: 20} {
		ada := newWorld(t, func(c *twofa.Config) { c.Recovery.Codes = n }).enrolled("ada")
		require.Len(t, ada.codes, want)
		for _, code := range ada.codes {
			require.Regexp(t, form, code)
		}
	}
}

func TestAbuse_H08_CodesBeforeAFactor(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada")
	ada.begin()
	require.ErrorIs(t, failure(ada.RegenerateCodes(t.Context(), ada.caller())), twofa.ErrNotEnrolled)
	app := ada.setUp(twofa.EnrollRequest{})
	require.ErrorIs(t, failure(ada.RegenerateCodes(t.Context(), ada.caller())), twofa.ErrNotEnrolled)
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())), "the enrollment in progress is unchanged")
	require.NoError(t, app.confirm(app.now()))
}

func TestAbuse_H09_UseIsNotified(t *testing.T) {
	var used []twofa.Event
	w := newWorld(t, func(c *twofa.Config) {
		c.Mail.NoticeEmail, c.Recovery.Codes = nil, 5
		c.OnEvent = func(_ context.Context, e twofa.Event) {
			if e.Type == event.RecoveryUsed {
				used = append(used, e)
			}
		}
	})
	ada := w.enrolled("ada")
	for i, warning := range []string{"", "You have 3 recovery codes left.", "You have 2 recovery codes left.", "You have 1 recovery code left.", "You have no recovery codes left."} {
		mails := len(w.out.Mails())
		login := ada.another()
		require.NoError(t, login.verify(twofa.RecoveryCode, ada.codes[i]))
		require.Len(t, w.out.Mails(), mails+1)
		text := w.out.Mails()[mails].Text.Reveal()
		require.Contains(t, text, "One of your recovery codes was used.\n\n"+warning)
		require.Equal(t, warning != "", strings.Contains(text, "left"))
		require.Equal(t, 4-i, used[i].Left)
		f, err := login.Factors(t.Context(), login.caller())
		require.NoError(t, err)
		require.Equal(t, 4-i, f.CodesLeft)
	}
	require.Equal(t, []twofa.Method{twofa.TOTP}, ada.another().login.Methods, "recovery codes are no longer offered")
}

// Only the codes that are left can be viewed.
func TestAbuse_H03_ViewAfterUse(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Recovery.Viewable = true })
	ada := w.enrolled("ada")
	for _, at := range []int{4, 0, 7} {
		require.NoError(t, ada.another().verify(twofa.RecoveryCode, ada.codes[at]))
		ada.codes = slices.Delete(ada.codes, at, at+1)
		require.NoError(t, ada.stepUp(twofa.ActionFactors))
		seen, err := ada.RecoveryCodes(t.Context(), ada.caller())
		require.NoError(t, err)
		require.Len(t, seen, len(ada.codes))
		for i := range seen {
			require.Equal(t, ada.codes[i], seen[i].Reveal())
		}
	}
	for _, code := range ada.codes {
		require.NoError(t, ada.another().verify(twofa.RecoveryCode, code))
	}
	view := func(want error) {
		t.Helper()
		require.NoError(t, ada.stepUp(twofa.ActionFactors))
		_, err := ada.RecoveryCodes(t.Context(), ada.caller())
		require.ErrorIs(t, err, want)
		f, err := ada.Factors(t.Context(), ada.caller())
		require.NoError(t, err)
		require.False(t, f.CodesViewable)
	}
	view(twofa.ErrNotEnrolled)

	// If codes are no longer kept viewable, the next write deletes them. Codes
	// that were not kept cannot come back.
	ada.renew()
	w.cfg.Recovery.Viewable = false
	w.Manager = w.again()
	view(twofa.ErrNotAllowed)
	require.NoError(t, ada.another().hit())
	for _, code := range ada.codes {
		require.NotContains(t, w.opened("ada"), strings.ReplaceAll(code, "-", ""))
	}
	w.cfg.Recovery.Viewable = true
	w.Manager = w.again()
	view(twofa.ErrNotAllowed)
	require.NoError(t, ada.another().verify(twofa.RecoveryCode, ada.codes[3]))
}

// The position of a code in the set makes no difference: the set becomes one
// shorter, and nothing else changes. (BenchmarkRecovery measures that all
// hashes are compared.)
func TestAbuse_H10_FirstLastAndMiddle(t *testing.T) {
	var lengths []int
	for _, at := range []int{0, 4, 9} {
		w := newWorld(t)
		ada := w.enrolled("ada")
		require.NoError(t, ada.another().verify(twofa.RecoveryCode, ada.codes[at]))
		lengths = append(lengths, len(w.record("ada")))
		for i, code := range ada.codes {
			require.Equal(t, i != at, ada.another().verify(twofa.RecoveryCode, code) == nil, i)
		}
	}
	require.Len(t, slices.Compact(lengths), 1)
}

func TestAbuse_H11_ThirtyWrongCodes(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	login, answered := ada.another(), 0
	for range 30 {
		if err := login.verify(twofa.RecoveryCode, login.wrongCode(twofa.RecoveryCode)); isAny(err, twofa.ErrInvalidCode) {
			answered++
		}
	}
	require.Equal(t, 5, answered)
	locked(t, login.verify(twofa.RecoveryCode, ada.codes[0]), time.Minute)
	require.NoError(t, ada.another().verify(twofa.TOTP, ada.code()), "the app still works")
	w.clock.Add(time.Minute)
	require.NoError(t, ada.another().verify(twofa.RecoveryCode, ada.codes[0]), "recovery codes are never disabled")
}

// This test lists what a session after a recovery login may do, and what it may
// not.
func TestAbuse_H13_RecoverySession(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Recovery.Viewable, c.Policy = true, twofa.Policy{Remember: 24 * time.Hour} })
	ada := w.enrolled("ada")
	thief := ada.another()
	l, err := thief.Verify(t.Context(), thief.caller(), thief.login.Challenge, twofa.Proof{Method: twofa.RecoveryCode, Code: twofa.NewSecret(ada.codes[0]), Remember: true})
	require.NoError(t, thief.took(l, err))
	require.True(t, l.Browser.IsZero(), "it makes no browser known")
	require.Equal(t, twofa.NextChallenge, thief.begin(), "nor remembered")

	for request, want := range map[string]twofa.Reason{"RegenerateCodes": twofa.ReasonMissing, "RecoveryCodes": twofa.ReasonMissing,
		"Rename": twofa.ReasonMissing, "CheckAction": twofa.ReasonMissing, "UseAction": twofa.ReasonMissing} {
		denied(t, callerRequests[request](thief, thief.caller()), want)
	}
	denied(t, thief.Remove(t.Context(), thief.caller(), thief.factor(0)), twofa.ReasonMissing)
	for _, action := range []string{"contacts.export", twofa.ActionFactors} {
		require.NoError(t, thief.took(thief.StepUp(t.Context(), thief.caller(), action, "")))
		require.Equal(t, []twofa.Method{twofa.TOTP}, thief.login.Methods)
		require.ErrorIs(t, thief.verify(twofa.RecoveryCode, ada.codes[1]), twofa.ErrNotAllowed)
	}
	d, err := w.DescribeSession(thief.session)
	require.NoError(t, err)
	require.NotContains(t, d.AMR, "mfa")
	for _, request := range []string{"Check", "Factors", "Browsers", "Enroll"} {
		require.NoError(t, callerRequests[request](thief, thief.caller()), request)
	}
	list, err := thief.Browsers(t.Context(), thief.caller())
	require.NoError(t, err)
	require.Len(t, list, 1, "the owner's browser remains known")
	require.False(t, list[0].Remembered)
	w.clock.Add(15 * time.Minute)
	denied(t, callerRequests["Enroll"](thief, thief.caller()), twofa.ReasonMissing)
}

// A new set is pending and the old one is nearly used up. The last old code
// still signs in. After that, the new set can be finished only in the session
// that began it.
func TestAbuse_H14_LastCodeWhileANewSetIsPending(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Recovery.Codes = 1 })
	ada := w.enrolled("ada")
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	e, err := ada.RegenerateCodes(t.Context(), ada.caller())
	require.NoError(t, err)
	login := ada.another()
	require.NoError(t, login.verify(twofa.RecoveryCode, ada.codes[0]))
	require.ErrorIs(t, failure(login.SaveCodes(t.Context(), login.caller())), twofa.ErrExpired)
	require.NoError(t, ada.took(ada.SaveCodes(t.Context(), ada.caller())))
	require.NoError(t, ada.another().verify(twofa.RecoveryCode, e.Codes[0].Reveal()))
}

// A set sealed with one key is redeemed by a server that seals with another.
func TestAbuse_H15_CodesAcrossKeys(t *testing.T) {
	before, after := twofa.GenerateKeyRing().Reveal(), twofa.GenerateKeyRing().Reveal()
	w := newWorld(t, func(c *twofa.Config) { c.Keys = ring(t, before) })
	ada := w.enrolled("ada")
	w.cfg.Keys = ring(t, after+","+before)
	login := ada.on(w.again()).another()
	require.NoError(t, login.verify(twofa.RecoveryCode, ada.codes[0]))
	require.ErrorIs(t, login.another().verify(twofa.RecoveryCode, ada.codes[0]), twofa.ErrInvalidCode)
}
