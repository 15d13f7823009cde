package twofa

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa/internal/letter"
	"github.com/twofa-go/twofa/internal/text"
)

func (c *Config) validate() error {
	var p problems
	p.require(c.Issuer != "" && label(c.Issuer) == c.Issuer, "Issuer: must be 1 to 64 bytes without a colon or control characters, is %q", text.Clean(c.Issuer, 80))
	p.require(c.Store != nil, "Store: is missing; adapters/sqlstore has one for your database, adapters/memstore one for tests")
	p.require(len(c.Keys.all()) > 0, "Keys: is missing; see ParseKeyRing")
	p.require(c.Directory != nil, "Directory: is missing; see LookUp")
	p.require(c.Recovery.Codes == NoRecoveryCodes || c.Recovery.Codes >= 1 && c.Recovery.Codes <= maxCodes,
		"Recovery.Codes: must be 1 to %d or NoRecoveryCodes, is %d", maxCodes, c.Recovery.Codes)
	p.require(c.Lifetimes.Session >= 5*time.Minute && c.Lifetimes.Session <= 90*day, "Lifetimes.Session: must be 5 minutes to 90 days, is %v", c.Lifetimes.Session)
	p.require(c.Lifetimes.Enrollment >= 10*time.Minute && c.Lifetimes.Enrollment <= maxEnrollment, "Lifetimes.Enrollment: must be 10 minutes to 2 hours, is %v", c.Lifetimes.Enrollment)
	p.require(c.Lifetimes.Link >= 5*time.Minute && c.Lifetimes.Link <= maxLinkTTL, "Lifetimes.Link: must be 5 minutes to 1 hour, is %v", c.Lifetimes.Link)
	p.require(!c.Mail.CodeBesideLink || c.Lifetimes.Link <= linkTTL, "Lifetimes.Link: must be at most %v with Mail.CodeBesideLink, is %v", linkTTL, c.Lifetimes.Link)
	for i, l := range c.Languages {
		p.require(l != nil, "Languages: the one at index %d is nil", i)
	}
	return errors.Join(p.err(), c.Mail.validate(), c.SMS.validate(), c.TOTP.validate(), c.Policy.validate(), c.supports(c.Policy))
}

func (c *MailConfig) validate() error {
	var p problems
	p.require(c.Mailer != nil || c.LinkURL == nil, "Mail.Mailer: is missing, but Mail.LinkURL is set")
	if c.LinkURL != nil {
		address := c.LinkURL(LinkRequest{Token: NewSecret("token")})
		p.require(linkSafe(address, "token"), "Mail.LinkURL: must return an absolute https address (http on localhost only) with the token in it, returns %q", text.Clean(address, 200))
	}
	p.require(c.Mailer != nil || c.CaseURL == nil, "Mail.Mailer: is missing, but Mail.CaseURL is set")
	if c.CaseURL != nil {
		address := c.CaseURL(LinkRequest{Token: NewSecret("token")})
		p.require(linkSafe(address, "token"), "Mail.CaseURL: must return an absolute https address (http on localhost only) with the token in it, returns %q", text.Clean(address, 200))
	}
	p.require(c.LinkURL != nil || !c.CodeBesideLink, "Mail.LinkURL: is missing, but Mail.CodeBesideLink is true")
	return errors.Join(p.err(), c.Brand.validate())
}

func (b Brand) validate() error {
	var p problems
	p.require(b.Color == "" || letter.IsColor(b.Color), "Mail.Brand.Color: must be # and six hexadecimal digits, is %q", text.Clean(b.Color, 200))
	p.require(b.Logo == "" || isHTTPS(b.Logo), "Mail.Brand.Logo: must be an https address, is %q", text.Clean(b.Logo, 200))
	p.require(b.SupportURL == "" || isHTTPS(b.SupportURL) || isMailto(b.SupportURL), "Mail.Brand.SupportURL: must be an https address, or mailto: and an email address, is %q", text.Clean(b.SupportURL, 200))
	return p.err()
}

func isHTTPS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && text.Clean(address, len(address)) == address
}

func isMailto(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "mailto" && strings.Contains(u.Opaque, "@") && text.Clean(address, len(address)) == address
}

// linkSafe reports whether an address contains a token and keeps it off the wire.
func linkSafe(address, token string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || !strings.Contains(address, token) || text.Clean(address, len(address)) != address {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
}

func (c *SMSConfig) validate() error {
	var p problems
	p.require(c.Sender == nil || c.Phone != nil, "SMS.Phone: is missing, but SMS.Sender is set; adapters/phone has one")
	p.require(c.Sender == nil || len(c.Countries) > 0, "SMS.Countries: is empty, which allows none; list the countries that you send text messages to")
	for _, country := range c.Countries {
		err := text.ValidateCountry(country)
		p.require(err == nil, "SMS.Countries: %q: %w", text.Clean(country, 40), err)
	}
	p.require(text.Clean(c.WebOTPHost, 253) == c.WebOTPHost && !strings.ContainsAny(c.WebOTPHost, " /:#@"),
		"SMS.WebOTPHost: must be a bare host name, is %q", text.Clean(c.WebOTPHost, 253))
	return p.err()
}

// supports reports what a policy asks for that is not configured.
func (c *Config) supports(policy Policy) error {
	var p problems
	link, sms := slices.Contains(policy.Methods, EmailLink), slices.Contains(policy.Methods, SMS)
	p.require(!policy.Required || policy.EnrollWithoutLink || c.Mail.LinkURL != nil, "Policy.Required: needs Config.Mail.LinkURL, or Policy.EnrollWithoutLink")
	p.require(!link || c.Mail.Mailer != nil, "Policy.Methods: EmailLink needs Config.Mail.Mailer")
	p.require(!link || c.Mail.LinkURL != nil, "Policy.Methods: EmailLink needs Config.Mail.LinkURL")
	p.require(!sms || c.SMS.Sender != nil, "Policy.Methods: SMS needs Config.SMS.Sender, with Phone and Countries")
	return p.err()
}
