package twofa

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twofa-go/twofa/internal/text"
)

// NoticeClaim is how long a server has to mail a notice before another one may do
// so, 5 minutes. See [NoticeStore]. The request that wrote the event and
// [Manager.Deliver] claim notices for so long.
const NoticeClaim = 5 * time.Minute

const (
	noticeLife  = day // after which a notice that failed is given up
	noticeBatch = 10  // notices that are claimed at once
)

// noticeStore returns the store if it keeps notices until they are mailed.
func (c *Config) noticeStore() (NoticeStore, bool) {
	store, ok := c.Store.(NoticeStore)
	return store, ok
}

func (c *Config) warnOfLostNotices() {
	if _, ok := c.noticeStore(); !ok && c.Mail.Mailer != nil {
		c.Logger.Warn("twofa: notices are sent at most once, because Config.Store does not implement NoticeStore; a process that is killed loses them", "store", fmt.Sprintf("%T", c.Store))
	}
}

// Deliver mails the notices that no request has mailed: the process ended too
// early, or the Mailer failed. It returns the number of notices that are done.
// Call it about once a minute, and after a restart. Any number of servers may call
// it at the same time. Each notice is then mailed by one of them. It needs a
// [NoticeStore].
//
// A notice goes to the addresses to which the request would have mailed it, also to
// those that the user has lost since; see [User.Emails]. It is in the language of
// [User.Language], because the language of the request is not stored.
// [Config.OnEvent] is not called again.
//
// A notice is done if the Mailer has accepted it for every address, except those
// that are undeliverable ([ErrUndeliverable]). Otherwise all of it is mailed again
// after 5, 10, 20, 40 minutes and so on, counted from the event, also to the
// addresses that have it already. An attempt that fails a day after the event or
// later is the last one. The log then has an error. Until then, each attempt that
// fails leaves a warning.
//
// Each notice is therefore mailed at least once, and at most twice if a process is
// killed, or takes more than [NoticeClaim] for one notice, which is only possible if
// the Mailer hangs. If ctx ends, Deliver finishes the notice that it mails, and
// leaves the others to the next call.
//
// After [ManagedUser.Delete], a notice that is still to be mailed goes only to the
// addresses in the directory, because those that were kept are deleted.
//
// Errors: [ErrNotAllowed] if there is no [MailConfig.Mailer], or if Config.Store is
// no NoticeStore; [ErrUnavailable] if the store fails, if ctx has ended, or if a
// notice failed and is mailed again later. Deliver ends early if all of 10 notices
// fail.
func (m *Manager) Deliver(ctx context.Context) (int, error) {
	store, ok := m.cfg.noticeStore()
	switch {
	case m.cfg.Mail.Mailer == nil:
		return 0, notAllowed("Config.Mail.Mailer must be set to mail notices")
	case !ok:
		return 0, notAllowed("Config.Store must implement NoticeStore, and %T does not", m.cfg.Store)
	}
	mailed, failed := 0, error(nil)
	for {
		now := m.now()
		until := now.add(NoticeClaim)
		events, err := store.ClaimNotices(ctx, now.time(), until.time(), noticeBatch)
		if err != nil {
			return mailed, unavailable("store", err)
		}
		done, err := m.deliverClaimed(ctx, store, events, until)
		mailed += done
		if err != nil {
			failed = unavailable("Config.Mail.Mailer", err)
		}
		switch {
		case ctx.Err() != nil:
			return mailed, unavailable("Deliver", ctx.Err())
		case done == 0: // there is nothing to do, or nothing works
			return mailed, failed
		}
	}
}

// deliverClaimed mails claimed notices, and returns how many are done and the last
// error. If there is too little time for all, it leaves the rest to others.
func (m *Manager) deliverClaimed(ctx context.Context, store NoticeStore, events []Event, until unixTime) (done int, err error) {
	for i, e := range events {
		if now := m.now(); ctx.Err() != nil || until.sub(now) <= time.Minute {
			failed := afterwards(ctx, func(ctx context.Context) error { return store.DelayNotices(ctx, now.time(), events[i:]...) })
			if failed != nil {
				m.cfg.Logger.WarnContext(ctx, "twofa: notices remain claimed", "error", failed)
			}
			return done, err
		}
		kept, unread := m.keptFor(ctx, e)
		_, again, failed := m.notify(ctx, e, "", kept)
		if failed = errors.Join(unread, failed); again || unread != nil {
			err = failed
		} else {
			done++
		}
		m.settle(ctx, e, again || unread != nil, failed)
	}
	return done, err
}

// keptFor returns the kept addresses of the user that an event is about.
func (m *Manager) keptFor(ctx context.Context, e Event) (kept []string, err error) {
	if e.User == "" {
		return nil, nil
	}
	s := &userTx{m: m, now: m.now()}
	err = afterwards(ctx, func(ctx context.Context) error {
		_, err := m.get(ctx, userKey(e.User), &s.userRecord)
		return err
	})
	return s.addressesFor(e), err
}

// publishAll passes stored events to the host and mails those that the user
// should know of to every verified address (NIST SP 800-63B-4, section 4.6). It
// returns no error, because the change has already taken effect.
func (m *Manager) publishAll(ctx context.Context, s *userTx) {
	for _, e := range s.events {
		s.told = append(s.told, m.publish(ctx, e, s.client.Language, s.addressesFor(e)...)...)
	}
	for _, out := range s.deferredTexts {
		if err := afterwards(ctx, func(ctx context.Context) error { return m.deliver(ctx, out) }); err != nil {
			m.cfg.Logger.WarnContext(ctx, "twofa: notice not sent", "user", out.user, "error", err)
		}
	}
}

// publish passes on one event, and returns the IDs of the users who were mailed a
// notice. Language is that of the request. Kept are addresses of the user that the
// event is about.
func (m *Manager) publish(ctx context.Context, e Event, language string, kept ...string) (told []string) {
	if m.cfg.OnEvent != nil {
		if err := afterwards(ctx, func(ctx context.Context) error { m.cfg.OnEvent(ctx, e); return nil }); err != nil {
			m.cfg.Logger.ErrorContext(ctx, "twofa: Config.OnEvent panicked", "error", err)
		}
	}
	if !e.Notice {
		return nil
	}
	told, again, err := m.notify(ctx, e, language, kept)
	m.settle(ctx, e, again, err)
	return told
}

// notify calls mailNotice. If there is no Mailer, there is nothing to do.
func (m *Manager) notify(ctx context.Context, e Event, language string, kept []string) (told []string, again bool, err error) {
	if m.cfg.Mail.Mailer == nil {
		return nil, false, nil
	}
	again = true // if a function of the host panics
	err = recoverPanic(func() (err error) { told, again, err = m.mailNotice(ctx, e, language, kept); return err })
	return told, again, err
}

// settle logs how an attempt to mail a notice ended, and ends or delays the notice
// in the store. An error of the store is only logged: the notice is mailed again.
func (m *Manager) settle(ctx context.Context, e Event, again bool, attempt error) {
	store, ok := m.cfg.noticeStore()
	now := m.now()
	age := now.sub(unixTimeOf(e.Time))
	givenUp := ok && again && age >= noticeLife
	switch {
	case givenUp:
		m.cfg.Logger.ErrorContext(ctx, "twofa: notice given up", "user", e.User, "account", e.Account, "type", e.Type, "event", e.ID, "error", attempt)
	case attempt != nil:
		m.cfg.Logger.WarnContext(ctx, "twofa: notice not sent", "user", e.User, "type", e.Type, "error", attempt)
	}
	if !ok || again && age < NoticeClaim { // the claim of Swap ends when the next attempt is due
		return
	}
	err := afterwards(ctx, func(ctx context.Context) error {
		if again && !givenUp {
			return store.DelayNotices(ctx, now.add(max(NoticeClaim, min(age, noticeLife-age))).time(), e)
		}
		return store.NoticesDone(ctx, e)
	})
	if err != nil {
		m.cfg.Logger.WarnContext(ctx, "twofa: notice may be sent again", "user", e.User, "type", e.Type, "error", err)
	}
}

// afterwards calls a function of the host after a change has been stored. Its
// context has a timeout of its own, because a client that hangs up must not
// suppress an event or a notice.
func afterwards(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noticeTimeout)
	defer cancel()
	return recoverPanic(func() error { return f(ctx) })
}

// mailNotice mails a notice to each address of those whom it concerns. Each has a
// timeout of its own, so that a server that hangs for one address does not
// suppress the others. The language of the request counts only if the user made
// it. mailNotice returns the users for whom the Mailer accepted a mail, and whether
// the notice must be sent again, because another attempt may reach somebody whom
// this one did not.
func (m *Manager) mailNotice(ctx context.Context, e Event, language string, kept []string) (told []string, again bool, err error) {
	if e.Actor != (EventActor{}) {
		language = ""
	}
	var to audience
	err = afterwards(ctx, func(ctx context.Context) (err error) { to, err = m.audienceOf(ctx, e, kept); return err })
	again = errors.Is(err, ErrUnavailable) || errors.Is(err, errPanic)
	change := m.changeIn(e)
	for _, u := range to.users {
		in := m.languageOf(u, language)
		notice := NoticeEmail{Issuer: m.cfg.Issuer, User: u, About: to.about, Admin: to.admin, Event: e, Change: change,
			Device: text.DeviceIn(in, text.Device(e.Agent)), Locale: in, Brand: m.cfg.Mail.Brand}
		if u.ID == e.User {
			var failed error
			notice.CancelURL, failed = m.cancelLink(e, u)
			err = errors.Join(err, failed)
		}
		mail := m.cfg.Mail.NoticeEmail(notice)
		if mail.Subject == "" {
			continue
		}
		mail.Subject = text.Clean(mail.Subject, 200)
		accepted := false
		for _, address := range u.Emails {
			mail.To = address
			failed := afterwards(ctx, func(ctx context.Context) error { return m.cfg.Mail.Mailer.SendMail(ctx, mail) })
			accepted, err = accepted || failed == nil, errors.Join(err, failed)
			again = again || failed != nil && !errors.Is(failed, ErrUndeliverable)
		}
		if accepted {
			told = append(told, u.ID)
		}
	}
	return told, again, err
}
