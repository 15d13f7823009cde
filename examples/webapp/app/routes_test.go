package app_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/examples/webapp/app"
)

func pathOf(rt app.Route) string {
	return strings.NewReplacer("{$}", "", "{token}", "x", "{id}", "x", "{file}", "style.css").Replace(rt.Path)
}

// Every route that needs a role refuses a visitor who is not signed in.
func TestRoutes_Strangers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, rt := range s.app.Routes() {
		t.Run(rt.Method+" "+rt.Path, func(t *testing.T) {
			b := s.browser()
			for _, method := range []string{rt.Method, "HEAD", "OPTIONS"} {
				got := b.do(method, pathOf(rt), "")
				require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
				require.Contains(t, got.header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
				require.Empty(t, got.header.Get("Access-Control-Allow-Origin"))
				if rt.Needs != app.Anyone && got.status != http.StatusMethodNotAllowed {
					require.Contains(t, []int{http.StatusSeeOther, http.StatusUnauthorized, http.StatusForbidden}, got.status)
					require.NotContains(t, got.body, "Sample")
				}
			}
		})
	}
}

// The API ignores session cookies, and pages ignore bearer tokens.
func TestRoutes_CredentialsStayApart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada, token := s.as("ada@harbor.example"), s.token("ada@harbor.example", "")
	for _, rt := range s.app.Routes() {
		if rt.Needs == app.Anyone || rt.Method != "GET" {
			continue
		}
		if strings.HasPrefix(rt.Path, "/api/") {
			require.Equal(t, http.StatusUnauthorized, ada.do(rt.Method, pathOf(rt), "").status, rt.Path)
		} else {
			got := s.browser().do(rt.Method, pathOf(rt), "", "Authorization", "Bearer "+token)
			require.True(t, strings.HasPrefix(got.location, "/login"), rt.Path)
		}
	}
}

// No form works without the token of its session, from another origin, or from
// another subdomain.
func TestRoutes_ForgedForms(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada := s.as("ada@harbor.example")
	token := csrfField.FindStringSubmatch(ada.get("/contacts").body)[1]
	foreign := csrfField.FindStringSubmatch(s.as("jon@brook.example").get("/contacts").body)[1]
	for _, rt := range s.app.Routes() {
		if rt.Method != "POST" || strings.HasPrefix(rt.Path, "/api/") {
			continue
		}
		t.Run(rt.Path, func(t *testing.T) {
			path := pathOf(rt)
			require.Equal(t, http.StatusForbidden, ada.do("POST", path, "", "Content-Type", formType).status)
			require.Equal(t, http.StatusForbidden, ada.do("POST", path, form("csrf_token", foreign), "Content-Type", formType).status)
			require.Equal(t, http.StatusForbidden, ada.do("POST", path+"?csrf_token="+token, "", "Content-Type", formType).status)
			for _, header := range [][]string{
				{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
				{"Origin", "https://evil.example"},
				{"Sec-Fetch-Site", "same-site"},
				{"Origin", "null"},
			} {
				got := ada.do("POST", path, form("csrf_token", token), append(header, "Content-Type", formType)...)
				require.Equal(t, http.StatusForbidden, got.status, header)
			}
		})
	}
	require.True(t, ada.signedIn())
}

func TestRoutes_Roles(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	cleo, ben := s.as("cleo@harbor.example"), s.as("ben@harbor.example")
	for _, rt := range s.app.Routes() {
		if rt.Needs == app.Admin {
			visit := func(b *browser) answer {
				if rt.Method == "GET" {
					return b.get(pathOf(rt))
				}
				return b.post("/contacts", pathOf(rt), "role", "member", "email", "x")
			}
			require.Equal(t, http.StatusForbidden, visit(cleo).status, rt.Path)
			require.NotEqual(t, http.StatusForbidden, visit(ben).status, rt.Path)
		}
	}
	for _, c := range []struct {
		name, path, role string
		want             int
	}{
		{"own role", "/members/ben/role", "member", http.StatusForbidden},
		{"role of a higher member", "/members/ada/role", "member", http.StatusForbidden},
		{"remove a higher member", "/members/ada/remove", "", http.StatusForbidden},
		{"deactivate a higher member", "/members/ada/deactivate", "", http.StatusForbidden},
		{"deactivate themselves", "/members/ben/deactivate", "", http.StatusForbidden},
		{"deactivate a member of another account", "/members/eva/deactivate", "", http.StatusNotFound},
		{"deactivate a member who is also elsewhere", "/members/cleo/deactivate", "", http.StatusForbidden},
		{"member of another account", "/members/eva/remove", "", http.StatusNotFound},
		{"unknown member", "/members/nobody/remove", "", http.StatusNotFound},
		{"make an owner", "/members/cleo/role", "owner", http.StatusForbidden},
		{"make an admin", "/members/cleo/role", "admin", http.StatusSeeOther},
		{"remove an equal member", "/members/cleo/remove", "", http.StatusForbidden},
		{"remove a lower member", "/members/dan/remove", "", http.StatusSeeOther},
	} {
		require.Equal(t, c.want, ben.post("/members", c.path, "role", c.role).status, c.name)
	}
	require.Contains(t, cleo.get("/contacts").body, "Harbor · admin", "a new role applies from the next request on")
}

func TestTenancy(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ada, cleo := s.as("ada@harbor.example"), s.as("cleo@harbor.example")
	cleo.enrollApp("cleo@harbor.example") // Meadow requires more than Harbor
	eva := s.enter("eva@meadow.example")
	for _, page := range []string{"/contacts", "/contacts?q=placeholder", "/members"} {
		require.NotContains(t, ada.get(page).body, "eadow.example", page)
		require.NotContains(t, ada.get(page).body, "Avery Placeholder", page)
	}
	eva.stepUp("eva@meadow.example", "contacts.export")
	csv := eva.post("/contacts", "/contacts/export").body
	require.Contains(t, csv, "Placeholder")
	require.NotContains(t, csv, "Sample")
	require.Equal(t, http.StatusNotFound, eva.post("/contacts", "/contacts/harbor-1/delete").status)
	require.Contains(t, ada.get("/contacts").body, "Avery Sample")

	require.Equal(t, http.StatusNotFound, ada.post("/contacts", "/switch", "account", "meadow").status)
	require.Equal(t, "/contacts", cleo.post("/contacts", "/switch", "account", "meadow").location)
	require.Contains(t, cleo.get("/contacts").body, "Avery Placeholder")
	eva.post("/members", "/members/cleo/remove")
	require.False(t, cleo.signedIn(), "she is removed from the account that she was in")
	s.as("cleo@harbor.example") // she is still a member of the other account
}

func TestOutboxOnlyInDemo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	require.Equal(t, "[]\n", s.browser().get("/dev/outbox.json").body)
	require.NoError(t, s.app.Sweep(t.Context()))

	live := newSite(t, func(c *app.Config) { c.Demo, c.Mailer = false, &app.Outbox{} })
	for _, path := range []string{"/dev/outbox", "/dev/outbox.json", "/dev/idp/harbor", "/sso", "/sso/callback"} {
		require.Equal(t, http.StatusOK, s.browser().get("/dev/outbox").status)
		require.Equal(t, http.StatusNotFound, live.browser().get(path).status, path)
	}
	got := live.browser().get("/login")
	require.NotContains(t, got.body, app.DemoPassword)
	require.NotContains(t, got.body, "emo")
}

func TestOutboxRefuses(t *testing.T) {
	t.Parallel()
	o := &app.Outbox{}
	require.Error(t, o.SendMail(t.Context(), twofa.Email{To: "a@b.example\r\nBcc: c@d.example"}))
	require.Error(t, o.SendMail(t.Context(), twofa.Email{To: "a@b.example", Subject: "x\ny"}))
	require.Error(t, o.SendSMS(t.Context(), twofa.TextMessage{}))
	require.Empty(t, o.Messages())
}

func TestConfigProblems(t *testing.T) {
	t.Parallel()
	_, err := app.New(app.Config{BaseURL: "localhost"})
	require.ErrorContains(t, err, "DB")
	require.ErrorContains(t, err, "Mailer")
	require.ErrorContains(t, err, "BaseURL")
}
