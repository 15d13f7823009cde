package twofa

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
)

// CheckAction checks whether the session may perform the action now. It does
// what [Manager.Check] does and also requires a fresh proof, given by this
// session with an accepted method, for exactly this account, action and
// resource (an empty resource is a value like any other). The proof counts only
// in the browser in which it was given ([Client.Browser]). CheckAction does not
// use it up.
//
// Use it for an action whose rule has a MaxAge, for example to read data several
// times. For a single-use rule, call [Manager.UseAction] immediately before the
// action, because a proof that is only checked is valid again and again for 5
// minutes. Any account can have such a rule, so if one lets the session pass,
// CheckAction logs an error, at most once an hour. To show a page with a button
// for the action, call [Manager.PeekAction].
//
// If there is no such proof, CheckAction returns a [*DeniedError] with
// [ReasonMissing], or with [ReasonStale] if the proof is too old or was given
// with a method that the rule does not accept. Its other errors are those of
// Check: a *DeniedError, [ErrNotAllowed] or [ErrUnavailable].
func (m *Manager) CheckAction(ctx context.Context, c Caller, action, resource string) error {
	once, err := m.peek(ctx, c, action, resource)
	if err == nil && once && m.firstThisHour(&m.checkLogged) {
		m.cfg.Logger.ErrorContext(ctx, "twofa: CheckAction let an action pass whose proofs are single-use; call UseAction before the action, or PeekAction to show a page", "action", action)
	}
	return err
}

// PeekAction is like [Manager.CheckAction], for a page that only shows whether
// the action is possible, such as one with the button for it. The action itself
// must call [Manager.UseAction].
func (m *Manager) PeekAction(ctx context.Context, c Caller, action, resource string) error {
	_, err := m.peek(ctx, c, action, resource)
	return err
}

// peek returns nil if the session has a fresh proof for the action, and whether
// the rule of the action is single-use.
func (m *Manager) peek(ctx context.Context, c Caller, action, resource string) (once bool, err error) {
	t, s, err := m.loadSession(ctx, c)
	if err != nil {
		return false, err
	}
	_, _, err = s.findGrant(t, action, resource)
	return s.policy.Rule(action).MaxAge == 0, err
}

// UseAction is like [Manager.CheckAction] but also uses up a single-use proof
// (see [ActionRule.MaxAge]). Of any number of concurrent calls for one
// single-use proof, on any number of servers, exactly one succeeds. If MaxAge
// is positive, the proof remains valid. Each call that succeeds stores an event of
// type [event.ActionUsed], so that an admin sees who did what. [Manager.RecordAction]
// stores how it ended.
//
// Call it immediately before the action. If the action then fails, the user
// must give a new proof.
//
// If [Caller.Form] is set, UseAction denies the same form with
// [ReasonAlreadyDone] for ten seconds after it has used up a proof. If MaxAge is
// positive, it does so only after the form that the proof was given for; see
// [Manager.HoldForm].
func (m *Manager) UseAction(ctx context.Context, c Caller, action, resource string) error {
	t, err := m.openSession(c)
	if err != nil {
		return err
	}
	return m.update(ctx, c.Client, t.user, t.account, func(s *userTx) error {
		if err := s.guard(t); err != nil {
			return err
		}
		m, err := s.useGrant(t, action, resource, t.formID(action, resource, c.Form))
		if err == nil {
			s.emit(Event{Type: event.ActionUsed, Method: m, Session: t.sessionID, Detail: actionLabel(action, resource)})
		}
		return err
	})
}

// RecordedAction is a sensitive action of the host; see [Manager.RecordAction].
type RecordedAction struct {
	// Action is the name of the action, as in [Policy.Actions], 1 to 128 bytes.
	Action string
	// Resource is what it was done to, at most 128 bytes. May be empty.
	Resource string
	// Detail says more, in at most 200 bytes. May be empty.
	Detail string
	// Count is to how many things it was done, such as exported customers. If zero,
	// it is not known.
	Count int
	// Failed reports that the action was permitted, but failed.
	Failed bool
}

// RecordAction stores an event about a sensitive action of the host that has taken
// place, such as an export, with what and how many. Call it after [Manager.UseAction]
// and the action, as soon as the result is known. It decides nothing and does not
// replace UseAction. It also records an action of a session that was revoked while
// the action took place, and it takes place even if ctx is canceled, because an
// attacker could otherwise hang up. It takes at most ten seconds.
//
// The event has the type [event.Action], and a JSON object with the fields count and
// failed as [Event.After].
//
// Errors: [ErrInvalid] for a malformed action, [*DeniedError] if there is no session
// or it was never in the account, [ErrUnavailable] if the event was not stored.
func (m *Manager) RecordAction(ctx context.Context, c Caller, a RecordedAction) error {
	var bad problems
	bad.require(a.Action != "" && len(a.Action) <= maxName, "Action: must have 1 to %d bytes", maxName)
	bad.require(len(a.Resource) <= maxName, "Resource: must have at most %d bytes", maxName)
	bad.require(len(a.Detail) <= maxActionDetail, "Detail: must have at most %d bytes", maxActionDetail)
	bad.require(a.Count >= 0, "Count: must not be negative, is %d", a.Count)
	if err := bad.err(); err != nil {
		return invalid("%w", err)
	}
	t, err := m.openSession(c)
	if err != nil {
		return err
	}
	ctx, cancel := uncancelable(ctx)
	defer cancel()
	return m.update(ctx, c.Client, t.user, noPolicy, func(s *userTx) error {
		if _, ok := t.memberSince(t.account); !ok || s.Epoch == "" {
			return &DeniedError{Reason: ReasonSignedOut, Account: t.account, Action: a.Action}
		}
		e := Event{Type: event.Action, Account: t.account, Session: t.sessionID, Detail: actionLabel(a.Action, a.Resource), After: a.result()}
		if a.Detail != "" {
			e.Detail += ": " + a.Detail
		}
		s.emit(e)
		return nil
	})
}

// result returns the fields that name nobody, as JSON. Detail may name somebody, and
// only it is blanked when events are erased.
func (a RecordedAction) result() json.RawMessage {
	return json.RawMessage(`{"count":` + strconv.Itoa(a.Count) + `,"failed":` + strconv.FormatBool(a.Failed) + `}`)
}

// StepUp starts a step-up. It returns a challenge, with which the user proves a
// method for the action; see [Manager.Send] and [Manager.Verify]. If there
// already is a fresh proof, the result is [NextDone] without a session, and the
// current session remains valid. If the rule has a MaxAge, a proof that was
// given earlier in this session and browser counts, too, such as that of the
// login. Remembered browsers never count. Email links and recovery codes count
// only if [ActionRule.Methods] includes them.
//
// StepUp returns a [*DeniedError] if Check refuses the session, or with
// [ReasonEnroll] if the user has none of the accepted methods. It returns
// [ErrNotAllowed] if action is empty, if action or resource is longer than 128
// bytes, or if the user is disabled or not a member of the account, and
// [ErrUnavailable] if a record, the policy or the directory cannot be read.
func (m *Manager) StepUp(ctx context.Context, c Caller, action, resource string) (Result, error) {
	if action == "" || len(action) > maxName || len(resource) > maxName {
		return Result{}, ErrNotAllowed
	}
	t, s, err := m.loadSession(ctx, c)
	if err != nil {
		return Result{}, err
	}
	if _, _, err := s.findGrant(t, action, resource); err == nil {
		return Result{Next: NextDone}, nil
	}
	u, err := m.lookUp(ctx, t.user, t.account)
	if err != nil {
		return Result{}, err
	}
	methods, err := s.acceptedFor(t, action, len(u.Emails) > 0)
	if err != nil {
		return Result{}, err
	}
	t.action, t.resource = action, resource
	t.bindTo(c.Client)
	return Result{Next: NextChallenge, Methods: methods, Challenge: s.issueChallenge(t, forAction)}, nil
}

// Form is a form of the host that waits in the browser for a step-up.
type Form struct {
	URL  string // path and query that the form is sent to
	Page string // path and query of the page with the form
	Body Secret // fields, as application/x-www-form-urlencoded; at most 16 KB
}

// HoldForm seals a form whose action needs a fresh proof, so that the browser
// can send it again after the proof. ch is the challenge of [Manager.StepUp] or
// [Manager.Send]. HoldForm returns the sealed text and the challenge to use from
// now on, which is bound to the form. It writes nothing to the store.
//
// Put the text into a hidden field of the pages that ask for the proof, and
// never into a URL or a cookie. It opens only with the session and browser of the
// challenge and, if [Caller.Account] is set, its account, and expires with it. Hold a form only if the request
// has proven that it comes from a page of your own site. Otherwise, another site
// could choose what the user confirms.
//
// Let the browser send the form again, and never do so on the server.
// c.Form must be the same as when the form arrives at UseAction.
//
// HoldForm returns [ErrExpired] if the challenge does not belong to the caller,
// and [ErrNotAllowed] if c.Form is empty or the form is too large.
func (m *Manager) HoldForm(c Caller, ch Challenge, f Form) (Secret, Challenge, error) {
	t, err := m.openStepUp(c, ch)
	if err != nil {
		return Secret{}, Challenge{}, err
	}
	if c.Form == "" || len(f.Body.Reveal()) > maxHeldBody || max(len(f.URL), len(f.Page)) > maxHeldPath {
		return Secret{}, Challenge{}, notAllowed("Form: must have an ID and at most %d bytes", maxHeldBody)
	}
	t.form = t.formID(t.action, t.resource, c.Form)
	ch = Challenge{m.cfg.Keys.sealTicket(t)}
	held := m.cfg.Keys.sealToken(formFormat, &heldForm{challenge: ch.Reveal(), url: f.URL, page: f.Page, body: f.Body.Reveal()})
	return held, ch, nil
}

// HeldForm opens a text of [Manager.HoldForm]. It returns the form and its
// challenge, for [Manager.Verify] and [Manager.Send]. If c.Challenge is one that
// [Manager.Send] returned later for the same form, HeldForm returns that one. It
// does not read the store, so the challenge may be used up.
//
// HeldForm returns [ErrExpired] if the text was changed or has expired, or if it
// belongs to another session, account or browser.
func (m *Manager) HeldForm(c Caller, held Secret) (Form, Challenge, error) {
	f, ch, _, err := m.openHeld(c, held)
	return f, ch, err
}

// ProvenForm opens a text of [Manager.HoldForm] after the proof: it returns the
// form if the proof was given for it and [Manager.UseAction] has not been called
// since. It uses up nothing. It is for a page that waits while the user opens an
// email link elsewhere.
//
// ProvenForm returns [ErrExpired] under the conditions of [Manager.HeldForm] and
// if there is no such proof, a [*DeniedError] with [ReasonAlreadyDone] if the
// form was sent less than ten seconds ago, and otherwise the errors of
// [Manager.Check].
func (m *Manager) ProvenForm(ctx context.Context, c Caller, held Secret) (Form, error) {
	f, _, t, err := m.openHeld(c, held)
	if err != nil {
		return Form{}, err
	}
	c.Account = t.account
	_, s, err := m.loadSession(ctx, c)
	if err != nil {
		return Form{}, err
	}
	if s.isUsedForm(t.form) {
		return Form{}, s.alreadyDone(t.action, t.resource)
	}
	r := s.policy.Rule(t.action)
	proven := func(g grant) bool { // UseAction checks the method, which can be a link before an enrollment
		return seal.Equal(g.Form, t.form) && g.isFrom(c.Client) && g.isInTime(r, s.now)
	}
	if !slices.ContainsFunc(s.Grants, proven) {
		return Form{}, ErrExpired
	}
	return f, nil
}

// openStepUp opens the challenge of a step-up of the caller's session and, if
// the caller names one, account.
func (m *Manager) openStepUp(c Caller, ch Challenge) (ticket, error) {
	t, err := m.openChallenge(c.Client, ch, forAction)
	if err != nil {
		return ticket{}, err
	}
	if session, err := m.openSession(c); err != nil || session.sessionID != t.sessionID || session.user != t.user || c.Account != "" && c.Account != t.account {
		return ticket{}, ErrExpired
	}
	return t, nil
}

func (m *Manager) openHeld(c Caller, held Secret) (Form, Challenge, ticket, error) {
	var h heldForm
	if err := m.cfg.Keys.openToken(formFormat, held, maxHeldToken, &h); err != nil {
		return Form{}, Challenge{}, ticket{}, ErrExpired
	}
	ch := ParseChallenge(h.challenge)
	t, err := m.openStepUp(c, ch)
	if err != nil {
		return Form{}, Challenge{}, ticket{}, ErrExpired
	}
	if later, err := m.openStepUp(c, c.Challenge); err == nil && later.id == t.id && later.form == t.form && later.expires >= t.expires {
		t, ch = later, c.Challenge
	}
	return Form{URL: h.url, Page: h.page, Body: NewSecret(h.body)}, ch, t, nil
}

// formFormat is the number of the way held forms are sealed.
const formFormat = "form 1"

// heldForm is the content of a sealed form. The challenge contains the session,
// account, browser, action, resource and expiry.
type heldForm struct {
	seal.Unknown
	challenge string
	url       string
	page      string
	body      string
}

func (h *heldForm) Fields(c *seal.Codec) {
	seal.Text(c, 5, &h.challenge)
	seal.Text(c, 9, &h.url)
	seal.Text(c, 12, &h.page)
	seal.Text(c, 17, &h.body)
}
