// Package twiliosms implements [twofa.SMSSender] for Twilio, and for gateways that
// have the same API. It uses one REST call:
//
//	sender, err := twiliosms.New(twiliosms.Config{
//		AccountSID: "AC…", APIKey: "SK…", APISecret: secret, From: "Acme",
//	})
//	cfg := twofa.Config{SMS: twofa.SMSConfig{Sender: sender, …}}
package twiliosms

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/gateway"
	"github.com/twofa-go/twofa/internal/text"
)

// Config configures a [Sender]. AccountSID, one credential (AuthToken, or APIKey
// with APISecret) and one sender (From or MessagingServiceSID) are required.
type Config struct {
	// AccountSID is the ID of the account: AC and 32 hexadecimal digits.
	AccountSID string
	// AuthToken is the password of the account. It gives access to everything in
	// the account, so an APIKey is safer. It cannot be combined with one.
	AuthToken twofa.Secret
	// APIKey is the ID of an API key: SK and 32 hexadecimal digits. Such a key can
	// be restricted to sending messages, and can be revoked separately.
	APIKey string
	// APISecret is the secret of APIKey.
	APISecret twofa.Secret

	// From is the sender of the messages: a number in E.164, a short code or an
	// alphanumeric sender ID. It cannot be combined with MessagingServiceSID.
	From string
	// MessagingServiceSID is the ID of a messaging service, which chooses the
	// sender: MG and 32 hexadecimal digits.
	MessagingServiceSID string

	// BaseURL is the URL of the gateway, without Twilio's path. If empty, it
	// defaults to https://api.twilio.com. It must be https, because it is sent
	// credentials, phone numbers and codes. For tests, http is allowed if the host
	// is a loopback IP address, but not if it is a name such as localhost.
	BaseURL string
	// Client makes the HTTP requests. If nil, a client with
	// [http.DefaultTransport] is used. It is copied, without its CheckRedirect and
	// Jar. A redirect is an error, because following one could send the
	// credentials, the phone number and the code to another server.
	Client *http.Client
	// Timeout is the longest time that one SendSMS may take, including retries, in
	// addition to the deadline of its context. If zero, it defaults to 10 seconds.
	// A user is waiting meanwhile.
	Timeout time.Duration
}

// Sender is a [twofa.SMSSender]. The zero Sender is not usable. Create a Sender
// with [New]. It may be used by many goroutines at once.
type Sender struct {
	endpoint string
	user     string
	secret   twofa.Secret
	origin   url.Values // parameters that select the sender
	client   *gateway.Client
}

var _ twofa.SMSSender = (*Sender)(nil)

const defaultBaseURL = "https://api.twilio.com"

var sid = regexp.MustCompile(`^[A-Z]{2}[0-9a-fA-F]{32}$`)

// New returns a Sender, or an error that names every invalid field of cfg. It
// makes no request.
func New(cfg Config) (*Sender, error) {
	cfg.BaseURL = cmp.Or(cfg.BaseURL, defaultBaseURL)
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Sender{
		endpoint: strings.TrimSuffix(cfg.BaseURL, "/") + "/2010-04-01/Accounts/" + cfg.AccountSID + "/Messages.json",
		user:     cmp.Or(cfg.APIKey, cfg.AccountSID),
		secret:   cfg.AuthToken,
		origin:   url.Values{},
		client:   gateway.New("twiliosms", cfg.Client, cfg.Timeout),
	}
	if cfg.APIKey != "" {
		s.secret = cfg.APISecret
	}
	if cfg.From != "" {
		s.origin.Set("From", cfg.From)
	} else {
		s.origin.Set("MessagingServiceSid", cfg.MessagingServiceSID)
	}
	return s, nil
}

func (cfg Config) check() error {
	var problems gateway.Problems
	key := cfg.APIKey != "" || !cfg.APISecret.IsZero()
	// IDs are not quoted, because they may contain a secret by mistake.
	problems.Add(!isSID(cfg.AccountSID, "AC"), "AccountSID: must be AC and 32 hexadecimal digits")
	problems.Add(cfg.AuthToken.IsZero() && !key, "AuthToken: required without APIKey")
	problems.Add(!cfg.AuthToken.IsZero() && key, "AuthToken: not allowed with APIKey or APISecret")
	problems.Add(key && !isSID(cfg.APIKey, "SK"), "APIKey: must be SK and 32 hexadecimal digits")
	problems.Add(key && cfg.APISecret.IsZero(), "APISecret: required with APIKey")
	problems.Add(cfg.From == "" && cfg.MessagingServiceSID == "", "From: required without MessagingServiceSID")
	problems.Add(cfg.From != "" && cfg.MessagingServiceSID != "", "From: not allowed with MessagingServiceSID")
	problems.Add(cfg.MessagingServiceSID != "" && !isSID(cfg.MessagingServiceSID, "MG"), "MessagingServiceSID: must be MG and 32 hexadecimal digits")
	problems.Transport("BaseURL", cfg.BaseURL, cfg.Timeout)
	return problems.Err("twiliosms")
}

func isSID(s, kind string) bool { return strings.HasPrefix(s, kind) && sid.MatchString(s) }

// SendSMS sends m through the gateway. It returns nil if the gateway accepted the
// message for delivery, which does not mean that it has arrived.
//
// If the gateway reports that it has not accepted the message because of too many
// requests (status 429), SendSMS tries again, at most twice. It waits 0.5 and then
// 2 seconds, or longer if Retry-After asks for that. It returns the error at once
// if ctx or Config.Timeout would end before. It does not retry after any other
// failure, because the message may have been accepted and the user would get it
// twice.
//
// If the gateway responded, the error is an [*Error]. Errors contain neither the
// phone number nor the text nor a credential. The gateway's own error text may
// quote them, but its digits are replaced, so that no number or code remains.
//
// If m.To is not in E.164, SendSMS returns an error without a request, because
// Twilio interprets a prefix such as whatsapp: as another channel.
func (s *Sender) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	if !text.IsE164(m.To) {
		return errors.New("twiliosms: To: must be a phone number in E.164, + and 7 to 15 digits") // not quoted: personal data
	}
	form := url.Values{"To": {m.To}, "Body": {m.Body.Reveal()}}
	for name, value := range s.origin {
		form[name] = value
	}
	prepare := func(req *http.Request) {
		req.SetBasicAuth(s.user, s.secret.Reveal())
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return s.client.Send(ctx, s.endpoint, form.Encode(), prepare, func(res gateway.Response) (busy bool, err error) {
		if res.Status == http.StatusCreated {
			return false, nil
		}
		return res.Status == http.StatusTooManyRequests, refusal(res)
	})
}
