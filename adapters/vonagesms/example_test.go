package vonagesms_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/vonagesms"
)

func Example() {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := "0"
		if r.FormValue("to") == "41791234500" {
			status = "33" // the number is deactivated
		}
		fmt.Fprintf(w, `{"message-count":"1","messages":[{"status":%q}]}`, status)
	}))
	defer gateway.Close()

	sender, err := vonagesms.New(vonagesms.Config{
		APIKey:    "abcd1234",
		APISecret: twofa.NewSecret(os.Getenv("VONAGE_API_SECRET") + "…"),
		From:      "Acme",
		BaseURL:   gateway.URL, // omit it to use Vonage
	})
	if err != nil {
		panic(err)
	}
	// The host sets sender as SMS.Sender of twofa.Config. The library then calls:
	code := twofa.NewSecret("Your code is 123456.")
	fmt.Println(sender.SendSMS(context.Background(), twofa.TextMessage{To: "+41791234567", Body: code}))
	err = sender.SendSMS(context.Background(), twofa.TextMessage{To: "+41791234500", Body: code})
	fmt.Println(errors.Is(err, twofa.ErrUndeliverable))
	// Output:
	// <nil>
	// true
}
