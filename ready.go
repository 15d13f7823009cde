package twofa

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twofa-go/twofa/internal/seal"
	"github.com/twofa-go/twofa/locale"
)

// Ready returns nil if this process can serve: the store can be read, the key
// ring opens what other processes seal, and Config is the same as that of other
// processes. It compares these fields:
//
//   - Issuer, Policy and Lifetimes
//   - TOTP.Strict, Recovery.Codes and Recovery.Viewable
//   - whether Mail.Mailer is set, the address that Mail.LinkURL returns for a
//     placeholder token, and Mail.CodeBesideLink
//   - SMS.Countries, and whether SMS.Sender is set
//
// Call it at start-up and from monitoring. It costs one read, and a write every
// ten minutes at most.
//
// If Config differs, for example because this process has no Mailer, Ready
// returns a [*ConfigError] that names the fields, and logs it at most once an
// hour. The process serves nevertheless, because a rollout makes processes
// differ for a while. A readiness probe must therefore treat a ConfigError as
// ready, or the rollout never ends. Once no process has confirmed the other
// Config for an hour, the Config of this process becomes the expected one.
//
// Errors: [ErrUnavailable]; a [*RecordError] if the key ring lacks a key; a
// [*ConfigError].
func (m *Manager) Ready(ctx context.Context) error {
	var differ *ConfigError
	err := m.retryOnConflict(ctx, nil, func() error {
		var stored configRecord
		old, err := m.get(ctx, configKey, &stored)
		if err != nil {
			return err
		}
		now, mine := m.now(), m.cfg.digests()
		names := stored.differences(mine)
		differ = nil
		switch {
		case old.Version == "":
		case len(names) > 0 && stored.Confirmed.within(expectFor, now):
			differ = &ConfigError{names}
			return nil
		case len(names) == 0 && stored.Confirmed.within(confirmEvery, now) && m.cfg.Keys.sealsFirst(old):
			return nil
		}
		stored.expect(mine)
		stored.Confirmed = now
		return m.write(ctx, configKey, old.Version, &stored, nil)
	})
	switch {
	case err != nil:
		return err
	case differ != nil:
		m.logDifference(ctx, differ)
		return differ
	}
	return nil
}

// ConfigError reports that the Config of this process differs from the one that was
// confirmed over the same store in the last hour, by another process or by this one
// before it was started again. The process serves nevertheless; see [Manager.Ready].
type ConfigError struct {
	Fields []string // names of the fields that differ
}

// Error names the fields.
func (e *ConfigError) Error() string {
	return "twofa: Config differs from the one that a process had in the last hour: " + strings.Join(e.Fields, ", ")
}

const (
	configKey    = "config/"
	confirmEvery = 10 * time.Minute
	expectFor    = time.Hour // after the last confirmation, another Config may become the expected one
)

func (m *Manager) logDifference(ctx context.Context, differ error) {
	if m.firstThisHour(&m.differenceLogged) {
		m.cfg.Logger.ErrorContext(ctx, "twofa: Config differs", "error", differ)
	}
}

// firstThisHour reports whether a line was not logged within the last hour, and
// sets the time at which it was.
func (m *Manager) firstThisHour(logged *atomic.Int64) bool {
	now, last := m.now(), logged.Load()
	return (last == 0 || now.sub(unixTime(last)) >= time.Hour) && logged.CompareAndSwap(last, int64(now))
}

// configRecord is what all processes must agree on, under "config/".
type configRecord struct {
	seal.Unknown
	Digests   []configDigest
	Confirmed unixTime // when a process last found its Config to be the same
}

func (r *configRecord) Fields(c *seal.Codec) {
	seal.List(c, 4, &r.Digests)
	seal.Int(c, 8, &r.Confirmed)
}

func (r *configRecord) problem() string { return "" }

// differences returns the names of the fields that differ.
func (r *configRecord) differences(mine []configDigest) (names []string) {
	for _, d := range mine {
		if !slices.ContainsFunc(r.Digests, func(o configDigest) bool { return o.Name == d.Name && seal.Equal(o.Digest, d.Digest) }) {
			names = append(names, d.Name)
		}
	}
	return names
}

// expect replaces the digests of the fields that this release knows. Those of a
// newer release are kept. Otherwise, its processes would report a difference
// whenever an older one had confirmed the record.
func (r *configRecord) expect(mine []configDigest) {
	for _, d := range mine {
		i := slices.IndexFunc(r.Digests, func(o configDigest) bool { return o.Name == d.Name })
		if i < 0 {
			r.Digests = append(r.Digests, d)
			continue
		}
		r.Digests[i].Digest = d.Digest
	}
}

// configDigest is a field of Config and the digest of its value.
type configDigest struct {
	seal.Unknown
	Name   string
	Digest string
}

func (d *configDigest) Fields(c *seal.Codec) {
	seal.Text(c, 4, &d.Name)
	seal.Text(c, 8, &d.Digest)
}

// Info is what a package that serves the pages of a [Manager] must agree with.
type Info struct {
	Issuer string // Config.Issuer
	// Link is the address that MailConfig.LinkURL returns for the token "token",
	// an empty account and a zero User. It is empty if LinkURL is nil.
	Link string
	// LinkAt returns the address for a login at a host; see [Client.Host]. It is
	// nil if LinkURL is nil.
	LinkAt func(host string) string
	// CodeBesideLink is MailConfig.CodeBesideLink.
	CodeBesideLink bool
	// Case is the address that MailConfig.CaseURL returns for the token "token" and
	// a zero User. It is empty if CaseURL is nil.
	Case string
	// WebOTPHost is SMSConfig.WebOTPHost, and Countries is SMSConfig.Countries. Both
	// are empty if no text messages are sent.
	WebOTPHost string
	Countries  []string
	// Actions are the names of the actions in Config.Policy, sorted. Accounts
	// can have policies with others.
	Actions []string
	// Methods are the methods that policies can accept with this Config: TOTP, SMS
	// and EmailLink, as far as messages can be sent.
	Methods []Method
	// MailsAdmins reports whether the other admins of an account are told by mail,
	// for example of a weaker policy or of a member who is reset: Config.Directory is
	// an [AdminLister], and mail can be sent.
	MailsAdmins bool
	// ListsEvents reports whether Config.Store is an [EventReader], so that
	// [Account.Events] and [Manager.Activity] return events.
	ListsEvents bool
	// Languages are Config.Languages, or English.
	Languages []*locale.Catalog
}

// Info returns what a package that serves pages must agree with.
func (m *Manager) Info() Info {
	info := Info{Issuer: m.cfg.Issuer, Link: m.cfg.Mail.placeholderLink(), CodeBesideLink: m.cfg.Mail.CodeBesideLink, Actions: slices.Sorted(maps.Keys(m.cfg.Policy.Actions)), Languages: slices.Clone(m.cfg.Languages)}
	info.Methods = slices.DeleteFunc([]Method{TOTP, SMS, EmailLink}, func(method Method) bool {
		return m.cfg.supports(Policy{Methods: []Method{method}}) != nil
	})
	if _, ok := m.adminLister(); ok && m.cfg.Mail.Mailer != nil {
		info.MailsAdmins = true
	}
	_, info.ListsEvents = m.cfg.Store.(EventReader)
	if len(info.Languages) == 0 {
		info.Languages = []*locale.Catalog{locale.English()}
	}
	if m.cfg.SMS.Sender != nil {
		info.WebOTPHost, info.Countries = m.cfg.SMS.WebOTPHost, slices.Clone(m.cfg.SMS.Countries)
	}
	if m.cfg.Mail.CaseURL != nil {
		info.Case = m.cfg.Mail.CaseURL(LinkRequest{Token: NewSecret("token")})
	}
	if m.cfg.Mail.LinkURL != nil {
		info.LinkAt = func(host string) string {
			return m.cfg.Mail.LinkURL(LinkRequest{Token: NewSecret("token"), Host: host})
		}
	}
	return info
}

// placeholderLink returns the address of a link with the token "token", or an
// empty string if no links are mailed.
func (c *MailConfig) placeholderLink() string {
	if c.LinkURL == nil {
		return ""
	}
	return c.LinkURL(LinkRequest{Token: NewSecret("token")})
}

// digests returns the fields on which all processes must agree. A function
// counts as set or not, since functions cannot be compared.
func (c *Config) digests() (all []configDigest) {
	add := func(name string, value ...string) {
		all = append(all, configDigest{Name: name, Digest: seal.Digest(append([]string{name}, value...)...)})
	}
	add("Issuer", c.Issuer)
	add("Policy", string(seal.Encode(nil, storePolicy(c.Policy, nil))))
	add("TOTP.Strict", strconv.FormatBool(c.TOTP.Strict))
	add("Recovery.Codes", strconv.Itoa(c.Recovery.Codes))
	add("Recovery.Viewable", strconv.FormatBool(c.Recovery.Viewable))
	add("Mail.Mailer", strconv.FormatBool(c.Mail.Mailer != nil))
	add("Mail.LinkURL", c.Mail.placeholderLink())
	add("Mail.CodeBesideLink", strconv.FormatBool(c.Mail.CodeBesideLink))
	add("SMS.Sender", strconv.FormatBool(c.SMS.Sender != nil))
	add("SMS.Countries", slices.Sorted(slices.Values(c.SMS.Countries))...)
	add("Lifetimes.Session", c.Lifetimes.Session.String())
	add("Lifetimes.Enrollment", c.Lifetimes.Enrollment.String())
	add("Lifetimes.Link", c.Lifetimes.Link.String())
	return all
}
