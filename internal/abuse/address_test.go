package abuse

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// tells reports which addresses are told of what f does.
func (w *world) tells(f func()) (to []string) {
	before := len(w.out.Mails())
	f()
	for _, mail := range w.out.Mails()[before:] {
		to = append(to, mail.To)
	}
	return to
}

func (w *world) revoke(id string) {
	w.t.Helper()
	require.NoError(w.t, w.User(twofa.AsHost("test"), id).Revoke(w.t.Context()))
}

// An attacker who can change the address does so before anything else. For 30 days
// the owner still learns of everything at the former one, whether the host reports
// the change or not.
func TestAbuse_F10_N06_FormerAddressIsTold(t *testing.T) {
	for name, reported := range map[string]bool{"reported": true, "noticed at login": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
			w.enrolled("ada")
			former := w.users["ada"].Emails[0]
			w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"new@example.org"}; u.SecurityStamp = "changed" })
			changed := w.tells(func() {
				if reported {
					require.NoError(t, w.User(twofa.AsHost("test"), "ada").CredentialsChanged(t.Context()))
				} else {
					w.person("ada").begin()
				}
			})
			require.Equal(t, []string{"new@example.org", former}, changed)
			w.clock.Add(30*24*time.Hour - time.Second)
			require.Equal(t, []string{"new@example.org", former}, w.tells(func() { w.revoke("ada") }))
			data, err := w.User(twofa.AsHost("test"), "ada").Export(t.Context())
			require.NoError(t, err)
			require.Equal(t, []twofa.AddressData{{Email: former, Gone: w.clock.Now().Add(time.Second - 30*24*time.Hour).UTC()}, {Email: "new@example.org"}}, data.Addresses)
			w.clock.Add(time.Second)
			require.Equal(t, []string{"new@example.org"}, w.tells(func() { w.revoke("ada") }))
		})
	}
}

// Addresses that an attacker adds push out none of the owner's. All those in the
// directory are told even so.
func TestAbuse_N06_ManyAddressesPushOutNone(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	w.enrolled("ada")
	owner := w.users["ada"].Emails[0]
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprintf("a%d@example.org", i))
	}
	w.setUser("ada", func(u *twofa.User) { u.Emails = many })
	require.Equal(t, append(many[:20:20], owner), w.tells(func() { w.revoke("ada") }))
	w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"last@example.org"} })
	require.Contains(t, w.tells(func() { w.revoke("ada") }), owner)
}

// The kept addresses are told even if the directory does not answer.
func TestAbuse_N06_DirectoryFailsAfterTheChange(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	w.enrolled("ada")
	owner := w.users["ada"].Emails[0]
	down := w.with(func(c *twofa.Config) {
		c.Directory = twofa.LookUp(func(context.Context, string) (twofa.User, error) { return twofa.User{}, errors.New("down") })
	})
	require.Equal(t, []string{owner}, w.tells(func() {
		require.NoError(t, down.User(twofa.AsHost("test"), "ada").Revoke(t.Context()))
	}))
}

// An address that has been gone for 30 days is told nothing, even by an act that asks
// no directory, so that the record still has it.
func TestAbuse_F10_AddressOfLongAgoIsNotTold(t *testing.T) {
	w := newWorld(t, func(c *twofa.Config) { c.Mail.NoticeEmail = nil })
	w.setUser("ada", func(u *twofa.User) { u.Members = nil })
	w.cfg.Directory = directory{w}
	w.Manager = w.again()
	w.enrolled("ada")
	w.setUser("ada", func(u *twofa.User) { u.Emails = []string{"new@example.com"} })
	w.revoke("ada")
	w.mu.Lock()
	delete(w.users, "ada")
	w.mu.Unlock()
	revoke := func() { require.NoError(t, w.User(twofa.AsHost("x"), "ada").Revoke(t.Context())) }
	w.clock.Add(30*24*time.Hour - time.Minute)
	require.Contains(t, w.tells(revoke), "ada@example.com")
	w.clock.Add(time.Minute)
	require.NotContains(t, w.tells(revoke), "ada@example.com")
}
