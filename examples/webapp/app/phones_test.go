package app_test

import (
	"bytes"
	"html"
	"mime/multipart"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

var phoneRow = regexp.MustCompile(`(?s)<tr><th scope="row">([^<]*)</th><td class="number"><bdi dir="ltr">([^<]*)</bdi></td><td><span class="badge[^"]*">([^<]*)</span>`)

// entered returns what the page says of each line.
func entered(page string) (lines []string) {
	for _, row := range phoneRow.FindAllStringSubmatch(page, -1) {
		lines = append(lines, html.UnescapeString(row[1]+": "+row[2]+", "+row[3]))
	}
	return lines
}

// owner signs in as Eva, who owns Meadow and has an authenticator app.
func (s *site) owner() *browser {
	b := s.enter(eva)
	require.Equal(s.t, http.StatusOK, b.get("/members/phones").status)
	return b
}

func TestS9_PhonesOfTheMembers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	owner := s.owner()
	for id, address := range map[string]string{"lea": "lea@meadow.example", "max": "max@meadow.example"} {
		s.joinMeadow(id, address)
	}
	got := owner.post("/members/phones", "/members/phones", "region", "US", "reason", "HR list",
		"list", "Email;Number\nlea@meadow.example;202 555 0104\r\n\"max@meadow.example\",12\nfinn@meadow.example\t+1 202 555 0102\nida@brook.example, +1 202 555 0105\neva@meadow.example, +1 202 555 0101\n")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, []string{
		"lea@meadow.example: •••• 04, Entered",
		"max@meadow.example: 12, Not a phone number",
		"finn@meadow.example: +1 202 555 0102, Not possible for this member",
		"ida@brook.example: +1 202 555 0105, Not a member of this account",
		eva + ": +1 202 555 0101, Not for yourself",
	}, entered(got.body))
	require.Contains(t, got.body, "1 entered, 4 not entered")
	require.NotContains(t, got.body, "555 0104", "what is done is not in the form again")
	require.Equal(t, "+12025550104", s.stored("lea").Assigned.Phone)
	require.Nil(t, s.stored("max").Assigned)

	// The same list again, as a file, with one correction.
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{"csrf_token": owner.csrf("/members/phones"), "region": "US", "reason": "HR list", "list": ""} {
		require.NoError(t, form.WriteField(name, value))
	}
	file, err := form.CreateFormFile("file", "phones.csv")
	require.NoError(t, err)
	_, err = file.Write([]byte("\ufeffemail,number\nlea@meadow.example,202 555 0104\nmax@meadow.example,202 555 0106\n"))
	require.NoError(t, err)
	require.NoError(t, form.Close())
	got = owner.do("POST", "/members/phones", body.String(), "Content-Type", form.FormDataContentType())
	require.Equal(t, []string{"lea@meadow.example: •••• 04, Entered before", "max@meadow.example: •••• 06, Entered"}, entered(got.body))
}

// joinMeadow adds a member to Meadow.
func (s *site) joinMeadow(id, address string) {
	s.t.Helper()
	for _, query := range []string{
		`INSERT INTO users (id, email, name, password, stamp) SELECT '` + id + `', '` + address + `', '` + id + `', password, stamp FROM users WHERE id = 'eva'`,
		`INSERT INTO members (account_id, user_id, role, since) SELECT account_id, '` + id + `', 'member', since FROM members WHERE user_id = 'eva'`,
	} {
		_, err := s.db.ExecContext(s.t.Context(), query)
		require.NoError(s.t, err)
	}
}

func TestPhones_Refused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	owner := s.owner()
	send := func(b *browser, list, reason string) answer {
		return b.post("/members/phones", "/members/phones", "list", list, "reason", reason, "region", "US")
	}
	require.Contains(t, send(owner, " \n", "x").body, "The list is empty")
	require.Contains(t, send(owner, "a@b.example, 1", " ").body, "Say where the list comes from")
	require.Contains(t, send(owner, strings.Repeat("a@b.example,1\n", 10_001), "x").body, "more than 10,000 lines")
	require.Equal(t, http.StatusForbidden, s.as(cleo).get("/members/phones").status, "a member")

	// An owner without an authenticator app is led to it.
	without := s.as(ada)
	got := without.get("/members/phones")
	require.Contains(t, got.location, "/2fa/confirm")
	require.Contains(t, without.get(got.location).body, `href="/2fa/setup?start=1`)

	// A list without a proof changes nothing.
	s.joinMeadow("lea", "lea@meadow.example")
	token := owner.csrf("/contacts")
	s.advance(twofa.PolicySMS().Rule(twofa.ActionPolicy).MaxAge)
	got = owner.do("POST", "/members/phones", form("csrf_token", token, "list", "lea@meadow.example, +1 202 555 0104", "reason", "x"), "Content-Type", formType)
	require.Equal(t, http.StatusSeeOther, got.status)
	require.Contains(t, got.location, "/2fa/confirm")
	require.Nil(t, s.stored("lea").Assigned)
}
