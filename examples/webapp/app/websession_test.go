package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofatest"
)

func TestSessions_MeetContract(t *testing.T) {
	s := newSite(t)
	var user, account string
	require.NoError(t, s.db.QueryRow(`SELECT m.user_id, m.account_id FROM members m JOIN users u ON u.id = m.user_id WHERE u.email = 'jon@brook.example'`).Scan(&user, &account))
	rename := func(from, to string) {
		_, err := s.db.Exec(`ALTER TABLE ` + from + ` RENAME TO ` + to)
		require.NoError(t, err)
	}
	h := s.app.SessionHost()
	h.Issue = func() twofa.Session {
		result, err := s.app.Manager().Begin(t.Context(), twofa.FirstFactor{UserID: user, Account: account, By: twofa.ByPassword})
		require.NoError(t, err)
		require.Equal(t, twofa.NextDone, result.Next)
		return result.Session
	}
	h.Faults = map[string]func() func(){}
	for _, table := range []string{"web_sessions", "signins"} {
		h.Faults["without "+table] = func() func() {
			rename(table, "gone")
			return func() { rename("gone", table) }
		}
	}
	twofatest.RunSessions(t, func(*testing.T) twofatest.SessionHost { return h })
}
