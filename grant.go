package twofa

import (
	"errors"
	"slices"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
)

// isFresh reports whether a rule accepts the grant now.
func (g grant) isFresh(r ActionRule, now unixTime) bool {
	return g.isInTime(r, now) && g.Method.countsAmong(r.Methods)
}

// isInTime reports whether the grant is not too old for a rule. If its MaxAge is
// zero, the grant can be used once, within onceMaxAge.
func (g grant) isInTime(r ActionRule, now unixTime) bool {
	age := r.MaxAge
	if age == 0 {
		age = onceMaxAge
	}
	return g.At.within(age, now)
}

func (g grant) matches(account, action, resource, sid string) bool {
	return g.Account == account && g.Action == action && g.Resource == resource && g.SessionID == sid
}

// isFrom reports whether the client is the browser in which the proof was given.
// A copy of the session in another browser could otherwise use what its owner
// has just proven.
func (g grant) isFrom(c Client) bool {
	return g.Browser == "" || seal.Equal(g.Browser, browserHash(c.Browser))
}

// findGrant returns the index of the session's fresh grant for the action, or -1 if
// an earlier proof counts instead, and the method that was proven. Otherwise it
// returns a DeniedError.
func (s *userTx) findGrant(t ticket, action, resource string) (int, Method, error) {
	r := s.policy.Rule(action)
	if m, ok := s.elevatedFor(t, r, action); ok {
		return -1, m, nil
	}
	denied := &DeniedError{Reason: ReasonMissing, Account: s.account, Action: action, Resource: resource, Methods: r.Methods, MaxAge: r.MaxAge}
	for i, g := range s.Grants {
		if !g.matches(s.account, action, resource, t.sessionID) || !g.isFrom(s.client) {
			continue
		}
		if g.isFresh(r, s.now) {
			return i, g.Method, nil
		}
		denied.Reason = ReasonStale
	}
	return 0, "", denied
}

// elevatedFor returns the method of a proof given earlier in the session, and
// whether it counts for a rule with a MaxAge, so that nobody types two codes in a
// row. The action must offer the method to this user now, and the request must come
// from the browser in which the proof was given. Proofs from before the last change
// of epoch do not count, and neither does an enrollment that a recovery code or a
// reset opened; see provenMethod.elevate.
func (s *userTx) elevatedFor(t ticket, r ActionRule, action string) (Method, bool) {
	if r.MaxAge == 0 || t.epoch != s.Epoch || t.browser == "" || !seal.Equal(t.browser, browserHash(s.client.Browser)) {
		return "", false
	}
	accepted, err := s.acceptedFor(t, action, true)
	i := slices.IndexFunc(t.proven, func(p provenMethod) bool {
		return p.elevate && p.at.within(r.MaxAge, s.now) && p.method.countsAmong(accepted) && (p.method != emailTyped || action != ActionFactors)
	})
	if err != nil || i < 0 {
		return "", false
	}
	return t.proven[i].method, true
}

// recordGrant records a fresh proof. It replaces an older grant for the same
// action, because two of them would allow a single-use action twice.
func (s *userTx) recordGrant(t ticket, m Method) {
	g := grant{Account: s.account, Action: t.action, Resource: t.resource, SessionID: t.sessionID, Method: m, At: s.now, Browser: t.browser, Form: t.form}
	s.Grants = slices.DeleteFunc(s.Grants, func(o grant) bool {
		return o.matches(g.Account, g.Action, g.Resource, g.SessionID)
	})
	s.Grants = append(s.Grants, g)
	s.emit(Event{Type: event.StepUp, Method: m, Session: t.sessionID, Detail: actionLabel(t.action, t.resource)})
}

// useGrant is like findGrant but also uses up a single-use grant, and returns the
// method that was proven. A form that has used one up, or that a grant was given
// for, is refused if it arrives again within replayTTL. If form is empty, nothing is
// recognized.
func (s *userTx) useGrant(t ticket, action, resource, form string) (Method, error) {
	if s.isUsedForm(form) {
		return "", s.alreadyDone(action, resource)
	}
	i, m, err := s.findGrant(t, action, resource)
	if err != nil {
		return "", err
	}
	used := s.policy.Rule(action).MaxAge == 0
	if used {
		s.Grants = slices.Delete(s.Grants, i, i+1)
	}
	if form != "" && (used || s.claimGrant(form)) {
		s.UsedForms = append(s.UsedForms, usedForm{ID: form, At: s.now})
	}
	return m, nil
}

// claimGrant reports whether a grant was given for a form, the first time it is
// asked. The grant remains valid.
func (s *userTx) claimGrant(form string) bool {
	i := slices.IndexFunc(s.Grants, func(g grant) bool { return form != "" && seal.Equal(g.Form, form) })
	if i >= 0 {
		s.Grants[i].Form = ""
	}
	return i >= 0
}

// usedForm is a form for which an action was allowed. It is kept for replayTTL.
type usedForm struct {
	seal.Unknown
	ID string // formID
	At unixTime
}

func (u *usedForm) Fields(c *seal.Codec) {
	seal.Text(c, 4, &u.ID)
	seal.Int(c, 8, &u.At)
}

// formID returns a hash of [Caller.Form] and of what else the action depends on.
// It is empty if form is.
func (t ticket) formID(action, resource, form string) string {
	if form == "" {
		return ""
	}
	return seal.Digest("form", t.sessionID, t.account, action, resource, form)
}

func (s *userTx) isUsedForm(form string) bool {
	return form != "" && slices.ContainsFunc(s.UsedForms, func(u usedForm) bool { return seal.Equal(u.ID, form) && s.isRepetition(u) })
}

// isRepetition reports whether a form that arrives again now is a repetition.
// The first one may have been recorded by a server whose clock is a little ahead.
func (s *userTx) isRepetition(u usedForm) bool { return s.now.sub(u.At).Abs() < replayTTL }

func (s *userTx) alreadyDone(action, resource string) error {
	return &DeniedError{Reason: ReasonAlreadyDone, Account: s.account, Action: action, Resource: resource}
}

// authorizeChange returns an error unless the session may change factors or
// view recovery codes. It requires a fresh proof for ActionFactors, which it
// uses up if the rule is single-use. If the user has no factor, it requires
// what mayEnrollFirst does.
func (s *userTx) authorizeChange(t ticket, mail bool) error {
	if len(s.Factors) > 0 {
		_, err := s.useGrant(t, ActionFactors, "", "")
		return err
	}
	return s.mayEnrollFirst(t, mail)
}

// mayEnrollFirst returns an error unless the user has just proven to be the
// person who may enroll the very first factor, which all accounts share: by a
// first factor of their own, or by an email link. The identity provider of one
// account is not enough, nor is an API token, nor is a password after a reset.
func (s *userTx) mayEnrollFirst(t ticket, mail bool) error {
	linked, proven := t.provenAt(EmailLink)
	needsLink := facts{ticket: t, reset: s.afterReset()}.needsLink(s.policy)
	switch {
	case proven && s.isRecent(linked) && !t.onlyByToken():
		return nil
	case !needsLink && t.hasFirstFactor(func(f firstFactor) bool { return f.ofPerson() && s.isRecent(f.at) }):
		return nil
	case !needsLink, t.onlyByToken():
		return s.firstFactorTooOld()
	case !mail:
		return s.denied(ReasonSupport)
	}
	return &DeniedError{Reason: ReasonMissing, Account: s.account, Action: ActionFactors, Methods: []Method{EmailLink}, MaxAge: firstFactorMaxAge}
}

// firstFactorTooOld returns an error that tells the user to log in again.
func (s *userTx) firstFactorTooOld() error {
	return &DeniedError{Reason: ReasonSignedOut, Account: s.account, Action: ActionFactors, MaxAge: firstFactorMaxAge}
}

// firstEnrollment returns what a user without a factor can prove before
// enrolling the first one. The error is that of mayEnrollFirst, or tells the
// user to enroll if nothing more is needed.
func (s *userTx) firstEnrollment(t ticket, mail bool) ([]Method, error) {
	err := s.mayEnrollFirst(t, mail)
	denied, _ := errors.AsType[*DeniedError](err)
	switch {
	case err == nil:
		r := s.policy.Rule(ActionFactors)
		return nil, &DeniedError{Reason: ReasonEnroll, Account: s.account, Action: ActionFactors, Methods: r.Methods, MaxAge: r.MaxAge}
	case denied.Reason != ReasonMissing:
		return nil, err
	case s.m.cfg.Mail.LinkURL == nil:
		return nil, unavailable("factor", errUnchecked)
	}
	return denied.Methods, nil
}

func actionLabel(action, resource string) string {
	if resource == "" {
		return action
	}
	return action + " " + resource
}

// acceptedFor returns the methods that the user can prove and the action
// accepts. mail is whether the user has an address.
func (s *userTx) acceptedFor(t ticket, action string, mail bool) ([]Method, error) {
	r := s.policy.Rule(action)
	fallback := s.policy.Fallback
	if action == ActionFactors {
		fallback = nil // all accounts share the factors that it changes
		if len(s.Factors) == 0 {
			return s.firstEnrollment(t, mail)
		}
	}
	f := s.facts(ticket{}, mail)
	accepted := Policy{Methods: r.Methods, Fallback: fallback}.offer(f.has)
	methods := without(accepted, f.unchecked...)
	if slices.Contains(r.Methods, RecoveryCode) && s.codesLeft() > 0 {
		methods = append(methods, RecoveryCode)
	}
	switch {
	case len(methods) > 0:
	case len(accepted) > 0 || f.hasUnknown():
		return nil, unavailable("factor", errUnchecked)
	default:
		return nil, &DeniedError{Reason: ReasonEnroll, Account: s.account, Action: action, Methods: r.Methods, MaxAge: r.MaxAge}
	}
	return methods, nil
}
