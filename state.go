package twofa

import (
	"slices"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// userTx is one user's record and policy as read, for one decision.
type userTx struct {
	userRecord
	m             *Manager
	now           unixTime
	client        Client // where the request comes from
	browser       string // hash of its browser's token, once it was asked for
	user          string
	account       string
	version       string // as read; "" where the user has no record yet
	policy        Policy
	events        []Event
	deferredTexts []pendingMessage // messages that may leave once all is written
}

// emit adds to what is kept with the change. Detail is cleaned here, so that
// one event is always one line wherever it is printed.
func (s *userTx) emit(e Event) {
	e.ID, e.Time, e.User = seal.NewID(), s.now.time(), s.user
	if e.Account == "" {
		e.Account = s.account
	}
	e.IP, e.Agent, e.Detail = text.Clean(s.client.IP, 45), text.Clean(s.client.UserAgent, 200), text.Clean(e.Detail, 200)
	s.events = append(s.events, e)
}

// spend marks an attempt as over. It reports false where it already was.
func (s *userTx) spend(t ticket) bool {
	if s.isSpent(t) {
		return false
	}
	// Challenges derived from t by sending may live longer than t.
	s.Spent = append(s.Spent, spent{t.id, s.now.add(enrollChallengeTTL)})
	return true
}

func (s *userTx) isSpent(t ticket) bool {
	return slices.ContainsFunc(s.Spent, func(x spent) bool { return x.ID == t.id })
}

// isCurrent reports whether a ticket belongs to the user's present epoch, or is the
// session that outlived the last change. Its challenges did not.
func (s *userTx) isCurrent(t ticket) bool {
	return s.Epoch != "" && (t.epoch == s.Epoch || (t.purpose == forSession && s.KeptSession != "" && t.sessionID == s.KeptSession))
}

// enrolledMethods returns what the user can prove, beside recovery codes.
func (s *userTx) enrolledMethods(mail bool) []Method {
	has := make([]Method, 0, maxFactors+2)
	for i := range s.Factors {
		has = append(has, s.Factors[i].Method)
	}
	if mail && s.m.cfg.Mail.LinkURL != nil { // a Mailer alone sends notices
		has = append(has, EmailLink)
	}
	return has
}

func (s *userTx) facts(u User, t ticket) facts {
	return facts{account: s.account, ticket: t, has: s.enrolledMethods(len(u.Emails) > 0), codes: s.codesLeft() > 0}
}

func (s *userTx) denied(r Reason) error { return &DeniedError{Reason: r, Account: s.account} }

// newEpoch ends everything that was proven before, beside one session.
// Factors, codes and counters stay.
func (s *userTx) newEpoch(survivor string) {
	s.Epoch, s.KeptSession = seal.NewID(), survivor
	s.Grants, s.Messages, s.Pending, s.Browsers = nil, nil, nil, nil
}

// knownBrowser returns the browser a client has the token of, nil if it is none.
func (s *userTx) knownBrowser() *browser {
	i, ok := s.browserIndex()
	if !ok {
		return nil
	}
	return &s.Browsers[i]
}

func (s *userTx) browserIndex() (i int, current bool) {
	hash, now := s.browserHash(), s.now
	if hash == "" {
		return -1, false
	}
	for i := range s.Browsers {
		b := &s.Browsers[i]
		switch {
		case now >= b.Expires:
		case seal.Equal(b.Hash, hash):
			return i, true
		case b.Prev != "" && seal.Equal(b.Prev, hash):
			return i, now < b.Rotated.add(rotationGrace)
		}
	}
	return -1, false
}

func (s *userTx) browserHash() string {
	if s.browser == "" {
		s.browser = browserHash(s.client.Browser)
	}
	return s.browser
}

func (s *userTx) codesLeft() int {
	if s.Codes == nil {
		return 0
	}
	return s.Codes.left()
}

// phone returns the user's phone, nil if there is none.
func (s *userTx) phone() *factor {
	for i := range s.Factors {
		if s.Factors[i].Method == SMS {
			return &s.Factors[i]
		}
	}
	return nil
}

func (s *userTx) factorIndex(id string) int {
	return slices.IndexFunc(s.Factors, func(f factor) bool { return f.ID == id })
}

// initOrCheckStamp makes the record of a user who has none and notices a changed Stamp,
// after which nothing proven before counts.
func (s *userTx) initOrCheckStamp(u User) (changed bool) {
	stamp := stampOf(u)
	if s.Epoch != "" && s.Stamp == stamp {
		return false
	}
	s.Stamp = stamp
	s.newEpoch("")
	return true
}

func stampOf(u User) string {
	if u.SecurityStamp == "" {
		return ""
	}
	return seal.Digest("stamp", u.ID, u.SecurityStamp)
}

func (s *userTx) isRecent(at unixTime) bool {
	return at.within(enrollChallengeTTL, s.now)
}

// currentMessage returns what was sent for a ticket, if it is still good.
func (s *userTx) currentMessage(t ticket, m Method) *message {
	for i := range s.Messages {
		if x := &s.Messages[i]; t.messageID != "" && x.ID == t.messageID && x.Method == m && s.now < x.Expires {
			return x
		}
	}
	return nil
}

// useMessage takes away what has done its work.
func (s *userTx) useMessage(id string) {
	s.Messages = slices.DeleteFunc(s.Messages, func(x message) bool { return x.ID == id })
}

// voidMessages makes what was sent in a bucket worthless.
func (s *userTx) voidMessages(bucket string) {
	s.Messages = slices.DeleteFunc(s.Messages, func(x message) bool { return x.Bucket == bucket })
}

func (s *userTx) sentTo(t ticket) string {
	if x := s.currentMessage(t, t.messageMethod); x != nil {
		return x.Mask
	}
	return ""
}

func (s *userTx) unexpired() []browser {
	return slices.DeleteFunc(s.Browsers, func(b browser) bool { return s.now >= b.Expires })
}

// prune removes what has expired, so that the record stays small without any
// background work.
func (s *userTx) prune() {
	now := s.now
	s.Spent = keepLast(s.Spent, maxSpent, func(x spent) bool { return x.Expires > now })
	s.Grants = keepLast(s.Grants, maxGrants, func(g grant) bool { return now.sub(g.At) < maxMaxAge })
	s.Browsers = s.unexpired() // recognise bounds them
	s.Messages = keepLast(s.Messages, maxSent, func(x message) bool { return x.Expires > now })
	if s.Pending != nil && s.Pending.Expires <= now {
		s.Pending = nil
	}
	s.pruneCodes(s.m.cfg.Recovery.Viewable)
	for bucket, times := range s.SendTimes {
		if s.SendTimes[bucket] = recentTimes(times, now, day); len(s.SendTimes[bucket]) == 0 {
			delete(s.SendTimes, bucket)
		}
	}
}

// keepLast keeps the elements that pass, and of those the n newest.
func keepLast[T any](list []T, n int, pass func(T) bool) []T {
	kept := list[:0]
	for _, x := range list {
		if pass(x) {
			kept = append(kept, x)
		}
	}
	return kept[max(0, len(kept)-n):]
}

// pruneCodes leaves only hashes where codes are not to be kept.
func (r *userRecord) pruneCodes(viewable bool) {
	if r.Codes != nil && !viewable {
		r.Codes.Codes = nil
	}
}

// guard is the decision of every guard: what a session has proven against what
// the account asks for. The directory is not asked, so every user counts as
// having a mailbox; where one has none, Resume finds out.
func (s *userTx) guard(t ticket) error {
	if !s.isCurrent(t) {
		return s.denied(ReasonSignedOut)
	}
	f := facts{account: s.account, ticket: t, has: s.enrolledMethods(true), codes: s.codesLeft() > 0}
	switch v := s.policy.evaluate(f); v.next {
	case NextDone:
		return nil
	case NextEnroll:
		return &DeniedError{Reason: ReasonEnroll, Account: s.account, Methods: slices.Clone(s.policy.methods())}
	default:
		return &DeniedError{Reason: ReasonChallenge, Account: s.account, Methods: v.methods}
	}
}

// issueSession seals what a ticket has proven. It carries the present epoch.
func (s *userTx) issueSession(t ticket) Session {
	switch {
	case t.purpose == forSession:
	case t.ends != 0: // it lives on; no proof lengthens it
		t.expires = t.ends
	default:
		t.expires = s.now.add(s.m.cfg.Lifetimes.Session)
	}
	return Session{s.m.cfg.Keys.sealTicket(ticket{purpose: forSession, sessionID: t.sessionID, user: t.user, account: t.account,
		epoch: s.Epoch, stamp: t.stamp, by: t.by, sso: t.sso, at: t.at, expires: t.expires, proven: t.proven})}
}

// issueChallenge makes a challenge for a live session.
func (s *userTx) issueChallenge(t ticket, p purpose, ttl time.Duration) Challenge {
	t.ends = t.expires
	t.purpose, t.id, t.epoch, t.expires = p, seal.NewID(), s.Epoch, s.now.add(ttl)
	t.messageID, t.messageMethod, t.messageKey = "", "", ""
	return Challenge{s.m.cfg.Keys.sealTicket(t)}
}

// nextStep takes a ticket to where the policy wants it next.
func (s *userTx) nextStep(u User, t ticket) Result {
	v := s.policy.evaluate(s.facts(u, t))
	if v.next == NextDone {
		return s.completeLogin(t)
	}
	t.id, t.epoch, t.messageID, t.messageMethod, t.messageKey = seal.NewID(), s.Epoch, "", "", ""
	t.purpose, t.expires = forLogin, s.now.add(challengeTTL)
	if v.next == NextEnroll {
		t.purpose, t.expires = forEnroll, s.now.add(enrollChallengeTTL)
	}
	return Result{Next: v.next, Methods: v.methods, Challenge: Challenge{s.m.cfg.Keys.sealTicket(t)}}
}

// completeLogin ends a login: the ticket becomes a session.
func (s *userTx) completeLogin(t ticket) Result {
	s.LastLogin = s.now
	s.emit(Event{Type: event.Login, Method: t.strongest(), Session: t.sessionID, Detail: string(t.by)})
	return Result{Next: NextDone, Session: s.issueSession(t)}
}
