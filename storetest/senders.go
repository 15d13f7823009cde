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

// MailerPeer is a [twofa.Mailer] under test together with its peer, a fake server
// that the test controls. All fields are required. The suite calls the functions
// while the Mailer may be sending.
type MailerPeer struct {
	// Mailer is the implementation under test. It sends to the peer.
	Mailer twofa.Mailer
	// Taken returns the messages that the peer has received completely and did not
	// refuse, decoded, in any order. The peer must add a message before it replies
	// to the client. The field HTML of a message is not compared.
	Taken func() []twofa.Email
	// Refuse makes the peer refuse every message from now on.
	Refuse func()
	// Hang makes the peer receive messages from now on without replying, until the
	// client disconnects or the test ends.
	Hang func()
}

// SMSPeer is a [twofa.SMSSender] under test together with its peer, a fake gateway
// that the test controls. All fields are required.
type SMSPeer struct {
	// Sender is the implementation under test. It sends to the peer.
	Sender twofa.SMSSender
	// Taken is like the field of [MailerPeer].
	Taken func() []twofa.TextMessage
	// Refuse and Hang are like the fields of [MailerPeer].
	Refuse, Hang func()
}

// RunMailer tests a mailer against the contract of [twofa.Mailer]. Each rule of the
// contract is a subtest, and a failure message includes the rule. RunMailer calls
// open once for each rule. open must return a new peer that accepts messages.
//
// Run the test with the race detector enabled.
func RunMailer(t *testing.T, open func(t *testing.T) MailerPeer) {
	t.Helper()
	for _, r := range slices.Concat(senderRules, subjectRules) {
		t.Run(r.name, func(t *testing.T) { r.run(t, open(t), mailbox) })
	}
}

// RunSMSSender is like [RunMailer], but tests a [twofa.SMSSender].
func RunSMSSender(t *testing.T, open func(t *testing.T) SMSPeer) {
	t.Helper()
	for _, r := range senderRules {
		t.Run(r.name, func(t *testing.T) { r.run(t, open(t).asMail(), number) })
	}
}

// asMail represents each text message as an email without a subject, so that the
// same rules can be used for both.
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
	// hangFor is the time after which the context of a call to a hanging peer ends.
	hangFor = 200 * time.Millisecond
	// patience is the time that the call may then take to return on a busy machine.
	patience = 10 * time.Second
)

// senderRule is one sentence of the contract and a check of it.
type senderRule struct {
	name  string
	text  string
	check func(p *senderProbe)
}

func (r senderRule) run(t failer, peer MailerPeer, address func(i int) string) {
	t.Helper()
	r.check(&senderProbe{failer: t, rule: r.text, MailerPeer: peer, address: address})
}

// mailbox and number return a different address for each i. The addresses are
// reserved for examples and belong to nobody.
func mailbox(i int) string { return fmt.Sprintf("user%02d@example.com", i) }
func number(i int) string  { return fmt.Sprintf("+120255501%02d", i) }

var senderRules = []senderRule{
	{"accepted", "if the call returns nil, the message was accepted unchanged; software may read its last line", func(p *senderProbe) {
		p.send(p.message(0))
		second := p.message(1)
		second.Text = twofa.NewSecret("Grüezi, 日本 & <b>100 %</b> = 'all'\n.\n..\nCode: 012345\n\n@acme.example #012345")
		p.send(second)
		p.wantTaken(p.message(0), second)
	}},
	{"refused", "if the message is not accepted, the call returns an error", func(p *senderProbe) {
		p.Refuse()
		p.wantError(p.Context(), p.message(0), "although the peer refused the message")
		p.wantTaken()
	}},
	{"deadline", "the call returns an error at the deadline of its context, at every stage, and does not send a message again that may have been accepted", func(p *senderProbe) {
		p.Hang()
		ctx, cancel := context.WithTimeout(p.Context(), hangFor)
		defer cancel()
		p.wantError(ctx, p.message(0), "although the peer never answered")
		p.wantTakenOnce()
	}},
	{"cancel", "the call returns an error soon after its context is canceled, at every stage, and does not send a message again that may have been accepted", func(p *senderProbe) {
		p.Hang()
		ctx, cancel := context.WithCancel(p.Context())
		defer cancel()
		time.AfterFunc(hangFor, cancel)
		p.wantError(ctx, p.message(0), "although the peer never answered")
		p.wantTakenOnce()
	}},
	{"already canceled", "if its context is already canceled, the call returns an error and sends nothing", func(p *senderProbe) {
		ctx, cancel := context.WithCancel(p.Context())
		cancel()
		p.wantError(ctx, p.message(0), "although the context was canceled")
		p.send(p.message(1))
		p.wantTaken(p.message(1))
	}},
	{"line breaks in To", "if To contains a line break, the call returns an error and sends nothing, because the line break could add headers or recipients", func(p *senderProbe) {
		p.wantLineBreaksRefused(func(m *twofa.Email) *string { return &m.To })
	}},
	{"concurrent", "if several messages are sent concurrently, each arrives once, with its own text", func(p *senderProbe) {
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
				p.failf("%d concurrent messages: %v", senderRacers, err)
			}
		}
		p.wantTaken(want...)
	}},
}

var subjectRules = []senderRule{
	{"subject", "the subject arrives unchanged", func(p *senderProbe) {
		var want []twofa.Email
		for i, subject := range []string{"Anmelden bei Ácme – jetzt ✉", strings.Repeat("日本語", 100), strings.Repeat("long ", 50) + "line"} {
			m := p.message(i)
			m.Subject = subject
			p.send(m)
			want = append(want, m)
		}
		p.wantTaken(want...)
	}},
	{"line breaks in Subject", "if Subject contains a line break, the call returns an error and sends nothing, because the line break could add headers", func(p *senderProbe) {
		p.wantLineBreaksRefused(func(m *twofa.Email) *string { return &m.Subject })
	}},
}

// senderProbe runs one rule.
type senderProbe struct {
	failer
	MailerPeer
	rule    string
	address func(i int) string
}

// failf ends the test with a message that includes the rule.
func (p *senderProbe) failf(format string, args ...any) {
	p.Helper()
	p.Fatalf("%s\nThe rule: %s", fmt.Sprintf(format, args...), p.rule)
}

// message returns a different message for each i.
func (p *senderProbe) message(i int) twofa.Email {
	m := twofa.Email{To: p.address(i), Text: twofa.NewSecret(fmt.Sprintf("Hello %d, your code is %06d.", i, i))}
	if _, texts := p.Mailer.(mailBySMS); !texts {
		m.Subject, m.HTML = fmt.Sprintf("Hello %d", i), twofa.NewSecret("<p>"+m.Text.Reveal()+"</p>")
	}
	return m
}

// send sends m, which must succeed.
func (p *senderProbe) send(m twofa.Email) {
	p.Helper()
	if err := p.Mailer.SendMail(p.Context(), m); err != nil {
		p.failf("sending a valid message: %v", err)
	}
}

// wantError sends m, which must return an error, at the latest soon after ctx has
// ended.
func (p *senderProbe) wantError(ctx context.Context, m twofa.Email, why string) {
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
		p.failf("sending did not return within %v after its context had ended", patience)
	}
}

// wantLineBreaksRefused sends messages with line breaks in one field. Each must
// return an error and send nothing.
func (p *senderProbe) wantLineBreaksRefused(field func(m *twofa.Email) *string) {
	p.Helper()
	for _, format := range []string{"%s\r\nBcc: evil@example.com", "%s\nBcc: evil@example.com", "%s\rBcc: evil@example.com", "\r\n%s", "%s\r\n", "%s\n"} {
		m := p.message(0)
		f := field(&m)
		*f = fmt.Sprintf(format, *f)
		p.wantError(p.Context(), m, fmt.Sprintf("although the field is %q", *f))
	}
	p.send(p.message(1))
	p.wantTaken(p.message(1))
}

// wantTaken checks that the peer accepted exactly these messages, in any order.
func (p *senderProbe) wantTaken(want ...twofa.Email) {
	p.Helper()
	got := p.Taken()
	for _, w := range want {
		i := slices.IndexFunc(got, func(g twofa.Email) bool { return g.To == w.To })
		if i < 0 {
			p.failf("the peer did not accept the message to %q, although sending it returned nil", w.To)
		}
		if got[i].Subject != w.Subject || body(got[i].Text.Reveal()) != body(w.Text.Reveal()) {
			p.failf("the peer accepted subject %q, text %q; want %q, %q", got[i].Subject, got[i].Text.Reveal(), w.Subject, w.Text.Reveal())
		}
		got = slices.Delete(slices.Clone(got), i, i+1)
	}
	if len(got) > 0 {
		p.failf("the peer accepted an unexpected message to %q: it should not have been sent, or only once", got[0].To)
	}
}

// wantTakenOnce checks that the peer received at most one message.
func (p *senderProbe) wantTakenOnce() {
	p.Helper()
	if n := len(p.Taken()); n > 1 {
		p.failf("the peer received the message %d times", n)
	}
}

// body normalizes the line endings, which mail may change, and removes empty lines
// at the end.
func body(s string) string {
	return strings.TrimRight(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
}
