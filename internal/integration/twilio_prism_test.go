package integration

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/twiliosms"
	"github.com/twofa-go/twofa/internal/engines"
)

// Every request conforms to Twilio's own description of its API. Prism checks
// it.
func TestTwilioSMS_ConformsToTwiliosDescription(t *testing.T) {
	base := startPrism(t, twilioDescription(t))
	good := twiliosms.Config{
		AccountSID: "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", AuthToken: twofa.NewSecret("token"), From: "+14155552345", BaseURL: base,
	}
	for name, change := range map[string]func(*twiliosms.Config){
		"number":            func(*twiliosms.Config) {},
		"alphanumeric":      func(c *twiliosms.Config) { c.From = "Acme" },
		"messaging service": func(c *twiliosms.Config) { c.From, c.MessagingServiceSID = "", "MGaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
		"API key": func(c *twiliosms.Config) {
			c.AuthToken, c.APIKey, c.APISecret = twofa.Secret{}, "SKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", twofa.NewSecret("secret")
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			change(&cfg)
			sender, err := twiliosms.New(cfg)
			require.NoError(t, err)
			require.NoError(t, sender.SendSMS(t.Context(), twofa.TextMessage{
				To: "+15558675310", Body: twofa.NewSecret("Ácme: 012345 is your code & nothing else = 100 %\n\n@acme.example #012345"),
			}))
		})
	}
	t.Run("refused", func(t *testing.T) {
		cfg := good
		cfg.BaseURL += "/elsewhere" // a path that is not in the description
		sender, err := twiliosms.New(cfg)
		require.NoError(t, err)
		got, ok := errors.AsType[*twiliosms.Error](sender.SendSMS(t.Context(), twofa.TextMessage{To: "+15558675310", Body: twofa.NewSecret("x")}))
		require.True(t, ok)
		require.Equal(t, http.StatusNotFound, got.Status)
		require.True(t, got.Permanent)
	})
	// A lenient peer would prove nothing.
	t.Run("the peer is strict", func(t *testing.T) {
		post := func(form string, credentials *url.Userinfo) int {
			u, err := url.Parse(base + "/2010-04-01/Accounts/" + good.AccountSID + "/Messages.json")
			require.NoError(t, err)
			u.User = credentials
			res, err := http.Post(u.String(), "application/x-www-form-urlencoded", strings.NewReader(form))
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			return res.StatusCode
		}
		require.Equal(t, http.StatusUnprocessableEntity, post("Body=x", url.UserPassword("u", "p")))
		require.Equal(t, http.StatusUnauthorized, post("To=%2B15558675310&From=Acme&Body=x", nil))
	})
}

// twilioDescription returns the file with the description of Twilio's API. It is not
// part of the repository, because it is large. The environment names it, or it is
// next to the repository.
func twilioDescription(t *testing.T) string {
	t.Helper()
	file := cmp.Or(os.Getenv("TWOFA_TWILIO_OPENAPI"), filepath.FromSlash("../../../shared/data/twilio_messages_openapi.json"))
	if _, err := os.Stat(file); err != nil {
		engines.Require(t, "Twilio's API description", "TWOFA_TWILIO_OPENAPI does not name a file, and there is none next to the repository")
	}
	return file
}
