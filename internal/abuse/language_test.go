package abuse

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
	"github.com/twofa-go/twofa/locale/de"
	"github.com/twofa-go/twofa/locale/fr"
)

func inLanguages(c *twofa.Config) {
	c.Languages = []*locale.Catalog{locale.English(), de.Catalog(), fr.Catalog()}
	c.Mail.NoticeEmail, c.Policy = nil, twofa.PolicySMS()
}

// linkedWithPhone signs in by a link and enrolls a phone.
func (p *person) linkedWithPhone() {
	p.begin()
	require.NoError(p.t, p.send(twofa.EmailLink))
	require.NoError(p.t, p.verify(twofa.EmailLink, p.token()))
	e, err := p.Enroll(p.t.Context(), p.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: number})
	require.NoError(p.t, err)
	p.login.Challenge = e.Challenge
	require.NoError(p.t, p.took(p.SaveCodes(p.t.Context(), p.caller())))
	p.login.Challenge = e.Challenge
	require.NoError(p.t, p.took(p.Confirm(p.t.Context(), p.caller(), p.out.TextCode(p.t, number))))
	p.clock.Add(time.Hour)
}

// Each message is in the user's language, or else in that of the request.
func TestLanguages_OfTheUserOrTheRequest(t *testing.T) {
	for _, test := range []struct{ user, request, tag, link, notice, text string }{
		{"", "", "en", "Sign in to Acme", "Phone replaced in your Acme account", "is your Acme code"},
		{"", "de-CH,de;q=0.9,en;q=0.8", "de", "Bei Acme anmelden", "Telefonnummer in Ihrem Konto bei Acme ersetzt", "ist Ihr Code für Acme"},
		{"fr-CA", "de", "fr", "Connexion à Acme", "Téléphone remplacé dans votre compte Acme", "est votre code Acme"},
		{"zh", "de", "de", "Bei Acme anmelden", "Telefonnummer in Ihrem Konto bei Acme ersetzt", "ist Ihr Code für Acme"},
		{"!!", strings.Repeat("de,", 400), "en", "Sign in to Acme", "Phone replaced in your Acme account", "is your Acme code"},
	} {
		t.Run(test.user+" "+test.request[:min(len(test.request), 10)], func(t *testing.T) {
			w := newWorld(t, inLanguages)
			w.setUser("ada", func(u *twofa.User) { u.Language = test.user })
			ada := w.person("ada")
			ada.client.Language = test.request
			ada.linkedWithPhone()
			mail := w.out.Mails()[0]
			require.Equal(t, test.link, mail.Subject)
			require.Contains(t, mail.HTML.Reveal(), `<html lang="`+test.tag+`" `)

			ada.begin()
			require.NoError(t, ada.send(twofa.SMS))
			sent := w.out.Texts()
			require.Contains(t, sent[len(sent)-1].Body.Reveal(), test.text)
			require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, number)))

			w.clock.Add(time.Hour)
			require.NoError(t, ada.took(ada.StepUp(t.Context(), ada.caller(), twofa.ActionFactors, "")))
			require.NoError(t, ada.send(twofa.SMS))
			require.NoError(t, ada.verify(twofa.SMS, w.out.TextCode(t, number)))
			e, err := ada.Enroll(t.Context(), ada.caller(), twofa.EnrollRequest{Method: twofa.SMS, Phone: "+41799999999", Replaces: ada.factor(0)})
			require.NoError(t, err)
			ada.login.Challenge = e.Challenge
			require.NoError(t, ada.confirm(w.out.TextCode(t, "+41799999999")))
			sent = w.out.Texts()
			require.Equal(t, number, sent[len(sent)-1].To, "the old phone is warned")
			for _, m := range sent {
				require.Equal(t, test.tag, m.Language)
			}
			mails := w.out.Mails()
			require.Equal(t, test.notice, mails[len(mails)-1].Subject)
		})
	}
}

// The staff's language is not the user's, and neither is the host's.
func TestLanguages_OfNoticesByStaff(t *testing.T) {
	w := newWorld(t, inLanguages)
	ada := w.person("ada")
	ada.client.Language = "de"
	ada.linkedWithPhone()
	require.NoError(t, w.User(twofa.AsHost("lost phone"), "ada").Reset(t.Context(), twofa.ResetRequest{}))
	mails := w.out.Mails()
	require.Equal(t, "Two-factor authentication reset for your Acme account", mails[len(mails)-1].Subject)
	w.setUser("ada", func(u *twofa.User) { u.Language = "de" })
	require.NoError(t, w.User(twofa.AsStaff("s1", "lost phone"), "ada").Revoke(t.Context()))
	mails = w.out.Mails()
	require.Equal(t, "Sie wurden bei Acme überall abgemeldet", mails[len(mails)-1].Subject)
}

// A host that writes its own messages is given the language.
func TestLanguages_OfTheHostsOwnMessages(t *testing.T) {
	var tags []string
	w := newWorld(t, inLanguages, func(c *twofa.Config) {
		c.Mail.LinkEmail = func(l twofa.LinkEmail) twofa.Email {
			tags = append(tags, "link "+l.Locale.Tag()+" "+l.Device)
			return twofa.Email{Subject: "x", Text: l.URL}
		}
		c.Mail.NoticeEmail = func(n twofa.NoticeEmail) twofa.Email {
			tags = append(tags, "notice "+n.Locale.Tag()+" "+n.Device)
			return twofa.Email{}
		}
		c.SMS.CodeText = func(x twofa.CodeText) string {
			tags = append(tags, "text "+x.Locale.Tag())
			return x.Code.Reveal()
		}
	})
	ada := w.person("ada")
	ada.client.Language = "de"
	ada.linkedWithPhone()
	require.Equal(t, []string{"link de Firefox unter Linux", "text de", "notice de Firefox unter Linux"}, tags, "and New does not call the functions")
}

func TestNew_RefusesALanguageThatIsNil(t *testing.T) {
	w := newWorld(t)
	w.cfg.Languages = []*locale.Catalog{locale.English(), nil}
	_, err := twofa.New(w.cfg)
	require.ErrorContains(t, err, "Languages: the one at index 1 is nil")
}
