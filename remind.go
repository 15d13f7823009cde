package twofa

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"time"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
)

// seen is when the user was last seen in one account. The admins of an account
// must not learn when the user was in another.
type seen struct {
	seal.Unknown
	Account string
	Login   unixTime
	Vouched bool     // whether the account's own identity provider vouched at that login
	Proof   unixTime // last proof of a factor
	Method  Method   // the one that was proven

	Reminded    unixTime // when the user was last reminded to enroll
	RemindedFor unixTime // the date until which the user was told to
}

func (s *seen) Fields(c *seal.Codec) {
	seal.Text(c, 4, &s.Account)
	seal.Int(c, 8, &s.Login)
	seal.Bool(c, 12, &s.Vouched)
	seal.Int(c, 16, &s.Proof)
	seal.Text(c, 20, &s.Method)
	seal.Int(c, 24, &s.Reminded)
	seal.Int(c, 28, &s.RemindedFor)
}

// Reminded is what [Account.Remind] has done.
type Reminded struct {
	Summary Summary // where the members stand
	Mailed  int     // members who were mailed a reminder
	// NoAddress is the number of members who should be reminded but have no
	// address. They are reminded once they have one.
	NoAddress int
	// Failed is the number of members who should have been mailed a reminder, but
	// the Mailer refused it or NoticeEmail wrote none. Only [Manager.Deliver] sends
	// it again.
	// Members whom 16 other accounts have reminded of dates to come are counted,
	// too, because their record has no room for another one.
	Failed int
	// Unreadable is the number of members whose record this process cannot read,
	// or could not write because others did so all the time.
	Unreadable int
	// Admins is the number of admins who were mailed a summary.
	Admins int
	// NoAdminLister reports whether a summary was due, but Config.Directory is no
	// [AdminLister].
	NoAdminLister bool
}

// Summary is the number of members of an account by where they stand. The event
// event.Summarized has it as After, in JSON. Members who are disabled or cannot be
// read are in Members alone.
type Summary struct {
	Members int       `json:"members"`           // all
	Ready   int       `json:"ready"`             // need to do nothing
	Exempt  int       `json:"exempt"`            // need no factor, because of the account's identity provider
	Pending int       `json:"pending"`           // must enroll a factor, but not yet
	Overdue int       `json:"overdue"`           // must enroll a factor at the next request
	NextDue time.Time `json:"next_due,omitzero"` // when the first of Pending must have enrolled; zero if there is none
}

// Remind reminds those of the members who must enroll a factor soon (see
// [StateGrace]), once about 7 days before it is due and once about a day
// before. Call it once a day for each account. A reminder is sent by the call that
// is nearest to its time, which is up to 12 hours earlier or later. Members lists
// the IDs of all members of the account, each once. Those of other users are
// skipped.
//
// Each reminder is recorded before it is mailed, together with the event
// event.Reminded. Any number of calls, even at the same time on several servers,
// therefore send it once. If the process ends in between, [Manager.Deliver] sends it.
// If the date changes, the member is reminded of the new one.
//
// On each day in UTC on which a member was reminded, the admins are mailed how
// many members still have to enroll, if Config.Directory is an [AdminLister]. That
// mail names no member. It is recorded with the event event.Summarized.
//
// Remind reads the members 1,000 at a time, and waits while mails are handed
// over, each address for up to 5 seconds. Only [AsHost] and [AsStaff] may call
// it.
//
// The result is what was done, also with an error, after which another call
// continues. Errors: [ErrInvalid] for a malformed ID, [ErrNotAllowed] for another
// actor; [ErrUnavailable] if there is no [MailConfig.Mailer], if members returns
// an error, or if the directory, the store or the policy cannot be read or
// written.
func (a *Account) Remind(ctx context.Context, members iter.Seq2[string, error]) (Reminded, error) {
	r := reminding{Account: a}
	switch {
	case !a.by.ofProduct():
		return r.done, notAllowed("only AsStaff and AsHost may remind")
	case members == nil:
		return r.done, invalid("members: is missing")
	case a.m.cfg.Mail.Mailer == nil:
		return r.done, unavailable("Config.Mail.Mailer", errNoMailer)
	}
	if _, err := a.authorize(ctx, act{}); err != nil {
		return r.done, err
	}
	for ids, err := range chunks(members, maxMembersAtOnce) {
		if err != nil {
			return r.done, unavailable("members", err)
		}
		views, err := a.members(ctx, ids)
		if err != nil {
			return r.done, err
		}
		for _, v := range views {
			if err := r.member(ctx, v); err != nil {
				return r.done, err
			}
		}
	}
	return r.done, r.summarize(ctx)
}

var errNoMailer = errors.New("twofa: Mailer must be set to send mail")

// chunks returns lists of up to n elements. It ends with the first error, after
// the elements before it.
func chunks[T any](list iter.Seq2[T, error], n int) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		var chunk []T
		for x, err := range list {
			if err != nil {
				_ = (len(chunk) == 0 || yield(chunk, nil)) && yield(nil, err)
				return
			}
			if chunk = append(chunk, x); len(chunk) == n {
				if !yield(chunk, nil) {
					return
				}
				chunk = nil
			}
		}
		if len(chunk) > 0 {
			yield(chunk, nil)
		}
	}
}

// reminding is one call of Remind.
type reminding struct {
	*Account
	done  Reminded
	today bool // whether a member was reminded today
}

// member counts one member and sends a reminder if one is due.
func (r *reminding) member(ctx context.Context, v memberView) error {
	r.done.Summary.add(v)
	r.today = r.today || v.remindedToday()
	switch {
	case v.unreadable:
		r.done.Unreadable++
		return nil
	case v.reminder() == 0:
		return nil
	case len(v.member.Emails) == 0:
		r.done.NoAddress++
		return nil
	case !v.hasRoomToRemind():
		r.done.Failed++
		return nil
	}
	s, err := r.claim(ctx, v.member)
	record, isRecord := errors.AsType[*RecordError](err)
	switch {
	case isRecord && record.Key == userKey(v.user), errors.Is(err, errBusy):
		r.done.Unreadable++
		return nil
	case err != nil:
		return err
	case len(s.events) == 0: // another process was faster, or the member has enrolled
	case len(s.told) == 0:
		r.done.Failed++
	default:
		r.done.Mailed++
	}
	r.today = r.today || s.remindedToday()
	return nil
}

// claim records that a member is reminded, unless that is no longer due. The
// reminder is mailed after that, as the notice of the event.
func (a *Account) claim(ctx context.Context, u User) (s *userTx, err error) {
	err = a.m.update(ctx, Client{}, u.ID, a.id, func(tx *userTx) error {
		s = tx
		due := memberView{userTx: s, member: u}.reminder()
		if due == 0 || !s.hasRoomToRemind() {
			return errUnchanged
		}
		s.beginIfNew(u)
		s.seenHere(func(x *seen) { x.Reminded, x.RemindedFor = s.now, due })
		s.emit(Event{Type: event.Reminded, Actor: a.by.event(), Reason: a.by.reason, After: timeJSON(due), Notice: true})
		return nil
	})
	return s, err
}

// reminder returns the date of which the member must be reminded now, or 0. Which
// of the two reminders was sent last is known from how far ahead the date was.
func (v memberView) reminder() unixTime {
	f := v.facts()
	due := v.policy.due(f)
	if v.member.Disabled || v.state(f) != StateGrace || due > v.now.add(firstReminder) {
		return 0
	}
	if i := v.seenIndex(v.account); i >= 0 && v.Seen[i].RemindedFor == due {
		last := due > v.now.add(lastReminder) || due <= v.Seen[i].Reminded.add(lastReminder)
		if last {
			return 0
		}
	}
	return due
}

func (s *userTx) remindedToday() bool {
	i := s.seenIndex(s.account)
	return i >= 0 && s.Seen[i].Reminded.sameDay(s.now)
}

// hasRoomToRemind reports whether the record can keep that it was done. Otherwise
// each call would send the reminder again.
func (s *userTx) hasRoomToRemind() bool {
	busy := 0
	for _, x := range s.Seen {
		if x.Account != s.account && x.RemindedFor > s.now {
			busy++
		}
	}
	return busy < maxSeen
}

// add counts a member.
func (s *Summary) add(v memberView) {
	s.Members++
	if v.unreadable || v.member.Disabled {
		return
	}
	f := v.facts()
	switch v.state(f) {
	case StateSSO:
		s.Exempt++
	case StateOverdue:
		s.Overdue++
	case StateGrace:
		s.Pending++
		if due := v.policy.due(f).time(); s.NextDue.IsZero() || due.Before(s.NextDue) {
			s.NextDue = due
		}
	default:
		s.Ready++
	}
}

// summarize sends the admins a summary, if a member was reminded today and they
// have got none yet.
func (r *reminding) summarize(ctx context.Context) error {
	if !r.today {
		return nil
	}
	if _, ok := r.m.adminLister(); !ok {
		r.done.NoAdminLister = true
		return nil
	}
	after, err := json.Marshal(r.done.Summary)
	if err != nil {
		return err
	}
	return r.m.retryOnConflict(ctx, nil, func() error {
		old, stored, err := r.read(ctx)
		now := r.m.now()
		if err != nil || stored.isSummarized(now) {
			return err
		}
		stored.Summarized = now
		e := stored.Audit.add(r.m.cfg.Keys, Event{Type: event.Summarized, Account: r.id, Actor: r.by.event(), Reason: r.by.reason, After: after, Notice: true}.issued(now))
		if err := r.m.write(ctx, accountKey(r.id), old.Version, &stored, []Event{e}); err != nil {
			return err
		}
		r.done.Admins = len(r.m.publish(ctx, e, ""))
		return nil
	})
}

// isSummarized reports whether the admins have got the summary of the day. The
// clocks of servers differ, and one that was far ahead must not suppress later
// ones.
func (a *accountRecord) isSummarized(now unixTime) bool {
	return a.Summarized.sameDay(now) || a.Summarized > now && a.Summarized <= now.add(issueSlack)
}
