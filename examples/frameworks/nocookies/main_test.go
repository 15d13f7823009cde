package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/frameworks/product"
	"github.com/twofa-go/twofa/twofatest"
)

// client keeps the three texts, as a client does.
type client struct {
	*testing.T
	handler http.Handler
	kept    call
}

// send calls the API and keeps the texts of the reply.
func (c *client) send(path string, change func(*call)) (int, reply) {
	c.Helper()
	in := c.kept
	if change != nil {
		change(&in)
	}
	body, err := json.Marshal(in)
	require.NoError(c, err)
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, httptest.NewRequest("POST", path, bytes.NewReader(body)))
	require.Empty(c, w.Result().Cookies())
	var out reply
	require.NoError(c, json.Unmarshal(w.Body.Bytes(), &out))
	for text, kept := range map[string]*string{out.Browser: &c.kept.Browser, out.Challenge: &c.kept.Challenge, out.Session: &c.kept.Session} {
		if text != "" {
			*kept = text
		}
	}
	return w.Code, out
}

func (c *client) ok(path string, change func(*call)) reply {
	c.Helper()
	status, out := c.send(path, change)
	require.Equal(c, http.StatusOK, status, out.Error)
	return out
}

func (c *client) refused(want int, reason, path string, change func(*call)) {
	c.Helper()
	status, out := c.send(path, change)
	require.Equal(c, want, status, out.Error)
	require.Equal(c, reason, out.Error)
}

func TestProgram(t *testing.T) {
	clock := twofatest.NewClock(time.Now())
	c := &client{t, newHandler(clock.Now), call{Browser: strings.Repeat("made up by the client ", 2)}}
	password := func(text string) func(*call) {
		return func(in *call) { in.Name, in.Password = product.Name, text }
	}
	uri := ""
	code := func(in *call) {
		clock.Add(30 * time.Second)
		in.Code = twofatest.Code(t, uri, clock.Now())
	}

	// Nobody is signed in by nothing, or by a wrong password.
	c.refused(401, "signed_out", "/me", nil)
	c.refused(401, "Unauthorized", "/login", password("wrong"))
	c.refused(401, "Unauthorized", "/login", func(in *call) { password(product.Password)(in); in.Browser = "" })

	// The first login needs no code. The user enrolls an authenticator app.
	require.Equal(t, twofa.NextDone, c.ok("/login", password(product.Password)).Next)
	c.ok("/me", nil)
	out := c.ok("/enroll", nil)
	uri = out.URI
	require.NotEmpty(t, out.Codes)
	c.ok("/confirm", code)
	c.ok("/saved", nil)
	c.ok("/logout", nil)
	c.kept.Session = ""

	// The second one does. A challenge is no session, and works in no other client.
	require.Equal(t, twofa.NextChallenge, c.ok("/login", password(product.Password)).Next)
	c.refused(401, "signed_out", "/me", func(in *call) { in.Session = in.Challenge })
	c.refused(422, "Unprocessable Entity", "/verify", func(in *call) { in.Code = "000000" })
	c.refused(410, "Gone", "/verify", func(in *call) { code(in); in.Browser = strings.Repeat("of another client ", 2) })
	require.Equal(t, twofa.NextDone, c.ok("/verify", code).Next)
	c.ok("/me", nil)

	// An export needs a fresh code, once for each time.
	clock.Add(16 * time.Minute)
	for range 2 {
		c.refused(401, "proof_missing", "/export", nil)
		require.Equal(t, twofa.NextChallenge, c.ok("/stepup", nil).Next)
		c.ok("/verify", code)
		require.Equal(t, product.Contacts, c.ok("/export", nil).Contacts)
	}
	c.ok("/logout", nil)
	status, _ := c.send("/login", func(in *call) { in.Name = strings.Repeat("x", 1<<17) })
	require.Equal(t, http.StatusBadRequest, status)
}
