package twofa

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// Set-up limits.
const (
	maxFactors       = 5 // authenticator apps a user
	setupTTL         = 10 * time.Minute
	maxConfirmations = 5 // wrong codes, then the set-up is discarded
)

// setup is what is pending. It never touches what is live: the code has to be
// confirmed and the recovery codes saved, in either order, and then everything
// becomes active in one write.
type setup struct {
	ID        string // of the factor it will become
	SID       string // of the session that started it; no other may go on with it
	Method    Method
	Name      string
	Replaces  string
	Seal      string
	Codes     string // sealed; they redeem nothing before activation
	Step      int64  // that confirmed it
	Confirmed bool
	Saved     bool
	Fails     int
	Expires   int64
}

// Enroll says what is to be set up.
type Enroll struct {
	Method Method // TOTP, SMS, or RecoveryCode for a new set of codes; "" means TOTP
	// Name tells several authenticators apart, for example the phone's. It is
	// cleaned and cut; "" gives a default.
	Name string
	// Replaces is the id of the factor that the new one takes the place of, in
	// the same write that makes it active.
	Replaces string
	// Phone is the number as typed, and Region the ISO 3166-1 country it is
	// read in where it has no country code. For SMS.
	Phone  string
	Region string
}

// Enrolment is a set-up under way. It holds secrets that are shown to the
// person and to nobody else; they can be shown again until it is active.
type Enrolment struct {
	ID        string
	Method    Method
	Name      string
	Replaces  string
	URI       Secret   // otpauth, for the QR code; see [Enrolment.PNG] and [Enrolment.SVG]
	Key       Secret   // for typing by hand, in groups of four
	Phone     string   // masked number that a code was texted to
	Codes     []Secret // recovery codes to save; none where a live set stays
	Confirmed bool     // the code was right
	Saved     bool     // the codes were acknowledged, or there are none
	Expires   time.Time
	// Challenge, if not empty, goes into [Caller.Challenge] when the texted
	// code is confirmed.
	Challenge Challenge
}

// Enroll starts a set-up; a pending one is discarded. It needs a fresh proof
// for [ActionFactors] if the user has a factor, else a first factor that is at
// most 15 minutes old. A session that logged in with a recovery code may set
// up a new factor for as long.
//
// Errors: [*DeniedError], [ErrNotAllowed] (limit reached, method not
// configured, number refused), [ErrNotEnrolled] (Replaces unknown; codes
// without a factor), [ErrLocked] (texts), [ErrUnavailable].
func (m *Manager) Enroll(ctx context.Context, c Caller, e Enroll) (Enrolment, error) {
	e.Method = cmp.Or(e.Method, TOTP)
	if e.Method == SMS {
		return m.enrollPhone(ctx, c, e)
	}
	var started Enrolment
	err := m.change(ctx, c, func(s *state, t ticket, u User) error {
		if err := s.mayEnroll(t, e); err != nil {
			return err
		}
		p := s.newSetup(t, e)
		if e.Method == TOTP {
			p.Seal = s.sealFactor(p.ID, TOTP, m.cfg.TOTP.newSecret())
		}
		var err error
		started, err = s.enrolment(u)
		return err
	})
	if err != nil {
		return Enrolment{}, err
	}
	return started, nil
}

// newSetup makes the pending set-up. New recovery codes come with it where
// the user has none, and where they are what was asked for.
func (s *state) newSetup(t ticket, e Enroll) *setup {
	s.Setup = &setup{ID: newID(), SID: t.sid, Method: e.Method, Name: clean(e.Name, maxName), Replaces: e.Replaces,
		Confirmed: e.Method == RecoveryCode, Saved: true, Expires: s.now.Add(setupTTL).Unix()}
	if n := s.m.cfg.RecoveryCodes; n > 0 && (e.Method == RecoveryCode || s.codesLeft() == 0) {
		codes := strings.Join(newRecoveryCodes(n), " ")
		s.Setup.Codes = s.m.cfg.Keys.seal([]byte(codes), "pending codes", s.user, s.Setup.ID)
		s.Setup.Saved = false
	}
	s.dirty = true
	return s.Setup
}

// mayEnroll is the gate before a set-up.
func (s *state) mayEnroll(t ticket, e Enroll) error {
	if err := s.mayChange(t); err != nil && (len(s.Factors) == 0 || e.Method == RecoveryCode || !s.reenrolls(t)) {
		return err
	}
	switch e.Method {
	case RecoveryCode:
		if s.m.cfg.RecoveryCodes < 1 {
			return ErrNotAllowed
		}
		if len(s.Factors) == 0 {
			return ErrNotEnrolled
		}
		return nil
	case TOTP, SMS:
		if !slices.Contains(s.policy.methods(), e.Method) {
			return ErrNotAllowed
		}
	default:
		return ErrNotAllowed
	}
	if e.Replaces == "" {
		n := 0
		for _, f := range s.Factors {
			if f.Method == e.Method {
				n++
			}
		}
		if n >= maxFactors || (e.Method == SMS && n > 0) {
			return ErrNotAllowed
		}
		return nil
	}
	if i := s.factorIndex(e.Replaces); i < 0 || (s.Factors[i].Method == SMS) != (e.Method == SMS) {
		return ErrNotEnrolled
	}
	return nil
}

// mayChange is the gate before anything is done with factors and codes: a
// fresh proof with a factor; for the very first factor, a fresh first factor.
func (s *state) mayChange(t ticket) error {
	if len(s.Factors) > 0 {
		_, err := s.granted(t, ActionFactors, "")
		s.uses = err == nil
		return err
	}
	if !s.recent(t.at) || t.by == ByToken { // nobody was there just now
		return s.firstFactorTooOld()
	}
	return nil
}

// firstFactorTooOld is a refusal that only a new login helps with.
func (s *state) firstFactorTooOld() error {
	return &DeniedError{Reason: ReasonSignedOut, Account: s.account, Action: ActionFactors, MaxAge: enrollTTL}
}

// reenrolls reports whether a recovery code was used in this session, or a
// method the policy no longer accepts proven on the way to set-up, just now.
func (s *state) reenrolls(t ticket) bool {
	at, ok := t.proven(RecoveryCode)
	if !ok && t.purpose == forEnroll && len(t.proofs) > 0 {
		at, ok = t.proofs[0].at, true
	}
	return ok && s.recent(at)
}

func (s *state) recent(at int64) bool {
	now := s.now.Unix()
	return at <= now+issueSlack && now-at < int64(enrollTTL/time.Second)
}

// Enrolment returns the caller's pending set-up, to show it again. It changes
// nothing. [ErrExpired] says that there is none, or none of this session's.
func (m *Manager) Enrolment(ctx context.Context, c Caller) (Enrolment, error) {
	t, s, u, err := m.openChange(ctx, c)
	if err != nil {
		return Enrolment{}, err
	}
	if err := s.ownSetup(t); err != nil {
		return Enrolment{}, err
	}
	return s.enrolment(u)
}

// ownSetup reports whether there is a pending set-up of this session's.
func (s *state) ownSetup(t ticket) error {
	if s.Setup == nil || s.Setup.SID != t.sid || s.now.Unix() >= s.Setup.Expires {
		return ErrExpired
	}
	return nil
}

// enrolment opens what is pending for showing.
func (s *state) enrolment(u User) (Enrolment, error) {
	p := s.Setup
	e := Enrolment{ID: p.ID, Method: p.Method, Name: p.Name, Replaces: p.Replaces, Confirmed: p.Confirmed, Saved: p.Saved, Expires: unix(p.Expires)}
	if p.Seal != "" {
		plain, err := s.unseal(&factor{ID: p.ID, Method: p.Method, Seal: p.Seal})
		if err != nil {
			return Enrolment{}, unavailable("set-up", err)
		}
		if p.Method == TOTP {
			e.URI, e.Key = NewSecret(s.m.cfg.otpauth(u, plain)), NewSecret(groups(plain))
		} else {
			e.Phone = maskPhone(plain)
		}
	}
	if p.Codes != "" {
		codes, err := s.pendingCodes()
		if err != nil {
			return Enrolment{}, err
		}
		for _, code := range codes {
			e.Codes = append(e.Codes, NewSecret(showRecovery(code)))
		}
	}
	return e, nil
}

func (s *state) pendingCodes() ([]string, error) {
	text, err := s.m.cfg.Keys.open(s.Setup.Codes, "pending codes", s.user, s.Setup.ID)
	if err != nil {
		return nil, unavailable("recovery codes", err)
	}
	return strings.Fields(string(text)), nil
}

// Confirm checks the first code of what is being set up. If the recovery codes
// are saved, it becomes active, and the result is NextDone with the session
// upgraded: every other session, challenge and browser of the user is dead.
// Otherwise NextEnroll: [Manager.SaveCodes] is left.
//
// Errors: [ErrInvalidCode], for which [ClockOffset] may tell that the person's
// clock is wrong; [ErrExpired] after five of them, after ten minutes, or from
// another session than the one that started.
func (m *Manager) Confirm(ctx context.Context, c Caller, code string) (Login, error) {
	return m.finish(ctx, c, func(s *state, t ticket) error {
		if s.Setup.Confirmed {
			return nil
		}
		s.dirty = true
		err := s.confirm(c, code)
		if err == nil {
			s.Setup.Confirmed = true
			return nil
		}
		s.Setup.Fails++
		s.event(Event{Type: EventFailed, Method: s.Setup.Method, Session: t.sid, Detail: "set-up"}, c.Client)
		if s.Setup.Fails >= maxConfirmations {
			s.Setup = nil
		}
		return err
	})
}

// confirm compares a code with the pending factor.
func (s *state) confirm(c Caller, code string) error {
	p, cfg := s.Setup, s.m.cfg.TOTP
	failure := &codeError{left: maxConfirmations - 1 - p.Fails}
	if p.Method == SMS {
		if !s.confirmsPhone(c, code) {
			return failure
		}
		return nil
	}
	key, err := s.unseal(&factor{ID: p.ID, Method: p.Method, Seal: p.Seal})
	if err != nil {
		return unavailable("set-up", err)
	}
	code, ok := digits(code, cfg.Digits)
	if !ok {
		return failure
	}
	if p.Step, ok = cfg.match(key, code, s.now); !ok {
		failure.clock, _ = cfg.offset(key, code, s.now)
		return failure
	}
	return nil
}

// SaveCodes acknowledges that the person has saved the recovery codes of the
// pending set-up. If the code is confirmed, it becomes active; see
// [Manager.Confirm]. A new set of codes becomes live here, and the old one
// dies.
func (m *Manager) SaveCodes(ctx context.Context, c Caller) (Login, error) {
	return m.finish(ctx, c, func(s *state, _ ticket) error {
		s.Setup.Saved, s.dirty = true, true
		return nil
	})
}

// finish takes a step of a set-up, and activates it if it was the last.
func (m *Manager) finish(ctx context.Context, c Caller, step func(*state, ticket) error) (Login, error) {
	var login Login
	err := m.change(ctx, c, func(s *state, t ticket, u User) error {
		if err := s.ownSetup(t); err != nil {
			return err
		}
		if err := step(s, t); err != nil {
			return err
		}
		if !s.Setup.Confirmed || !s.Setup.Saved {
			login = Login{Next: NextEnroll, Challenge: c.Challenge}
			return nil
		}
		var err error
		login, err = s.activate(u, t, c)
		return err
	})
	return loginOrError(login, err)
}

// activate makes the pending set-up live, in the write that everything else
// it changes is part of.
func (s *state) activate(u User, t ticket, c Caller) (Login, error) {
	p := s.Setup
	if p.Codes != "" {
		codes, err := s.pendingCodes()
		if err != nil {
			s.dirty = false
			return Login{}, err
		}
		s.Codes = s.newCodeSet(codes)
		delete(s.Counters, bucket(RecoveryCode, true))
		delete(s.Counters, bucket(RecoveryCode, false))
		s.event(Event{Type: EventCodesMade, Session: t.sid, Left: len(codes), Notice: true}, c.Client)
	}
	if p.Method == RecoveryCode {
		s.Setup = nil
		return Login{Next: NextDone, Session: c.Session}, nil
	}
	if err := s.place(t, c); err != nil {
		s.dirty = false
		return Login{}, err
	}
	s.newEpoch(t.sid)
	t = t.prove(p.Method, s.now.Unix())
	login := Login{Next: NextDone}
	if t.purpose == forEnroll {
		s.spend(t)
		login = s.advance(u, t, c.Client)
	} else {
		login.Session = s.session(t)
	}
	if login.Next == NextDone {
		login.Browser = s.recognise(c.Client, p.Method, false)
	}
	return login, nil
}

// place puts the new factor where it belongs: into the list, or in the place
// of the one it replaces. Its counters start anew.
func (s *state) place(t ticket, c Caller) error {
	p := s.Setup
	f := factor{ID: p.ID, Method: p.Method, Name: cmp.Or(p.Name, defaultName(p.Method)), Seal: p.Seal, Step: p.Step,
		Added: s.now.Unix(), Used: s.now.Unix()}
	e := Event{Type: EventEnrolled, Method: f.Method, Session: t.sid, Detail: f.Name, Notice: true}
	if p.Replaces == "" {
		s.Factors = append(s.Factors, f)
	} else {
		i := s.factorIndex(p.Replaces)
		if i < 0 {
			return ErrExpired
		}
		if p.Name == "" {
			f.Name = s.Factors[i].Name
		}
		if err := s.tellOldPhone(&s.Factors[i]); err != nil {
			return err
		}
		s.Factors[i], e.Type, e.Detail = f, EventReplaced, f.Name
	}
	delete(s.Counters, bucket(f.Method, true))
	delete(s.Counters, bucket(f.Method, false))
	s.event(e, c.Client)
	return nil
}

func defaultName(m Method) string {
	if m == SMS {
		return "Phone"
	}
	return "Authenticator app"
}

func (s *state) factorIndex(id string) int {
	return slices.IndexFunc(s.Factors, func(f factor) bool { return f.ID == id })
}
