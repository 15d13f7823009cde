package browser

import (
	"io"
	"log"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/adapters/smtpmail"
	"github.com/twofa-go/twofa/examples/webapp/app"
	"github.com/twofa-go/twofa/twofatest"
)

// mailbox is an SMTP server that keeps all mail, as it arrives.
type mailbox struct {
	mu   sync.Mutex
	kept []app.Message
}

// newSiteWithSMTP is like newSiteWithClock, but each mail goes through an SMTP
// server.
func newSiteWithSMTP(t *testing.T, change ...func(*app.Config)) (*site, *twofatest.Clock) {
	t.Helper()
	inChromium.need(t)
	box := &mailbox{}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{box: box}, nil }))
	srv.ErrorLog = log.New(io.Discard, "", 0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan struct{})
	go func() { defer close(served); _ = srv.Serve(listener) }()
	t.Cleanup(func() { _ = srv.Close(); <-served })
	mailer, err := smtpmail.New(smtpmail.Config{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, From: "Acme Contacts <no-reply@acme.example>", InsecurePlaintext: true})
	require.NoError(t, err)
	s, clock := inChromium.newExample(t, func(c *app.Config) {
		c.Mailer = mailer
		for _, f := range change {
			f(c)
		}
	})
	s.mailbox = box
	return s, clock
}

// to returns the mails to an address, oldest first.
func (m *mailbox) to(address string) []app.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.kept), func(k app.Message) bool { return k.To != address })
}

// delivery is a connection to a mailbox.
type delivery struct{ box *mailbox }

func (*delivery) Mail(string, *smtp.MailOptions) error { return nil }
func (*delivery) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (*delivery) Reset()                               {}
func (*delivery) Logout() error                        { return nil }

func (d *delivery) Data(r io.Reader) error {
	m, err := readMail(r)
	if err != nil {
		return err // fails the test, which misses the mail
	}
	d.box.mu.Lock()
	defer d.box.mu.Unlock()
	d.box.kept = append(d.box.kept, m)
	return nil
}

// readMail parses a mail as a mail program does, and returns its plain text.
func readMail(r io.Reader) (m app.Message, err error) {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return m, err
	}
	to, err := mail.ParseAddress(msg.Header.Get("To"))
	if err != nil {
		return m, err
	}
	m.Channel, m.To = "mail", to.Address
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		return m, err
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		return m, err
	}
	text := msg.Body
	switch {
	case strings.HasPrefix(kind, "multipart/"):
		if text, err = multipart.NewReader(msg.Body, params["boundary"]).NextPart(); err != nil {
			return m, err
		}
	case msg.Header.Get("Content-Transfer-Encoding") == "quoted-printable":
		text = quotedprintable.NewReader(msg.Body)
	}
	body, err := io.ReadAll(text)
	m.Text = string(body)
	return m, err
}
