package twofahttp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/locale"
)

// Config configures a [Server]. A field is required unless its documentation
// describes its zero value.
type Config struct {
	// Manager decides what a login still needs.
	Manager *twofa.Manager
	// Sessions connects the pages to the host's session library.
	Sessions Sessions
	// Issuer is the name of the product on the pages. If empty, it defaults to
	// the Issuer of the Manager. Any other name is refused, because users would
	// look for another product in their authenticator app.
	Issuer string
	// Logo is the address of a picture that the header of each page shows before
	// the name of the product: a local path or an https address. It is 28 px
	// high. It must not be behind [Server.Guard], because users see it before
	// their login is complete. If empty, the header has the name only.
	Logo string
	// SupportURL is the address at which users who have lost every method get
	// help: an https address, a local path, or an address such as
	// "mailto:help@example.com". The page "help" and the footer link to it. A
	// local path must not be behind [Server.Guard]. If empty, there is no link,
	// and the page "help" says to ask the people who run Issuer.
	SupportURL string
	// Prefix is the path at which [Server.Handler] is mounted, with a slash at
	// both ends. If empty, it defaults to "/2fa/". MailConfig.LinkURL of the
	// Manager must lead to the page "link" below it, and MailConfig.CaseURL to the
	// page "case"; see [LinkURL] and [CaseURL].
	Prefix string
	// BasePath is the path that a proxy in front of the application, or
	// http.StripPrefix, removes from the address of each request, such as "/app",
	// without a slash at its end. Links, forms, redirects and the member "page"
	// begin with it. Set Prefix, LoginURL, HomeURL and Action.Page without it; the
	// parameter "next" has it. If empty, nothing is removed.
	BasePath string
	// CookieName is the part of the names of the cookies that must differ between
	// applications on one host, because their path is always "/". If empty, it
	// defaults to "twofa", followed by BasePath: "twofa-app" for "/app". After a
	// change, all known browsers are unknown.
	CookieName string
	// Hosts are the hosts at which users sign in, such as "app.example.com", if
	// there are several. Links are then mailed with the host of the login; see
	// [LinkURL]. The Host header of a request is compared with this list, because
	// clients can send any. If empty, links do not depend on it.
	Hosts []string
	// TrustedOrigins are other origins of yours, such as "https://app.example.com"
	// for an API at api.example.com. Their scripts may send requests to the actions
	// of [Server.RequireAction] and read the JSON of this package, and each guard
	// answers their preflights (CORS). Your own responses need CORS headers of your
	// own. The forms of this package remain closed to them, because a script of
	// another origin can read no page and so no form token. Browsers send the
	// cookies only if both hosts belong to one site. If empty, only the origin of
	// the server itself is trusted.
	TrustedOrigins []string
	// LoginURL is the host's own login page, a local path or an https address.
	// If empty, it defaults to "/login". It must not be behind [Server.Guard].
	// Its query parameter "next" has the address to return to. An attacker can
	// choose that value, so pass it to [Server.FirstFactor] or [SafeRedirect]
	// and never redirect to it directly. If the user is signed in, but not in a
	// way that counts in the account, the parameter "reason" is "sign_in_here":
	// show the form, say so, and do not end the session.
	LoginURL string
	// HomeURL is the local path to which a login without "next" redirects. If
	// empty, it defaults to "/".
	HomeURL string
	// Account returns the account that a request is for. If nil, or if it returns
	// "", it is [twofa.SessionInfo.Account], the account that the session was
	// last issued for. It must return the account whose data the request gets: if a request
	// could name another account, it would be checked against that account's
	// policy.
	Account func(*http.Request) string
	// WantsPage reports whether a request is answered with pages and redirects,
	// and not with application/problem+json. If nil, it defaults to the function
	// [WantsPage]. A function of your own can call that one, for example to
	// exclude the paths of an API.
	WantsPage func(*http.Request) bool
	// Actions describes the step-up actions by name. An action that is not
	// listed still needs a proof, but the page does not name it. List all actions
	// nevertheless, also those for which handlers call Manager.UseAction: if a
	// policy or [Server.RequireAction] has a name that is not listed, an error is
	// logged, because its spelling may be wrong, and the rule would then not
	// apply.
	Actions map[string]Action
	// Regions are the countries that the form for a phone number offers. If
	// empty, users must start the number with "+" and the country calling code.
	Regions []Region

	// Team, if not nil, lists the members of an account, and turns on the pages
	// with which its admins see who has a second factor and require one: "team",
	// "team/member", "policy" and those below them, and, if the store lists events,
	// "activity" with who did what. The pages show names and
	// addresses as Team returns them, without control characters and characters
	// that change the direction of writing. A member whom the directory does not
	// confirm is left out, so a wrong Team opens no other account. It must return at
	// most TeamQuery.Limit members. An error, or more members, is logged, and the
	// page says that the list could not be read. If nil, the pages do not exist.
	Team func(context.Context, TeamQuery) (TeamPage, error)

	// Templates replaces pages by file name. The built-in files are in this
	// package's directory "pages"; [Pages] documents their data.
	// [New] renders all pages once in each of their states and refuses files
	// with other names. If nil, no page is replaced.
	//
	// [Pages]: https://github.com/twofa-go/twofa/blob/main/docs/pages.md
	Templates fs.FS
	// LayoutData, if not nil, returns data of the host for the frame of a page,
	// such as the name of the user for a header with a menu. Templates find it as
	// .Layout. If nil, .Layout is nil. [New] renders each page with a nil .Layout,
	// so a template must test for it: {{with .Layout}}.
	LayoutData func(*http.Request) any
	// Stylesheet replaces the style sheet. If nil, it defaults to
	// [DefaultStylesheet]. To change colors only, append rules to that one. Its
	// first lines define the colors of the brand, --brand, --on-brand and
	// --brand-text, in light and in dark. [Pages] documents the other colors.
	Stylesheet []byte

	// Language, if not nil, returns the language of a request as a BCP 47 tag, such
	// as one that the user has chosen and the host keeps in a cookie or session. If
	// nil, it is the Accept-Language header. The language that fits best of the
	// Manager's Config.Languages is used.
	Language func(*http.Request) string

	// AttemptsPerMinute and SendsPerHour limit the codes tried and the messages
	// sent from one IP address (IPv6: one /64), in the memory of this process.
	// If zero, they default to 30 and 20. An attempt that succeeds and the
	// message that led to it are given back, so that an office behind one
	// address can sign in. The Manager's limits for each user apply as well.
	AttemptsPerMinute, SendsPerHour int
	// TrustedProxies are the addresses of proxies whose X-Forwarded-For is used.
	// If empty, the address of the connection is used, except on a Unix socket,
	// to which only a proxy on the same machine connects. A prefix that is too
	// wide lets clients choose their own address and so evade the limits. A
	// proxy that is not listed, or names no client, is logged once.
	TrustedProxies []netip.Prefix
	// ClientIP, if not nil, returns the address of the client instead, for
	// gateways that send it in another way. If it returns the zero Addr, the
	// limits by address do not apply to the request.
	ClientIP func(*http.Request) netip.Addr

	// Logger receives the causes of errors, which pages do not show. If nil, it
	// defaults to slog.Default().
	Logger *slog.Logger
	// Now is the clock of the limits. If nil, it defaults to time.Now.
	Now func() time.Time
}

// Action describes a step-up action to the user.
type Action struct {
	// Title names the action on the page, for example "Export contacts". If
	// empty, the page does not name the action.
	Title string
	// Page is the local path of the page with the button for the action. After
	// the proof, the user returns to it and presses the button again, unless
	// Resubmit is set. If empty, the user returns to the
	// page that sent the request if it is known, and to HomeURL otherwise. If the
	// path depends on the account, leave it empty and keep Referer within your
	// site ("Referrer-Policy: same-origin").
	Page string
	// Resubmit makes the browser send the form again after the proof, so that
	// the user presses the button once. The form waits in the pages that ask for
	// the proof, sealed for this session, account and browser. It is sent at
	// most once: for ten seconds, the same form gets 409 with already_done.
	//
	// The user presses the button again, as without Resubmit, if the request did
	// not prove that it comes from a page of the same origin, or for anything
	// but a URL-encoded form of at most 16 KB, such as one with files.
	//
	// The forms of the settings and of the pages of admins always wait like this.
	//
	// Leave it false if the form has a CSRF token that Sessions.SignIn replaces.
	// The form would be refused when it arrives again.
	Resubmit bool
}

// Region is a country that users can choose for a phone number without "+".
type Region struct {
	Code string // ISO 3166-1 alpha-2 code, such as "CH"
	Name string // name in the list, such as "Switzerland (+41)"
}

// New returns a Server, or one error that lists every invalid field of cfg. It
// keeps a copy of cfg.
func New(cfg Config) (*Server, error) {
	cfg.setDefaults()
	languages := cfg.languages()
	templates, err := parseAll(cfg.Templates, languages)
	if err := errors.Join(cfg.validate(), inField("Templates", err)); err != nil {
		return nil, fmt.Errorf("twofahttp: configuration:\n%w", err)
	}
	cfg.publish()
	known := map[string]bool{}
	for name := range cfg.Actions {
		known[name] = true
	}
	return &Server{
		cfg:         cfg,
		actions:     actionNames{known: known, reported: map[string]bool{}},
		templates:   templates,
		languages:   locale.NewMatcher(languages...),
		routes:      routeMap(cfg.Team != nil, cfg.Manager.Info().ListsEvents),
		attempts:    newLimiter(cfg.AttemptsPerMinute, time.Minute),
		sends:       newLimiter(cfg.SendsPerHour, time.Hour),
		repeats:     newRepeats(),
		crossOrigin: cfg.newCrossOrigin(),

		linksElsewhere: linksElsewhere(cfg.Manager),
		listsEvents:    cfg.Manager.Info().ListsEvents,
	}, nil
}

// DefaultStylesheet returns a copy of the built-in style sheet.
func DefaultStylesheet() []byte { return slices.Clone(styleCSS) }

func (c *Config) setDefaults() {
	c.Prefix = cmp.Or(c.Prefix, "/2fa/")
	c.CookieName = cmp.Or(c.CookieName, nameBelow(c.BasePath))
	c.LoginURL = cmp.Or(c.LoginURL, "/login")
	c.HomeURL = cmp.Or(c.HomeURL, "/")
	c.AttemptsPerMinute = cmp.Or(c.AttemptsPerMinute, 30)
	c.SendsPerHour = cmp.Or(c.SendsPerHour, 20)
	c.Actions = maps.Clone(c.Actions)
	c.Regions = slices.Clone(c.Regions)
	c.Hosts = slices.Clone(c.Hosts)
	c.TrustedOrigins = slices.Clone(c.TrustedOrigins)
	c.TrustedProxies = slices.Clone(c.TrustedProxies)
	if c.Stylesheet == nil {
		c.Stylesheet = styleCSS
	}
	if c.WantsPage == nil {
		c.WantsPage = WantsPage
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Manager != nil {
		c.Issuer = cmp.Or(c.Issuer, c.Manager.Info().Issuer)
	}
}

// public returns the address by which browsers reach a local path. It is the only
// place that adds BasePath. Other addresses stay the same.
func (c *Config) public(address string) string {
	if !strings.HasPrefix(address, "/") {
		return address
	}
	return c.BasePath + address
}

// publish turns the paths that the pages show into public ones.
func (c *Config) publish() {
	c.LoginURL, c.HomeURL = c.public(c.LoginURL), c.public(c.HomeURL)
	c.Logo, c.SupportURL = c.public(c.Logo), c.public(c.SupportURL)
	for name, action := range c.Actions {
		action.Page = c.public(action.Page)
		c.Actions[name] = action
	}
}

// languages returns the languages of the pages.
func (c *Config) languages() []*locale.Catalog {
	if c.Manager == nil {
		return []*locale.Catalog{locale.English()}
	}
	return c.Manager.Info().Languages
}

func (c *Config) validate() error {
	var f faults
	f.want(c.Manager != nil, "Manager", "set", nil)
	f.want(c.Sessions != nil, "Sessions", "set", nil)
	f.want(c.Issuer != "", "Issuer", "the name of the product", c.Issuer)
	if c.Manager != nil {
		c.compare(&f, c.Manager.Info())
	}
	f.want(isLocalPath(c.Prefix) && strings.HasSuffix(c.Prefix, "/") && c.Prefix != "/", "Prefix", "a path with a slash at both ends", c.Prefix)
	f.want(c.BasePath == "" || isLocalPath(c.BasePath) && !strings.HasSuffix(c.BasePath, "/") && !strings.ContainsAny(c.BasePath, "%?#"), "BasePath", "a path such as /app, without a slash at its end and without escapes", c.BasePath)
	f.want(isCookieName(c.CookieName), "CookieName", "1 to 64 letters, digits, dots, hyphens and underscores", c.CookieName)
	f.want(isLocalPath(c.LoginURL) || strings.HasPrefix(c.LoginURL, "https://"), "LoginURL", "a local path or an https address", c.LoginURL)
	f.want(!strings.HasPrefix(c.LoginURL, c.Prefix), "LoginURL", "the address of a page of your own, outside of Prefix", c.LoginURL)
	f.want(isLocalPath(c.HomeURL), "HomeURL", "a local path", c.HomeURL)
	f.want(c.Logo == "" || isLocalPath(c.Logo) || isHTTPS(c.Logo), "Logo", "a local path or an https address", c.Logo)
	f.want(c.SupportURL == "" || isLocalPath(c.SupportURL) || isHTTPS(c.SupportURL) || isMailto(c.SupportURL), "SupportURL", "a local path, an https address, or mailto: and an email address", c.SupportURL)
	f.want(c.AttemptsPerMinute >= 1, "AttemptsPerMinute", "1 or more", c.AttemptsPerMinute)
	f.want(c.SendsPerHour >= 1, "SendsPerHour", "1 or more", c.SendsPerHour)
	for i, origin := range c.TrustedOrigins {
		f.want(isOrigin(origin), fmt.Sprintf("TrustedOrigins[%d]", i), "a scheme and a host in lower case, such as https://app.example.com (http on this machine only)", origin)
	}
	for i, host := range c.Hosts {
		f.want(isHost(host), fmt.Sprintf("Hosts[%d]", i), "a host name in lower case, such as app.example.com or app.example.com:8443", host)
	}
	for i, region := range c.Regions {
		field := fmt.Sprintf("Regions[%d].", i)
		f.want(isCountryCode(region.Code), field+"Code", "an ISO 3166-1 alpha-2 code in upper case", region.Code)
		f.want(region.Name != "", field+"Name", "the name of the country", region.Name)
	}
	for i, proxy := range c.TrustedProxies {
		f.want(proxy.IsValid(), fmt.Sprintf("TrustedProxies[%d]", i), "a prefix from netip.ParsePrefix", proxy)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Actions)) {
		page := c.Actions[name].Page
		f.want(page == "" || isLocalPath(page), fmt.Sprintf("Actions[%q].Page", name), "a local path", page)
	}
	return errors.Join(f...)
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host
}

// isHTTPS reports whether an address is absolute and its scheme is https. Its
// host can be a source of a Content-Security-Policy.
func isHTTPS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https" && isHost(u.Host)
}

func isMailto(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "mailto" && strings.Contains(u.Opaque, "@")
}

// isHost reports whether a text is a host as browsers send it.
func isHost(host string) bool {
	return host != "" && hostOf("https://"+host+"/") == host && strings.ToLower(host) == host && !strings.ContainsAny(host, "*%") && isASCII(host)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

func isCountryCode(code string) bool {
	return len(code) == 2 && strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// faults collects the rules that a configuration breaks.
type faults []error

// want records a fault unless ok. Each fault names the field, the rule and the
// value: "SendsPerHour: must be 1 or more, is -3".
func (f *faults) want(ok bool, field, rule string, value any) {
	if text, isText := value.(string); isText {
		value = strconv.Quote(text)
	}
	if !ok {
		*f = append(*f, fmt.Errorf("%s: must be %s, is %v", field, rule, value))
	}
}

// inField adds the name of the field to an error.
func inField(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", field, err)
}
