package integration

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/smtpmail"
	"github.com/twofa-go/twofa/internal/engines"
)

// aiosmtpd is a mail server in Python that requires STARTTLS and a login. It
// prints its port, and then each message as Python's mail parser reads it.
const aiosmtpd = `
import asyncio, email, email.policy, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult

user, password, pem = sys.argv[1:]

def tell(**what):
    print(json.dumps(what), flush=True)

class Handler:
    async def handle_DATA(self, server, session, envelope):
        m = email.message_from_bytes(envelope.content, policy=email.policy.default)
        def part(kind):
            found = m.get_body(preferencelist=(kind,))
            return found.get_content().replace("\r\n", "\n") if found else None
        tell(rcpt=envelope.rcpt_tos, sender=envelope.mail_from, subject=m["Subject"], to=str(m["To"]), type=m.get_content_type(),
             name=m["From"].addresses[0].display_name, text=part("plain"), html=part("html"), headers=sorted(k.lower() for k in m.keys()),
             defects=[str(d) for p in m.walk() for d in p.defects] + [str(d) for k in m.keys() if m[k].isascii() for d in m[k].defects],
             tls=session.ssl is not None, login=session.auth_data.decode() if session.auth_data else None)
        return "250 taken"

def authenticate(server, session, envelope, mechanism, data):
    if (data.login, data.password) == (user.encode(), password.encode()):
        return AuthResult(success=True, auth_data=data.login)
    return AuthResult(success=False, handled=False)

async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), tls_context=context, require_starttls=True, auth_required=True, authenticator=authenticate, enable_SMTPUTF8=True),
        "127.0.0.1", 0)
    tell(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()

asyncio.run(main())
`

// pythonMail is one line of output of the server.
type pythonMail struct {
	Port                                               int
	Rcpt                                               []string
	Sender, Subject, To, Type, Name, Text, HTML, Login string
	Headers, Defects                                   []string
	TLS                                                bool
}

func TestSMTPMail_AgainstAiosmtpd(t *testing.T) {
	cert, told := startAiosmtpd(t)
	m := newMailer(t, cert)
	for name, e := range map[string]twofa.Email{
		"plain":   {To: "jo@example.com", Subject: "Your sign-in link", Text: twofa.NewSecret("Open it.\n"), HTML: twofa.NewSecret("<p>Open it.</p>\n")},
		"unicode": aMail(),
		"long":    {To: "jo@example.com", Subject: strings.Repeat("日本語の件名 ", 20) + strings.Repeat("x", 200), Text: twofa.NewSecret(strings.Repeat("é", 1200) + "\n"), HTML: twofa.NewSecret(strings.Repeat("<b>=\t</b>", 60) + "\n")},
		"address": {To: "jö@bücher.example", Subject: "SMTPUTF8", Text: twofa.NewSecret("t\n"), HTML: twofa.NewSecret("h\n")},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, m.SendMail(t.Context(), e))
			var got pythonMail
			require.NoError(t, told.Decode(&got))
			to := strings.Replace(e.To, "bücher", "xn--bcher-kva", 1)
			require.Equal(t, pythonMail{
				Rcpt: []string{to}, Sender: "login@acme.example", To: to, Name: "Ácme", Login: smtpUser, TLS: true,
				Subject: e.Subject, Text: e.Text.Reveal(), HTML: e.HTML.Reveal(), Type: "multipart/alternative", Defects: []string{},
				Headers: []string{"auto-submitted", "content-type", "date", "from", "message-id", "mime-version", "subject", "to"},
			}, got)
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		cfg := cert
		cfg.Password = twofa.NewSecret("battery staple")
		requireSMTPError(t, newMailer(t, cfg).SendMail(t.Context(), aMail()), "AUTH", 535)
	})
}

func startAiosmtpd(t *testing.T) (smtpmail.Config, *json.Decoder) {
	t.Helper()
	_, roots, files := newPKI(t)
	pem := filepath.Join(t.TempDir(), "server.pem")
	require.NoError(t, os.WriteFile(pem, files, 0o600))
	cmd := exec.CommandContext(t.Context(), pythonWithAiosmtpd(t), "-c", aiosmtpd, smtpUser, smtpPassword, pem)
	cmd.Stderr = t.Output()
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() }) // the end of the test has stopped it
	told := json.NewDecoder(io.Reader(out))
	var started pythonMail
	require.NoError(t, told.Decode(&started), "aiosmtpd did not start")
	return smtpmail.Config{
		Host: "127.0.0.1", Port: started.Port, Username: smtpUser, Password: twofa.NewSecret(smtpPassword),
		From: smtpFrom, TLSConfig: &tls.Config{RootCAs: roots},
	}, told
}

// pythonWithAiosmtpd returns a Python with the module aiosmtpd. It prefers the
// system's Python, because Debian's package python3-aiosmtpd is for that one.
func pythonWithAiosmtpd(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(python, "-c", "import aiosmtpd.smtp").Run() == nil {
			return python
		}
	}
	engines.Require(t, "aiosmtpd", "no Python 3 on this machine has it")
	return ""
}
