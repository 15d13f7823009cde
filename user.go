package twofa

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twofa-go/twofa/internal/text"
	"github.com/twofa-go/twofa/locale"
)

// Directory looks up users of the host. A user is looked up when a login or
// step-up starts or continues, when factors are listed or changed, and when
// notices are mailed. Check, CheckAction, PeekAction and UseAction do not look
// up the user.
type Directory interface {
	// Users returns the users with these IDs, in any order, without those that
	// do not exist. It must return their current state, neither cached nor from
	// a replica that lags behind. Otherwise a user who was disabled a moment
	// ago could still sign in. If it returns an error, or a User with another
	// ID, the request is refused. It must be safe for concurrent use.
	Users(ctx context.Context, ids ...string) ([]User, error)
}

// AdminLister is implemented by a [Directory] that knows the admins of an
// account. They are told by mail when another admin changes its policy to one that
// requires less, when a member is reset ([Account.Reset], [Account.MemberRemoved]),
// and how many members still have to enroll ([Account.Remind]). Without it, nobody
// is told.
type AdminLister interface {
	// Admins returns the IDs of the admins and owners of an account. An error is
	// logged and does not undo the change that they would be told of.
	Admins(ctx context.Context, account string) ([]string, error)
}

// LookUp returns a Directory that calls a function for each ID. The function
// must return an error that wraps [ErrNoUser] if the user does not exist.
func LookUp(f func(ctx context.Context, id string) (User, error)) Directory { return lookUp(f) }

// ErrNoUser, returned by the function passed to [LookUp], means that the user
// does not exist.
var ErrNoUser = errors.New("twofa: no such user")

type lookUp func(ctx context.Context, id string) (User, error)

func (f lookUp) Users(ctx context.Context, ids ...string) ([]User, error) {
	users := make([]User, 0, len(ids))
	for _, id := range ids {
		u, err := f(ctx, id)
		switch {
		case err == nil:
			users = append(users, u)
		case !errors.Is(err, ErrNoUser):
			return nil, err
		}
	}
	return users, nil
}

// find returns a user from the host's directory.
func (m *Manager) find(ctx context.Context, id string) (User, error) {
	users, err := m.cfg.Directory.Users(ctx, id)
	switch {
	case err != nil:
		return User{}, unavailable("Config.Directory", err)
	case len(users) == 0:
		return User{}, notAllowed("Config.Directory has no user %q", id)
	case len(users) > 1 || users[0].ID != id:
		return User{}, notAllowed("Config.Directory returned %d users, the first with ID %q, for %q", len(users), users[0].ID, id)
	}
	return users[0], nil
}

// membersOf returns those of the users who are members of an account, in one call
// of the directory.
func (m *Manager) membersOf(ctx context.Context, account string, ids ...string) ([]User, error) {
	users, err := m.cfg.Directory.Users(ctx, ids...)
	if err != nil {
		return nil, unavailable("Config.Directory", err)
	}
	return slices.DeleteFunc(slices.Clone(users), func(u User) bool {
		return !u.in(account) || !slices.Contains(ids, u.ID)
	}), nil
}

// User is a user as the host's directory describes them now, returned by a
// [Directory].
type User struct {
	// ID must never change and never be given to another user. It must be 1 to
	// 255 bytes of UTF-8 without control characters or surrounding space.
	ID string
	// Name is the account name shown on the pages of a login and in authenticator
	// apps, usually the email address. An attacker who has the password sees it,
	// so it must be a name with which the user can sign in. Apps show the first 64
	// bytes. If it is empty, pages show no name, and apps the ID.
	Name string
	// Emails lists verified email addresses. Links are mailed to the first and
	// notices to all, and for 30 days to those that are no longer listed. If empty, the user cannot use links. An unverified
	// address lets an attacker who entered it receive sign-in links.
	Emails []string
	// Members lists the accounts that the user is a member of. The user cannot
	// sign in to any other. Leave it empty if the host has no accounts. If an
	// account is listed twice, the lower role and the shorter grace count.
	Members []Member
	// SecurityStamp is a value that changes whenever the password or email
	// address changes, for example a counter, or a hash of the address and the
	// stored password hash. At the next login after a change, all earlier
	// sessions, pending logins and fresh proofs become invalid, and browsers are
	// no longer remembered, even if the host forgot to call [ManagedUser.CredentialsChanged]. If it is
	// always empty, changes are not detected.
	SecurityStamp string
	// Language is the BCP 47 tag of the language for messages, for example
	// "pt-BR". If empty, it is that of the request ([Client.Language]). An
	// attacker who has the password can then choose the language of the warnings
	// that the user gets.
	Language string
	// Disabled users cannot sign in, prove a factor or change factors. Their
	// open sessions continue until the host calls [ManagedUser.Revoke].
	Disabled bool
}

// Member is a user's membership of an account.
type Member struct {
	Account string // ID of the account
	// Since is the time at which the user first joined the account, for
	// [Policy.Grace]. Keep it if the user leaves and joins again, because
	// leaving would otherwise renew the grace. If zero, the user has no grace.
	Since time.Time
	// Role is what the user may do in the account. The host decides it, and it
	// is asked for at each act of an admin.
	Role Role
}

// Role is what a member may do to the policy and the members of an account.
type Role string

// The roles. Any other text counts as RoleMember, which may do nothing to
// others.
const (
	RoleMember Role = ""
	RoleAdmin  Role = "admin"
	RoleOwner  Role = "owner"
	// RoleSupport, as [Policy.Reset], means the host's staff. No member has it.
	RoleSupport Role = "support"
)

// Above reports whether r may act on members with the other role.
func (r Role) Above(other Role) bool { return r.rank() > max(other.rank(), 0) }

// rank orders the roles. A role acts only on members of a lower rank.
func (r Role) rank() int { return slices.Index(roles[:], r) }

var roles = [...]Role{RoleMember, RoleAdmin, RoleOwner}

// Client describes the browser or program that sent a request.
type Client struct {
	// IP is the client's address, for events and messages. No decision depends
	// on it.
	IP string
	// UserAgent is the User-Agent header, for events and messages. No decision
	// depends on it.
	UserAgent string
	// Language is the Accept-Language header or a BCP 47 tag, for messages to
	// users whose [User.Language] is empty. No decision depends on it.
	Language string
	// Host is the host of the request, for example "app.example.com", for
	// [LinkRequest]. Set it only to one of a list of hosts of your own, as
	// twofahttp.Config.Hosts does, because clients can send any Host header and
	// would choose where mailed links lead.
	Host string
	// RequestID is the host's ID of the request, for events. If empty, events
	// have none.
	RequestID string
	// Browser is the text in this browser's long-lived cookie. The host creates
	// the first one from at least 16 random bytes, without a dot, for example
	// with crypto/rand.Text. [Result.Browser], of at most 512 characters,
	// replaces it. One cookie serves all users of the browser; up to four of
	// them can be known in it. If empty, challenges are not bound to the
	// browser, and the browser cannot become known or remembered. With a copy
	// of the cookie of a remembered browser, an attacker needs only the first
	// factor.
	Browser Secret
	// HostSession is the ID of the host's session. A challenge that is issued
	// with it is valid only in that session, so the ID must not change between
	// [Manager.Begin] and [Manager.Verify]. If empty, challenges are not bound
	// to a session.
	HostSession Secret
}

// Device guesses the browser and system from UserAgent, as in "Firefox on
// Linux", so that a user can recognize them. It never returns text from the
// header, because an attacker can choose it.
func (c Client) Device() string { return text.Device(c.UserAgent) }

// languageOf returns the language for a user, by User.Language or else that of
// the request.
func (m *Manager) languageOf(u User, request string) *locale.Catalog {
	return m.languages.Match(u.Language, request)
}

// roleIn returns the role of the user in an account, the lowest one if the
// directory returns several memberships of it.
func (u User) roleIn(account string) Role {
	lowest := len(roles)
	for _, member := range u.Members {
		if member.Account == account {
			lowest = min(lowest, max(0, member.Role.rank()))
		}
	}
	if lowest == len(roles) {
		return RoleMember
	}
	return roles[lowest]
}

func (u User) in(account string) bool {
	for _, member := range u.Members {
		if member.Account == account {
			return true
		}
	}
	return account == ""
}

// onlyIn reports whether the user is a member of no other account.
func (u User) onlyIn(account string) bool {
	return !slices.ContainsFunc(u.Members, func(m Member) bool { return m.Account != account })
}
