package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/event"
)

// Who is told of what.

// Addresses.

// notes says that this call brings the addresses of a user up to date, if it
// writes the record.
func (m *model) notes(user string) { m.noting = append(m.noting, user) }

// noted returns the addresses of a user, and those of the last 30 days. At most
// eight are kept. One that is kept gives way to no other.
func (m *model) noted(user string) (l []modelAddress) {
	u, now := m.user(user), m.dir[user].Emails
	if !m.at.link {
		return u.addresses
	}
	for _, a := range u.addresses {
		switch here := among(now, a.email); {
		case here && a.gone != 0:
			m.reach("a former address is back")
			a.gone = 0
		case !here && (a.gone == 0 || a.gone > m.now):
			a.gone = m.now
		}
		if a.gone != 0 && m.now >= a.gone+30*aDay {
			m.reach("a former address is forgotten")
			continue
		}
		l = append(l, a)
	}
	for _, email := range now {
		switch {
		case keepsAddress(l, email):
		case len(l) >= 8:
			m.reach("a ninth address")
		default:
			l = append(l, modelAddress{email: email})
		}
	}
	return l
}

// notedSince returns since when the addresses of a user are known, if the record
// is not new.
func (m *model) notedSince(user string) int64 {
	if u := m.user(user); u.since != 0 || !m.canMail(user) {
		return u.since
	}
	return m.now
}

// warns reports whether each address of a user is kept, and those of the last 30
// days are known, so that the owner is told whoever has changed the address.
func (m *model) warns(user string) bool {
	known := m.now-m.notedSince(user) >= 30*aDay
	if !known {
		m.reach("addresses known for a short time")
	}
	return known && m.keepsAll(user)
}

func keepsAddress(l []modelAddress, email string) bool {
	return slices.ContainsFunc(l, func(a modelAddress) bool { return a.email == email })
}

// keepsAll reports whether each address of a user is kept.
func (m *model) keepsAll(user string) bool {
	kept := m.noted(user)
	return !slices.ContainsFunc(m.dir[user].Emails, func(email string) bool { return !keepsAddress(kept, email) })
}

// helpEnds returns the moments at which something changes by itself.
func (u *modelUser) helpEnds() (l []int64) {
	if x := u.open; x != nil {
		l = append(l, x.opened+aDay, x.opened+3*aDay, x.opened+7*aDay)
	}
	if u.stopped > 0 {
		l = append(l, u.stopped+aDay)
	}
	if len(u.opened) > 0 {
		l = append(l, u.opened[0]+30*aDay)
	}
	for _, a := range u.addresses {
		if a.gone > 0 {
			l = append(l, a.gone+30*aDay)
		}
	}
	if u.lost > 0 {
		l = append(l, u.lost+aDay)
	}
	return l
}

func (m *model) canMail(user string) bool { return m.at.link && m.mailable(user) }

// canMailCase also demands the page at which the user ends a case.
func (m *model) canMailCase(user string) bool { return m.canMail(user) && m.at.cases }

// Events and mails.

// helpEvents are the events that the model knows. It knows of all events who is
// told.
var helpEvents = []string{event.Reset, event.Lost, event.LostCleared, event.ResetRequested, event.ResetApproved, event.ResetConfirmed, event.ResetCanceled,
	event.Unlocked, event.MemberRemoved}

// emit says that this call leaves an event. By is its actor; of a user who acts on
// themselves, an event names none.
func (m *model) emit(kind, user, account, by string) {
	m.events = append(m.events, fmt.Sprintf("%s of %s in '%s' by '%s'", kind, user, account, by))
}

// quietly marks an event about a reset of which nobody is told.
const quietly = ", quietly"

func toldEvent(e twofa.Event) string {
	by := e.Actor.Kind
	if e.Actor.ID != "" {
		by += " " + e.Actor.ID
	}
	kind := e.Type
	if !e.Notice && strings.HasPrefix(kind, event.Reset) {
		kind += quietly
	}
	return fmt.Sprintf("%s of %s in '%s' by '%s'", kind, e.User, e.Account, by)
}

// recipients returns the mails that tell of an event: to each address of the user
// and each that was one in the last 30 days, and of some events also to the admins,
// except the one who did it. The user can end a case by a link.
func (m *model) recipients(e twofa.Event) (mails []string) {
	if !m.at.link {
		return nil
	}
	var told []string
	admin := m.adminWho(e)
	tell := func(user string, emails []string, more string) {
		told = append(told, user)
		for _, email := range emails {
			mails = append(mails, toldMail(e, user, admin, email)+more)
		}
	}
	accounts := []string{e.Account}
	if e.User != "" {
		emails, link := slices.Clone(m.dir[e.User].Emails), ""
		if e.Type != event.Reminded && !m.at.older {
			for _, a := range m.user(e.User).addresses {
				if !among(emails, a.email) && (a.gone == 0 || m.now-a.gone < 30*aDay) {
					m.reach("a former address is told")
					emails = append(emails, a.email)
				}
			}
		}
		if among([]string{event.ResetRequested, event.ResetApproved, event.ResetConfirmed}, e.Type) && m.at.cases {
			link = " with a link"
		}
		tell(e.User, emails, link)
		if !tellsAdmins(e.Type) {
			return mails
		}
		if e.Case != "" {
			accounts = slices.Compact(slices.Sorted(slices.Values(accountsOf(m.dir[e.User]))))
		} else if e.Type == event.Lost || e.Type == event.LostCleared {
			accounts = slices.Compact(slices.Sorted(slices.Values(append(accountsOf(m.dir[e.User]), e.Account))))
		}
	}
	// The order of the accounts is that of the directory, which is no rule. Therefore
	// sameNotices sorts the mails.
	for _, account := range accounts {
		n := 0
		for _, id := range slices.Sorted(maps.Keys(m.dir)) {
			if isAdmin := rank(m.role(id, account)) > 0 && !m.dir[id].Disabled; !isAdmin || among(told, id) || id == e.User || m.isActor(e, id) {
				continue
			}
			tell(id, m.dir[id].Emails, "")
			n++
		}
		if n > 1 {
			m.reach("several admins are told")
		}
		if e.Case != "" && n > 0 && len(accounts) > 1 {
			m.reach("the admins of each account are told of a case")
		}
	}
	return mails
}

func (m *model) isActor(e twofa.Event, id string) bool {
	return e.Actor.Kind == "user" && e.Actor.ID == id
}

// adminWho returns the admin that the mails about an event name.
func (m *model) adminWho(e twofa.Event) string {
	if (e.User == "" || tellsAdmins(e.Type)) && e.Actor.Kind == "user" && rank(m.role(e.Actor.ID, e.Account)) > 0 && !m.dir[e.Actor.ID].Disabled {
		return e.Actor.ID
	}
	return ""
}

// toldMail and subject describe a mail about an event.
func toldMail(e twofa.Event, user, admin, address string) string {
	return subject(e.Type, e.User, admin, user) + " at " + address
}

func subject(kind, about, admin, to string) string {
	return fmt.Sprintf("%s of '%s' by '%s' to %s", kind, about, admin, to)
}

// tellsAdmins reports whether the admins are told of an event about a member, of
// which a mail to the member alone could reach an attacker.
func tellsAdmins(kind string) bool {
	return kind == event.Lost || kind == event.LostCleared || strings.HasPrefix(kind, event.Reset)
}
