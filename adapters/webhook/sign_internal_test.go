package webhook

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// The example of the libraries of Standard Webhooks.
func TestSign(t *testing.T) {
	s, err := New(Config{URL: "https://messages.acme.example", Secrets: []twofa.Secret{twofa.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}})
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
		s.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", `{"test": 2432232314}`))
}
