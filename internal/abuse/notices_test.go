package abuse

import (
	"regexp"
	"strings"
	"testing"
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
			require.Contains(t, mail.Text, `It concerns: Authenticator app with the name "`+quoted+`".`)
			require.NotRegexp(t, link, strings.ReplaceAll(mail.Text, quoted, ""))
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
		require.Contains(t, w.out.Mails()[len(w.out.Mails())-1].Text, "It concerns: Authenticator app.", name)
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
		text := w.out.Mails()[len(w.out.Mails())-1].Text
		require.Equal(t, shown, strings.Contains(text, ", IP address "+ip+"."), ip)
		require.NotContains(t, text, "evil")
		w.clock.Add(time.Hour)
	}
}
