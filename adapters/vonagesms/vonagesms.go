// Package vonagesms implements [twofa.SMSSender] for Vonage (formerly Nexmo). It uses
// one call, of Vonage's SMS API:
//
//	sender, err := vonagesms.New(vonagesms.Config{APIKey: "abcd1234", APISecret: secret, From: "Acme"})
//	cfg := twofa.Config{SMS: twofa.SMSConfig{Sender: sender, …}}
//
// Vonage also has a newer Messages API. It accepts almost every message, and reports
// most refusals only later, by a webhook. The SMS API reports a barred number or a
// sender that is not allowed in its response, so the user learns of it at once.
package vonagesms

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

// Config configures a [Sender]. APIKey, APISecret and From are required.
type Config struct {
	// APIKey is the ID of the account: letters and digits.
	APIKey string
	// APISecret is the secret of APIKey. It gives access to everything in the
	// account. An account can have two, so that one can be replaced without a gap.
	APISecret twofa.Secret
	// From is the sender of the messages: a number in E.164, with or without "+", or
	// 1 to 11 letters, digits and spaces. Some countries refuse letters.
	From string

	// BaseURL is the URL of the gateway, without the path of the call. If empty, it
	// defaults to https://rest.nexmo.com. It must be https, because it is sent
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
	endpoint  string
	key, from string
	secret    twofa.Secret
	client    *gateway.Client
}

var _ twofa.SMSSender = (*Sender)(nil)

var (
	apiKey = regexp.MustCompile(`^[0-9A-Za-z]{1,64}$`)
	sender = regexp.MustCompile(`^(?:\+?[0-9]{1,15}|[0-9A-Za-z ]{1,11})$`)
)

// New returns a Sender, or an error that names every invalid field of cfg. It
// makes no request.
func New(cfg Config) (*Sender, error) {
	cfg.BaseURL = cmp.Or(cfg.BaseURL, "https://rest.nexmo.com")
	var problems gateway.Problems
	problems.Add(!apiKey.MatchString(cfg.APIKey), "APIKey: must be letters and digits") // not quoted: may be the secret by mistake
	problems.Add(cfg.APISecret.IsZero(), "APISecret: required")
	problems.Add(!sender.MatchString(cfg.From), "From: must be a number, or 1 to 11 letters, digits and spaces")
	problems.Transport("BaseURL", cfg.BaseURL, cfg.Timeout)
	if err := problems.Err("vonagesms"); err != nil {
		return nil, err
	}
	return &Sender{
		endpoint: strings.TrimSuffix(cfg.BaseURL, "/") + "/sms/json",
		key:      cfg.APIKey,
		from:     strings.TrimPrefix(cfg.From, "+"),
		secret:   cfg.APISecret,
		client:   gateway.New("vonagesms", cfg.Client, cfg.Timeout),
	}, nil
}

// SendSMS sends m through the gateway. It returns nil if the gateway accepted every
// part of the message for delivery, which does not mean that it has arrived. A text
// outside the alphabet GSM-7 is sent as Unicode, because Vonage would otherwise replace
// the other characters.
//
// If the gateway reports that it has not accepted the message because of too many
// requests (code 1, or HTTP status 429), SendSMS tries again, at most twice. It waits
// 0.5 and then 2 seconds, or longer if Retry-After asks for that. It returns the error
// at once if ctx or Config.Timeout would end before. It does not retry after any other
// failure, because the message may have been accepted and the user would get it twice.
//
// If the gateway responded, the error is an [*Error]. Errors contain neither the
// phone number nor the text nor a credential.
//
// If m.To is not in E.164, SendSMS returns an error without a request.
func (s *Sender) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	if !text.IsE164(m.To) {
		return errors.New("vonagesms: To: must be a phone number in E.164, + and 7 to 15 digits") // not quoted: personal data
	}
	body := m.Body.Reveal()
	form := url.Values{
		"api_key": {s.key}, "api_secret": {s.secret.Reveal()},
		"from": {s.from}, "to": {strings.TrimPrefix(m.To, "+")}, "text": {body}, "type": {"text"},
	}
	if !text.IsGSM7(body) {
		form.Set("type", "unicode")
	}
	prepare := func(req *http.Request) { req.Header.Set("Content-Type", "application/x-www-form-urlencoded") }
	return s.client.Send(ctx, s.endpoint, form.Encode(), prepare, outcome)
}
