package smtpmail

import (
	"bytes"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

func composer(t testing.TB) *Mailer {
	t.Helper()
	m, err := New(Config{Host: "smtp.acme.example", From: "Ácme <login@acme.example>"})
	require.NoError(t, err)
	return m
}

// read parses a message with the standard library, not with the library that
// wrote it.
func read(t testing.TB, data []byte) (h mail.Header, subject, text, html string) {
	t.Helper()
	for line := range bytes.SplitSeq(data, []byte("\r\n")) {
		require.LessOrEqual(t, len(line), 998, "RFC 5322, section 2.1.1")
		require.NotContains(t, string(line), "\n")
		require.NotContains(t, string(line), "\r")
	}
	msg, err := mail.ReadMessage(bytes.NewReader(data))
	require.NoError(t, err)
	subject, err = new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
	require.NoError(t, err)
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	require.NoError(t, err)
	require.Equal(t, "multipart/alternative", kind)
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for _, p := range []struct {
		kind string
		into *string
	}{{"text/plain; charset=UTF-8", &text}, {"text/html; charset=UTF-8", &html}} {
		part, err := parts.NextPart() // undoes quoted-printable
		require.NoError(t, err)
		require.Equal(t, p.kind, part.Header.Get("Content-Type"))
		body, err := io.ReadAll(part)
		require.NoError(t, err)
		*p.into = string(body)
	}
	_, err = parts.NextPart()
	require.ErrorIs(t, err, io.EOF)
	return msg.Header, subject, text, html
}

func TestCompose(t *testing.T) {
	e := twofa.Email{
		To:      "jo@example.com",
		Subject: "Anmelden bei Ácme – jetzt ✉",
		Text:    twofa.NewSecret("Grüezi\n.\n..leading dots\nhttps://acme.example/login?token=" + strings.Repeat("0123456789", 20) + "\n"),
		HTML:    twofa.NewSecret(`<p>Grüezi</p><a href="https://acme.example/login?token=` + strings.Repeat("0123456789", 20) + `">=3D</a>`),
	}
	m := composer(t)
	msg, err := m.compose(e)
	require.NoError(t, err)
	h, subject, text, html := read(t, msg.data)
	require.Equal(t, []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}, slices.Sorted(maps.Keys(h)))
	require.Equal(t, e.Subject, subject)
	require.Equal(t, crlf(e.Text.Reveal()), text)
	require.Equal(t, e.HTML.Reveal(), html)
	require.Equal(t, "auto-generated", h.Get("Auto-Submitted"))
	require.Regexp(t, `^<[A-Z2-7]{26}@acme\.example>$`, h.Get("Message-Id"))
	from, err := h.AddressList("From")
	require.NoError(t, err)
	require.Equal(t, []*mail.Address{{Name: "Ácme", Address: "login@acme.example"}}, from)
	date, err := h.Date()
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), date, time.Minute)

	again, err := m.compose(e)
	require.NoError(t, err)
	other, _, _, _ := read(t, again.data)
	require.NotEqual(t, h.Get("Message-Id"), other.Get("Message-Id"))
}

func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestCompose_TextOnly(t *testing.T) {
	msg, err := composer(t).compose(twofa.Email{To: "jo@example.com", Subject: "s", Text: twofa.NewSecret("t")})
	require.NoError(t, err)
	parsed, err := mail.ReadMessage(bytes.NewReader(msg.data))
	require.NoError(t, err)
	require.Equal(t, "text/plain; charset=UTF-8", parsed.Header.Get("Content-Type"))
}

func TestCompose_Subjects(t *testing.T) {
	for name, subject := range map[string]string{
		"empty":               "",
		"plain":               "Your sign-in link",
		"long, of words":      strings.Repeat("word ", 100) + "end",
		"long, one word":      strings.Repeat("x", 5000),
		"unicode":             "Votre lien de connexion à Ácme",
		"long unicode":        strings.Repeat("日本語の件名", 200),
		"emoji with joiners":  strings.Repeat("👩‍💻", 50),
		"runs of spaces":      "a" + strings.Repeat(" ", 500) + "b" + strings.Repeat(" ", 500) + strings.Repeat("c", 80),
		"spaces at both ends": "  a  ",
		"only spaces":         strings.Repeat(" ", 200),
		"encoded word":        "=?utf-8?q?=0D=0ABcc:_x@y.example?= hello",
		"half encoded word":   "=? ?=",
		"tags and templates":  `<script>alert(1)</script> {{.}} "quoted" \n`,
	} {
		t.Run(name, func(t *testing.T) {
			msg, err := composer(t).compose(twofa.Email{To: "jo@example.com", Subject: subject, Text: twofa.NewSecret("t"), HTML: twofa.NewSecret("h")})
			require.NoError(t, err)
			_, got, _, _ := read(t, msg.data)
			require.Equal(t, subject, got)
			require.NotContains(t, string(msg.data), "Subject:\r\n ", "some readers decode the fold as a space")
			head, _, _ := bytes.Cut(msg.data, []byte("\r\n\r\n"))
			for line := range bytes.SplitSeq(head, []byte("\r\n")) {
				require.LessOrEqual(t, len(line), 78, "%s", line)
				require.NotEmpty(t, bytes.TrimSpace(line), "some readers take a blank line as the end of the header")
			}
		})
	}
}

// hostile has strings that an attacker may enter as a name, an email address or the
// name of an account.
var hostile = []string{
	"a@b.example\r\nBcc: evil@x.example", "a@b.example\nBcc: evil@x.example", "a@b.example\rBcc: evil@x.example",
	"a@b.example\r\n", "\r\na@b.example", "a@b.example\x00", "a@b.example\x0b", "a@b.example\u0085x", "a@b.example\u2028x", "a@b.example\u2029x",
	"a@b.example\r\n\r\n<script>", "a@b\r\n .example", "\"a\r\n b\"@b.example", "a@b.example\xff", "a\x7f@b.example", "\x1b[2Ja@b.example",
}

func TestAbuse_I16_HeaderInjection(t *testing.T) {
	for _, s := range hostile {
		_, err := composer(t).compose(twofa.Email{To: s, Subject: "s", Text: twofa.NewSecret("t")})
		require.ErrorIs(t, err, errTo, "%q", s)
		_, err = composer(t).compose(twofa.Email{To: "a@b.example", Subject: s, Text: twofa.NewSecret("t")})
		require.ErrorIs(t, err, errSubject, "%q", s)
	}
}

func TestAbuse_I16_NotOneBareAddress(t *testing.T) {
	for _, to := range []string{
		"", "a", "@b.example", "a@", "a@@b.example", "a b@c.example", "a@b.example, c@d.example", "a@b.example,c@d.example", "a@b.example;c@d.example",
		"<a@b.example>", "A <a@b.example>", "a@b.example (comment)", "(comment)a@b.example", "a(x)@b.example", "group: a@b.example;", " a@b.example", "a@b.example ",
		"@x.example:a@b.example", "a@b.example>", "a@b.example> SIZE=1", "=?utf-8?q?a?=@b.example x", strings.Repeat("a", 10_000) + "@b.example",
		strings.Repeat("a", 250) + "@b.example", "a@b.example NOTIFY=SUCCESS",
	} {
		_, err := composer(t).compose(twofa.Email{To: to, Subject: "s", Text: twofa.NewSecret("t")})
		require.ErrorIs(t, err, errTo, "%q", to)
		require.NotContains(t, err.Error(), "b.example")
	}
	for _, to := range []string{"a@b.example", "a.b+c-d_e'f@b.example", `"a b"@c.example`, "jö@xn--bcher-kva.example", "a@[192.0.2.1]"} {
		msg, err := composer(t).compose(twofa.Email{To: to, Subject: "s", Text: twofa.NewSecret("t")})
		require.NoError(t, err, to)
		require.Equal(t, "<"+to+">", msg.to.String())
	}
}

// Every field of the email is found again in the message, and only in its place.
func FuzzCompose(f *testing.F) {
	f.Add("jo@example.com", "Your link", "text", "<p>html</p>")
	f.Add(`"a b"@c.example`, "日本語 "+strings.Repeat("x", 80), ".\r\n.\r\nQUIT\r\n", "--boundary\r\n")
	f.Add("jo@example.com", "s", "a\rb\nc\r\r\nd", "\r")
	for _, s := range hostile {
		f.Add(s, s, s, s)
	}
	m := composer(f)
	f.Fuzz(func(t *testing.T, to, subject, text, html string) {
		if html == "" {
			html = "x"
		}
		msg, err := m.compose(twofa.Email{To: to, Subject: subject, Text: twofa.NewSecret(text), HTML: twofa.NewSecret(html)})
		if err != nil {
			return
		}
		h, gotSubject, gotText, gotHTML := read(t, msg.data)
		require.Len(t, h, 8)
		for name, values := range h {
			require.Len(t, values, 1, name)
		}
		list, err := h.AddressList("To")
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "<"+to+">", list[0].String())
		require.Equal(t, subject, gotSubject)
		require.Equal(t, newlines(text), newlines(gotText))
		require.Equal(t, newlines(html), newlines(gotHTML))
	})
}
