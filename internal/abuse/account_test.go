package abuse

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

func (w *world) acme() *twofa.Account { return w.Account(twofa.AsHost("test"), "acme") }

func TestPolicy_ChangeIsBasedOnTheVersionSeen(t *testing.T) {
	w := newWorld(t)
	before, err := w.acme().Policy(t.Context())
	require.NoError(t, err)
	require.True(t, before.Default)
	require.Equal(t, w.cfg.Policy.Required, before.Policy.Required)

	staff := w.Account(twofa.AsStaff("s1", "ticket 7"), "acme")
	require.NoError(t, staff.SetPolicy(t.Context(), twofa.PolicyAuthenticator(), before.Version))
	require.ErrorIs(t, staff.SetPolicy(t.Context(), twofa.PolicyOptional(), before.Version), twofa.ErrConflict, "it has changed since")
	require.ErrorIs(t, staff.UnsetPolicy(t.Context(), before.Version), twofa.ErrConflict)
	after, err := staff.Policy(t.Context())
	require.NoError(t, err)
	require.Equal(t, twofa.PolicyInfo{Policy: twofa.PolicyAuthenticator(), Version: after.Version, Since: w.clock.Now().Truncate(time.Second).UTC(),
		By: twofa.EventActor{Kind: "staff", ID: "s1"}}, after)
	require.NoError(t, staff.SetPolicy(t.Context(), twofa.PolicyOptional(), after.Version))
	require.NoError(t, w.acme().SetPolicy(t.Context(), twofa.PolicySMS(), ""), "the host may replace whatever is in force")
}

func TestPolicy_OfTwoChangesToOneVersionOneWins(t *testing.T) {
	w := newWorld(t)
	info, err := w.acme().Policy(t.Context())
	require.NoError(t, err)
	policies := []twofa.Policy{twofa.PolicyAuthenticator(), twofa.PolicyEmailLink(), twofa.PolicySMS(), {Required: true}}
	won := make([]bool, len(policies))
	rush(t, len(policies), w.servers(2), func(m *twofa.Manager, i int) error {
		err := m.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), policies[i], info.Version)
		if errors.Is(err, twofa.ErrConflict) {
			return nil
		}
		won[i] = err == nil
		return err
	})
	count := 0
	for _, ok := range won {
		if ok {
			count++
		}
	}
	require.Equal(t, 1, count)
}

// A server of an old release that restarts during a rollout must not put the old
// policy back.
func TestPolicy_EnsureDoesNotOverwrite(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.acme().EnsurePolicy(t.Context(), twofa.PolicyOptional()))
	require.NoError(t, w.acme().SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
	require.NoError(t, w.acme().EnsurePolicy(t.Context(), twofa.PolicyOptional()))
	info, err := w.acme().Policy(t.Context())
	require.NoError(t, err)
	require.Equal(t, twofa.PolicyAuthenticator(), info.Policy)
	require.ErrorIs(t, w.acme().EnsurePolicy(t.Context(), twofa.Policy{TurnOff: "nobody"}), twofa.ErrInvalid)
}

func TestPolicy_UnsetAppliesTheDefault(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.acme().UnsetPolicy(t.Context(), ""))
	require.Empty(t, w.types(), "there was nothing to unset")
	require.NoError(t, w.acme().SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
	require.NoError(t, w.acme().UnsetPolicy(t.Context(), ""))
	info, err := w.acme().Policy(t.Context())
	require.NoError(t, err)
	require.True(t, info.Default)
	require.Equal(t, []string{event.Policy, event.Policy}, w.types())
	require.JSONEq(t, "null", string(w.events[1].After))
	require.EqualValues(t, 2, w.events[1].Seq)
}

// A policy that cannot be read refuses everybody, and only the host can replace
// it, with a word that says so.
func TestAbuse_M07_UnreadablePolicyIsReplacedByTheHostAlone(t *testing.T) {
	w, store := newFault(t)
	require.NoError(t, w.acme().SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
	spoiled := true
	store.Mangle = func(r *twofa.Record) {
		if spoiled && strings.HasPrefix(r.Key, "account/") {
			r.Data = bytes.Clone(r.Data)
			r.Data[len(r.Data)-1] ^= 1
		}
	}
	store.Written = func(...twofa.Event) { spoiled = false }
	var corrupt *twofa.RecordError
	for name, try := range map[string]func() error{
		"Policy":       func() error { _, err := w.acme().Policy(t.Context()); return err },
		"SetPolicy":    func() error { return w.acme().SetPolicy(t.Context(), twofa.PolicyOptional(), "") },
		"EnsurePolicy": func() error { return w.acme().EnsurePolicy(t.Context(), twofa.PolicyOptional()) },
		"UnsetPolicy":  func() error { return w.acme().UnsetPolicy(t.Context(), "") },
	} {
		err := try()
		require.ErrorAs(t, err, &corrupt, name)
		require.ErrorIs(t, err, twofa.ErrUnavailable, name)
		require.Equal(t, "account/acme", corrupt.Key, name)
	}
	require.ErrorIs(t, w.Account(twofa.AsStaff("s1", "x"), "acme").SetPolicy(t.Context(), twofa.PolicyOptional(), twofa.Overwrite), twofa.ErrNotAllowed)
	require.NoError(t, w.acme().SetPolicy(t.Context(), twofa.PolicySMS(), twofa.Overwrite))
	info, err := w.acme().Policy(t.Context())
	require.NoError(t, err)
	require.Equal(t, twofa.PolicySMS(), info.Policy)
	last := w.events[len(w.events)-1]
	require.Equal(t, event.Policy, last.Type)
	require.Empty(t, last.Before, "it cannot be read, which is not the same as none")
}

// A store that fails is not a record that can be overwritten.
func TestPolicy_OverwriteNeedsTheStore(t *testing.T) {
	w, store := newFault(t)
	store.Read = func([]string) error { return errors.New("down") }
	err := w.acme().SetPolicy(t.Context(), twofa.PolicyOptional(), twofa.Overwrite)
	require.ErrorIs(t, err, twofa.ErrUnavailable)
	require.Empty(t, w.events)
}

func TestPolicy_EventSaysWhoChangedWhatAndWhy(t *testing.T) {
	w := newWorld(t)
	long := twofa.Policy{Methods: []twofa.Method{twofa.TOTP}, Required: true, Actions: map[string]twofa.ActionRule{}}
	for _, name := range strings.Fields("invoices members billing exports keys domains webhooks integrations") {
		long.Actions[name] = twofa.ActionRule{MaxAge: 5 * time.Minute, Methods: []twofa.Method{twofa.TOTP}}
	}
	require.NoError(t, w.acme().SetPolicy(t.Context(), twofa.PolicyOptional(), ""))
	info, err := w.acme().Policy(t.Context())
	require.NoError(t, err)
	require.NoError(t, w.Account(twofa.AsStaff("s1", "ticket 7"), "acme").SetPolicy(t.Context(), long, info.Version))
	e := w.events[1]
	require.Equal(t, twofa.EventActor{Kind: "staff", ID: "s1"}, e.Actor)
	require.Equal(t, "ticket 7", e.Reason)
	require.Empty(t, e.Detail)
	var before, after twofa.Policy
	require.NoError(t, json.Unmarshal(e.Before, &before))
	require.NoError(t, json.Unmarshal(e.After, &after))
	require.Equal(t, twofa.PolicyOptional(), before)
	require.Equal(t, long, after, "whole, however long")
}

func TestErrInvalid_NamesFieldRuleAndValue(t *testing.T) {
	w := newWorld(t)
	huge := twofa.Policy{Actions: map[string]twofa.ActionRule{}}
	for i := range 2000 {
		huge.Actions[strings.Repeat("x", 40)+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676))] = twofa.ActionRule{MaxAge: time.Minute}
	}
	for text, err := range map[string]error{
		"user ID":            w.User(twofa.AsHost("test"), "").Revoke(t.Context()),
		"user ID: must be 1": w.User(twofa.AsHost("test"), "a\nb").CredentialsChanged(t.Context()),
		"user ID: must":      w.User(twofa.AsHost("test"), strings.Repeat("x", 300)).Delete(t.Context()),
		"account ID":         w.Account(twofa.AsHost("x"), "").SetPolicy(t.Context(), twofa.Policy{}, ""),
		"account ID: must":   w.Account(twofa.AsHost("x"), "a\x00").UnsetPolicy(t.Context(), ""),
		"at most 32768":      w.acme().SetPolicy(t.Context(), huge, ""),
		"Policy.TurnOff":     w.acme().SetPolicy(t.Context(), twofa.Policy{TurnOff: "nobody"}, ""),
	} {
		require.ErrorIs(t, err, twofa.ErrInvalid, text)
		require.NotErrorIs(t, err, twofa.ErrUnavailable, text)
		require.ErrorContains(t, err, text)
	}
	require.Empty(t, w.types())
}

// An attacker who has the password can fill the record with used-up challenges,
// but not by much.
func TestRecord_StaysSmallUnderAttack(t *testing.T) {
	w := newWorld(t)
	ada := w.enrolled("ada")
	quiet := len(w.record("ada"))
	thief := ada.browser("elsewhere")
	for range 200 {
		thief.begin()
		_ = thief.verify(twofa.TOTP, thief.wrongCode(twofa.TOTP))
		_ = thief.Cancel(t.Context(), thief.client, thief.login.Challenge)
	}
	require.Less(t, len(w.record("ada"))-quiet, 900, "of 32 challenges, 28 bytes each")
}
func TestPolicy_JSONIsInSeconds(t *testing.T) {
	var p twofa.Policy
	require.NoError(t, json.Unmarshal([]byte(`{"methods":["totp"],"remember":86400,"actions":{"export":{"max_age":300}}}`), &p))
	require.Equal(t, 5*time.Minute, p.Actions["export"].MaxAge)
	require.Equal(t, 24*time.Hour, p.Remember)
	text, err := json.Marshal(p)
	require.NoError(t, err)
	require.JSONEq(t, `{"methods":["totp"],"remember":86400,"actions":{"export":{"max_age":300}}}`, string(text))
	for _, bad := range []string{`{"actions":{"export":{"max_age":0.5}}}`, `{"actions":{"export":{"max_age":"5m"}}}`, `{"required":"yes"}`,
		`{"requierd":true}`, `{"remember":1e30}`, `[]`} {
		require.ErrorIs(t, json.Unmarshal([]byte(bad), &p), twofa.ErrInvalid, bad)
	}
	require.NoError(t, json.Unmarshal([]byte(`{"remember":9223372036854775807}`), &p))
	w := newWorld(t)
	require.ErrorIs(t, w.acme().SetPolicy(t.Context(), p, ""), twofa.ErrInvalid, "a span that no Duration has")
	require.ErrorIs(t, w.acme().SetPolicy(t.Context(), twofa.Policy{Actions: map[string]twofa.ActionRule{"x": {MaxAge: 300}}}, ""), twofa.ErrInvalid, "300 ns")
}
func TestReady_ReportsAConfigThatDiffers(t *testing.T) {
	var logs bytes.Buffer
	w := newWorld(t, func(c *twofa.Config) { c.Logger = slog.New(slog.NewTextHandler(&logs, nil)) })
	first := w.Manager
	require.NoError(t, first.Ready(t.Context()))
	require.NoError(t, w.again().Ready(t.Context()))

	w.cfg.SMS.Sender, w.cfg.Recovery.Viewable = nil, true
	other := w.again()
	for range 5 {
		require.ErrorContains(t, other.Ready(t.Context()), "Recovery.Viewable, SMS.Sender")
		require.NoError(t, first.Ready(t.Context()), "nothing is refused for it")
	}
	require.Equal(t, 1, strings.Count(logs.String(), "Config differs\""), "logged once")
	w.clock.Add(61 * time.Minute) // the first process is gone
	require.NoError(t, other.Ready(t.Context()), "the rollout is over")
	var differs *twofa.ConfigError
	require.ErrorAs(t, first.Ready(t.Context()), &differs)
	require.Equal(t, []string{"Recovery.Viewable", "SMS.Sender"}, differs.Fields)
	require.Equal(t, 2, strings.Count(logs.String(), "Config differs\""))
}

func TestReady_NeedsStoreAndKeys(t *testing.T) {
	w, store := newFault(t)
	require.NoError(t, w.Ready(t.Context()))
	w.cfg.Keys = ring(t, "other:1RYFgyAAttEl/VVMUMnWzw0bTxA3d7P4bmkm2UOOy6c=")
	var record *twofa.RecordError
	require.ErrorAs(t, w.again().Ready(t.Context()), &record)
	require.Equal(t, "config/", record.Key)
	store.Read = func([]string) error { return errors.New("down") }
	require.ErrorIs(t, w.Ready(t.Context()), twofa.ErrUnavailable)
}

// Keys can be rotated while Ready is called: first the new key is added at the
// end, then it is moved to the front, then the old one is removed.
func TestReady_WhileKeysAreRotated(t *testing.T) {
	const one, two = "one:etAuGkijuh1H6cRASVa6KZz8m+zfCbCpCRXkgM9d+PE=", "two:KtC2GuNubt7jh1Nbg7mJLTdBgSI9cexpx2l6cs13vFo="
	w := newWorld(t, func(c *twofa.Config) { c.Keys = ring(t, one) })
	require.NoError(t, w.Ready(t.Context()))
	for _, keys := range []string{one + "," + two, two + "," + one, two} {
		w.cfg.Keys = ring(t, keys)
		next := w.again()
		require.NoError(t, next.Ready(t.Context()), keys)
	}
}

// What only takes something away works even if the policy cannot be read.
func TestRevoke_NeedsNoPolicy(t *testing.T) {
	w, store := newFault(t)
	ada := w.enrolled("ada")
	ada.account = "acme"
	require.NoError(t, w.acme().SetPolicy(t.Context(), twofa.PolicyAuthenticator(), ""))
	ada.begin()
	pending := ada.login.Challenge
	store.Read = func(keys []string) error {
		if len(keys) > 1 || strings.HasPrefix(keys[0], "account/") {
			return errors.New("down")
		}
		return nil
	}
	require.ErrorIs(t, ada.Check(t.Context(), ada.caller()), twofa.ErrUnavailable)
	require.NoError(t, w.Cancel(t.Context(), ada.client, pending))
	require.NoError(t, w.User(twofa.AsUser(ada.caller(), ""), "ada").CredentialsChanged(t.Context()))
	require.NoError(t, w.User(twofa.AsUser(ada.caller(), ""), "ada").Revoke(t.Context()))
	last := w.events[len(w.events)-1]
	require.Equal(t, "acme", last.Account)
	require.Equal(t, event.Revoked, last.Type)
	require.NoError(t, w.User(twofa.AsHost("ticket 7"), "ada").Revoke(t.Context()))
	require.NoError(t, w.User(twofa.AsHost("ticket 7"), "ada").Delete(t.Context()))
}
