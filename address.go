package twofa

import (
	"slices"

	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/seal"
)

// address is an email address of the user, verified by the host. One that is no
// longer in the directory is kept for 30 days, because an attacker who changes the
// address first must not keep the owner from the notices of what follows.
type address struct {
	seal.Unknown
	Email string
	Gone  unixTime // when it was first missing in the directory; 0 while it is there
}

func (a *address) Fields(c *seal.Codec) {
	seal.Text(c, 4, &a.Email)
	seal.Int(c, 8, &a.Gone)
}

// isOver reports whether the address has been gone for 30 days.
func (a address) isOver(now unixTime) bool { return a.Gone != 0 && now.sub(a.Gone) >= addressLife }

// noteAddresses brings the kept addresses up to date with the directory. Once
// there are 8, it keeps no further one until another has been gone for 30 days, so
// that an attacker who adds many cannot push out the owner's.
func (s *userTx) noteAddresses(u User) {
	if s.m.cfg.Mail.Mailer == nil {
		return // nobody would be told
	}
	if s.AddressesSince == 0 && len(u.Emails) > 0 {
		if s.AddressesSince = s.now; s.version == "" {
			s.AddressesSince = 1
		}
	}
	for i := range s.Addresses {
		a := &s.Addresses[i]
		switch here := slices.Contains(u.Emails, a.Email); {
		case here:
			a.Gone = 0
		case a.Gone == 0 || a.Gone > s.now: // a later time was set by a wrong clock
			a.Gone = s.now
		}
	}
	s.Addresses = slices.DeleteFunc(s.Addresses, func(a address) bool { return a.isOver(s.now) })
	for _, email := range u.Emails {
		if len(s.Addresses) < maxAddresses && len(email) <= maxUserName && !s.keepsAddress(email) {
			s.Addresses = append(s.Addresses, address{Email: email})
		}
	}
}

func (r *userRecord) keepsAddress(email string) bool {
	return slices.ContainsFunc(r.Addresses, func(a address) bool { return a.Email == email })
}

// keepsAllAddresses reports whether every address of the user is kept.
func (s *userTx) keepsAllAddresses(u User) bool {
	return !slices.ContainsFunc(u.Emails, func(email string) bool { return !s.keepsAddress(email) })
}

// addressesFor returns the kept addresses that are told of an event, besides those
// in the directory. A reminder warns of nothing, so it goes to no former address. One
// that has been gone for 30 days may still be in the record, because an act that asks
// no directory does not remove it.
func (s *userTx) addressesFor(e Event) (emails []string) {
	if e.Type == event.Reminded {
		return nil
	}
	for _, a := range s.Addresses {
		if !a.isOver(s.now) {
			emails = append(emails, a.Email)
		}
	}
	return emails
}
