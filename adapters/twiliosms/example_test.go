package twiliosms_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/twiliosms"
)

func Example() {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Println(r.FormValue("To"), r.FormValue("Body"))
		w.WriteHeader(http.StatusCreated)
	}))
	defer gateway.Close()

	sender, err := twiliosms.New(twiliosms.Config{
		AccountSID: "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		APIKey:     "SKbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
		APISecret:  twofa.NewSecret(os.Getenv("TWILIO_API_SECRET") + "…"),
		From:       "Acme",
		BaseURL:    gateway.URL, // omit it to use Twilio
	})
	if err != nil {
		panic(err)
	}
	// The host sets sender as SMS.Sender of twofa.Config. The library then calls:
	err = sender.SendSMS(context.Background(), twofa.TextMessage{To: "+41791234567", Body: twofa.NewSecret("Your code is 123456.")})
	fmt.Println(err)
	// Output:
	// +41791234567 Your code is 123456.
	// <nil>
}
