package twofa

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/internal/text"
)

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
	// Lost is when the device was reported as lost.
	Lost time.Time `json:"lost,omitzero"`
	// Case is the open support case; nil if there is none.
	Case *Case `json:"case,omitempty"`
	// CasesOpened is when cases were opened, in the last 30 days.
	CasesOpened []time.Time `json:"cases_opened,omitempty"`
	// CaseStopped is when the user last stopped a case.
	CaseStopped time.Time `json:"case_stopped,omitzero"`
	// Addresses are the kept addresses, which notices are mailed to.
	Addresses []AddressData `json:"addresses"`
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
	// Assigned is a phone number that an admin has entered for the user; nil if
	// there is none.
	Assigned *AssignedData `json:"assigned_phone,omitempty"`
}

// AssignedData is a phone number in [UserData] that an admin of Account has
// entered; see [Account.AssignPhones].
type AssignedData struct {
	Phone   string    `json:"phone"` // number in E.164
	Account string    `json:"account"`
	Added   time.Time `json:"added"`
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

// AddressData is an address in [UserData].
type AddressData struct {
	Email string    `json:"email"`
	Gone  time.Time `json:"gone,omitzero"` // when it was first missing in the directory; it is kept for 30 days from then
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
	d := UserData{User: s.user, Time: s.now.time(), LastLogin: s.LastLogin.time(), Imported: s.Imported.time(), TakenAway: s.TakenAway.time(), LastReset: s.ResetAt.time(), Lost: s.Lost.time(), Case: s.describeCase(), CaseStopped: s.CaseStopped.time(),
		Factors: []FactorData{}, Browsers: []BrowserData{}, Failures: []FailureData{}, Proofs: []ProofData{}, Sent: map[string][]time.Time{}, Addresses: []AddressData{}, Accounts: []AccountData{}}
	for _, at := range s.CasesOpened {
		d.CasesOpened = append(d.CasesOpened, at.time())
	}
	for _, a := range s.Addresses {
		d.Addresses = append(d.Addresses, AddressData{a.Email, a.Gone.time()})
	}
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
	if a := s.Assigned; a != nil {
		d.Assigned = &AssignedData{Phone: a.Number, Account: a.Account, Added: a.At.time()}
	}
	if s.Reset != nil {
		d.Reset = s.Reset.At.time()
	}
	return d
}
