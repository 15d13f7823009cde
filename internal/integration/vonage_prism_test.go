package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/vonagesms"
)

// Every request conforms to Vonage's own description of its API, as far as the file
// has it. Prism checks it.
func TestVonageSMS_ConformsToVonagesDescription(t *testing.T) {
	base := startPrism(t, "testdata/vonage_sms.json")
	for name, tc := range map[string]struct{ from, text string }{
		"name":    {"Acme", "012345 is your code & nothing else = 100 %\n\n@acme.example #012345"},
		"number":  {"+14155552345", "012345 is your code"},
		"unicode": {"Acme", "認証コードは 012345 です。"},
	} {
		t.Run(name, func(t *testing.T) {
			sender, err := vonagesms.New(vonagesms.Config{
				APIKey: "abcd1234", APISecret: twofa.NewSecret("abcdef0123456789"), From: tc.from, BaseURL: "http://127.0.0.1",
				Client: &http.Client{Transport: withoutSMS{base}},
			})
			require.NoError(t, err)
			require.NoError(t, sender.SendSMS(t.Context(), twofa.TextMessage{To: "+447700900000", Body: twofa.NewSecret(tc.text)}))
		})
	}
	// A lenient peer would prove nothing.
	t.Run("the peer is strict", func(t *testing.T) {
		for _, form := range []string{"api_key=abcd1234&from=Acme&text=x", "api_key=abcd1234&from=Acme&to=447700900000&type=emoji", "api_key=short&from=Acme&to=447700900000"} {
			res, err := http.Post(base+"/json", "application/x-www-form-urlencoded", strings.NewReader(form))
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, http.StatusUnprocessableEntity, res.StatusCode, form)
		}
	})
}

// withoutSMS sends requests for /sms/json to Prism, which serves the paths without
// that of the description's server, /sms.
type withoutSMS struct{ base string }

func (p withoutSMS) RoundTrip(r *http.Request) (*http.Response, error) {
	to, err := r.URL.Parse(p.base + strings.TrimPrefix(r.URL.Path, "/sms"))
	if err != nil {
		return nil, err
	}
	r.URL, r.Host = to, to.Host
	return http.DefaultTransport.RoundTrip(r)
}
