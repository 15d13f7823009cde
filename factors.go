package twofa

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/text"
)

// Factors describes the second factors of a user, for a settings page. It
// contains no secrets.
type Factors struct {
	// List contains the user's authenticator apps and phone.
	List []Factor
	// CodesLeft is the number of unused recovery codes.
	CodesLeft int
	// CodesTotal is the number of recovery codes in the current set, used or
	// not. It is zero if there is no set.
	CodesTotal int
	// CodesGenerated is the time at which the current set became valid. It is
	// the zero Time if there is no set.
	CodesGenerated time.Time
	// CodesMissing reports whether the user has a factor but no unused recovery
	// code, although [RecoveryConfig] generates them. Ask the user to generate
	// some; see [Manager.RegenerateCodes].
	CodesMissing bool
	// CodesViewable reports whether [Manager.RecoveryCodes] can show the unused
	// recovery codes.
	CodesViewable bool
	// Email is the address that email links are sent to, masked between its
	// first character and the "@". It is empty if the account's policy does not
	// accept email links or the user has no address.
	Email string
	// Required is Policy.Required of the account. Whether a factor can be
	// removed is in [Factor.Removable].
	Required bool
	// TurnOff is Policy.TurnOff of the account.
	TurnOff TurnOff
	// Due, if not zero, is the time from which the account requires a factor that
	// the user does not have yet; see [Policy.Grace].
	Due time.Time
	// Methods lists the methods that the account's policy lets the user enroll,
	// a subset of TOTP and SMS. A method is listed even if the user already has
	// as many factors of it as allowed.
	Methods []Method
	// RecoveredUntil, if not zero, is the time until which the session can enroll
	// an authenticator or a phone, or replace one, without a fresh proof, because
	// the user has given a recovery code.
	RecoveredUntil time.Time
	// PendingEnrollment reports whether the caller's session has an enrollment
	// that [Manager.PendingEnrollment] returns.
	PendingEnrollment bool
}

// Factor is an enrolled authenticator app or phone.
type Factor struct {
	// ID identifies the factor for [Manager.Rename], [Manager.Remove] and
	// [EnrollRequest.Replaces]. It is not secret.
	ID     string
	Method Method // TOTP or SMS
	Name   string // name given by the user, or a default in English; never empty
	Named  bool   // whether the user has given a name of their own
	Phone  string // phone number with all digits masked except the last two; empty for TOTP
	// Added is the time of enrollment.
	Added time.Time
	// LastUsed is the time of the last proof with the factor, or of its
	// enrollment.
	LastUsed time.Time
	// Legacy reports whether the key of an authenticator app is shorter than 16
	// bytes (RFC 4226, section 4, R6), because it was imported. Ask the user to
	// replace the app.
	Legacy bool
	// Removable reports whether the policies of all the user's accounts let the
	// user remove the factor. [Manager.Remove] also needs a fresh proof.
	Removable bool
}

// Factors returns the factors of the caller's user. It needs no fresh proof. It
// reads the policy of each of the user's accounts.
//
// Errors: [*DeniedError], [ErrNotAllowed] if the user must not enter the
// account, [ErrUnavailable].
func (m *Manager) Factors(ctx context.Context, c Caller) (Factors, error) {
	t, s, u, err := m.loadCaller(ctx, c)
	if err != nil {
		return Factors{}, err
	}
	v := Factors{CodesLeft: s.codesLeft(), CodesMissing: s.lacksCodes(), Required: s.policy.Required, TurnOff: s.policy.TurnOff, PendingEnrollment: s.checkPending(t) == nil}
	if s.Codes != nil {
		v.CodesTotal, v.CodesGenerated = s.Codes.Total, s.Codes.Made.time()
		v.CodesViewable = m.cfg.Recovery.Viewable && s.Codes.viewable()
	}
	if slices.Contains(s.policy.methods(), EmailLink) && len(u.Emails) > 0 && m.cfg.Mail.LinkURL != nil {
		v.Email = text.MaskEmail(u.Emails[0])
	}
	for _, method := range []Method{TOTP, SMS} {
		if slices.Contains(s.policy.methods(), method) && (method == TOTP || m.cfg.SMS.Sender != nil) {
			v.Methods = append(v.Methods, method)
		}
	}
	v.RecoveredUntil = s.recoveredUntil(t).time()
	v.Due = s.policy.evaluate(s.facts(t, len(u.Emails) > 0)).due.time()
	policies, err := m.policies(ctx, s, u)
	if err != nil {
		return Factors{}, err
	}
	for i := range s.Factors {
		f := &s.Factors[i]
		shown := Factor{ID: f.ID, Method: f.Method, Name: f.Name, Named: f.Name != defaultName(f.Method), Added: f.Added.time(), LastUsed: f.Used.time(),
			Legacy: f.isLegacy(), Removable: s.mayRemove(i, policies)}
		if f.Method == SMS {
			shown.Phone = text.MaskPhone(f.Phone)
		}
		v.List = append(v.List, shown)
	}
	return v, nil
}

// Rename changes the name of a factor of the caller's user. Control characters
// are removed, and the name is cut to 128 bytes. If it is empty, it defaults to
// "Authenticator app" or "Phone". Rename needs a fresh proof for
// [ActionFactors]. If the rule for that action is single-use, the call uses up
// the proof.
//
// Errors: [ErrNotEnrolled] if the user has no factor with this ID, [ErrLocked]
// after 20 changes in an hour, [*DeniedError], [ErrNotAllowed] if the user must
// not enter the account, [ErrUnavailable].
func (m *Manager) Rename(ctx context.Context, c Caller, id, name string) error {
	return m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		if err := s.authorizeChange(t, len(u.Emails) > 0); err != nil {
			return err
		}
		i := s.factorIndex(id)
		if i < 0 {
			return ErrNotEnrolled
		}
		if err := s.reserve(changeAllowance, renameBucket); err != nil {
			return err
		}
		f := &s.Factors[i]
		f.Name = cmp.Or(text.Clean(name, maxName), defaultName(f.Method))
		s.emit(Event{Type: event.Renamed, Method: f.Method, Session: t.sessionID, Detail: f.Name})
		return nil
	})
}

// Remove removes a factor of the caller's user. It needs a fresh proof for
// [ActionFactors]. If the rule for that action is single-use, the call uses up
// the proof. All other sessions of the user are invalidated, and so are all
// pending logins and fresh proofs. Browsers are no longer remembered. If it was
// the last factor, the recovery codes are deleted as well, and all browsers
// become unknown.
//
// Errors: [ErrNotEnrolled] if the user has no factor with this ID,
// [ErrNotAllowed] if the policy of any of the user's accounts forbids it (see
// [Factor.Removable]) or the user must not enter the account, [*DeniedError],
// [ErrUnavailable].
func (m *Manager) Remove(ctx context.Context, c Caller, id string) error {
	return m.change(ctx, c, func(s *userTx, t ticket, u User) error {
		i := s.factorIndex(id)
		if i < 0 { // a form sent twice must not ask for a proof again
			return ErrNotEnrolled
		}
		if err := s.authorizeChange(t, len(u.Emails) > 0); err != nil {
			return err
		}
		policies, err := m.policies(ctx, s, u)
		if err != nil {
			return err
		}
		if !s.mayRemove(i, policies) {
			return ErrNotAllowed
		}
		f := s.Factors[i]
		s.Factors = slices.Delete(s.Factors, i, i+1)
		s.TakenAway = s.now
		s.newEpoch(t.sessionID)
		s.emit(Event{Type: event.Removed, Method: f.Method, Session: t.sessionID, Detail: f.Name, Notice: true})
		if len(s.Factors) == 0 {
			s.turnOff(s.now)
			s.emit(Event{Type: event.TurnedOff, Session: t.sessionID, Notice: true})
		}
		return nil
	})
}

// policies returns the policies of all the user's accounts, because the
// accounts share the factors. The one of the request comes first.
func (m *Manager) policies(ctx context.Context, s *userTx, u User) ([]Policy, error) {
	all := []Policy{s.policy}
	var keys []string
	for _, member := range u.Members {
		if key := accountKey(member.Account); member.Account != s.account && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return all, nil
	}
	records, err := m.readAll(ctx, keys...)
	for _, r := range records {
		var p Policy
		if p, _, err = m.policyIn(r); err != nil {
			break
		}
		all = append(all, p)
	}
	return all, err
}

// mayRemove reports whether the policies let the user remove a factor.
func (s *userTx) mayRemove(i int, policies []Policy) bool {
	left := slices.Delete(slices.Clone(s.Factors), i, i+1)
	return !slices.ContainsFunc(policies, func(p Policy) bool { return !p.allowsRemaining(left) })
}

// UserData is everything that twofa stores about a user, without secrets, as
// returned by [ManagedUser.Export]. As JSON, it can be handed to the user.
type UserData struct {
	User      string    `json:"user"`                // ID of the user
	Time      time.Time `json:"time"`                // time of the export
	LastLogin time.Time `json:"last_login,omitzero"` // last completed login
	// Factors are the enrolled authenticator apps and phones.
	Factors []FactorData `json:"factors"`
	// CodesLeft is the number of unused recovery codes.
	CodesLeft      int       `json:"recovery_codes_left"`
	CodesTotal     int       `json:"recovery_codes_total"`              // number of codes in the current set
	CodesGenerated time.Time `json:"recovery_codes_generated,omitzero"` // when the current set became valid
	// Pending is an enrollment that is not complete; nil if there is none.
	Pending *FactorData `json:"pending_enrollment,omitempty"`
	// Browsers are the known browsers.
	Browsers []BrowserData `json:"browsers"`
	// Failures counts wrong codes.
	Failures []FailureData `json:"failures"`
	// Proofs are the fresh proofs for actions.
	Proofs []ProofData `json:"proofs"`
	// Sent lists when links, codes and other limited requests were counted, in
	// the last day, by kind.
	Sent map[string][]time.Time `json:"sent"`
	// Accounts is what is stored for single accounts.
	Accounts []AccountData `json:"accounts"`
	// Imported is when factors of another product were imported.
	Imported time.Time `json:"imported,omitzero"`
	// TakenAway is when a factor was last removed or reset.
	TakenAway time.Time `json:"taken_away,omitzero"`
	// Reset is the time of a reset after which no factor was enrolled yet.
	Reset time.Time `json:"reset,omitzero"`
	// LastReset is the time of the last reset, after which a user can do nothing as
	// an admin for a day.
	LastReset time.Time `json:"last_reset,omitzero"`
}

// FactorData is a factor in [UserData].
type FactorData struct {
	ID       string    `json:"id"`
	Method   Method    `json:"method"`
	Name     string    `json:"name"`
	Phone    string    `json:"phone,omitempty"` // number in E.164, for SMS
	Added    time.Time `json:"added,omitzero"`
	LastUsed time.Time `json:"last_used,omitzero"`
	Legacy   bool      `json:"legacy,omitempty"` // see Factor.Legacy
}

// BrowserData is a known browser in [UserData].
type BrowserData struct {
	ID         string    `json:"id"`
	Device     string    `json:"device"`
	First      time.Time `json:"first"`
	LastUsed   time.Time `json:"last_used"`
	LastProof  time.Time `json:"last_proof"`
	Method     Method    `json:"method"`
	Remembered bool      `json:"remembered"` // whether the user asked for it
}

// FailureData counts the wrong codes of one method, in one known browser or in
// all others.
type FailureData struct {
	Method      Method    `json:"method"`
	Browser     string    `json:"browser,omitempty"` // ID of the known browser; empty for all others
	Consecutive int       `json:"consecutive"`
	Last        time.Time `json:"last,omitzero"`
	LockedUntil time.Time `json:"locked_until,omitzero"`
}

// ProofData is a fresh proof in [UserData].
type ProofData struct {
	Account  string    `json:"account,omitempty"`
	Action   string    `json:"action"`
	Resource string    `json:"resource,omitempty"`
	Method   Method    `json:"method"`
	Time     time.Time `json:"time"`
}

// AccountData is what is stored about a user in one account, for the 16 accounts
// used last and those in which an admin has extended the grace.
type AccountData struct {
	Account   string    `json:"account"`
	LastLogin time.Time `json:"last_login,omitzero"`
	SSO       bool      `json:"sso,omitempty"` // whether the account's own identity provider vouched at that login
	LastProof time.Time `json:"last_proof,omitzero"`
	Method    Method    `json:"method,omitempty"`  // method of that proof
	Extended  time.Time `json:"extended,omitzero"` // see [Account.Extend]
	Reminded  time.Time `json:"reminded,omitzero"` // when the user was last reminded to enroll; see [Account.Remind]
	// RemindedFor is the date until which the user was told to enroll.
	RemindedFor time.Time `json:"reminded_for,omitzero"`
}

// Export returns everything that is stored about the user, except secrets, for
// example to answer a request for access to personal data. If nothing is stored,
// only User and Time are set. Events are stored apart; see [EventReader]. Only
// staff and the host may call Export. It writes nothing.
//
// Errors: [ErrInvalid] for a malformed user ID, [ErrNotAllowed] if the actor is
// empty or a user, [ErrUnavailable].
func (u *ManagedUser) Export(ctx context.Context) (UserData, error) {
	if !u.by.ofProduct() {
		return UserData{}, notAllowed("only AsStaff and AsHost may export")
	}
	if err := text.ValidateID("user", u.id); err != nil {
		return UserData{}, invalid("%w", err)
	}
	s, err := u.m.load(ctx, Client{}, u.id, noPolicy)
	if err != nil {
		return UserData{}, err
	}
	return s.export(), nil
}

func (s *userTx) export() UserData {
	d := UserData{User: s.user, Time: s.now.time(), LastLogin: s.LastLogin.time(), Imported: s.Imported.time(), TakenAway: s.TakenAway.time(), LastReset: s.ResetAt.time(),
		Factors: []FactorData{}, Browsers: []BrowserData{}, Failures: []FailureData{}, Proofs: []ProofData{}, Sent: map[string][]time.Time{}, Accounts: []AccountData{}}
	for _, x := range s.Seen {
		d.Accounts = append(d.Accounts, AccountData{Account: x.Account, LastLogin: x.Login.time(), SSO: x.Vouched, LastProof: x.Proof.time(), Method: x.Method, Reminded: x.Reminded.time(), RemindedFor: x.RemindedFor.time()})
	}
	for _, x := range s.Extensions {
		i := s.seenIndex(x.Account)
		if i < 0 {
			i, d.Accounts = len(d.Accounts), append(d.Accounts, AccountData{Account: x.Account})
		}
		d.Accounts[i].Extended = x.Until.time()
	}
	for i := range s.Factors {
		f := &s.Factors[i]
		d.Factors = append(d.Factors, FactorData{ID: f.ID, Method: f.Method, Name: f.Name, Phone: f.Phone, Added: f.Added.time(), LastUsed: f.Used.time(), Legacy: f.isLegacy()})
	}
	if s.Codes != nil {
		d.CodesLeft, d.CodesTotal, d.CodesGenerated = s.Codes.left(), s.Codes.Total, s.Codes.Made.time()
	}
	if p := s.Pending; p != nil {
		d.Pending = &FactorData{ID: p.FactorID, Method: p.Method, Name: p.Name, Phone: p.Phone}
	}
	for _, b := range s.Browsers {
		d.Browsers = append(d.Browsers, BrowserData{ID: b.ID, Device: b.Device, First: b.First.time(), LastUsed: b.Used.time(), LastProof: b.Proven.time(),
			Method: b.Method, Remembered: s.isRemembered(&b)})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Counters)) {
		n := s.Counters[name]
		method, id, _ := strings.Cut(name, "/")
		d.Failures = append(d.Failures, FailureData{Method: Method(method), Browser: id, Consecutive: n.Fails, Last: n.Last.time(), LockedUntil: n.Until.time()})
	}
	for _, g := range s.Grants {
		d.Proofs = append(d.Proofs, ProofData{Account: g.Account, Action: g.Action, Resource: g.Resource, Method: g.Method, Time: g.At.time()})
	}
	for name, sent := range s.SendTimes {
		for _, at := range sent.Times {
			d.Sent[name] = append(d.Sent[name], at.time())
		}
	}
	if s.Reset != nil {
		d.Reset = s.Reset.At.time()
	}
	return d
}
