package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/webhook"
)

// A service that receives messages. It verifies each before it does anything else.
func Example() {
	secret := twofa.NewSecret("whsec_" + base64.StdEncoding.EncodeToString([]byte("use 24 or more random bytes"))) // from your secrets
	var seen sync.Map                                                                                              // in production: a table with a unique column, for at least 10 minutes
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil || verify(secret, r.Header, body, time.Now()) != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if _, repeated := seen.LoadOrStore(r.Header.Get("webhook-id"), true); repeated {
			return // it was accepted before
		}
		var m struct {
			Type string
			Data struct{ To, Subject, Text, HTML, Language string }
		}
		if err := json.Unmarshal(body, &m); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if m.Data.To == "nobody@example.com" {
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"error":"undeliverable"}`)
			return
		}
		fmt.Printf("%s to %s\n", m.Type, m.Data.To) // hand it over here, before the response
		w.WriteHeader(http.StatusAccepted)
	}))
	defer service.Close()

	sender, err := webhook.New(webhook.Config{URL: service.URL, Secrets: []twofa.Secret{secret}})
	if err != nil {
		panic(err)
	}
	// The host sets sender as Mail.Mailer and SMS.Sender of twofa.Config. The library
	// then calls:
	ctx := context.Background()
	fmt.Println(sender.SendMail(ctx, twofa.Email{To: "ada@example.com", Subject: "Your sign-in link", Text: twofa.NewSecret("…")}))
	fmt.Println(sender.SendSMS(ctx, twofa.TextMessage{To: "+41791234567", Body: twofa.NewSecret("Your code is 123456."), Language: "en"}))
	err = sender.SendMail(ctx, twofa.Email{To: "nobody@example.com", Subject: "Your sign-in link", Text: twofa.NewSecret("…")})
	fmt.Println(errors.Is(err, twofa.ErrUndeliverable))
	// Output:
	// email to ada@example.com
	// <nil>
	// sms to +41791234567
	// <nil>
	// true
}

// verify checks the signature and the age of a message.
func verify(secret twofa.Secret, h http.Header, body []byte, now time.Time) error {
	sent, err := strconv.ParseInt(h.Get("webhook-timestamp"), 10, 64)
	if err != nil || now.Sub(time.Unix(sent, 0)).Abs() > 5*time.Minute {
		return errors.New("sent too long ago, or the clocks differ")
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret.Reveal(), "whsec_"))
	if err != nil {
		return err
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%d.%s", h.Get("webhook-id"), sent, body)
	for signature := range strings.FieldsSeq(h.Get("webhook-signature")) {
		got, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signature, "v1,"))
		if err == nil && hmac.Equal(got, mac.Sum(nil)) { // in constant time
			return nil
		}
	}
	return errors.New("no valid signature")
}
