package twofa

import (
	"errors"
	"slices"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// userTx is the state of one operation: the record and policy as they were
// read, the client, and the events and messages that result.
type userTx struct {
	userRecord
	m             *Manager
	now           unixTime
	client        Client
	own           cookieEntry
	user          string
	account       string
	version       string // of the record as read; empty if the user has no record
	policy        Policy
	harder        unixTime // when the policy last began to require more
	events        []Event
	newBrowser    bool             // whether the login makes the client's browser known
	deferredTexts []pendingMessage // to be sent after the record is stored
	told          []string         // IDs of the users who were mailed a notice of the events
}

// emit adds an event, which is stored together with the record. It cleans text
// that a client or host chose, so that every event is printed on one line.
func (s *userTx) emit(e Event) {
	e.User = s.user
	if e.Account == "" {
		e.Account = s.account
	}
	e.IP, e.Agent, e.Request = text.Clean(s.client.IP, 45), text.Clean(s.client.UserAgent, 200), text.Clean(s.client.RequestID, 128)
	s.events = append(s.events, s.Audit.add(s.m.cfg.Keys, e.issued(s.now)))
}

// spend uses up a challenge. It returns false if that has already happened.
func (s *userTx) spend(t ticket) bool {
	if s.isSpent(t) {
		return false
	}
	// Challenges that Send issued for the same ID may live longer than t.
	s.Spent = append(s.Spent, spent{ID: t.spentID(), Expires: s.now.add(s.m.cfg.lifetime(t.purpose))})
	return true
}

func (s *userTx) isSpent(t ticket) bool {
	return slices.ContainsFunc(s.Spent, func(x spent) bool { return x.ID == t.spentID() })
}

// isCurrent reports whether a ticket belongs to the user's epoch, or to the
// session that made the last change. Challenges of that session that are older
// than the change are not current.
func (s *userTx) isCurrent(t ticket) bool {
	return s.Epoch != "" && (t.epoch == s.Epoch || (t.purpose == forSession && s.KeptSession != "" && t.sessionID == s.KeptSession))
}

// carry returns a current ticket in the user's epoch. Proofs from before the
// last change count for the policy, but for no action.
func (s *userTx) carry(t ticket) ticket {
	if t.epoch != s.Epoch {
		t.epoch, t.proven = s.Epoch, lowered(t.proven)
	}
	return t
}

// facts returns the facts about the user and a ticket. mail is whether the user
// has an address.
func (s *userTx) facts(t ticket, mail bool) facts {
	f := facts{now: s.now, account: s.account, ticket: t, reset: s.afterReset(), has: make([]Method, 0, maxFactors+2), codes: s.codesLeft() > 0, since: s.harder}
	f.joined, _ = t.memberSince(s.account)
	if i := s.extensionIndex(s.account); i >= 0 {
		f.extended = s.Extensions[i].Until
	}
	for i := range s.Factors {
		f.has = append(f.has, s.Factors[i].Method)
	}
	for i := range s.Factors {
		if m := s.Factors[i].Method; !slices.ContainsFunc(s.Factors, func(o factor) bool { return o.Method == m && s.m.cfg.checks(&o) }) {
			f.unchecked = append(f.unchecked, m)
		}
	}
	link := s.m.cfg.Mail.LinkURL != nil // without LinkURL, Mailer sends notices only
	if mail && (link || s.policy.Required || s.Reset != nil) {
		f.has = append(f.has, EmailLink)
		if !link {
			f.unchecked = append(f.unchecked, EmailLink)
		}
	}
	return f
}

func (s *userTx) extensionIndex(account string) int {
	return slices.IndexFunc(s.Extensions, func(e extension) bool { return e.Account == account })
}

// extend replaces the extension in an account and returns the one before. It
// drops those that have ended, and the one that ends first if there are too many.
func (s *userTx) extend(account string, until unixTime) (before unixTime) {
	if i := s.extensionIndex(account); i >= 0 {
		before = s.Extensions[i].Until
	}
	s.Extensions = slices.DeleteFunc(s.Extensions, func(e extension) bool {
		return e.Account == account || !e.Until.isAhead(maxExtension, s.now)
	})
	if until > s.now {
		s.Extensions = append(s.Extensions, extension{Account: account, Until: until})
	}
	slices.SortStableFunc(s.Extensions, func(x, y extension) int { return int(x.Until - y.Until) })
	s.Extensions = slices.Delete(s.Extensions, 0, max(0, len(s.Extensions)-maxExtensions))
	return before
}

// seenHere notes when the user was seen in the account of the request. It moves
// the account to the end, because the list keeps those used last. It keeps those
// that have reminded the user of a date to come even so, because they would
// otherwise do it again.
func (s *userTx) seenHere(note func(*seen)) {
	if s.account == "" {
		return
	}
	x := seen{Account: s.account}
	if i := s.seenIndex(s.account); i >= 0 {
		x = s.Seen[i] // before Delete, which moves the elements
		s.Seen = slices.Delete(s.Seen, i, i+1)
	}
	note(&x)
	s.Seen = append(s.Seen, x)
	for len(s.Seen) > maxSeen {
		i := max(0, slices.IndexFunc(s.Seen, func(x seen) bool { return x.RemindedFor <= s.now }))
		s.Seen = slices.Delete(s.Seen, i, i+1)
	}
}

func (r *userRecord) seenIndex(account string) int {
	return slices.IndexFunc(r.Seen, func(x seen) bool { return x.Account == account })
}

// afterReset returns what a reset says about the next enrollment.
func (s *userTx) afterReset() linkAfterReset {
	switch {
	case s.Reset == nil:
		return noReset
	case s.Reset.InPerson && s.Reset.At.within(inPersonFor, s.now):
		return linkSpared
	}
	return linkNeeded
}

// evaluate decides what the policy requires next. The error is ErrUnavailable if
// only another process can check the user's factors, and a DeniedError if no
// proof of the user can help.
func (s *userTx) evaluate(t ticket, mail bool) (policyResult, error) {
	v := s.policy.evaluate(s.facts(t, mail))
	switch v.next {
	case nextUnavailable:
		return policyResult{}, unavailable("factor", errUnchecked)
	case nextSignIn:
		return policyResult{}, s.denied(ReasonSignInHere)
	case nextSupport:
		return policyResult{}, s.denied(ReasonSupport)
	}
	return v, nil
}

// evaluateRecent is evaluate with the recent proofs of a ticket alone, which it
// returns. A stolen session must not be enough to enroll a factor, so the proof
// that precedes a required enrollment has to be recent.
func (s *userTx) evaluateRecent(t ticket, u User) (ticket, policyResult, error) {
	t.proven = slices.DeleteFunc(slices.Clone(t.proven), func(p provenMethod) bool { return !s.isRecent(p.at) })
	v, err := s.evaluate(t, len(u.Emails) > 0)
	return t, v, err
}

// checks reports whether this process can check proofs of a factor.
func (c *Config) checks(f *factor) bool {
	return f.Method == TOTP && f.App.known() || f.Method == SMS && f.Phone != "" && c.SMS.Sender != nil
}

// errUnchecked means that only another process can check the user's factors.
var errUnchecked = errors.New("twofa: this process cannot check the user's factors")

func (s *userTx) denied(r Reason) error { return &DeniedError{Reason: r, Account: s.account} }

// newEpoch invalidates everything the user has proven so far, except in the
// session with the ID survivor, if it is not empty. Browsers are no longer
// remembered, but remain known. It keeps factors, recovery codes and counters.
func (s *userTx) newEpoch(survivor string) {
	s.Epoch, s.KeptSession = seal.NewID(), survivor
	s.Grants, s.Messages, s.Pending, s.Answers = nil, nil, nil, nil
}

// endSession removes everything that belongs to a session, and reports whether
// there was anything.
func (s *userTx) endSession(id string) bool {
	n := len(s.Grants) + len(s.Messages) + len(s.Answers)
	s.Grants = slices.DeleteFunc(s.Grants, func(g grant) bool { return g.SessionID == id })
	s.Messages = slices.DeleteFunc(s.Messages, func(x message) bool { return x.SessionID == id })
	s.Answers = slices.DeleteFunc(s.Answers, func(a answer) bool { return a.SessionID == id })
	ended := len(s.Grants)+len(s.Messages)+len(s.Answers) < n
	if s.Pending != nil && s.Pending.SessionID == id {
		s.Pending, ended = nil, true
	}
	return ended
}

func (s *userTx) codesLeft() int {
	if s.Codes == nil {
		return 0
	}
	return s.Codes.left()
}

// openCase returns the open case, or nil if there is none.
func (s *userTx) openCase() *supportCase {
	if s.Case == nil || s.now.sub(s.Case.Opened) >= caseTTL {
		return nil
	}
	return s.Case
}

const recoveryHashLen = 16

func (s *codeSet) left() int { return len(s.Hashes) / recoveryHashLen }

func (s *codeSet) hash(i int) string { return s.Hashes[i*recoveryHashLen:][:recoveryHashLen] }

// viewable reports whether the codes that are left are stored next to their
// hashes, in the same order.
func (s *codeSet) viewable() bool { return len(s.Codes) > 0 && len(s.Codes) == s.left() }

// lacksCodes reports whether the user has a factor, but no recovery code to use
// instead.
func (s *userTx) lacksCodes() bool {
	return s.m.cfg.Recovery.Codes > 0 && len(s.Factors) > 0 && s.codesLeft() == 0
}

// phone returns the user's phone, or nil if there is none.
func (s *userTx) phone() *factor {
	for i := range s.Factors {
		if s.Factors[i].Method == SMS && s.Factors[i].Phone != "" {
			return &s.Factors[i]
		}
	}
	return nil
}

func (s *userTx) factorIndex(id string) int {
	return slices.IndexFunc(s.Factors, func(f factor) bool { return f.ID == id })
}

// isRecent reports whether a proof is recent enough to enroll a factor.
func (s *userTx) isRecent(at unixTime) bool {
	return at.within(firstFactorMaxAge, s.now)
}

// currentMessage returns the message that was sent for a ticket, or nil if it
// is no longer valid.
func (s *userTx) currentMessage(t ticket, m Method) *message {
	for i := range s.Messages {
		if x := &s.Messages[i]; t.messageID != "" && x.ID == t.messageID && x.Method == m && x.Expires.isAhead(maxLinkTTL, s.now) {
			return x
		}
	}
	return nil
}

func (s *userTx) useMessage(id string) {
	s.Messages = slices.DeleteFunc(s.Messages, func(x message) bool { return x.ID == id })
}

// guard refuses a session that has not proven what the account's policy
// requires. It does not look up the user, because a guard must cost only one
// read, so it assumes that every user has an address. If a user has none,
// Resume detects it.
func (s *userTx) guard(t ticket) error {
	if !s.isCurrent(t) {
		return s.denied(ReasonSignedOut)
	}
	if _, ok := t.memberSince(s.account); !ok {
		return s.denied(ReasonChallenge)
	}
	v, err := s.evaluate(t, true)
	switch {
	case err != nil:
		return err
	case v.next == NextDone:
		return nil
	case v.next == NextEnroll:
		return &DeniedError{Reason: ReasonEnroll, Account: s.account, Methods: slices.Clone(s.policy.methods())}
	default:
		return &DeniedError{Reason: ReasonChallenge, Account: s.account, Methods: v.methods}
	}
}

// issueSession returns a session of the user's epoch with the proofs of a
// ticket.
func (s *userTx) issueSession(t ticket) Session {
	switch {
	case t.purpose == forSession:
	case t.ends != 0: // the session exists already, and a proof does not extend it
		t.expires = t.ends
	default:
		t.started, t.expires = s.now, s.now.add(s.m.cfg.Lifetimes.Session)
	}
	t = s.carry(t)
	return Session{s.m.cfg.Keys.sealTicket(ticket{Unknown: t.Unknown, purpose: forSession, sessionID: t.sessionID, user: t.user, account: t.account,
		epoch: t.epoch, first: t.first, members: t.members, joined: t.joined, started: t.started, expires: t.expires, browser: t.browser, proven: t.proven})}
}

// issueChallenge returns a challenge for a session.
func (s *userTx) issueChallenge(t ticket, p purpose) Challenge {
	t = s.carry(t)
	t.ends = t.expires
	t.purpose, t.id, t.expires = p, seal.NewID(), s.now.add(s.m.cfg.lifetime(p))
	t.messageID, t.messageMethod, t.messageKey = "", "", ""
	return Challenge{s.m.cfg.Keys.sealTicket(t)}
}

// noteLogin notes a completed login. It suspends an open case, unless only the
// identity provider of one account vouched for the user: that must not decide about
// a reset which concerns all of them.
func (s *userTx) noteLogin(t ticket) {
	suspends := t.hasFirstFactor(firstFactor.ofPerson)
	x := s.openCase()
	switch {
	case suspends:
		s.suspendCase("")
	case x != nil && s.LastLogin == x.LastLogin:
		x.LastLogin = s.now
	}
	s.LastLogin = s.now
}

// suspendCase suspends an open case, because the user has signed in or has proven a
// method.
func (s *userTx) suspendCase(m Method) {
	if x := s.openCase(); x != nil {
		x.Suspended, x.Proven = true, x.Proven || isFactor(m)
	}
}

// nextStep completes the login, or returns the challenge that the policy
// requires next.
func (s *userTx) nextStep(u User, t ticket) (Result, error) {
	v, err := s.evaluate(t, len(u.Emails) > 0)
	if err != nil {
		return Result{}, err
	}
	if v.next == NextEnroll {
		if t, v, err = s.evaluateRecent(t, u); err != nil {
			return Result{}, err
		}
	}
	if v.next == NextDone {
		return s.completeLogin(t, v.due), nil
	}
	t.id, t.epoch, t.messageID, t.messageMethod, t.messageKey = nextID(t.id), s.Epoch, "", "", ""
	t.purpose = forLogin
	if v.next == NextEnroll {
		t.purpose = forEnroll
	}
	t.expires = s.now.add(s.m.cfg.lifetime(t.purpose))
	return Result{Next: v.next, Methods: v.methods, Challenge: Challenge{s.m.cfg.Keys.sealTicket(t)}}, nil
}

// completeLogin ends what belongs to the session that the login replaces, because
// the logout of the new one could not.
func (s *userTx) completeLogin(t ticket, due unixTime) Result {
	if t.replaces != "" {
		s.endSession(t.replaces)
		t.replaces = ""
	}
	s.noteLogin(t)
	s.seenHere(func(x *seen) { x.Login, x.Vouched = s.now, t.vouchedIn(s.account) })
	s.emit(Event{Type: event.Login, Method: t.strongest(), Session: t.sessionID, Detail: string(t.lastFirstFactor()),
		Notice: s.newBrowser && s.m.cfg.Mail.NoticeNewBrowser})
	return Result{Next: NextDone, Session: s.issueSession(t), CodesMissing: s.lacksCodes(), Due: due.time(), Case: s.openCase() != nil && t.hasFirstFactor(firstFactor.ofPerson)}
}
