package abuse

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// One proof must not be worth any number of events: renames and views of
// recovery codes are limited per hour and day, and each has a limit of its own.
func TestGrowth_ChangesOnOneProof(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Recovery.Viewable = true })
	ada := w.enrolled("ada")
	f, err := ada.Factors(t.Context(), ada.caller())
	require.NoError(t, err)
	id := f.List[0].ID
	w.clock.Add(time.Hour)
	require.NoError(t, ada.stepUp(twofa.ActionFactors))
	rename := func() error { return ada.Rename(t.Context(), ada.caller(), id, "x") }
	view := func() error { return failure(ada.RecoveryCodes(t.Context(), ada.caller())) }
	for what, do := range map[string]func() error{event.Renamed: rename, event.CodesViewed: view} {
		for i := range 300 {
			if err := do(); i < 20 {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, twofa.ErrLocked)
				require.Equal(t, time.Hour, twofa.RetryAfter(err))
			}
		}
		require.Equal(t, 20, count(w.types(), what))
	}
	for range 20 {
		w.clock.Add(time.Hour)
		require.NoError(t, ada.stepUp(twofa.ActionFactors))
		for range 20 {
			_ = rename()
		}
	}
	require.Equal(t, 100, count(w.types(), event.Renamed), "100 a day")
	require.ErrorIs(t, ada.Rename(t.Context(), ada.caller(), "no such", "x"), twofa.ErrNotEnrolled)
}

func count(list []string, x string) (n int) {
	for _, s := range list {
		if s == x {
			n++
		}
	}
	return n
}

// A single-use proof that is only checked would be valid for five minutes. That
// is logged with what to do, at most once an hour, and not for a page that only
// looks.
func TestMisuse_CheckActionOfASingleUseRule(t *testing.T) {
	var logs bytes.Buffer
	rules := map[string]twofa.ActionRule{"once": {}, "often": {MaxAge: 5 * time.Minute}}
	w := newWorld(t, func(c *twofa.Config) {
		c.Policy.Actions, c.Logger = rules, slog.New(slog.NewTextHandler(&logs, nil))
	})
	ada := w.enrolled("ada")
	check := func(action string) error { return ada.CheckAction(t.Context(), ada.caller(), action, "") }
	denied(t, check("once"), twofa.ReasonMissing)
	require.NoError(t, ada.stepUp("often"))
	require.NoError(t, check("often"))
	require.NoError(t, ada.stepUp("once"))
	require.NoError(t, ada.PeekAction(t.Context(), ada.caller(), "once", ""))
	denied(t, ada.PeekAction(t.Context(), ada.caller(), "once", "another resource"), twofa.ReasonMissing)
	require.NotContains(t, logs.String(), "level=ERROR")
	for range 3 {
		require.NoError(t, check("once"))
	}
	require.Equal(t, 1, strings.Count(logs.String(), "level=ERROR"))
	require.Contains(t, logs.String(), "call UseAction before the action")
	require.Contains(t, logs.String(), "action=once")
	w.clock.Add(time.Hour)
	require.NoError(t, ada.stepUp("once"))
	require.NoError(t, check("once"))
	require.Equal(t, 2, strings.Count(logs.String(), "level=ERROR"))
	require.NoError(t, ada.UseAction(t.Context(), ada.caller(), "once", ""))
	denied(t, ada.PeekAction(t.Context(), ada.caller(), "once", ""), twofa.ReasonMissing)
}

// Records of numbers are deleted once no message of the last day is in them, and
// no others are.
func TestGrowth_NumberRecordsAreSwept(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Policy = twofa.PolicySMS() })
	store := &listing{Store: w.store, keys: map[string]bool{}}
	w.cfg.Store = store
	w.Manager = w.again()
	w.mustImport("ada", twofa.ImportFactor{Method: twofa.SMS, Phone: "+41791234567"})
	ada := w.person("ada")
	ada.begin()
	require.NoError(t, ada.send(twofa.SMS))
	keys := store.list("number/")
	require.Len(t, keys, 1)

	n, err := w.SweepNumbers(t.Context(), keys...)
	require.NoError(t, err)
	require.Zero(t, n, "the message still counts")
	w.clock.Add(24*time.Hour - time.Second)
	n, err = w.SweepNumbers(t.Context(), keys...)
	require.NoError(t, err)
	require.Zero(t, n)
	w.clock.Add(time.Second)
	n, err = w.SweepNumbers(t.Context(), append(keys, "number/none")...)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	records, err := w.store.Get(t.Context(), keys...)
	require.NoError(t, err)
	require.Empty(t, records)
	n, err = w.SweepNumbers(t.Context(), keys...)
	require.NoError(t, err)
	require.Zero(t, n)

	for _, key := range []string{"user/ada", "account/acme", "config/", "", "number"} {
		_, err = w.SweepNumbers(t.Context(), keys[0], key)
		require.ErrorIs(t, err, twofa.ErrInvalid)
	}
	ada.begin()
	require.NoError(t, ada.send(twofa.SMS))
	require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, "+41791234567")))
}

// listing is a store that can list its keys.
type listing struct {
	twofa.Store
	keys map[string]bool
}

func (s *listing) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	s.keys[next.Key] = true
	return s.Store.Swap(ctx, prev, next, events...)
}

func (s *listing) list(prefix string) (keys []string) {
	for key := range s.keys {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}
