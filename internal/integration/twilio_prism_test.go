package integration

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/twiliosms"
	"github.com/twofa-go/twofa/internal/engines"
)

// Every request conforms to Twilio's own description of its API. Prism checks
// it.
func TestTwilioSMS_ConformsToTwiliosDescription(t *testing.T) {
	base := startPrism(t)
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

var prismListens = regexp.MustCompile(`Prism is listening on (http://127\.0\.0\.1:\d+)`)

// startPrism starts a mock server for Twilio's description. The description is
// not part of the repository, because it is not ours to distribute. The
// environment names the file, or it is next to the repository.
func startPrism(t *testing.T) (base string) {
	t.Helper()
	prism := engines.Tool(t, cmp.Or(os.Getenv("TWOFA_PRISM"), "prism"))
	description := cmp.Or(os.Getenv("TWOFA_TWILIO_OPENAPI"), filepath.FromSlash("../../../shared/data/twilio_messages_openapi.json"))
	if _, err := os.Stat(description); err != nil {
		engines.Require(t, "Twilio's OpenAPI description", "TWOFA_TWILIO_OPENAPI does not name a file, and there is none next to the repository")
	}
	cmd := exec.CommandContext(t.Context(), prism, "mock", "--host", "127.0.0.1", "--port", "0", "--errors", description)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var printed bytes.Buffer
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() }) // the end of the test has stopped it
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		printed.WriteString(lines.Text() + "\n")
		if found := prismListens.FindStringSubmatch(lines.Text()); found != nil {
			go func() { // otherwise Prism would block at a full pipe
				for lines.Scan() {
				}
			}()
			return found[1]
		}
	}
	t.Fatalf("Prism did not start: %s", printed.String())
	return ""
}
