package main

import (
	"net/http"
	"testing"

	"github.com/twofa-go/twofa/twofatest"
)

func TestSessions_MeetContract(t *testing.T) {
	twofatest.RunSessions(t, func(*testing.T) twofatest.SessionHost {
		return twofatest.SessionHost{Sessions: &sessions{secure: func(*http.Request) bool { return true }}}
	})
}
