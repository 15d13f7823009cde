package abuse

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// An attacker with the password and a first session chooses names and addresses, and
// the product mails them to the owner. Nothing in such a mail becomes a link, and no
// long text of the attacker is in it.
func TestNotices_QuoteNothingThatLooksLikeALink(t *testing.T) {
	link := regexp.MustCompile(`(?i)https?:|www\.|evil\.example|@evil|<|>|//`)
	for name, quoted := range map[string]string{
		"see https://evil.example/pay?x=1":          "see https evil example pay x 1",
		"evil.example":                              "evil example",
		"mail help@evil.example":                    "mail help evil example",
		`"><a href="http://evil.example">click</a>`: "a href http evil example click a",
		"Work phone, 2nd":                           "Work phone 2nd",
		"Mías Téléphone":                            "Mías Téléphone",
		strings.Repeat("call us now ", 10):          "call us now call us now call us now call us now call",
		"\u202egro.live":                            "gro live",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
			w.person("ada").enrollNamed(name)
			mail := w.out.Mails()[len(w.out.Mails())-1]
			require.Contains(t, mail.Text.Reveal(), "\n\nName: \""+quoted+"\"\n\n")
			require.NotRegexp(t, link, strings.ReplaceAll(mail.Text.Reveal(), quoted, ""))
			require.NotRegexp(t, link, quoted)
		})
	}
}

// enrollNamed signs in and enrolls an authenticator with a name.
func (p *person) enrollNamed(name string) {
	p.begin()
	e, err := p.Enroll(p.t.Context(), p.caller(), twofa.EnrollRequest{Name: name})
	require.NoError(p.t, err)
	p.uri = e.URI.Reveal()
	require.NoError(p.t, p.took(p.Confirm(p.t.Context(), p.caller(), p.code())))
	require.NoError(p.t, p.took(p.SaveCodes(p.t.Context(), p.caller())))
}

// The usual name is the kind of the factor, and is not repeated.
func TestNotices_NameTheKind(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	for _, name := range []string{"", "Authenticator app", "!?"} {
		w.person("ada").enrollNamed(name)
		mail := w.out.Mails()[len(w.out.Mails())-1].Text.Reveal()
		require.Contains(t, mail, "An authenticator app was added to your account.", name)
		require.NotContains(t, mail, "Name:", name)
		require.NoError(t, w.User(twofa.AsHost("test"), "ada").Delete(t.Context()))
	}
}

// Only an IP address is called one.
func TestLinkMail_QuotesNoAddressThatIsNotOne(t *testing.T) {
	w := newWorld(t, byLink)
	ada := w.person("ada")
	for ip, shown := range map[string]bool{"192.0.2.9": true, "2001:db8::1": true, "https://evil.example": false, "": false} {
		ada.client.IP = ip
		ada.begin()
		require.NoError(t, ada.send(twofa.EmailLink))
		text := w.out.Mails()[len(w.out.Mails())-1].Text.Reveal()
		require.Equal(t, shown, strings.Contains(text, "\n\nIP address: "+ip+"\n"), ip)
		require.Equal(t, shown, strings.Contains(text, "IP address"), ip)
		require.NotContains(t, text, "evil")
		w.clock.Add(time.Hour)
	}
}

// A client that hangs up after its change was stored does not suppress the event.
func TestOnEvent_HasAContextOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			hangUp = func() {}
			seen   []string
		)
		w := newWorld(t, func(c *twofa.Config) {
			c.OnEvent = func(ctx context.Context, e twofa.Event) {
				hangUp()
				deadline, ok := ctx.Deadline()
				require.True(t, ok)
				require.Equal(t, 5*time.Second, time.Until(deadline))
				require.NoError(t, ctx.Err())
				seen = append(seen, e.Type)
				<-ctx.Done() // the next event still has 5 seconds
			}
		})
		w.enrolled("ada")
		seen = nil
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			hangUp = cancel
			require.NoError(t, w.User(twofa.AsHost("test"), "ada").Revoke(ctx))
			cancel()
		}
		require.Len(t, seen, 2)
	})
}

// A mail server that hangs for one address does not use up the time of the others.
func TestNotices_EachAddressHasATimeoutOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowMailer{slow: "ada@example.com"}
		w := newWorld(t, func(c *twofa.Config) { c.Mail.Mailer, c.Mail.NoticeEmail = s, nil })
		w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"ada@example.com", "ada@example.org", "ada@example.net"} })
		ada := w.enrolled("ada")
		s.sent = nil
		began := time.Now()
		require.NoError(t, w.User(twofa.AsHost("test"), ada.id).Revoke(t.Context()))
		require.Equal(t, 5*time.Second, time.Since(began))
		require.Equal(t, []string{"ada@example.org", "ada@example.net"}, s.sent)
	})
}

// slowMailer hangs for one address.
type slowMailer struct {
	slow string
	sent []string
}

func (m *slowMailer) SendMail(ctx context.Context, mail twofa.Email) error {
	if mail.To == m.slow {
		<-ctx.Done()
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.sent = append(m.sent, mail.To)
	return nil
}

// A link for a step-up names the action. An attacker can make a user open a page
// with any name of an action, so its mail contains no link of theirs either.
func TestLinkMail_NamesTheAction(t *testing.T) {
	hostile := "pay at https://evil.example/x"
	byMail := twofa.ActionRule{Methods: []twofa.Method{twofa.EmailLink}}
	w := newWorld(t, byLink, func(c *twofa.Config) {
		c.Policy.Actions = map[string]twofa.ActionRule{"contacts.export": byMail, hostile: byMail, "!": byMail}
	})
	ada, token := w.linked("ada")
	require.Equal(t, "Sign in to Acme", w.out.Mails()[0].Subject)
	require.NoError(t, ada.verify(twofa.EmailLink, token))
	for action, subject := range map[string]string{
		"contacts.export":   `Confirm "contacts export" at Acme`,
		hostile:             `Confirm "pay at https evil example x" at Acme`,
		"!":                 "Confirm an action at Acme",
		twofa.ActionFactors: "Confirm a change of your security settings at Acme",
	} {
		w.clock.Add(20 * time.Minute)
		require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), action, "")))
		require.NoError(t, ada.send(twofa.EmailLink))
		mail := w.out.Mails()[len(w.out.Mails())-1]
		require.Equal(t, subject, mail.Subject)
		require.Contains(t, mail.Text.Reveal(), "to confirm "+strings.TrimPrefix(subject, "Confirm ")+".")
		require.NotContains(t, mail.Text.Reveal()+mail.HTML.Reveal(), "evil.example")
	}
}

// The link and the notices have the brand of the Config, in both forms. A function
// of the host that writes them is given it.
func TestNotices_HaveTheBrand(t *testing.T) {
	brand := twofa.Brand{Color: "#ffcc00", Logo: "https://app.example.com/logo.png", SupportURL: "https://app.example.com/help"}
	w := newWorld(t, byLink, func(c *twofa.Config) { c.Mail.Brand, c.Mail.NoticeEmail = brand, nil })
	ada, token := w.linked("ada")
	require.NoError(t, ada.verify(twofa.EmailLink, token))
	require.NoError(t, ada.User(twofa.AsUser(ada.caller(), ""), "ada").Revoke(t.Context())) // a notice
	mails := w.out.Mails()
	require.Len(t, mails, 2)
	for _, m := range mails {
		require.Contains(t, m.HTML.Reveal(), `<img src="`+brand.Logo+`" alt="Acme"`)
		require.Contains(t, m.HTML.Reveal(), `href="`+brand.SupportURL+`">Contact Acme support</a>`)
		require.Contains(t, m.Text.Reveal(), "Contact Acme support: "+brand.SupportURL+"\n")
	}
	require.Contains(t, mails[0].HTML.Reveal(), "background:#ffcc00;border-radius:8px;color:#000;")
	require.Equal(t, token, ada.token(), "the address of support is not taken for the link")

	var given []twofa.Brand
	own := newWorld(t, byLink, func(c *twofa.Config) {
		c.Mail.Brand = brand
		c.Mail.LinkEmail = func(l twofa.LinkEmail) twofa.Email {
			given = append(given, l.Brand)
			return twofa.Email{Subject: "x", Text: l.URL}
		}
		c.Mail.NoticeEmail = func(n twofa.NoticeEmail) twofa.Email {
			given = append(given, n.Brand)
			return twofa.Email{Subject: "x"}
		}
	})
	ada, token = own.linked("ada")
	require.NoError(t, ada.verify(twofa.EmailLink, token))
	require.NoError(t, ada.User(twofa.AsUser(ada.caller(), ""), "ada").Revoke(t.Context()))
	require.Equal(t, []twofa.Brand{brand, brand}, given)
}
