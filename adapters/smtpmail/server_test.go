package smtpmail_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/smtpmail"
)

const (
	username = "mailuser"
	password = "correct horse"
	link     = "https://acme.example/login?token=tok-0123456789"
)

func email() twofa.Email {
	return twofa.Email{
		To:      "jo@example.com",
		Subject: "Your sign-in link",
		Text:    twofa.NewSecret("Open " + link + "\n"),
		HTML:    twofa.NewSecret(`<p><a href="` + link + `">Sign in</a></p>`),
	}
}

// server is a small SMTP server that can misbehave at any step: greeting, EHLO,
// STARTTLS, AUTH, MAIL, RCPT, DATA, message (before reading it), end (after reading
// it) and QUIT. The integration tests use real servers, which do not hang on
// demand.
type server struct {
	offer    []string          // extensions; nil means STARTTLS, and AUTH PLAIN and LOGIN inside TLS
	replies  map[string]string // replies that replace the usual ones; "" closes the connection
	hang     string            // step that gets no reply
	reached  chan struct{}     // closed when hang is reached
	deaf     bool              // does not read while it hangs
	implicit bool              // starts TLS with the first byte

	port      int
	cert      tls.Certificate
	roots     *x509.CertPool
	ended     chan struct{} // closed when the test ends
	mu        sync.Mutex
	commands  []string // commands received, in order
	delivered []string // messages accepted, as received
}

// start serves until the test ends. The end of the test waits for every connection
// to close, so a client that leaves one open hangs the test.
func (s *server) start(t *testing.T) *server {
	t.Helper()
	pki := httptest.NewTLSServer(nil) // a certificate for 127.0.0.1, and its root
	pki.Close()
	s.cert, s.roots = pki.TLS.Certificates[0], x509.NewCertPool()
	s.roots.AddCert(pki.Certificate())
	s.reached, s.ended = make(chan struct{}), make(chan struct{})

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.port = l.Addr().(*net.TCPAddr).Port
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				s.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		close(s.ended)
		l.Close()
		wg.Wait()
	})
	return s
}

func (s *server) config() smtpmail.Config {
	return smtpmail.Config{
		Host: "127.0.0.1", Port: s.port, From: "Acme <login@acme.example>",
		Username: username, Password: twofa.NewSecret(password),
		TLSConfig: &tls.Config{RootCAs: s.roots}, ImplicitTLS: s.implicit,
	}
}

func (s *server) send(t *testing.T, ctx context.Context, e twofa.Email) error {
	t.Helper()
	m, err := smtpmail.New(s.config())
	require.NoError(t, err)
	return m.SendMail(ctx, e)
}

// untilReached returns a context that is canceled when the server hangs.
func (s *server) untilReached(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		select {
		case <-s.reached:
		case <-t.Context().Done():
		}
	}()
	return ctx
}

// verbs returns the verbs of the commands received.
func (s *server) verbs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var verbs []string
	for _, line := range s.commands {
		verb, _, _ := strings.Cut(line, " ")
		verbs = append(verbs, verb)
	}
	return verbs
}

func (s *server) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.delivered)
}

// The next step of the server after a reply.
const (
	goOn    = iota // continues with the protocol
	refused        // sent another reply than usual, and waits for the next command
	over           // closes the connection
)

func (s *server) reply(conn net.Conn, step, usual string) int {
	if step == s.hang && step != "" { // an empty line answers the error of XOAUTH2
		close(s.reached)
		if s.deaf {
			<-s.ended
		} else {
			_, _ = io.Copy(io.Discard, conn) // until the client closes
		}
		return over
	}
	line, other := s.replies[step]
	if !other {
		line = usual
	}
	if line == "" {
		return over
	}
	if _, err := io.WriteString(conn, line+"\r\n"); err != nil {
		return over
	}
	if other {
		return refused
	}
	return goOn
}

func (s *server) serve(conn net.Conn) {
	secure := s.implicit
	if secure {
		conn = s.tls(conn)
	}
	if s.reply(conn, "greeting", "220 here") == over {
		return
	}
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		verb := s.record(strings.TrimSpace(line))
		usual := map[string]string{
			"EHLO": s.extensions(secure), "STARTTLS": "220 go", "AUTH": "235 in", "MAIL": "250 ok", "RCPT": "250 ok", "DATA": "354 go", "QUIT": "221 bye",
		}[verb]
		next := s.reply(conn, verb, cmp.Or(usual, "500 what?"))
		switch {
		case next == over || verb == "QUIT":
			return
		case next == refused:
		case verb == "STARTTLS":
			conn = s.tls(conn)
			in, secure = bufio.NewReader(conn), true
		case verb == "DATA":
			if !s.receive(conn, in) {
				return
			}
		}
	}
}

func (s *server) receive(conn net.Conn, in *bufio.Reader) bool {
	if s.hang == "message" {
		s.reply(conn, "message", "")
		return false
	}
	message, err := io.ReadAll(textproto.NewReader(in).DotReader())
	if err != nil {
		return false
	}
	next := s.reply(conn, "end", "250 taken")
	if next == goOn {
		s.mu.Lock()
		s.delivered = append(s.delivered, string(message))
		s.mu.Unlock()
	}
	return next != over
}

func (s *server) record(line string) (verb string) {
	s.mu.Lock()
	s.commands = append(s.commands, line)
	s.mu.Unlock()
	verb, _, _ = strings.Cut(line, " ")
	return verb
}

func (s *server) tls(conn net.Conn) net.Conn {
	return tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{s.cert}})
}

func (s *server) extensions(secure bool) string {
	offer := s.offer
	if offer == nil {
		offer = []string{"8BITMIME", "STARTTLS"}
		if secure {
			offer = []string{"8BITMIME", "AUTH PLAIN LOGIN"}
		}
	}
	lines := "250-here"
	for _, ext := range offer {
		lines += fmt.Sprintf("\r\n250-%s", ext)
	}
	return lines + "\r\n250 OK"
}
