package twofa

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa/internal/seal"
)

// Tests of a process that shares its store with one of a newer release or of
// another Config. See also internal/model, which runs such fleets at random.

// tinyStore keeps records that a test can put in by hand.
type tinyStore struct {
	mu      sync.Mutex
	records map[string]Record
}

func (s *tinyStore) Get(_ context.Context, keys ...string) (found []Record, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range keys {
		if r, ok := s.records[key]; ok {
			found = append(found, r)
		}
	}
	return found, nil
}

func (s *tinyStore) Swap(_ context.Context, prev string, next Record, _ ...Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.records[next.Key].Version != prev {
		return ErrConflict
	}
	s.records[next.Key] = next
	return nil
}

type gateway struct{}

func (gateway) SendSMS(context.Context, TextMessage) error { return nil }

func (gateway) ParsePhone(raw, _ string) (Phone, error) { return Phone{raw, "CH", true}, nil }

func withGateway(c *Config) {
	c.SMS = SMSConfig{Sender: gateway{}, Phone: gateway{}, Countries: []string{"CH"}}
}

func withPolicy(p Policy) func(*Config) { return func(c *Config) { c.Policy = p } }

// fleet is a store, and the user ada in it.
type fleet struct {
	t     *testing.T
	store *tinyStore
	keys  KeyRing
	now   time.Time
	ada   User
}

// newFleet returns a fleet in which ada's record is user, followed by encoded
// fields of a newer release.
func newFleet(t *testing.T, user userRecord, newer string) *fleet {
	f := &fleet{t, &tinyStore{records: map[string]Record{}}, fuzzKeys(t), time.Unix(1_800_000_000, 0), User{ID: "ada", Emails: []string{"ada@example.com"}}}
	user.Epoch = "e"
	f.store.records["user/ada"] = Record{Key: "user/ada", Version: "v",
		Data: sealed(f.keys.all()[0], recordFormat+" k1", encoded(&user)+newer, "v")}
	return f
}

// process returns a Manager of the fleet.
func (f *fleet) process(edit ...func(*Config)) *Manager {
	c := Config{Issuer: "Acme", Store: f.store, Keys: f.keys, Now: func() time.Time { return f.now },
		Mail:      MailConfig{Mailer: nowhere{}, LinkURL: func(l LinkRequest) string { return "https://app.example.com/" + l.Token.Reveal() }},
		Directory: LookUp(func(context.Context, string) (User, error) { return f.ada, nil })}
	for _, e := range edit {
		e(&c)
	}
	m, err := New(c)
	require.NoError(f.t, err)
	return m
}

func (f *fleet) record() (u userRecord) {
	require.NoError(f.t, f.keys.decode(f.store.records["user/ada"], &u))
	return u
}

// caller returns a caller whose session proves methods.
func (f *fleet) caller(by FirstFactorMethod, methods ...Method) Caller {
	at := unixTimeOf(f.now)
	t := ticket{purpose: forSession, sessionID: "sid", user: "ada", epoch: "e", first: []firstFactor{{by: by, at: at}}, started: at, expires: at.add(hour)}
	for _, m := range methods {
		t = t.withProof(provenMethod{method: m, at: at})
	}
	return Caller{Session: Session{f.keys.sealTicket(t)}}
}

var (
	somePhone   = factor{ID: "n", Method: SMS, Phone: "+41791234567"}
	somePasskey = factor{ID: "p", Method: "webauthn"} // of a newer release
	someApp     = factor{ID: "a", Method: TOTP, App: totpParams{Key: "GAYTEMZUGU3DOOBZMFRGGZDFMY======", Algorithm: "SHA1", Digits: 6, Period: 30}}
)

// An action is not allowed by a method that may be weaker than a factor which
// this process cannot check.
func TestAbuse_R01_StepUpByNothingWeakerThanAnUnknownFactor(t *testing.T) {
	f := newFleet(t, userRecord{Factors: []factor{somePasskey, somePhone}}, "")
	rule := Policy{Actions: map[string]ActionRule{"export": {Methods: []Method{TOTP, EmailLink}}}}
	_, err := f.process(withPolicy(rule)).StepUp(t.Context(), f.caller(ByPassword, RecoveryCode), "export", "")
	require.ErrorIs(t, err, ErrUnavailable, "an email link")
	_, err = f.process(withGateway, withPolicy(PolicySMS())).StepUp(t.Context(), f.caller(ByPassword, RecoveryCode), ActionFactors, "")
	require.ErrorIs(t, err, ErrUnavailable, "a text message")
}

func TestAbuse_R01_AppDoesNotReplaceAnUnknownFactor(t *testing.T) {
	f := newFleet(t, userRecord{Factors: []factor{somePasskey}}, "")
	_, err := f.process().Enroll(t.Context(), f.caller(ByPassword, RecoveryCode), EnrollRequest{Replaces: "p"})
	require.ErrorIs(t, err, ErrNotEnrolled)
}

// A process without a gateway decides as one that has it.
func TestAbuse_R01_RequiredHoldsWithoutAGateway(t *testing.T) {
	f := newFleet(t, userRecord{Factors: []factor{somePhone}}, "")
	for name, m := range map[string]*Manager{"with": f.process(withGateway, withPolicy(PolicyAuthenticator())), "without": f.process(withPolicy(PolicyAuthenticator()))} {
		var d *DeniedError
		require.ErrorAs(t, m.Check(t.Context(), f.caller(ByPassword, RecoveryCode)), &d, name)
		require.Equal(t, ReasonEnroll, d.Reason, name)
	}
}

// A first factor of a newer release may be worth less than those known here.
func TestAbuse_R01_UnknownFirstFactorEnrollsNothing(t *testing.T) {
	f := newFleet(t, userRecord{}, "")
	_, err := f.process().Enroll(t.Context(), f.caller("device"), EnrollRequest{})
	var d *DeniedError
	require.ErrorAs(t, err, &d)
	require.Equal(t, ReasonSignInHere, d.Reason)
}

// A changed security stamp ends sessions even if the login that notices it
// cannot go on here.
func TestAbuse_R01_ChangedStampCountsIfUnavailable(t *testing.T) {
	f := newFleet(t, userRecord{Stamp: "old", Factors: []factor{somePhone}}, "")
	f.ada.SecurityStamp = "2"
	_, err := f.process().Begin(t.Context(), FirstFactor{UserID: "ada", By: ByPassword})
	require.ErrorIs(t, err, ErrUnavailable)
	require.Error(t, f.process(withGateway).Check(t.Context(), f.caller(ByPassword, SMS)))
}

// With the last factor go the fields of a newer release, which may be another
// way in, except those that survive a reset.
func TestUnknownFields_EndWithTheLastFactor(t *testing.T) {
	f := newFleet(t, userRecord{Factors: []factor{someApp}, Grants: []grant{{Action: ActionFactors, SessionID: "sid", Method: TOTP, At: 1_800_000_000}}},
		"\x82\x40\x03way"+"\x92\x40\x04stay") // fields 1024 and 1026
	require.NoError(t, f.process().Remove(t.Context(), f.caller(ByPassword, TOTP), "a"))
	u := f.record()
	require.NotContains(t, encoded(&u), "way")
	require.Contains(t, encoded(&u), "stay")
}

// A success ends a streak of failures, but takes away nothing that a newer
// release counts.
func TestUnknownFields_OfACounterSurviveASuccess(t *testing.T) {
	counted := counter{Fails: 3}
	require.NoError(t, seal.Decode("\x30\x03\xc0\x01\x27", &counted)) // field 24
	f := newFleet(t, userRecord{Factors: []factor{someApp}, Counters: map[string]counter{"totp": counted}}, "")
	m := f.process()
	login, err := m.Begin(t.Context(), FirstFactor{UserID: "ada", By: ByPassword})
	require.NoError(t, err)
	_, err = m.Verify(t.Context(), Caller{}, login.Challenge, Proof{Method: TOTP, Code: NewSecret(someApp.App.code(someApp.App.step(unixTimeOf(f.now))))})
	require.NoError(t, err)
	after := f.record().Counters["totp"]
	require.Zero(t, after.Fails)
	require.Equal(t, "\xc0\x01\x27", encoded(&after))
}

func TestReady_OfAWrongClockExpiresAtOnce(t *testing.T) {
	f := newFleet(t, userRecord{}, "")
	f.now = f.now.Add(365 * day)
	require.NoError(t, f.process().Ready(t.Context()))
	f.now = f.now.Add(-365 * day)
	require.NoError(t, f.process(func(c *Config) { c.Issuer = "Beta" }).Ready(t.Context()))
}

func TestPolicy_JSONThatNoDurationHolds(t *testing.T) {
	var p Policy
	require.NoError(t, json.Unmarshal([]byte(`{"actions":{"a":{"max_age":-36028797018960368}}}`), &p))
	require.Error(t, p.validate(), "it must not wrap around to one hour")
	v := struct{ Policy Policy }{PolicyAuthenticator()}
	require.NoError(t, json.Unmarshal([]byte(`{"Policy":null}`), &v))
	require.Equal(t, PolicyAuthenticator(), v.Policy, "null changes nothing")
}

// Package hotp trims spaces, and codes of an empty key are known to everybody.
func TestAbuse_D16_KeyOfSpaces(t *testing.T) {
	a := someApp.App
	for _, a.Key = range []string{"", " ", "\t", " ======", "========"} {
		require.Empty(t, a.code(1), "%q", a.Key)
		require.False(t, a.known(), "%q", a.Key)
	}
}
