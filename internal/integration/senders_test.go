package integration

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/smtpmail"
	"github.com/twofa-go/twofa/adapters/twiliosms"
	"github.com/twofa-go/twofa/adapters/vonagesms"
	"github.com/twofa-go/twofa/adapters/webhook"
	"github.com/twofa-go/twofa/storetest"
)

const (
	smtpUser     = "mailuser"
	smtpPassword = "correct horse"
	smtpFrom     = "Ácme <login@acme.example>"
)

func TestSMTPMail_Conformance(t *testing.T) {
	storetest.RunMailer(t, func(t *testing.T) storetest.MailerPeer {
		srv := startSMTP(t, func(*smtp.Server) {})
		return storetest.MailerPeer{Mailer: newMailer(t, srv.config()), Taken: srv.Taken, Refuse: srv.Refuse, Hang: srv.Hang}
	})
}

func TestTwilioSMS_Conformance(t *testing.T) {
	storetest.RunSMSSender(t, func(t *testing.T) storetest.SMSPeer {
		gw, base := startGateway(t, func(r *http.Request) twofa.TextMessage {
			return twofa.TextMessage{To: r.FormValue("To"), Body: twofa.NewSecret(r.FormValue("Body"))}
		}, reply{http.StatusCreated, ""}, reply{http.StatusBadRequest, ""})
		sender, err := twiliosms.New(twiliosms.Config{
			AccountSID: "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", AuthToken: twofa.NewSecret("token"), From: "Acme", BaseURL: base,
		})
		require.NoError(t, err)
		return storetest.SMSPeer{Sender: sender, Taken: gw.Taken, Refuse: gw.Refuse, Hang: gw.Hang}
	})
}

func TestVonageSMS_Conformance(t *testing.T) {
	storetest.RunSMSSender(t, func(t *testing.T) storetest.SMSPeer {
		gw, base := startGateway(t, func(r *http.Request) twofa.TextMessage {
			return twofa.TextMessage{To: "+" + r.FormValue("to"), Body: twofa.NewSecret(r.FormValue("text"))}
		}, reply{http.StatusOK, `{"messages":[{"status":"0"}]}`}, reply{http.StatusOK, `{"messages":[{"status":"5"}]}`})
		sender, err := vonagesms.New(vonagesms.Config{APIKey: "abcd1234", APISecret: twofa.NewSecret("secret"), From: "Acme", BaseURL: base})
		require.NoError(t, err)
		return storetest.SMSPeer{Sender: sender, Taken: gw.Taken, Refuse: gw.Refuse, Hang: gw.Hang}
	})
}

func TestWebhook_Conformance(t *testing.T) {
	t.Run("mail", func(t *testing.T) {
		storetest.RunMailer(t, func(t *testing.T) storetest.MailerPeer {
			gw, sender := openWebhook(t)
			return storetest.MailerPeer{Mailer: sender, Taken: gw.Taken, Refuse: gw.Refuse, Hang: gw.Hang}
		})
	})
	t.Run("text message", func(t *testing.T) {
		storetest.RunSMSSender(t, func(t *testing.T) storetest.SMSPeer {
			gw, sender := openWebhook(t)
			taken := func() (texts []twofa.TextMessage) {
				for _, m := range gw.Taken() {
					texts = append(texts, twofa.TextMessage{To: m.To, Body: m.Text})
				}
				return texts
			}
			return storetest.SMSPeer{Sender: sender, Taken: taken, Refuse: gw.Refuse, Hang: gw.Hang}
		})
	})
}

func openWebhook(t *testing.T) (*senderPeer[twofa.Email], *webhook.Sender) {
	gw, base := startGateway(t, func(r *http.Request) twofa.Email {
		var m struct {
			Data struct{ To, Subject, Text string }
		}
		_ = json.NewDecoder(r.Body).Decode(&m)
		return twofa.Email{To: m.Data.To, Subject: m.Data.Subject, Text: twofa.NewSecret(m.Data.Text)}
	}, reply{http.StatusAccepted, ""}, reply{http.StatusServiceUnavailable, ""})
	sender, err := webhook.New(webhook.Config{URL: base, Secrets: []twofa.Secret{twofa.NewSecret("whsec_" + strings.Repeat("k", 32))}})
	require.NoError(t, err)
	return gw, sender
}

// The server refuses a wrong password and keeps the connection open.
func TestSMTPMail_WrongPassword(t *testing.T) {
	srv := startSMTP(t, func(*smtp.Server) {})
	cfg := srv.config()
	cfg.Password = twofa.NewSecret("battery staple")
	err := newMailer(t, cfg).SendMail(t.Context(), aMail())
	requireSMTPError(t, err, "AUTH", 535)
	require.Empty(t, srv.Taken())
}

// The mailer does not send the password to a server that accepts it without
// TLS.
func TestSMTPMail_NoPasswordWithoutSTARTTLS(t *testing.T) {
	srv := startSMTP(t, func(s *smtp.Server) { s.TLSConfig, s.AllowInsecureAuth = nil, true })
	err := newMailer(t, srv.config()).SendMail(t.Context(), aMail())
	requireSMTPError(t, err, "STARTTLS", 0)
	require.Empty(t, srv.Taken())
	require.Zero(t, srv.logins.Len())
}

// The mailer refuses a certificate of an unknown root.
func TestSMTPMail_UnknownRoot(t *testing.T) {
	srv := startSMTP(t, func(*smtp.Server) {})
	cfg := srv.config()
	_, cfg.TLSConfig.RootCAs, _ = newPKI(t)
	err := newMailer(t, cfg).SendMail(t.Context(), aMail())
	requireSMTPError(t, err, "STARTTLS", 0)
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	require.True(t, ok, "%v", err)
	require.Zero(t, srv.logins.Len())
}

// A mail server that hangs delays each login until its timeout, and no
// goroutine is left.
func TestAbuse_P07_NoGoroutineIsLeft(t *testing.T) {
	srv := startSMTP(t, func(*smtp.Server) {})
	m := newMailer(t, srv.config())
	require.NoError(t, m.SendMail(t.Context(), aMail()))
	srv.Hang()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if m.SendMail(ctx, aMail()) == nil {
				t.Error("SendMail succeeded although the server hangs")
			}
		})
	}
	wg.Wait()
	require.Eventually(t, func() bool {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		return !bytes.Contains(stacks, []byte("adapters/smtpmail")) && !bytes.Contains(stacks, []byte("wneessen/go-mail"))
	}, 10*time.Second, 10*time.Millisecond)
}

func aMail() twofa.Email {
	return twofa.Email{
		To: "jo@example.com", Subject: "Anmelden bei Ácme – jetzt ✉",
		Text: twofa.NewSecret("Grüezi\n.\nhttps://acme.example/login?token=" + strings.Repeat("x=", 60) + "\n"),
		HTML: twofa.NewSecret("<p>Grüezi</p>"),
	}
}

func newMailer(t *testing.T, cfg smtpmail.Config) *smtpmail.Mailer {
	t.Helper()
	m, err := smtpmail.New(cfg)
	require.NoError(t, err)
	return m
}

func requireSMTPError(t *testing.T, err error, step string, code int) {
	t.Helper()
	got, ok := errors.AsType[*smtpmail.Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, step, got.Step, "%v", err)
	require.Equal(t, code, got.Code, "%v", err)
}

// senderPeer records the messages of a server, and lets it refuse or hang.
type senderPeer[M any] struct {
	over chan struct{} // closed when the test ends

	mu             sync.Mutex
	taken          []M
	refuses, hangs bool
}

func (p *senderPeer[M]) Taken() []M {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.taken)
}

func (p *senderPeer[M]) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = true
}

func (p *senderPeer[M]) Hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangs = true
}

// take reports whether the message is accepted. It hangs after a call of Hang.
func (p *senderPeer[M]) take(m M, client context.Context) bool {
	p.mu.Lock()
	refuses, hangs := p.refuses, p.hangs
	if !refuses {
		p.taken = append(p.taken, m)
	}
	p.mu.Unlock()
	if hangs {
		select {
		case <-p.over:
		case <-client.Done():
		}
	}
	return !refuses
}

type reply struct {
	status int
	body   string
}

// startGateway starts a server that reads a message from each request.
func startGateway[M any](t *testing.T, read func(*http.Request) M, taken, refused reply) (gw *senderPeer[M], base string) {
	t.Helper()
	gw = &senderPeer[M]{over: make(chan struct{})}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := taken
		if !gw.take(read(r), r.Context()) {
			answer = refused
		}
		w.WriteHeader(answer.status)
		_, _ = io.WriteString(w, answer.body)
	}))
	t.Cleanup(func() { close(gw.over); srv.Close() })
	return gw, srv.URL
}

// smtpServer is an SMTP server of another project, with STARTTLS and AUTH
// PLAIN.
type smtpServer struct {
	senderPeer[twofa.Email]
	t      *testing.T
	addr   *net.TCPAddr
	roots  *x509.CertPool
	logins syncBuffer // user names of all login attempts
	anyone bool       // whether it takes mail without a login
}

func startSMTP(t *testing.T, change func(*smtp.Server)) *smtpServer {
	t.Helper()
	cert, roots, _ := newPKI(t)
	s := &smtpServer{senderPeer: senderPeer[twofa.Email]{over: make(chan struct{})}, t: t, roots: roots}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &smtpSession{server: s}, nil }))
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.ErrorLog = log.New(io.Discard, "", 0) // the tests close connections on purpose
	change(srv)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().(*net.TCPAddr)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		close(s.over)
		_ = srv.Close()
		<-served
	})
	return s
}

func (s *smtpServer) config() smtpmail.Config {
	return smtpmail.Config{
		Host: "127.0.0.1", Port: s.addr.Port, Username: smtpUser, Password: twofa.NewSecret(smtpPassword),
		From: smtpFrom, TLSConfig: &tls.Config{RootCAs: s.roots},
	}
}

type smtpSession struct {
	server   *smtpServer
	loggedIn bool
	to       []string
}

func (s *smtpSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *smtpSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		_, _ = s.server.logins.Write([]byte(username + "\n"))
		if username != smtpUser || password != smtpPassword {
			return smtp.ErrAuthFailed
		}
		s.loggedIn = true
		return nil
	}), nil
}

func (s *smtpSession) Mail(from string, _ *smtp.MailOptions) error {
	if !s.loggedIn && !s.server.anyone || from != "login@acme.example" {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *smtpSession) Data(r io.Reader) error {
	m, err := readMail(r)
	if err != nil {
		return err // fails the test
	}
	if len(s.to) != 1 || s.to[0] != m.To {
		return errors.New("the envelope has another recipient")
	}
	if !s.server.take(m, s.server.t.Context()) {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "no"}
	}
	return nil
}

func (s *smtpSession) Reset()        { s.to = nil }
func (s *smtpSession) Logout() error { return nil }

// readMail parses a message with the standard library.
func readMail(r io.Reader) (m twofa.Email, err error) {
	msg, err := mail.ReadMessage(r)
	if err != nil {
		return m, err
	}
	to, err := msg.Header.AddressList("To")
	if err != nil || len(to) != 1 {
		return m, errors.Join(err, errors.New("want one address in To"))
	}
	m.To = to[0].Address
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil {
		return m, err
	}
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		return m, err
	}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for _, field := range []*twofa.Secret{&m.Text, &m.HTML} {
		part, err := parts.NextPart()
		if err != nil {
			return m, err
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return m, err
		}
		*field = twofa.NewSecret(string(body))
	}
	return m, nil
}

// syncBuffer is a buffer for concurrent writers.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Len()
}

// newPKI creates a root certificate and a certificate for a server on
// 127.0.0.1. files contains the server's certificate and key as PEM.
func newPKI(t *testing.T) (server tls.Certificate, roots *x509.CertPool, files []byte) {
	t.Helper()
	rootKey, root := newCertificate(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, nil)
	key, leaf := newCertificate(t, &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, root, rootKey)
	roots = x509.NewCertPool()
	roots.AddCert(root)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	files = slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}, roots, files
}

// newCertificate creates a certificate. If parent is nil, it is self-signed.
func newCertificate(t *testing.T, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	if parent == nil {
		parent, signer = template, key
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: "twofa test " + rand.Text()}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return key, cert
}
