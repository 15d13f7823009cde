package smtpmail

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/twofa-go/twofa"
)

// SendMail hands the message to the server; nil means that the server took it
// for delivery, also where the connection broke after that. The end of ctx, and
// that of Config.Timeout, closes the connection, whatever it waits for.
// To is one bare address and Subject one line; all else is refused before a
// connection is made. An address that is not ASCII needs a server that takes it
// (SMTPUTF8). Where it is about the server the error is an [*Error].
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
	// The mail library knows deadlines of its own only, and waits for the
	// greeting without one. A closed connection ends every wait.
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
		{"AUTH", func() error { return m.login(c) }},
		{"MAIL", func() error { return m.envelope(c, msg) }},
		{"RCPT", func() error { return c.Rcpt(msg.to.String()) }},
		{"DATA", func() error { return write(c, msg.data) }},
	} {
		if err := step.do(); err != nil {
			return failure(ctx, step.name, err)
		}
	}
	// The message is accepted, so nothing can fail any more. A server that is
	// slow to say goodbye is not worth the user's time.
	_ = conn.SetDeadline(time.Now().Add(farewell))
	_ = c.Quit()
	return nil
}

const farewell = time.Second

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
		return errors.New("the server does not offer it, and nothing is sent without TLS")
	}
	return c.StartTLS(m.cfg.TLSConfig)
}

func (m *Mailer) login(c *smtp.Client) error {
	if m.cfg.Username == "" {
		return nil
	}
	_, offer := c.Extension("AUTH")
	mechanisms := strings.Fields(offer)
	password := m.cfg.Password.Reveal()
	switch {
	case slices.Contains(mechanisms, "PLAIN"):
		return c.Auth(smtp.PlainAuth("", m.cfg.Username, password, m.cfg.Host, false))
	case slices.Contains(mechanisms, "LOGIN"):
		return c.Auth(smtp.LoginAuth(m.cfg.Username, password, m.cfg.Host, false))
	}
	return errors.New("the server offers neither PLAIN nor LOGIN")
}

func (m *Mailer) envelope(c *smtp.Client, msg message) error {
	// Said of a message that does not need it, SMTPUTF8 makes it bounce at the
	// first server on the way that lacks it.
	plain := ascii(msg.to.Address)
	if able, _ := c.Extension("SMTPUTF8"); !able && !plain {
		return errors.New("the server takes ASCII addresses only")
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
	return w.Close() // waits for the server's yes or no
}
