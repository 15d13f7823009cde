package phone_test

import (
	"fmt"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/phone"
)

func Example() {
	var parser twofa.PhoneParser = phone.Parser{} // set as SMS.Phone of twofa.Config

	p, err := parser.ParsePhone("079 123 45 67", "CH")
	fmt.Println(p.E164, p.Country, p.Mobile, err)

	_, err = parser.ParsePhone("+1 202 555 0143 ext. 9", "")
	fmt.Println(err)
	// Output:
	// +41791234567 CH true <nil>
	// phone: must be exactly one complete, valid telephone number
}
