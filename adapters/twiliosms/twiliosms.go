// Package twiliosms sends text messages through Twilio: it is a
// [twofa.SMSSender] over one REST call, for Twilio and for gateways that speak
// its protocol.
package twiliosms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Config says which account sends, and as whom.
type Config struct {
	// AccountSID names the account: AC and 32 hexadecimal digits. Required.
	AccountSID string
	// AuthToken is the account's own password. Either it or APIKey and
	// APISecret is required. It opens the whole account: prefer a key.
	AuthToken twofa.Secret
	// APIKey (SK and 32 hexadecimal digits) and APISecret are a key that can
	// be restricted to sending messages and revoked by itself.
	APIKey    string
	APISecret twofa.Secret

	// From is what the message comes from: a number in E.164, a short code or
	// an alphanumeric sender. Either it or MessagingServiceSID is required.
	From string
	// MessagingServiceSID (MG and 32 hexadecimal digits) leaves the choice of
	// sender to a messaging service of the account.
	MessagingServiceSID string

	// BaseURL is what stands in front of Twilio's paths; "" means
	// https://api.twilio.com. It is https, because credentials, number and code
	// go over it; plain http is accepted for a loopback address only, where a
	// test keeps its peer.
	BaseURL string
	// Client makes the calls; nil means one over [http.DefaultTransport]. It is
	// copied, and its CheckRedirect and Jar are not used: a redirect is an
	// error, else credentials, number and code would go where it points.
	Client *http.Client
	// Timeout bounds one SendSMS with all its attempts, beside the context;
	// 0 means 10 s. A user waits for it.
	Timeout time.Duration
}

// Sender is a [twofa.SMSSender]. It may be used by many goroutines at once.
type Sender struct {
	endpoint string
	user     string
	secret   twofa.Secret
	origin   url.Values // the parameters that name the sender
	client   http.Client
	timeout  time.Duration
}

var _ twofa.SMSSender = (*Sender)(nil)

const (
	defaultBaseURL = "https://api.twilio.com"
	defaultTimeout = 10 * time.Second
)

var (
	sid  = regexp.MustCompile(`^[A-Z]{2}[0-9a-fA-F]{32}$`)
	e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// New returns a Sender, or an error that names every field that is wrong. It
// makes no call.
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
		timeout:  cmp.Or(cfg.Timeout, defaultTimeout),
	}
	if cfg.APIKey != "" {
		s.secret = cfg.APISecret
	}
	if cfg.Client != nil {
		s.client = *cfg.Client
	}
	s.client.Jar = nil
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if cfg.From != "" {
		s.origin.Set("From", cfg.From)
	} else {
		s.origin.Set("MessagingServiceSid", cfg.MessagingServiceSID)
	}
	return s, nil
}

func (cfg Config) check() error {
	var problems []error
	problem := func(wrong bool, text string) {
		if wrong {
			problems = append(problems, errors.New(text))
		}
	}
	key := cfg.APIKey != "" || !cfg.APISecret.IsZero()
	problem(!isSID(cfg.AccountSID, "AC"), "AccountSID: want AC and 32 hexadecimal digits")
	problem(cfg.AuthToken.IsZero() && !key, "AuthToken: required, unless there is an APIKey")
	problem(!cfg.AuthToken.IsZero() && key, "AuthToken: not beside APIKey and APISecret")
	problem(key && !isSID(cfg.APIKey, "SK"), "APIKey: want SK and 32 hexadecimal digits")
	problem(key && cfg.APISecret.IsZero(), "APISecret: required with APIKey")
	problem(cfg.From == "" && cfg.MessagingServiceSID == "", "From: required, unless there is a MessagingServiceSID")
	problem(cfg.From != "" && cfg.MessagingServiceSID != "", "From: not beside MessagingServiceSID")
	problem(cfg.MessagingServiceSID != "" && !isSID(cfg.MessagingServiceSID, "MG"), "MessagingServiceSID: want MG and 32 hexadecimal digits")
	problem(!safeBase(cfg.BaseURL), "BaseURL: want https://host, or http:// and a loopback address, without user, query and fragment")
	problem(cfg.Timeout < 0, "Timeout: want 0 or more")
	if len(problems) > 0 {
		return fmt.Errorf("twiliosms: config: %w", errors.Join(problems...))
	}
	return nil
}

func isSID(s, kind string) bool { return strings.HasPrefix(s, kind) && sid.MatchString(s) }

func safeBase(base string) bool {
	u, err := url.Parse(base)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(base, "?#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && net.ParseIP(u.Hostname()).IsLoopback()
}

// SendSMS hands a message to the gateway; nil means that the gateway took it
// for delivery, not that it arrived. A message is sent again only where the
// gateway said that it had not taken it (status 429), at most twice, after the
// wait the gateway asked for, and if ctx leaves time for that. Every other
// failure may have been a success whose answer was lost, and is not repeated.
//
// Errors are [*Error] where the gateway answered. None holds the number, the
// text or a credential. A number that is not E.164 is refused without a call:
// Twilio reads prefixes such as whatsapp: as other channels.
func (s *Sender) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	if !e164.MatchString(m.To) {
		return errors.New("twiliosms: To is not a number in E.164")
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		err := s.post(ctx, m)
		if busy, ok := errors.AsType[*Error](err); !ok || busy.Status != http.StatusTooManyRequests ||
			attempt == len(backoff) || !pause(ctx, max(busy.retryAfter, backoff[attempt])) {
			return err
		}
	}
}

// backoff is the least wait before the second and the third attempt.
var backoff = [...]time.Duration{500 * time.Millisecond, 2 * time.Second}

// pause waits, unless ctx would end first: then it returns false, mostly at once.
func pause(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *Sender) post(ctx context.Context, m twofa.TextMessage) error {
	form := url.Values{"To": {m.To}, "Body": {m.Body}}
	for name, value := range s.origin {
		form[name] = value
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return fmt.Errorf("twiliosms: %w", err)
	}
	req.SetBasicAuth(s.user, s.secret.Reveal())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return unanswered(err)
	}
	defer res.Body.Close()
	// What the gateway says is read even where nothing depends on it, or the
	// connection could not be used again; but never more than that.
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxBody))
	if res.StatusCode == http.StatusCreated {
		return nil
	}
	return refusal(res, body)
}

const maxBody = 16 << 10
