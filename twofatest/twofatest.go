// Package twofatest helps hosts test code that uses package twofa. It has a clock
// that tests can set, an outbox that stores messages instead of sending them, and
// a function that computes the codes of an authenticator app:
//
//	clock, out := twofatest.NewClock(time.Now()), &twofatest.Outbox{}
//	m, err := twofa.New(twofa.Config{Now: clock.Now, Mail: twofa.MailConfig{Mailer: out}, …})
//	code := twofatest.Code(t, uri, clock.Now())
//
// It is for tests only.
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

// Clock is a clock whose time changes only when [Clock.Add] is called. Set
// [twofa.Config.Now] to its method Now. The zero Clock shows the zero time. Use
// [NewClock] to start at another. It may be used by many goroutines at once.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows now.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves the clock forward by d, or back if d is negative.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Outbox is a [twofa.Mailer] and a [twofa.SMSSender] that stores messages instead
// of sending them. The zero Outbox is empty and ready to use. It may be used by
// many goroutines at once.
type Outbox struct {
	mu    sync.Mutex
	mails []twofa.Email
	texts []twofa.TextMessage
}

// SendMail stores m. It returns ctx.Err(), but stores m even if ctx has ended.
func (o *Outbox) SendMail(ctx context.Context, m twofa.Email) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mails = append(o.mails, m)
	return ctx.Err()
}

// SendSMS stores m. It returns ctx.Err(), but stores m even if ctx has ended.
func (o *Outbox) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.texts = append(o.texts, m)
	return ctx.Err()
}

// Mails returns a copy of the stored emails, oldest first.
func (o *Outbox) Mails() []twofa.Email {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.mails)
}

// Texts returns a copy of the stored text messages, oldest first.
func (o *Outbox) Texts() []twofa.TextMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.texts)
}

var (
	links = []*regexp.Regexp{regexp.MustCompile(`(?m)^https?://\S+$`), regexp.MustCompile(`https?://\S+`)}
	code  = regexp.MustCompile(`\b[0-9]{6}\b`)
)

// Link returns the URL in an email to the address to. It uses the newest email that
// has a URL on a line of its own, because other URLs may lead to support. If there
// is none, it uses the newest email that has a URL in its text, and the first URL
// in it. It ends the test if no email has one.
func (o *Outbox) Link(t testing.TB, to string) string {
	t.Helper()
	for _, link := range links {
		for _, m := range slices.Backward(o.Mails()) {
			if found := link.FindString(m.Text.Reveal()); m.To == to && found != "" {
				return found
			}
		}
	}
	t.Fatalf("twofatest: Link: no email to %q contains a link", to)
	return ""
}

// MailCode returns the 6-digit code in an email to the address to; see
// twofa.MailConfig.CodeBesideLink. It uses the newest email that has such a code
// outside of a URL, and the first code in it. It ends the test if no email has one.
func (o *Outbox) MailCode(t testing.TB, to string) string {
	t.Helper()
	for _, m := range slices.Backward(o.Mails()) {
		if found := code.FindString(links[1].ReplaceAllString(m.Text.Reveal(), "")); m.To == to && found != "" {
			return found
		}
	}
	t.Fatalf("twofatest: MailCode: no email to %q contains a code", to)
	return ""
}

// TextCode returns the 6-digit code in a text message to the number to, in E.164. It
// uses the newest message that has such a code, and the first code in it. It ends the
// test if no message has one.
func (o *Outbox) TextCode(t testing.TB, to string) string {
	t.Helper()
	for _, m := range slices.Backward(o.Texts()) {
		if found := code.FindString(m.Body.Reveal()); m.To == to && found != "" {
			return found
		}
	}
	t.Fatalf("twofatest: TextCode: no text message to %q contains a code", to)
	return ""
}

// Code returns the code that an authenticator app shows at the time at, if it was
// enrolled with the otpauth URI uri. Each code works only once, so move the clock
// by the period (30 seconds by default) before you use the next. If uri is not
// valid, Code ends the test.
func Code(t testing.TB, uri string, at time.Time) string {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "otpauth" || u.Host != "totp" {
		t.Fatalf("twofatest: Code: uri must start with otpauth://totp/") // not quoted: it is a secret
	}
	q := u.Query()
	digits, _ := strconv.Atoi(q.Get("digits"))
	period, _ := strconv.Atoi(q.Get("period"))
	algorithm := map[string]otp.Algorithm{"SHA1": otp.AlgorithmSHA1, "SHA256": otp.AlgorithmSHA256, "SHA512": otp.AlgorithmSHA512}[q.Get("algorithm")]
	c, err := totp.GenerateCodeCustom(q.Get("secret"), at, totp.ValidateOpts{Digits: otp.Digits(digits), Period: uint(period), Algorithm: algorithm})
	if err != nil {
		t.Fatalf("twofatest: Code: %v", err)
	}
	return c
}

// KeyRing returns the key ring derived from word, for tests that need the same
// ring twice. Words of equal length that differ only after the 17th byte may give
// the same ring. Do not use the ring in production, because anyone can compute it.
func KeyRing(t testing.TB, word string) twofa.KeyRing {
	t.Helper()
	raw := strings.Repeat(base32.StdEncoding.EncodeToString([]byte("test key "+word+" abcdefghijklmnop")), 2)[:43]
	keys, err := twofa.ParseKeyRing("test" + strconv.Itoa(len(word)) + ":" + strings.ToLower(raw[:42]) + "A")
	if err != nil {
		t.Fatalf("twofatest: KeyRing: %v", err)
	}
	return keys
}
