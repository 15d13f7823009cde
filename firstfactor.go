package twofa

import (
	"context"
	"slices"

	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/internal/text"
)

// FirstFactorMethod is the way in which the host verified a first factor.
type FirstFactorMethod string

// The ways to verify a first factor. After ByEmail and ByToken, remembered
// browsers are challenged, too.
const (
	ByPassword FirstFactorMethod = "password" // a password
	BySSO      FirstFactorMethod = "sso"      // an identity provider
	ByEmail    FirstFactorMethod = "email"    // a reset link or invitation; proves control of a mailbox only
	ByToken    FirstFactorMethod = "token"    // an API token or another key; cannot enroll the first factor
)

// FirstFactor is a first factor that the host has just verified.
type FirstFactor struct {
	UserID string // ID of the user
	// Account is the ID of the account that the user signs in to. If empty,
	// [Config.Policy] applies and no account's own policy does. If the user is a
	// member of accounts, that is probably a mistake and is logged once.
	Account string
	// By is the way in which the first factor was verified. It is required.
	By FirstFactorMethod
	// ProviderOf, for BySSO, is the ID of the account whose own identity
	// provider vouched for the user. Such a login counts in that account only.
	// In any other, the user is denied with [ReasonSignInHere], because an admin
	// who controls the provider of one account could otherwise sign in to all
	// accounts of its members.
	//
	// Leave it empty for a provider that anybody can use, as in "Sign in with
	// Google". Such a provider is not the account's own: if ProviderOf named the
	// account, a policy with ExemptSSO would ask nobody for a second factor, and
	// the login would count nowhere else. Set it only if the account's admin has
	// configured the provider, and to that account, never to the account that
	// the request names.
	ProviderOf string
	// SecurityStamp is the [User.SecurityStamp] that the host read together with
	// the password that it verified. If the user's stamp differs by now, Begin
	// refuses with [ErrNotAllowed]. If empty, a password that was changed while
	// it was being verified still signs in.
	SecurityStamp string
	// Session is the session that the browser has so far, if any. If it is a
	// live session of the same user in the same browser, the first factor is
	// added to it, and its proofs count as before. A session of another user is
	// ended first; see [Manager.SignedOut].
	Session Session
	// Client is the client that the user signed in from.
	Client Client

	held string // ID of the text that HoldFirstFactor returned
}

func (f *FirstFactor) validate() error {
	if !f.By.known() {
		return notAllowed("FirstFactor.By: must be ByPassword, BySSO, ByEmail or ByToken, is %q", text.Clean(string(f.By), 20))
	}
	if f.ProviderOf != "" && (f.By != BySSO || text.ValidateID("account", f.ProviderOf) != nil) {
		return notAllowed("FirstFactor.ProviderOf: must be empty or, with BySSO, an account ID")
	}
	return nil
}

// warnOfNoAccount logs once that the policies of accounts are not enforced.
func (m *Manager) warnOfNoAccount(ctx context.Context) {
	m.noAccountWarned.Do(func() {
		m.cfg.Logger.WarnContext(ctx, "twofa: FirstFactor.Account is empty, although the user is a member of accounts; their policies are not enforced")
	})
}

// known reports whether this release knows the method. An unknown one may be
// worth less.
func (m FirstFactorMethod) known() bool {
	return m == ByPassword || m == BySSO || m == ByEmail || m == ByToken
}

// HoldFirstFactor seals a first factor for 60 seconds, so that the browser can
// bring it again in a request of its own. Use it if an identity provider's page
// on another site has posted the answer (SAML, form_post): browsers send no
// SameSite cookies with such a request, so a known browser would look unknown and
// its cookie would be overwritten. Answer with a page that posts the text to your
// own site, and pass it to [Manager.HeldFirstFactor] there. Never put it into a
// URL.
//
// [FirstFactor.Client] and [FirstFactor.Session] are not kept. The error is
// [ErrNotAllowed] if f is not valid.
func (m *Manager) HoldFirstFactor(f FirstFactor) (Secret, error) {
	if err := f.validate(); err != nil {
		return Secret{}, err
	}
	now := m.now()
	t := ticket{purpose: forFirst, id: seal.NewID(), user: f.UserID, account: f.Account, stamp: f.SecurityStamp, expires: now.add(holdTTL)}
	return m.cfg.Keys.sealTicket(t.withFirstFactor(firstFactor{by: f.By, providerOf: f.ProviderOf, at: now})), nil
}

// HeldFirstFactor opens what [Manager.HoldFirstFactor] returned, for one call of
// [Manager.Begin]. The text is used up when that login ends. The error is
// [ErrExpired] if it is older than 60 seconds or not valid.
func (m *Manager) HeldFirstFactor(text Secret) (FirstFactor, error) {
	t, err := m.openTicket(text, forFirst)
	if err != nil || len(t.first) != 1 {
		return FirstFactor{}, ErrExpired
	}
	return FirstFactor{UserID: t.user, Account: t.account, By: t.first[0].by, ProviderOf: t.first[0].providerOf, SecurityStamp: t.stamp, held: t.id}, nil
}

// firstFactor is a first factor of a login, in a ticket.
type firstFactor struct {
	seal.Unknown
	by         FirstFactorMethod
	providerOf string   // account whose identity provider vouched
	at         unixTime // when it was verified
}

func (f *firstFactor) Fields(c *seal.Codec) {
	seal.Text(c, 5, &f.by)
	seal.Text(c, 9, &f.providerOf)
	seal.Int(c, 12, &f.at)
}

// countsIn reports whether the first factor counts in an account.
func (f firstFactor) countsIn(account string) bool {
	return f.by.known() && (f.providerOf == "" || f.providerOf == account)
}

// ofPerson reports whether the first factor is the user's own and was given by
// the user. No admin of a single account can give it, and no program.
func (f firstFactor) ofPerson() bool {
	return f.by == ByPassword || f.by == ByEmail || f.by == BySSO && f.providerOf == ""
}

// withFirstFactor returns t with another first factor, which replaces an older
// one of the same kind. A session keeps the newest maxFirstFactors.
func (t ticket) withFirstFactor(f firstFactor) ticket {
	first := slices.DeleteFunc(slices.Clone(t.first), func(o firstFactor) bool { return o.by == f.by && o.providerOf == f.providerOf })
	first = append(first, f)
	t.first = first[max(0, len(first)-maxFirstFactors):]
	return t
}

// signedInAt returns when the user last gave a first factor that counts in an
// account, and whether there is one.
func (t ticket) signedInAt(account string) (at unixTime, ok bool) {
	for _, f := range t.first {
		if f.countsIn(account) {
			at, ok = max(at, f.at), true
		}
	}
	return at, ok
}

// hasFirstFactor reports whether the user gave a first factor for which a
// condition holds.
func (t ticket) hasFirstFactor(condition func(firstFactor) bool) bool {
	return slices.ContainsFunc(t.first, condition)
}

// vouchedIn reports whether the account's own identity provider vouched.
func (t ticket) vouchedIn(account string) bool {
	return account != "" && t.hasFirstFactor(func(f firstFactor) bool { return f.by == BySSO && f.providerOf == account })
}

// onlyByToken reports whether the only first factors are API tokens, whose user
// need not be present.
func (t ticket) onlyByToken() bool {
	return !t.hasFirstFactor(func(f firstFactor) bool { return f.by != ByToken })
}

// actsFor reports whether the ticket may end what a user has in all accounts: by
// a first factor that counts in all of them, or by a proof of the user's. The
// providers of some accounts are not enough for the others.
func (t ticket) actsFor(u User) bool {
	return t.hasFirstFactor(func(f firstFactor) bool { return f.providerOf == "" }) || t.hasProven(append(strength[:], RecoveryCode)...) ||
		!slices.ContainsFunc(u.Members, func(member Member) bool { return !t.vouchedIn(member.Account) })
}

// lastFirstFactor returns the method of the first factor given last.
func (t ticket) lastFirstFactor() FirstFactorMethod {
	if len(t.first) == 0 {
		return ""
	}
	return t.first[len(t.first)-1].by
}
