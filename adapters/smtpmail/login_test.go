package smtpmail_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/smtpmail"
)

const accessToken = "ya29.token"

func sendByToken(t *testing.T, srv *server, user, token string) error {
	t.Helper()
	cfg := srv.start(t).config()
	cfg.Username, cfg.Password = user, twofa.Secret{}
	cfg.Token = func(ctx context.Context) (twofa.Secret, error) {
		if token == "" {
			return twofa.Secret{}, errors.New("refresh token was revoked")
		}
		return twofa.NewSecret(token), ctx.Err()
	}
	m, err := smtpmail.New(cfg)
	require.NoError(t, err)
	return m.SendMail(t.Context(), email())
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestSendMail_Token(t *testing.T) {
	xoauth2 := "AUTH XOAUTH2 " + base64Of("user="+username+"\x01auth=Bearer "+accessToken+"\x01\x01")
	for name, tc := range map[string]struct{ offer, user, want string }{
		"XOAUTH2":          {"AUTH PLAIN xoauth2", username, xoauth2},
		"both":             {"AUTH OAUTHBEARER XOAUTH2", username, xoauth2},
		"old spelling":     {"AUTH=XOAUTH2 PLAIN", username, xoauth2},
		"OAUTHBEARER":      {"AUTH PLAIN OAuthBearer", username, "AUTH OAUTHBEARER " + base64Of("n,a="+username+",\x01auth=Bearer "+accessToken+"\x01\x01")},
		"escaped identity": {"AUTH OAUTHBEARER", "a,b=c", "AUTH OAUTHBEARER " + base64Of("n,a=a=2Cb=3Dc,\x01auth=Bearer "+accessToken+"\x01\x01")},
	} {
		t.Run(name, func(t *testing.T) {
			srv := &server{implicit: true, offer: []string{tc.offer}}
			require.NoError(t, sendByToken(t, srv, tc.user, accessToken))
			require.Contains(t, srv.commands, tc.want)
		})
	}
	t.Run("not offered", func(t *testing.T) {
		srv := &server{implicit: true, offer: []string{"AUTH PLAIN LOGIN"}}
		requireFailure(t, sendByToken(t, srv, username, accessToken), "AUTH", 0)
		require.Equal(t, []string{"EHLO"}, srv.verbs())
	})
	for _, token := range []string{"", "a\x01b"} {
		srv := &server{implicit: true, offer: []string{"AUTH XOAUTH2"}}
		requireFailure(t, sendByToken(t, srv, username, token), "AUTH", 0)
		require.Equal(t, []string{"EHLO"}, srv.verbs())
	}
	t.Run("no TLS", func(t *testing.T) {
		srv := &server{offer: []string{"AUTH XOAUTH2"}}
		requireFailure(t, sendByToken(t, srv, username, accessToken), "STARTTLS", 0)
		require.Equal(t, []string{"EHLO"}, srv.verbs())
	})
}

// The server gives its reason as a challenge, and refuses the login only after the
// client has answered it.
func TestSendMail_TokenRefused(t *testing.T) {
	for _, tc := range []struct{ mechanism, challenge, answer, reason string }{
		{"XOAUTH2", base64Of(`{"status":"401","schemes":"bearer","scope":"https://mail.google.com/"}`), "", "the server's reason is 401"},
		{"OAUTHBEARER", base64Of(`{"status":"invalid_token"}`), "AQ==", "the server's reason is invalid_token"},
		{"XOAUTH2", base64Of(`{"status":"` + accessToken + ` jo@example.com"}`), "", "the server gave no reason"},
		{"XOAUTH2", base64Of(`<html>`), "", "the server gave no reason"},
		{"XOAUTH2", "", "", "the server gave no reason"},
	} {
		t.Run(tc.mechanism+" "+tc.reason, func(t *testing.T) {
			srv := &server{implicit: true, offer: []string{"AUTH " + tc.mechanism}, replies: map[string]string{
				"AUTH": "334 " + tc.challenge, tc.answer: "535 5.7.8 " + accessToken + " is not accepted",
			}}
			err := sendByToken(t, srv, username, accessToken)
			requireFailure(t, err, "AUTH", 535)
			require.EqualError(t, err, "smtpmail: AUTH: the server replied with code 535 5.7.8; "+
				"check that Token returns an unexpired access token of Username with the scope for SMTP; "+tc.reason)
			require.Contains(t, srv.commands, tc.answer)
			require.NotContains(t, srv.verbs(), "MAIL")
		})
	}
	t.Run("challenges without end", func(t *testing.T) {
		challenge := "334 " + base64Of(`{"status":"401"}`)
		srv := &server{implicit: true, offer: []string{"AUTH XOAUTH2"}, replies: map[string]string{"AUTH": challenge, "": challenge}}
		requireFailure(t, sendByToken(t, srv, username, accessToken), "AUTH", 0)
		require.NotContains(t, srv.verbs(), "MAIL")
	})
}

func TestNew_TokenOrPassword(t *testing.T) {
	cfg := (&server{port: 587}).config()
	cfg.Token = func(context.Context) (twofa.Secret, error) { return twofa.NewSecret("t"), nil }
	_, err := smtpmail.New(cfg)
	require.ErrorContains(t, err, "Password: not allowed with Token")
	cfg.Username, cfg.Password = "", twofa.Secret{}
	_, err = smtpmail.New(cfg)
	require.ErrorContains(t, err, "Username: required with Token")
}

func TestSendMail_PasswordRefused(t *testing.T) {
	for reply, advice := range map[string]bool{
		"535 5.7.8 Y29ycmVjdCBob3JzZQ== is wrong": true,
		"534 5.7.9 Application password required": true,
		"454 4.7.0 try later":                     false,
		"503 5.5.1 not now":                       false,
	} {
		srv := (&server{replies: map[string]string{"AUTH": reply}}).start(t)
		err := srv.send(t, t.Context(), email())
		want := "smtpmail: AUTH: the server replied with code " + reply[:9]
		if advice {
			want += "; check Username and Password; if they are right, the server may demand an app password or a Token"
		}
		require.EqualError(t, err, want)
		require.NotErrorIs(t, err, twofa.ErrUndeliverable)
	}
}

// Only a refusal of the recipient asks the user to correct the address.
func TestSendMail_Undeliverable(t *testing.T) {
	for _, tc := range []struct {
		at, reply     string
		status        string
		undeliverable bool
	}{
		{"RCPT", "550 5.1.1 <jo@example.com>: user unknown", "5.1.1", true},
		{"RCPT", "550-5.1.1 The account does\r\n550 5.1.1 not exist", "5.1.1", true},
		{"RCPT", "550 5.1.2 no such domain", "5.1.2", true},
		{"RCPT", "553 5.1.3 malformed", "5.1.3", true},
		{"RCPT", "550 5.1.6 moved", "5.1.6", true},
		{"RCPT", "556 5.1.10 null MX", "5.1.10", true},
		{"RCPT", "550 5.2.1 disabled", "5.2.1", true},
		{"end", "550 5.1.1 unknown", "5.1.1", true},
		{"RCPT", "550 mailbox unavailable", "", false},
		{"RCPT", "550 5.1.100 other", "5.1.100", false},
		{"RCPT", "450 4.1.1 not now", "4.1.1", false},
		{"RCPT", "450 5.1.1 contradiction", "5.1.1", false},
		{"RCPT", "452 4.2.2 full", "4.2.2", false},
		{"RCPT", "552 5.2.2 full", "5.2.2", false},
		{"RCPT", "554 5.7.1 relay access denied", "5.7.1", false},
		{"end", "554 5.7.1 spam", "5.7.1", false},
		{"MAIL", "550 5.1.1 sender unknown", "5.1.1", false},
		{"MAIL", "550 5.1.8 sender's domain", "5.1.8", false},
		{"DATA", "554 5.5.1 no valid recipients", "5.5.1", false},
	} {
		t.Run(tc.at+" "+tc.reply, func(t *testing.T) {
			srv := (&server{replies: map[string]string{tc.at: tc.reply}}).start(t)
			err := srv.send(t, t.Context(), email())
			got, ok := errors.AsType[*smtpmail.Error](err)
			require.True(t, ok, err)
			require.Equal(t, tc.status, got.Status)
			require.Equal(t, tc.undeliverable, errors.Is(err, twofa.ErrUndeliverable))
			requireNothingSecret(t, fmt.Sprint(err))
			require.Empty(t, srv.messages())
		})
	}
}
