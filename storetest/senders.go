package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twofa-go/twofa"
)

// MailerPeer is a [twofa.Mailer] under test and its peer: a server that the
// author of the test controls, in the place of the real one.
type MailerPeer struct {
	Mailer twofa.Mailer
	// Taken returns the messages that the peer received whole and did not
	// refuse, decoded, in any order. A message is among them before the peer
	// answers. HTML may be left out.
	Taken func() []twofa.Email
	// Refuse makes the peer refuse every message from now on.
	Refuse func()
	// Hang makes the peer receive messages from now on and answer none, until
	// the client goes or the test ends.
	Hang func()
}

// SMSPeer is a [twofa.SMSSender] under test and its peer; the hooks are those
// of [MailerPeer].
type SMSPeer struct {
	Sender       twofa.SMSSender
	Taken        func() []twofa.TextMessage
	Refuse, Hang func()
}

// RunMailer proves that a mailer keeps the contract of [twofa.Mailer]. Each
// rule of it is a subtest, and a failure cites the rule. open is called once
// for each rule and returns a fresh peer that answers.
//
// Run it with the race detector on.
func RunMailer(t *testing.T, open func(t *testing.T) MailerPeer) {
	t.Helper()
	for _, r := range slices.Concat(senderRules, subjectRules) {
		t.Run(r.name, func(t *testing.T) { r.run(t, open(t), mailbox) })
	}
}

// RunSMSSender is [RunMailer] for a [twofa.SMSSender].
func RunSMSSender(t *testing.T, open func(t *testing.T) SMSPeer) {
	t.Helper()
	for _, r := range senderRules {
		t.Run(r.name, func(t *testing.T) { r.run(t, open(t).asMail(), number) })
	}
}

// asMail makes a text message a mail without a subject, so that the rules are
// written once.
func (p SMSPeer) asMail() MailerPeer {
	return MailerPeer{Mailer: mailBySMS{p.Sender}, Refuse: p.Refuse, Hang: p.Hang, Taken: func() (mails []twofa.Email) {
		for _, m := range p.Taken() {
			mails = append(mails, twofa.Email{To: m.To, Text: m.Body})
		}
		return mails
	}}
}

type mailBySMS struct{ twofa.SMSSender }

func (s mailBySMS) SendMail(ctx context.Context, m twofa.Email) error {
	return s.SendSMS(ctx, twofa.TextMessage{To: m.To, Body: m.Text})
}

const (
	senderRacers = 16
	// hangFor is how long a sender waits for a hanging peer before its context
	// ends, and patience how long it may take to notice, on a busy machine.
	hangFor  = 200 * time.Millisecond
	patience = 10 * time.Second
)

// senderRule is one sentence of the contract and how to find it broken.
type senderRule struct {
	name  string
	text  string
	check func(p *senderProbe)
}

func (r senderRule) run(t failer, peer MailerPeer, address func(i int) string) {
	t.Helper()
	r.check(&senderProbe{failer: t, rule: r.text, MailerPeer: peer, address: address})
}

// mailbox and number make addresses that differ, and belong to nobody.
func mailbox(i int) string { return fmt.Sprintf("user%02d@example.com", i) }
func number(i int) string  { return fmt.Sprintf("+120255501%02d", i) }

var senderRules = []senderRule{
	{"accepted", "nil means that the message was accepted, as it was given: its last line may be for a machine", func(p *senderProbe) {
		p.sent(p.message(0))
		second := p.message(1)
		second.Text = "Grüezi, 日本 & <b>100 %</b> = 'all'\n.\n..\nCode: 012345\n\n@acme.example #012345"
		p.sent(second)
		p.took(p.message(0), second)
	}},
	{"refused", "a message that was not accepted is an error", func(p *senderProbe) {
		p.Refuse()
		p.fails(p.Context(), p.message(0), "although the peer refused the message")
		p.took()
	}},
	{"deadline", "the call returns an error at the deadline of its context, at every stage, and does not send twice what may have been taken", func(p *senderProbe) {
		p.Hang()
		ctx, cancel := context.WithTimeout(p.Context(), hangFor)
		defer cancel()
		p.fails(ctx, p.message(0), "although the peer never answered")
		p.tookOnce()
	}},
	{"cancel", "the call returns an error soon after its context is cancelled, at every stage, and does not send twice what may have been taken", func(p *senderProbe) {
		p.Hang()
		ctx, cancel := context.WithCancel(p.Context())
		defer cancel()
		time.AfterFunc(hangFor, cancel)
		p.fails(ctx, p.message(0), "although the peer never answered")
		p.tookOnce()
	}},
	{"cancelled before", "under a context that is cancelled nothing is sent and an error is returned", func(p *senderProbe) {
		ctx, cancel := context.WithCancel(p.Context())
		cancel()
		p.fails(ctx, p.message(0), "under a cancelled context")
		p.sent(p.message(1))
		p.took(p.message(1))
	}},
	{"line breaks in To", "a line break in To is an error and sends nothing: it would add headers or recipients", func(p *senderProbe) {
		p.refusesLineBreaks(func(m *twofa.Email) *string { return &m.To })
	}},
	{"concurrent", "several messages may be sent at once: each arrives once, with its own text", func(p *senderProbe) {
		var wg sync.WaitGroup
		var want []twofa.Email
		errs := make([]error, senderRacers)
		for i := range senderRacers {
			m := p.message(i)
			want = append(want, m)
			wg.Go(func() { errs[i] = p.Mailer.SendMail(p.Context(), m) })
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				p.failf("%d messages at once: %v", senderRacers, err)
			}
		}
		p.took(want...)
	}},
}

var subjectRules = []senderRule{
	{"subject", "the subject arrives as it was given", func(p *senderProbe) {
		var want []twofa.Email
		for i, subject := range []string{"Anmelden bei Ácme – jetzt ✉", strings.Repeat("日本語", 100), strings.Repeat("long ", 50) + "line"} {
			m := p.message(i)
			m.Subject = subject
			p.sent(m)
			want = append(want, m)
		}
		p.took(want...)
	}},
	{"line breaks in Subject", "a line break in Subject is an error and sends nothing: it would add headers", func(p *senderProbe) {
		p.refusesLineBreaks(func(m *twofa.Email) *string { return &m.Subject })
	}},
}

// senderProbe is what a rule works with.
type senderProbe struct {
	failer
	MailerPeer
	rule    string
	address func(i int) string
}

// failf ends the rule: the sender has broken it.
func (p *senderProbe) failf(format string, args ...any) {
	p.Helper()
	p.Fatalf("%s\nThe rule: %s", fmt.Sprintf(format, args...), p.rule)
}

// message is a message unlike any other.
func (p *senderProbe) message(i int) twofa.Email {
	m := twofa.Email{To: p.address(i), Text: fmt.Sprintf("Hello %d, your code is %06d.", i, i)}
	if _, texts := p.Mailer.(mailBySMS); !texts {
		m.Subject, m.HTML = fmt.Sprintf("Hello %d", i), "<p>"+m.Text+"</p>"
	}
	return m
}

// sent must succeed.
func (p *senderProbe) sent(m twofa.Email) {
	p.Helper()
	if err := p.Mailer.SendMail(p.Context(), m); err != nil {
		p.failf("sending a good message: %v", err)
	}
}

// fails must return an error, soon after ctx has ended if not before.
func (p *senderProbe) fails(ctx context.Context, m twofa.Email, why string) {
	p.Helper()
	result := make(chan error, 1)
	go func() { result <- p.Mailer.SendMail(ctx, m) }()
	late := time.NewTimer(hangFor + patience)
	defer late.Stop()
	select {
	case err := <-result:
		if err == nil {
			p.failf("sending returned nil %s", why)
		}
	case <-late.C:
		p.failf("sending had not returned %v after its context ended", patience)
	}
}

// refusesLineBreaks puts line breaks into a field.
func (p *senderProbe) refusesLineBreaks(field func(m *twofa.Email) *string) {
	p.Helper()
	for _, format := range []string{"%s\r\nBcc: evil@example.com", "%s\nBcc: evil@example.com", "%s\rBcc: evil@example.com", "\r\n%s", "%s\r\n", "%s\n"} {
		m := p.message(0)
		f := field(&m)
		*f = fmt.Sprintf(format, *f)
		p.fails(p.Context(), m, fmt.Sprintf("although the field is %q", *f))
	}
	p.sent(p.message(1))
	p.took(p.message(1))
}

// took checks that the peer took these messages and no others.
func (p *senderProbe) took(want ...twofa.Email) {
	p.Helper()
	got := p.Taken()
	for _, w := range want {
		i := slices.IndexFunc(got, func(g twofa.Email) bool { return g.To == w.To })
		if i < 0 {
			p.failf("the peer took no message to %q that was said to be accepted", w.To)
		}
		if got[i].Subject != w.Subject || body(got[i].Text) != body(w.Text) {
			p.failf("the peer took subject %q, text %q; want %q, %q", got[i].Subject, got[i].Text, w.Subject, w.Text)
		}
		got = slices.Delete(slices.Clone(got), i, i+1)
	}
	if len(got) > 0 {
		p.failf("the peer took a message to %q that was not to be sent, or not again", got[0].To)
	}
}

// tookOnce checks that the peer took at most one message.
func (p *senderProbe) tookOnce() {
	p.Helper()
	if n := len(p.Taken()); n > 1 {
		p.failf("the peer received the message %d times", n)
	}
}

// body leaves out what mail does to line ends.
func body(s string) string {
	return strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
}
