// Package webhook implements [twofa.Mailer] and [twofa.SMSSender] with a service of
// yours that sends messages: it posts each message to a URL as JSON, signed by
// [Standard Webhooks].
//
//	sender, err := webhook.New(webhook.Config{URL: "https://messages.acme.example/2fa", Secrets: []twofa.Secret{secret}})
//	cfg := twofa.Config{Mail: twofa.MailConfig{Mailer: sender, …}, SMS: twofa.SMSConfig{Sender: sender, …}}
//
// The service must verify the signature, refuse a timestamp that differs from its own
// clock by more than five minutes, and accept each webhook-id once. Otherwise anyone who
// reaches it can send mail in your name, or send a recorded message again. The example
// shows such a service. It must not log bodies, because they contain links and codes.
//
// It responds with a status from 200 to 299 only once it has accepted the message for
// delivery: a link is valid from then on. If the recipient can never receive messages, it
// responds with 422 and {"error":"undeliverable"}. Everything else is a failure, and the
// message is not valid.
//
// [Standard Webhooks]: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/gateway"
	"github.com/twofa-go/twofa/internal/text"
)

// Config configures a [Sender]. URL and Secrets are required.
type Config struct {
	// URL is the address of the service. It must be https, because it is sent links,
	// codes and addresses, and it must have no user, query or fragment. If the host
	// is a loopback IP address, http is allowed.
	URL string
	// Secrets are the keys of the signature, as Standard Webhooks writes them:
	// "whsec_" and 24 to 64 random bytes in base64. A message is signed with each. To
	// replace a secret, add the new one, change it at the service, and remove the old
	// one. Whoever has one can send messages through the service.
	Secrets []twofa.Secret
	// Client makes the HTTP requests. If nil, a client with
	// [http.DefaultTransport] is used. It is copied, without its CheckRedirect and
	// Jar. A redirect is an error, because following one could send the message to
	// another server.
	Client *http.Client
	// Timeout is the longest time that one message may take, in addition to the
	// deadline of its context. If zero, it defaults to 10 seconds. A user is waiting
	// meanwhile.
	Timeout time.Duration
	// Now returns the time for the signature. If nil, it defaults to [time.Now].
	Now func() time.Time
}

// Sender is a [twofa.Mailer] and a [twofa.SMSSender]. The zero Sender is not usable.
// Create a Sender with [New]. It may be used by many goroutines at once.
type Sender struct {
	url    string
	keys   []twofa.Secret // decoded
	client *gateway.Client
	now    func() time.Time
}

var (
	_ twofa.Mailer    = (*Sender)(nil)
	_ twofa.SMSSender = (*Sender)(nil)
)

// New returns a Sender, or an error that names every invalid field of cfg. It makes no
// request.
func New(cfg Config) (*Sender, error) {
	s := &Sender{url: cfg.URL, client: gateway.New("webhook", cfg.Client, cfg.Timeout), now: cfg.Now}
	if s.now == nil {
		s.now = time.Now
	}
	var problems gateway.Problems
	problems.Transport("URL", cfg.URL, cfg.Timeout)
	problems.Add(len(cfg.Secrets) == 0, "Secrets: at least one is required")
	for i, secret := range cfg.Secrets {
		encoded, found := strings.CutPrefix(secret.Reveal(), "whsec_")
		key, err := base64.StdEncoding.DecodeString(encoded)
		problems.Add(!found || err != nil || len(key) < 24 || len(key) > 64,
			fmt.Sprintf("Secrets[%d]: must be whsec_ and 24 to 64 bytes in base64", i))
		s.keys = append(s.keys, twofa.NewSecret(string(key)))
	}
	if err := problems.Err("webhook"); err != nil {
		return nil, err
	}
	return s, nil
}

// payload is the body of a request. Its form is that which Standard Webhooks recommends.
type payload struct {
	Type      string    `json:"type"` // "email" or "sms"
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	To       string    `json:"to"`
	Subject  string    `json:"subject,omitempty"`
	Text     string    `json:"text"`
	HTML     string    `json:"html,omitempty"`
	Language string    `json:"language,omitempty"`
	Expires  time.Time `json:"expires,omitzero"`
}

// SendMail posts m, with the type "email" and the fields to, subject, text, html
// and, for a link, expires. It returns nil if the service accepted the message for
// delivery.
//
// Each message has a webhook-id of its own and is posted once, because after a failure
// the service may have accepted it. If the service responded, the error is an [*Error].
// Errors contain no address and no part of the message.
//
// If m.To or m.Subject contains a line break or is not UTF-8, SendMail returns an error
// without a request.
func (s *Sender) SendMail(ctx context.Context, m twofa.Email) error {
	if !oneLine(m.To) || !oneLine(m.Subject) {
		return errors.New("webhook: To and Subject: must be one line of UTF-8") // not quoted: an attacker may have chosen it
	}
	return s.send(ctx, "email", data{To: m.To, Subject: m.Subject, Text: m.Text.Reveal(), HTML: m.HTML.Reveal(), Expires: m.Expires})
}

func oneLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) })
}

// SendSMS is like [Sender.SendMail], but posts a text message, with the type "sms" and
// the fields to, text, language and, for a code, expires. If m.To is not in E.164, it
// returns an error without a request.
func (s *Sender) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	if !text.IsE164(m.To) {
		return errors.New("webhook: To: must be a phone number in E.164, + and 7 to 15 digits")
	}
	return s.send(ctx, "sms", data{To: m.To, Text: m.Body.Reveal(), Language: m.Language, Expires: m.Expires})
}

func (s *Sender) send(ctx context.Context, kind string, d data) error {
	now := s.now()
	body, err := json.Marshal(payload{kind, now.UTC(), d})
	if err != nil {
		return errors.New("webhook: the message cannot be written as JSON")
	}
	id, at := "msg_"+rand.Text(), strconv.FormatInt(now.Unix(), 10)
	prepare := func(req *http.Request) {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("webhook-id", id)
		req.Header.Set("webhook-timestamp", at)
		req.Header.Set("webhook-signature", s.sign(id, at, string(body)))
	}
	return s.client.Send(ctx, s.url, string(body), prepare, outcome)
}

// sign returns one signature for each key.
func (s *Sender) sign(id, at, body string) string {
	var all []string
	for _, key := range s.keys {
		mac := hmac.New(sha256.New, []byte(key.Reveal()))
		mac.Write([]byte(id + "." + at + "." + body))
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}

// Error is a response of the service that does not accept the message.
//
// [errors.Is] reports [twofa.ErrUndeliverable] if Undeliverable is true.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Undeliverable reports whether the response was 422 with
	// {"error":"undeliverable"}. The status alone is not enough, because web
	// frameworks respond with it if they do not understand a request. 410 means in
	// Standard Webhooks that the service wants no more messages at all.
	Undeliverable bool
}

// Error returns the status, and never a part of the response, which may quote the
// message. If the service does not accept the signature, it says which field to check.
func (e *Error) Error() string {
	switch {
	case e.Undeliverable:
		return "webhook: the service reports that the recipient cannot receive messages"
	case e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden:
		return fmt.Sprintf("webhook: the service responded with status %d; check Secrets, and the clocks of both", e.Status)
	}
	return fmt.Sprintf("webhook: the service responded with status %d", e.Status)
}

// Is reports whether target is [twofa.ErrUndeliverable] and e.Undeliverable is true.
func (e *Error) Is(target error) bool { return target == twofa.ErrUndeliverable && e.Undeliverable }

// outcome reads a response. No service counts as busy, so that nothing is posted twice.
func outcome(res gateway.Response) (busy bool, err error) {
	if res.Status >= 200 && res.Status <= 299 {
		return false, nil
	}
	var reply struct {
		Error string `json:"error"`
	}
	_ = json.Unmarshal(res.Body, &reply)
	return false, &Error{res.Status, res.Status == http.StatusUnprocessableEntity && reply.Error == "undeliverable"}
}
