package twofahttp_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

// assign assigns a number to a member of acme, an empty one to take it back.
func (o *office) assign(user, phone string) {
	o.Helper()
	done, err := o.m.Account(twofa.AsHost("list"), "acme").AssignPhones(o.Context(), []twofa.PhoneAssignment{{User: user, Phone: phone, Withdraw: phone == ""}})
	require.NoError(o, err)
	require.NoError(o, done[0].Err)
}

var assignedPattern = regexp.MustCompile(`name="assigned" value="([^"]+)"`)

// assignedOn returns the ID of the number that a page offers.
func assignedOn(page string) string {
	id := assignedPattern.FindStringSubmatch(page)
	if id == nil {
		return ""
	}
	return id[1]
}

func TestS9_AssignedPhone(t *testing.T) {
	o := newOffice(t, twofa.PolicySMS())
	o.assign("mia", "+41 79 123 45 67")
	b := o.browser()
	page := b.login("mia", "account", "acme", "next", "/contacts")
	require.NotContains(t, page.Body, "•••• 67", "the link comes first")
	page = b.follow(b.openLink())
	require.Contains(t, page.Body, "An admin of your account entered this number for you: <b><bdi dir=\"ltr\">•••• 67</bdi></b>. Is it yours?")
	require.Contains(t, page.Body, `<details class="disclosure">`, "the other form is there, but closed")
	require.NotContains(t, page.Body, "79 123")
	require.Zero(t, o.outbox.sentTexts())
	require.Empty(t, assignedOn(b.get("/2fa/setup?start=1&method=totp").Body))

	page = b.follow(b.post("/2fa/setup", "method", "sms", "assigned", assignedOn(page.Body)))
	require.Contains(t, page.Body, "Save your recovery codes")
	require.Equal(t, 1, o.outbox.sentTexts())
	page = b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Contains(t, page.Body, "•••• 67")
	page = b.follow(b.post("/2fa/setup/confirm", "code", o.outbox.code()))
	require.Contains(t, page.Body, "Two-factor authentication is on")
	require.True(t, b.signedIn())

	o.clock.pass(time.Hour)
	require.Contains(t, o.browser().login("mia", "account", "acme").Body, "We texted a code to")
}

// An admin replaces the number, or takes it back, while the member has the page
// open. Nothing is texted, and the page says why.
func TestAbuse_F11_AssignedPhoneChangedWhileThePageIsOpen(t *testing.T) {
	o := newOffice(t, twofa.PolicySMS())
	o.assign("mia", "+41 79 123 45 67")
	b := o.browser()
	b.login("mia", "account", "acme")
	seen := assignedOn(b.follow(b.openLink()).Body)
	require.NotEmpty(t, seen)
	for _, now := range []string{"+41 79 123 45 99", ""} {
		o.assign("mia", now)
		page := b.post("/2fa/setup", "method", "sms", "assigned", seen)
		require.Equal(t, 409, page.StatusCode)
		require.Contains(t, page.Body, "The number for you has changed")
		require.Equal(t, now != "", assignedOn(page.Body) != "")
	}
	require.Zero(t, o.outbox.sentTexts())
	require.NotContains(t, b.get("/2fa/setup").Body, "<details", "the form for another number is the only one")
}

// The member enters another number. A wrong one leaves both choices on the page.
func TestAssignedPhone_AnotherNumber(t *testing.T) {
	o := newOffice(t, twofa.PolicySMS())
	o.assign("mia", "+41 79 123 45 67")
	b := o.browser()
	b.login("mia", "account", "acme")
	b.follow(b.openLink())
	page := b.post("/2fa/setup", "method", "sms", "phone", "+1 202 555 0101")
	require.Equal(t, 422, page.StatusCode)
	require.Contains(t, page.Body, "We cannot text this number")
	require.Contains(t, page.Body, `<details class="disclosure" open>`)
	require.NotEmpty(t, assignedOn(page.Body))
	b.follow(b.post("/2fa/setup", "method", "sms", "phone", "+41 79 123 45 88"))
	b.follow(b.post("/2fa/setup/saved", "saved", "yes"))
	require.Contains(t, b.get("/2fa/setup").Body, "•••• 88")
	b.follow(b.post("/2fa/setup/confirm", "code", o.outbox.code()))
	require.True(t, b.signedIn())
	require.Equal(t, 1, o.outbox.sentTexts())
}

// Within the grace, a password shows nothing of the number. The page asks for the
// link first, and then offers it.
func TestAssignedPhone_WithinGrace(t *testing.T) {
	p := twofa.PolicySMS()
	p.Deadline = time.Date(2026, 3, 10, 0, 0, 0, 0, time.UTC)
	o := newOffice(t, p)
	o.assign("mia", "+41 79 123 45 67")
	b := o.browser()
	b.login("mia", "account", "acme")
	require.Contains(t, b.get("/2fa/setup?start=1&method=totp").Body, english("page.setup.totp.button"), "an app is offered as always")
	page := b.follow(b.get("/2fa/setup?start=1"))
	require.NotContains(t, page.Body, "67")
	require.Contains(t, page.Body, "We emailed a link to")
	page = b.follow(b.openLink())
	require.Contains(t, page.Body, "•••• 67")
	b.follow(b.post("/2fa/setup", "method", "sms", "assigned", assignedOn(page.Body)))
	require.Equal(t, 1, o.outbox.sentTexts())
}
