package twofahttp_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofahttp"
)

// newWith returns the error of New for a Manager whose links lead to an address.
func newWith(t *testing.T, link func(twofa.LinkRequest) string, c twofahttp.Config) error {
	t.Helper()
	keys, err := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	require.NoError(t, err)
	mc := twofa.Config{Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(nil)}
	if link != nil {
		mc.Mail = twofa.MailConfig{Mailer: &outbox{}, LinkURL: link}
	}
	c.Manager, err = twofa.New(mc)
	require.NoError(t, err)
	c.Sessions = &sessions{}
	_, err = twofahttp.New(c)
	return err
}

// Links that lead to another page than ours would let nobody sign in by link.
func TestMisuse_LinksThatLeadElsewhere(t *testing.T) {
	own := func(address string) func(twofa.LinkRequest) string {
		return func(l twofa.LinkRequest) string { return address + l.Token.Reveal() }
	}
	for name, c := range map[string]struct {
		link   func(twofa.LinkRequest) string
		prefix string
	}{
		"another prefix":         {twofahttp.LinkURL("https://app.example.com/2fa/"), "/security/"},
		"the default prefix":     {twofahttp.LinkURL("https://app.example.com/security/"), ""},
		"the root":               {twofahttp.LinkURL("https://app.example.com/"), ""},
		"a prefix of the prefix": {twofahttp.LinkURL("https://app.example.com/2fa/"), "/app/2fa/"},
		"another page":           {own("https://app.example.com/2fa/verify?token="), ""},
		"a token in the path":    {own("https://app.example.com/2fa/link/"), ""},
		"another parameter":      {own("https://app.example.com/2fa/link?t="), ""},
		"a fragment":             {own("https://app.example.com/2fa/link#token="), ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := newWith(t, c.link, twofahttp.Config{Prefix: c.prefix})
			require.ErrorContains(t, err, "Mail.LinkURL leads to")
			require.ErrorContains(t, err, "link?token=")
		})
	}
	require.NoError(t, newWith(t, nil, twofahttp.Config{Prefix: "/security/"}))
	require.NoError(t, newWith(t, twofahttp.LinkURL("https://app.example.com/security"), twofahttp.Config{Prefix: "/security/"}))
	require.NoError(t, newWith(t, own("https://app.example.com/2fa/link?lang=de&token="), twofahttp.Config{}))
}

// With several hosts, the link for each of them must lead there.
func TestMisuse_LinksOfSeveralHosts(t *testing.T) {
	com, de := "https://app.example.com/2fa/", "https://app.example.de/2fa/"
	require.NoError(t, newWith(t, twofahttp.LinkURL(com, de), twofahttp.Config{Hosts: []string{"app.example.com", "app.example.de"}}))
	require.NoError(t, newWith(t, nil, twofahttp.Config{Hosts: []string{"app.example.com"}}))
	require.ErrorContains(t, newWith(t, twofahttp.LinkURL(com), twofahttp.Config{Hosts: []string{"app.example.com", "app.example.de"}}),
		"Hosts[1]: must be one for which Mail.LinkURL leads to app.example.de/2fa/link?token=…")
	require.ErrorContains(t, newWith(t, twofahttp.LinkURL(com, "https://app.example.de/"), twofahttp.Config{Hosts: []string{"app.example.de"}}), "Hosts[0]")
	for _, bad := range []string{"", "App.example.com", "https://app.example.com", "app.example.com/", "*.example.com", "app.example.com?", "a b", "x@app.example.com", "bücher.example", "app%2eexample.com"} {
		require.ErrorContains(t, newWith(t, nil, twofahttp.Config{Hosts: []string{bad}}), "Hosts[0]: must be a host name", bad)
	}
}

// Pages and authenticator apps name the same product.
func TestMisuse_TwoIssuers(t *testing.T) {
	require.ErrorContains(t, newWith(t, nil, twofahttp.Config{Issuer: "Acme Inc."}), `Issuer: must be empty or "Acme", the Issuer of the Manager, is "Acme Inc."`)
	require.NoError(t, newWith(t, nil, twofahttp.Config{Issuer: "Acme"}))
	require.NoError(t, newWith(t, nil, twofahttp.Config{}))

	h := newHost(t, twofa.PolicyOptional(), func(_ *twofa.Config, c *twofahttp.Config) { c.Issuer = "" })
	b, _, _ := h.pending("ada")
	require.True(t, strings.Contains(b.get("/2fa/challenge").Body, "Acme"))
}

// A rule for one spelling of an action does not apply to another. An error in the
// log names both.
func TestMisuse_ActionsWithTwoSpellings(t *testing.T) {
	rule := map[string]twofa.ActionRule{"contacts.exports": {}}
	for name, c := range map[string]struct {
		policy twofa.Policy
		tune   func(*twofahttp.Config)
		mount  string
		logs   []string
	}{
		"all alike":               {policy: twofa.Policy{Actions: map[string]twofa.ActionRule{"contacts.export": {}, "report": {}, twofa.ActionFactors: {}}}, mount: "report"},
		"another rule":            {policy: twofa.Policy{Actions: rule}, logs: []string{"a policy has a rule", "action=contacts.exports", "contacts.export report"}},
		"another name when asked": {mount: "contacts.exprot", logs: []string{"RequireAction has an action", "action=contacts.exprot", "contacts.export report"}},
		"nothing listed":          {tune: func(c *twofahttp.Config) { c.Actions = nil }, mount: "anything"},
		"only in the policy": {policy: twofa.Policy{Actions: rule}, tune: func(c *twofahttp.Config) { c.Actions = nil }, mount: "contacts.exprot",
			logs: []string{"RequireAction has an action", "action=contacts.exprot", "known=[contacts.exports]"}},
		"factors are built in": {mount: twofa.ActionFactors},
		"so is the policy":     {policy: twofa.Policy{Actions: map[string]twofa.ActionRule{twofa.ActionPolicy: {}}}, mount: twofa.ActionPolicy},
		"so is the reset":      {mount: twofa.ActionReset},
		"also in a policy":     {policy: twofa.Policy{Actions: map[string]twofa.ActionRule{twofa.ActionReset: {}}}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.policy.Actions == nil {
				c.policy.Actions = map[string]twofa.ActionRule{}
			}
			h := newHost(t, c.policy, func(_ *twofa.Config, w *twofahttp.Config) {
				if w.Actions["report"] = (twofahttp.Action{}); c.tune != nil {
					c.tune(w)
				}
			})
			before := h.logs.String()
			if c.mount != "" {
				h.web.RequireAction(c.mount, nil)
			}
			for range 3 {
				b, _, _ := h.pending("ada" + name)
				b.get("/2fa/challenge")
				name += "x"
			}
			logs := h.logs.String()[len(before):]
			if c.logs == nil {
				require.NotContains(t, logs, "spelling")
				return
			}
			for _, part := range c.logs {
				require.Contains(t, logs, part)
			}
			require.Equal(t, 1, strings.Count(logs, c.logs[1]), "once for each name")
		})
	}

	h := newHost(t, twofa.PolicyOptional())
	for _, name := range []string{"", strings.Repeat("x", 129)} {
		require.Panics(t, func() { h.web.RequireAction(name, nil) })
	}
	h.web.RequireAction(strings.Repeat("x", 128), nil)

	h = newHost(t, twofa.PolicyOptional())
	err := h.m.Account(twofa.AsHost("test"), "acme").SetPolicy(t.Context(), twofa.Policy{Actions: map[string]twofa.ActionRule{"contact.export": {}}}, "")
	require.NoError(t, err)
	h.browser().enroll("ada", "account", "acme")
	b := h.browser()
	b.login("ada", "account", "acme")
	require.Contains(t, h.logs.String(), "action=contact.export", "the policy of an account is checked, too")
}

// A host that calls Begin itself gets a challenge that is bound to the browser,
// even if that has no cookie yet.
func TestMisuse_ClientOfABrowserWithoutACookie(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	phone, _ := h.browser().enroll("ada")
	for name, header := range map[string]string{"page": "Accept: text/html", "script": "Sec-Fetch-Site: same-origin", "program": "Accept: application/json"} {
		t.Run(name, func(t *testing.T) {
			w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "https://app.example.com/api/login", nil)
			key, value, _ := strings.Cut(header, ": ")
			r.Header.Set(key, value)
			client := h.web.Client(w, r)
			cookies := w.Result().Cookies()
			result, err := h.m.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", By: twofa.ByPassword, Client: client})
			require.NoError(t, err)
			require.Equal(t, client.Browser.Reveal(), h.web.Client(w, r).Browser.Reveal(), "it is the same if it is asked for again")
			if name == "program" {
				require.Empty(t, cookies)
				require.True(t, client.Browser.IsZero())
				return
			}
			require.Len(t, cookies, 1)
			require.True(t, cookies[0].Secure && cookies[0].HttpOnly)
			thief := httptest.NewRequest("POST", "https://app.example.com/api/verify", nil)
			thief.Header.Set(key, value)
			proof := twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret(phone.next())}
			_, err = h.m.Verify(t.Context(), twofa.Caller{Client: h.web.Client(httptest.NewRecorder(), thief)}, result.Challenge, proof)
			require.ErrorIs(t, err, twofa.ErrExpired, "another browser")
			thief.AddCookie(cookies[0])
			_, err = h.m.Verify(t.Context(), twofa.Caller{Client: h.web.Client(nil, thief)}, result.Challenge, proof)
			require.NoError(t, err, "the same browser")
		})
	}
	require.NotContains(t, h.logs.String(), "without a ResponseWriter")
	r := httptest.NewRequest("POST", "https://app.example.com/login", nil)
	r.Header.Set("Accept", "text/html")
	for range 3 {
		require.True(t, h.web.Client(nil, r).Browser.IsZero())
	}
	require.Equal(t, 1, strings.Count(h.logs.String(), "without a ResponseWriter"))
}

// Settings that contradict each other are all named in one error.
func TestMisuse_SettingsThatContradict(t *testing.T) {
	keys, err := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	require.NoError(t, err)
	com := "https://app.example.com/2fa/"
	for name, c := range map[string]struct {
		manager func(*twofa.Config)
		pages   twofahttp.Config
		want    []string // none: the settings agree
	}{
		"a case at another host": {func(c *twofa.Config) { c.Mail.CaseURL = twofahttp.CaseURL("https://app.example.org/2fa/") }, twofahttp.Config{},
			[]string{`Manager: must be one whose Mail.CaseURL leads to a host of Mail.LinkURL and Hosts, ["app.example.com"], is "https://app.example.org/2fa/case?token=token"`}},
		"a case at the same host": {func(c *twofa.Config) { c.Mail.CaseURL = twofahttp.CaseURL(com) }, twofahttp.Config{}, nil},
		"a case at one of several hosts": {func(c *twofa.Config) {
			c.Mail.LinkURL, c.Mail.CaseURL = twofahttp.LinkURL(com, "https://app.example.de/2fa/"), twofahttp.CaseURL("https://app.example.de/2fa/")
		}, twofahttp.Config{Hosts: []string{"app.example.com", "app.example.de"}}, nil},
		"hosts without the usual one": {func(c *twofa.Config) { c.Mail.LinkURL = twofahttp.LinkURL(com, "https://app.example.de/2fa/") },
			twofahttp.Config{Hosts: []string{"app.example.de"}},
			[]string{`Hosts: must be a list with "app.example.com", the host to which Mail.LinkURL leads for all other hosts, is [app.example.de]`}},
		"codes for another site": {func(c *twofa.Config) { c.SMS.WebOTPHost = "acme.example" }, twofahttp.Config{},
			[]string{`Manager: must be one whose SMS.WebOTPHost is the host at which users type codes, such as "app.example.com", is "acme.example"`}},
		"codes for the site": {func(c *twofa.Config) { c.SMS.WebOTPHost = "example.com" }, twofahttp.Config{}, nil},
		"codes for the host": {func(c *twofa.Config) { c.SMS.WebOTPHost = "app.example.com" }, twofahttp.Config{}, nil},
		"codes for this machine": {func(c *twofa.Config) {
			c.Mail.LinkURL, c.SMS.WebOTPHost = twofahttp.LinkURL("http://localhost:8080/2fa/"), "localhost"
		}, twofahttp.Config{}, nil},
		"a host without messages":  {func(c *twofa.Config) { c.SMS = twofa.SMSConfig{WebOTPHost: "acme.example"} }, twofahttp.Config{Regions: []twofahttp.Region{{Code: "DE", Name: "Germany"}}}, nil},
		"a region without sending": {nil, twofahttp.Config{Regions: []twofahttp.Region{{Code: "CH", Name: "Switzerland"}, {Code: "DE", Name: "Germany"}}}, []string{`Regions[1].Code: must be one of SMS.Countries of the Manager, ["CH" "AT"], is "DE"`}},
		"a login page of ours": {nil, twofahttp.Config{LoginURL: "/2fa/login"}, []string{
			`LoginURL: must be the address of a page of your own, outside of Prefix, is "/2fa/login"`}},
		"everything at once": {func(c *twofa.Config) { c.SMS.WebOTPHost = "acme.example" },
			twofahttp.Config{Issuer: "Acme Inc.", Prefix: "/security/", LoginURL: "/security/login", Regions: []twofahttp.Region{{Code: "DE", Name: "Germany"}}},
			[]string{`Issuer: must be empty or "Acme"`, "Manager: must be one whose Mail.LinkURL leads to /security/link?token=…", "SMS.WebOTPHost", "LoginURL: ", "Regions[0].Code: "}},
	} {
		t.Run(name, func(t *testing.T) {
			mc := twofa.Config{Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: twofa.LookUp(nil),
				Mail: twofa.MailConfig{Mailer: &outbox{}, LinkURL: twofahttp.LinkURL(com)},
				SMS:  twofa.SMSConfig{Sender: &outbox{}, Phone: &outbox{}, Countries: []string{"CH", "AT"}}}
			if c.manager != nil {
				c.manager(&mc)
			}
			var err error
			c.pages.Sessions = &sessions{}
			c.pages.Manager, err = twofa.New(mc)
			require.NoError(t, err)
			_, err = twofahttp.New(c.pages)
			if c.want == nil {
				require.NoError(t, err)
			}
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

// An action that a handler asks the Manager for is known only when it is denied.
func TestMisuse_ActionOfAHandlerWithATypo(t *testing.T) {
	h := newHost(t, twofa.PolicyOptional())
	refuse := func(action string) {
		r := httptest.NewRequest("POST", "https://app.example.com/x", nil)
		h.web.Error(httptest.NewRecorder(), r, &twofa.DeniedError{Reason: twofa.ReasonMissing, Action: action})
	}
	for _, action := range []string{"contacts.export", "report", twofa.ActionFactors, twofa.ActionCredentials, ""} {
		refuse(action)
	}
	require.NotContains(t, h.logs.String(), "a handler requires")
	refuse("contacts.exprot")
	refuse("contacts.exprot")
	require.Equal(t, 1, strings.Count(h.logs.String(), `msg="twofahttp: a handler requires an action that neither Config.Actions nor RequireAction has; correct its spelling, or add it to Config.Actions" action=contacts.exprot known="[contacts.export report]"`), h.logs.String())
}
