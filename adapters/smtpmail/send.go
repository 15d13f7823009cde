package smtpmail

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/mail"
	"strconv"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/twofa-go/twofa"
)

// SendMail sends e through the server. It returns nil if the server accepted the
// message for delivery, even if the connection broke afterwards. If ctx ends or
// Config.Timeout passes before that, SendMail closes the connection and returns an
// error at once.
//
// If e.To is not one bare address or e.Subject is not one line, SendMail returns an
// error before it connects. The domain of e.To is sent in the ASCII form of
// IDNA. If the part before it is not ASCII, the server must support SMTPUTF8. Errors
// of the connection and the server are of type [*Error].
func (m *Mailer) SendMail(ctx context.Context, e twofa.Email) error {
	msg, err := m.compose(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.cfg.Timeout)
	defer cancel()
	address := net.JoinHostPort(m.cfg.Host, strconv.Itoa(m.cfg.Port))
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return failure(ctx, "connect", err)
	}
	defer conn.Close()
	// The mail library ignores contexts and waits for the greeting without a
	// deadline. Closing the connection ends every wait.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	return m.deliver(ctx, conn, msg)
}

func (m *Mailer) deliver(ctx context.Context, conn net.Conn, msg message) error {
	var c *smtp.Client
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"greeting", func() (err error) { c, err = m.greet(ctx, conn); return err }},
		{"EHLO", func() error { return c.Hello(m.cfg.HELO) }},
		{"STARTTLS", func() error { return m.startTLS(c) }},
		{"AUTH", func() error { return m.login(ctx, c) }},
		{"MAIL", func() error { return m.envelope(c, msg) }},
		{"RCPT", func() error { return c.Rcpt(msg.to.String()) }},
		{"DATA", func() error { return write(c, msg.data) }},
	} {
		if err := step.do(); err != nil {
			return failure(ctx, step.name, err)
		}
	}
	// The server has accepted the message, so errors no longer matter. The user is
	// waiting, so QUIT must not take long.
	_ = conn.SetDeadline(time.Now().Add(quitTimeout))
	_ = c.Quit()
	return nil
}

const quitTimeout = time.Second

func (m *Mailer) greet(ctx context.Context, conn net.Conn) (*smtp.Client, error) {
	if m.cfg.ImplicitTLS {
		secure := tls.Client(conn, m.cfg.TLSConfig)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	return smtp.NewClient(conn, m.cfg.Host)
}

func (m *Mailer) startTLS(c *smtp.Client) error {
	if m.cfg.ImplicitTLS || m.cfg.InsecurePlaintext {
		return nil
	}
	if offered, _ := c.Extension("STARTTLS"); !offered {
		return errors.New("not offered by the server; nothing is sent without TLS")
	}
	return c.StartTLS(m.cfg.TLSConfig)
}

func (m *Mailer) envelope(c *smtp.Client, msg message) error {
	// SMTPUTF8 is requested only for addresses that need it. A message that
	// requests it bounces at the first server that does not support it.
	plain := ascii(msg.to.Address)
	if able, _ := c.Extension("SMTPUTF8"); !able && !plain {
		return errors.New("the mailbox of To is not ASCII, and the server does not offer SMTPUTF8")
	}
	c.SkipSMTPUTF8(plain)
	sender := mail.Address{Address: m.from.Address}
	return c.Mail(sender.String())
}

func write(c *smtp.Client, data []byte) error {
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	return w.Close() // waits for the server's reply
}
