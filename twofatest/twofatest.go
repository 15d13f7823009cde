// Package twofatest helps hosts test what they built on package twofa: a clock
// to set, an outbox that keeps what would have been sent, and the codes an
// authenticator app would show. It is for tests only.
package twofatest

import (
	"context"
	"encoding/base32"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
	"github.com/twofa-go/twofa"
)

// Clock is a clock that stands still until it is moved. Its Now goes into
// [twofa.Config.Now]. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at now.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now returns where the clock stands.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock, back too.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Outbox is a [twofa.Mailer] and a [twofa.SMSSender] that keeps messages
// instead of sending them. The zero Outbox is ready; it is safe for concurrent
// use.
type Outbox struct {
	mu    sync.Mutex
	mails []twofa.Email
	texts []twofa.TextMessage
}

// SendMail keeps a message.
func (o *Outbox) SendMail(ctx context.Context, m twofa.Email) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mails = append(o.mails, m)
	return ctx.Err()
}

// SendSMS keeps a message.
func (o *Outbox) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.texts = append(o.texts, m)
	return ctx.Err()
}

// Mails returns what was mailed, oldest first.
func (o *Outbox) Mails() []twofa.Email {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.mails)
}

// Texts returns what was texted, oldest first.
func (o *Outbox) Texts() []twofa.TextMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.texts)
}

var (
	link = regexp.MustCompile(`https?://\S+`)
	code = regexp.MustCompile(`\b[0-9]{6}\b`)
)

// Link returns the address in the newest mail to an address that holds one.
func (o *Outbox) Link(t testing.TB, to string) string {
	t.Helper()
	for _, m := range slices.Backward(o.Mails()) {
		if found := link.FindString(m.Text); m.To == to && found != "" {
			return found
		}
	}
	t.Fatalf("twofatest: no link was mailed to %s", to)
	return ""
}

// TextCode returns the code in the newest text to a number.
func (o *Outbox) TextCode(t testing.TB, to string) string {
	t.Helper()
	for _, m := range slices.Backward(o.Texts()) {
		if found := code.FindString(m.Body); m.To == to && found != "" {
			return found
		}
	}
	t.Fatalf("twofatest: no code was texted to %s", to)
	return ""
}

// Code returns what an authenticator app that was given the otpauth URI shows
// at a time. Each code works once: move the clock by the period before asking
// for the next.
func Code(t testing.TB, uri string, at time.Time) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" {
		t.Fatalf("twofatest: not an otpauth URI")
	}
	q := u.Query()
	digits, _ := strconv.Atoi(q.Get("digits"))
	period, _ := strconv.Atoi(q.Get("period"))
	algorithm := map[string]otp.Algorithm{"SHA1": otp.AlgorithmSHA1, "SHA256": otp.AlgorithmSHA256, "SHA512": otp.AlgorithmSHA512}[q.Get("algorithm")]
	c, err := totp.GenerateCodeCustom(q.Get("secret"), at, totp.ValidateOpts{Digits: otp.Digits(digits), Period: uint(period), Algorithm: algorithm})
	if err != nil {
		t.Fatalf("twofatest: %v", err)
	}
	return c
}

// Keys returns a ring made from a word, for tests that need the same ring
// twice. It is worthless as a secret.
func KeyRing(t testing.TB, word string) twofa.KeyRing {
	t.Helper()
	raw := strings.Repeat(base32.StdEncoding.EncodeToString([]byte("test key "+word+" abcdefghijklmnop")), 2)[:43]
	keys, err := twofa.ParseKeyRing("test" + strconv.Itoa(len(word)) + ":" + strings.ToLower(raw[:42]) + "A")
	if err != nil {
		t.Fatalf("twofatest: %v", err)
	}
	return keys
}
