package twofa

import (
	"time"

	"github.com/twofa-go/twofa/internal/text"
)

// User is what the host's directory says of a person now. It is asked for at
// [Manager.Begin], [Manager.Verify] and where factors are shown or changed,
// never at a guard.
type User struct {
	ID      string   // never changes and is never given to another person
	Name    string   // account name shown in the authenticator app, usually the e-mail address
	Emails  []string // verified addresses; links go to the first, notices to all; none: no links
	Members []Member // the accounts the person belongs to
	// Stamp changes with the password and with the e-mail address, for example
	// a counter or a hash of both. When it is another than before, remembered
	// browsers, pending logins and sessions are dead, even if the host forgot
	// to call [Manager.CredentialsChanged]. "" opts out.
	SecurityStamp string
	// Disabled refuses logins, proofs and changes. It does not end a session
	// that is open: that is [Manager.Revoke]'s to do.
	Disabled bool
}

// Member is a person's place in an account.
type Member struct {
	Account string
	Since   time.Time
}

// FirstFactorMethod says how the first factor was given.
type FirstFactorMethod string

// Ways to give a first factor.
const (
	ByPassword FirstFactorMethod = "password"
	BySSO      FirstFactorMethod = "sso"   // an identity provider vouched
	ByEmail    FirstFactorMethod = "email" // a reset link or an invitation: it proves a mailbox
	ByToken    FirstFactorMethod = "token" // an API token or another key of the host's
)

// Client is where a request comes from.
type Client struct {
	IP        string // for events and messages; no decision stands on it
	UserAgent string // likewise
	// Browser is the token kept in this browser's long-lived cookie. At first
	// it is any random text the host minted; a [Result] may replace it. Empty
	// where there is none.
	Browser Secret
	// HostSession is the id of the host's session, if it has one already. A
	// challenge then works in that session only.
	HostSession Secret
}

// Device guesses browser and system from the User-Agent, for a person to
// recognise, as in "Firefox on Linux". No word of it is the client's own.
func (c Client) Device() string { return text.Device(c.UserAgent) }

// FirstFactor is what the host has just checked.
type FirstFactor struct {
	UserID  string
	Account string // the account being entered; "" where the host has none
	By      FirstFactorMethod
	// ProviderOf is the account whose identity provider vouched, for BySSO. A
	// policy exempts its own provider only.
	ProviderOf string
	Client     Client
}

func (u User) in(account string) bool {
	for _, member := range u.Members {
		if member.Account == account {
			return true
		}
	}
	return account == ""
}
