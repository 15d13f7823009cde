package abuse

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
)

// byLink configures a host that mails links.
func byLink(c *twofa.Config) { c.Policy = twofa.PolicyEmailLink() }

// linked returns a user to whom a link was just mailed, and the token of the
// link.
func (w *world) linked(id string) (p *person, token string) {
	p = w.person(id)
	require.Equal(w.t, twofa.NextChallenge, p.begin())
	require.NoError(w.t, p.send(twofa.EmailLink))
	return p, p.token()
}

// byTOTPOrLink accepts a link as well as the authenticator.
func byTOTPOrLink(c *twofa.Config) {
	c.Policy = twofa.PolicyEmailLink()
	c.Policy.Fallback = []twofa.Method{twofa.EmailLink}
}

func TestAbuse_I01_LinkInAnotherBrowserIsInvalidAndNotUsedUp(t *testing.T) {
	w, store := newFault(t, byLink)
	ada, token := w.linked("ada")
	swaps := 0
	store.Seen = func(string, twofa.Record) { swaps++ }

	stolen := ada.browser("thief") // has the challenge too, but not its browser
	stolen.login = ada.login
	require.ErrorIs(t, stolen.verify(twofa.EmailLink, token), twofa.ErrExpired)
	naked := ada.browser("none")
	naked.login, naked.client.Browser = ada.login, twofa.Secret{}
	require.ErrorIs(t, naked.verify(twofa.EmailLink, token), twofa.ErrExpired)

	own := ada.browser("phone") // the browser that reads the mail has another login of the same user
	own.begin()
	require.ErrorIs(t, own.verify(twofa.EmailLink, token), twofa.ErrInvalidCode)
	require.Zero(t, swaps, "a click in another browser writes nothing")
	require.NoError(t, ada.verify(twofa.EmailLink, token))
}

func TestAbuse_I02_VictimsClickSignsNobodyIn(t *testing.T) {
	w := newWorld(t, byLink)
	attacker, token := w.linked("ada") // has her password, in a browser of his own
	victim := w.person("ada").browser("hers")
	require.ErrorIs(t, victim.verify(twofa.EmailLink, token), twofa.ErrExpired, "she has no login in progress")
	victim.begin()
	require.ErrorIs(t, victim.verify(twofa.EmailLink, token), twofa.ErrInvalidCode, "the link does not belong to her own login either")
	denied(t, attacker.Check(t.Context(), attacker.caller()), twofa.ReasonSignedOut)
	denied(t, victim.Check(t.Context(), victim.caller()), twofa.ReasonSignedOut)
}

func TestAbuse_I03_AttackersLinkDoesNotSignTheVictimIn(t *testing.T) {
	w := newWorld(t, byLink)
	bob, token := w.linked("bob")
	ada, own := w.linked("ada")
	require.ErrorIs(t, ada.verify(twofa.EmailLink, token), twofa.ErrInvalidCode)
	planted := w.person("ada")
	planted.login = bob.login
	require.ErrorIs(t, planted.verify(twofa.EmailLink, token), twofa.ErrExpired)
	require.NoError(t, ada.verify(twofa.EmailLink, own))
	d, err := w.DescribeSession(ada.session)
	require.NoError(t, err)
	require.Equal(t, "ada", d.User)
}

func TestAbuse_I05_LinkWorksOnce(t *testing.T) {
	w := newWorld(t, byLink)
	ada, token := w.linked("ada")
	used := ada.login
	require.NoError(t, ada.verify(twofa.EmailLink, token))
	session := ada.sessionID()
	ada.login = used
	require.NoError(t, ada.verify(twofa.EmailLink, token), "a form that was sent twice")
	require.Equal(t, session, ada.sessionID())
	w.clock.Add(10 * time.Second)
	ada.login = used
	require.ErrorIs(t, ada.verify(twofa.EmailLink, token), twofa.ErrExpired)
	ada.begin()
	require.ErrorIs(t, ada.verify(twofa.EmailLink, token), twofa.ErrInvalidCode)
}

// diesAt checks that something works until one second before the end of its
// lifetime.
func diesAt(t *testing.T, life time.Duration, refused error, use func(t *testing.T, after time.Duration) error) {
	t.Run("one second before", func(t *testing.T) { require.NoError(t, use(t, life-time.Second)) })
	t.Run("at that second", func(t *testing.T) { require.ErrorIs(t, use(t, life), refused) })
	t.Run("one second after", func(t *testing.T) { require.ErrorIs(t, use(t, life+time.Second), refused) })
}

func TestAbuse_I06_LinkExpires(t *testing.T) {
	diesAt(t, 10*time.Minute, twofa.ErrExpired, func(t *testing.T, after time.Duration) error {
		w := newWorld(t, byLink)
		ada, token := w.linked("ada")
		w.clock.Add(after)
		return ada.verify(twofa.EmailLink, token)
	})
}

func TestAbuse_I07_OnlyTheNewestLinkWorks(t *testing.T) {
	t.Run("in one login", func(t *testing.T) {
		w := newWorld(t, byLink)
		ada, first := w.linked("ada")
		before := ada.login
		w.clock.Add(time.Minute)
		require.NoError(t, ada.send(twofa.EmailLink))
		second := ada.token()
		require.ErrorIs(t, ada.verify(twofa.EmailLink, first), twofa.ErrInvalidCode)
		after := ada.login
		ada.login = before
		require.ErrorIs(t, ada.verify(twofa.EmailLink, first), twofa.ErrInvalidCode)
		require.ErrorIs(t, ada.verify(twofa.EmailLink, second), twofa.ErrInvalidCode, "the old challenge cannot use the new link")
		ada.login = after
		require.NoError(t, ada.verify(twofa.EmailLink, second))
	})
	t.Run("in an app, which has no browser", func(t *testing.T) {
		w := newWorld(t, byLink)
		ada := w.person("ada")
		ada.client.Browser = twofa.Secret{}
		ada.begin()
		require.NoError(t, ada.send(twofa.EmailLink))
		before, first := ada.login, ada.token()
		w.clock.Add(time.Minute)
		require.NoError(t, ada.send(twofa.EmailLink))
		ada.login = before
		require.ErrorIs(t, ada.verify(twofa.EmailLink, first), twofa.ErrInvalidCode)
	})
	t.Run("I17 in two tabs of one browser", func(t *testing.T) {
		w := newWorld(t, byLink)
		first, older := w.linked("ada")
		w.clock.Add(time.Minute)
		second, newer := w.linked("ada")
		require.ErrorIs(t, first.verify(twofa.EmailLink, older), twofa.ErrInvalidCode)
		require.ErrorIs(t, second.verify(twofa.EmailLink, older), twofa.ErrInvalidCode)
		require.ErrorIs(t, first.verify(twofa.EmailLink, newer), twofa.ErrInvalidCode)
		require.NoError(t, second.verify(twofa.EmailLink, newer))
	})
	t.Run("each of two browsers has a link of its own", func(t *testing.T) {
		w := newWorld(t, byLink)
		ada, first := w.linked("ada")
		w.clock.Add(time.Minute)
		other := ada.browser("laptop")
		other.begin()
		require.NoError(t, other.send(twofa.EmailLink))
		require.NoError(t, other.verify(twofa.EmailLink, other.token()))
		require.NoError(t, ada.verify(twofa.EmailLink, first))
	})
}

func TestAbuse_I11_StoredLinkIsUseless(t *testing.T) {
	w := newWorld(t, byLink)
	ada, token := w.linked("ada")
	stored := w.opened("ada")
	raw, err := base64.RawURLEncoding.DecodeString(token)
	require.NoError(t, err)
	for _, form := range []string{token, string(raw), hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw), base64.StdEncoding.EncodeToString([]byte(token))} {
		require.NotContains(t, stored, form)
	}
	// Each part of the record that could be the token or its hash is tried, as
	// it is and as text.
	for i := range len(stored) - 32 {
		for _, n := range []int{16, 22, 32} {
			guess := stored[i : i+n]
			require.ErrorIs(t, ada.verify(twofa.EmailLink, guess), twofa.ErrInvalidCode)
			require.ErrorIs(t, ada.verify(twofa.EmailLink, base64.RawURLEncoding.EncodeToString([]byte(guess))), twofa.ErrInvalidCode)
		}
	}
	require.NoError(t, ada.verify(twofa.EmailLink, token))
}

func TestAbuse_I15_LinksAreLimitedPerUser(t *testing.T) {
	w := newWorld(t, byLink)
	ada := w.person("ada")
	ada.begin()
	for range 60 { // one a second
		_ = ada.send(twofa.EmailLink)
		w.clock.Add(time.Second)
	}
	require.Len(t, w.out.Mails(), 1, "cool-down")
	for range 24*60 - 2 { // one a minute, each in another browser
		other := ada.browser(w.clock.Now().String())
		other.begin()
		_ = other.send(twofa.EmailLink)
		w.clock.Add(time.Minute)
	}
	require.Len(t, w.out.Mails(), 20, "the limit of a day")
}

func TestAbuse_I16_MessagesContainNoMarkupFromOutside(t *testing.T) {
	hostile := "Ada\r\nBcc: all@example.com\x00<script>alert(1)</script>{{.}}\u202e" + strings.Repeat("x", 10_000)
	w := newWorld(t, byLink, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	w.setUser("ada", func(u *twofa.User) { u.Name = hostile })
	ada := w.person("ada")
	ada.client.IP, ada.client.UserAgent = hostile, hostile
	ada.begin()
	require.NoError(t, ada.send(twofa.EmailLink))
	require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))
	require.NoError(t, ada.User(twofa.AsUser(ada.caller(), ""), "ada").Revoke(t.Context())) // a notice
	mails := w.out.Mails()
	require.Len(t, mails, 2)
	for _, m := range mails {
		require.Equal(t, "ada@example.com", m.To)
		require.NotContains(t, m.Subject, "\n")
		require.Less(t, len(m.Subject), 250)
		require.NotContains(t, m.HTML.Reveal(), "<script>")
		require.NotContains(t, m.Text.Reveal()+m.HTML.Reveal(), "\nBcc:")
		require.NotContains(t, m.Text.Reveal()+m.HTML.Reveal(), "\x00")
		require.NotContains(t, m.Text.Reveal()+m.HTML.Reveal(), "\u202e")
		require.Less(t, len(m.Text.Reveal())+len(m.HTML.Reveal()), 5_000)
	}

	own := newWorld(t, byLink, func(c *twofa.Config) {
		c.Mail.LinkEmail = func(l twofa.LinkEmail) twofa.Email {
			return twofa.Email{Subject: "Hello " + l.User.Name, Text: l.URL}
		}
	})
	own.setUser("ada", func(u *twofa.User) { u.Name = hostile })
	_, _ = own.linked("ada")
	require.Len(t, own.out.Mails(), 1)
	require.NotContains(t, own.out.Mails()[0].Subject, "\n", "the subject of a host's own message is reduced to one line, too")
	require.LessOrEqual(t, len(own.out.Mails()[0].Subject), 200)
}

func TestAbuse_I18_AnswerContainsNeitherTokenNorCode(t *testing.T) {
	w := newWorld(t, byLink)
	ada, token := w.linked("ada")
	require.NotContains(t, ada.login.Challenge.Reveal(), token)
	require.Equal(t, "a•••@example.com", ada.login.Sent)
}

func TestAbuse_I20_LinkIsInvalidAfterTheLogin(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*testing.T, *person)
	}{
		{"by an authenticator", func(t *testing.T, p *person) { require.NoError(t, p.verify(twofa.TOTP, p.code())) }},
		{"by a recovery code", func(t *testing.T, p *person) { require.NoError(t, p.verify(twofa.RecoveryCode, p.codes[0])) }},
		{"by cancelling", func(t *testing.T, p *person) {
			require.NoError(t, p.Cancel(t.Context(), p.client, p.login.Challenge))
		}},
		{"by another password", func(t *testing.T, p *person) { p.setUser("ada", func(u *twofa.User) { u.SecurityStamp = "2" }) }},
		{"by revoking", func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsHost("test"), "ada").Revoke(t.Context()))
		}},
		{"by erasing", func(t *testing.T, p *person) {
			require.NoError(t, p.User(twofa.AsHost("test"), "ada").Delete(t.Context()))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			ada := w.enrolled("ada")
			require.NoError(t, w.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.Policy{
				Methods: []twofa.Method{twofa.TOTP, twofa.EmailLink}, Fallback: []twofa.Method{twofa.EmailLink}, Required: true}, ""))
			ada.account = "acme"
			ada.begin()
			require.NoError(t, ada.send(twofa.EmailLink))
			token, open := ada.token(), ada.login
			c.end(t, ada)
			ada.login = open
			require.ErrorIs(t, ada.verify(twofa.EmailLink, token), twofa.ErrExpired)
		})
	}
}

func TestAbuse_I21_LinkIsInvalidAfterTheAddressChanged(t *testing.T) {
	w := newWorld(t, byLink)
	ada, token := w.linked("ada")
	w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"ada@elsewhere.example"} })
	require.ErrorIs(t, ada.verify(twofa.EmailLink, token), twofa.ErrInvalidCode)
	w.setUser("ada", func(u *twofa.User) { u.Emails = nil })
	require.Error(t, ada.verify(twofa.EmailLink, token))
	w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"ada@example.com"} })
	require.NoError(t, ada.verify(twofa.EmailLink, token), "nothing was used up")
}

// A login whose link was sent late ends once, whichever of its challenges is
// used.
func TestAbuse_I20_LateLinkDoesNotOutliveTheLogin(t *testing.T) {
	w := newWorld(t, byTOTPOrLink)
	ada, token := w.linked("ada")
	require.NoError(t, ada.verify(twofa.EmailLink, token))
	ada.enroll()
	w.clock.Add(time.Hour)
	ada.begin()
	early := ada.login
	w.clock.Add(9 * time.Minute)
	require.NoError(t, ada.send(twofa.EmailLink))
	late, token := ada.login, ada.token()
	ada.login = early
	require.NoError(t, ada.verify(twofa.TOTP, ada.code()))
	w.clock.Add(2 * time.Minute)
	require.NoError(t, ada.stepUp("contacts.export"), "a later write removes what has expired")
	ada.login = late
	require.ErrorIs(t, ada.verify(twofa.EmailLink, token), twofa.ErrExpired)
}

// The link and the code of one login are both right and arrive at once. One of
// them wins.
func TestAbuse_I20_LinkAndCodeAtOnceGiveOneSession(t *testing.T) {
	bursts(t, byTOTPOrLink, func(t *testing.T, w *world, burst func(int, func(*twofa.Manager, int) error) tally) {
		ada, token := w.linked("ada")
		require.NoError(t, ada.verify(twofa.EmailLink, token))
		ada.enroll()
		w.clock.Add(time.Hour)
		ada.begin()
		require.NoError(t, ada.send(twofa.EmailLink))
		proofs := []twofa.Proof{{Method: twofa.EmailLink, Code: twofa.NewSecret(ada.token())}, {Method: twofa.TOTP, Code: twofa.NewSecret(ada.code())}}
		got := burst(2, func(m *twofa.Manager, i int) error {
			_, err := m.Verify(t.Context(), ada.caller(), ada.login.Challenge, proofs[i])
			return err
		})
		require.Equal(t, tally{ok: 1, expired: 1}, got)
	})
}

// LinkURL may return another address for each account. One that does not keep the
// token off the wire, or has no token, is not mailed.
func TestAbuse_I08_AddressOfAnAccount(t *testing.T) {
	var logs bytes.Buffer
	addresses := map[string]func(token string) string{
		"acme": func(token string) string { return "https://acme.example/2fa/link?token=" + token },
		"beta": nil,
	}
	var got twofa.LinkRequest
	w := newWorld(t, byLink, func(c *twofa.Config) {
		c.Logger = slog.New(slog.NewTextHandler(&logs, nil))
		c.Mail.LinkURL = func(l twofa.LinkRequest) string {
			got = l
			if to := addresses[l.Account]; to != nil {
				return to(l.Token.Reveal())
			}
			return "https://app.example.com/2fa/link?token=" + l.Token.Reveal()
		}
	})
	ada := w.person("ada")
	ada.account, ada.client.Host = "acme", "acme.example"
	require.Equal(t, twofa.NextChallenge, ada.begin())
	require.NoError(t, ada.send(twofa.EmailLink))
	require.Equal(t, "acme", got.Account)
	require.Equal(t, "acme.example", got.Host)
	require.Equal(t, "ada", got.User.ID)
	require.NotContains(t, logs.String(), "another host")
	require.NoError(t, ada.verify(twofa.EmailLink, ada.token()))

	for name, to := range map[string]func(string) string{
		"nothing":       func(string) string { return "" },
		"http":          func(token string) string { return "http://beta.example/" + token },
		"no host":       func(token string) string { return "/2fa/link?token=" + token },
		"no token":      func(string) string { return "https://beta.example/2fa/link?token=token" },
		"a user":        func(token string) string { return "https://x@beta.example/" + token },
		"another line":  func(token string) string { return "https://beta.example/" + token + "\nBcc: x@evil.example" },
		"a line in it":  func(token string) string { return "https://beta.example/\r\n/" + token },
		"another world": func(token string) string { return "javascript:alert('" + token + "')" },
	} {
		addresses["beta"] = to
		bob := w.person("bob")
		bob.account = "beta"
		require.Equal(t, twofa.NextChallenge, bob.begin())
		before, mails := len(w.types()), len(w.out.Mails())
		require.ErrorIs(t, bob.send(twofa.EmailLink), twofa.ErrUnavailable, name)
		require.Len(t, w.out.Mails(), mails, name)
		require.Len(t, w.types(), before, "%s: nothing was counted", name)
		require.NotContains(t, bob.send(twofa.EmailLink).Error(), got.Token.Reveal(), name)
	}
	addresses["beta"] = func(token string) string { return "https://app.example.com/" + token }
	bob := w.person("bob")
	bob.account, bob.client.Host = "beta", "beta.example"
	require.Equal(t, twofa.NextChallenge, bob.begin())
	require.NoError(t, bob.send(twofa.EmailLink))
	require.Contains(t, logs.String(), "link=app.example.com login=beta.example account=beta")
	require.NotContains(t, logs.String(), got.Token.Reveal())
}
