package twofahttp

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Config says what a Web works with. Fields without a word about their zero
// value are required.
type Config struct {
	Manager  *twofa.Manager
	Sessions Sessions
	// Issuer names the product on the pages.
	Issuer string
	// Prefix is the path that [Server.Handler] is mounted at, with a slash at both
	// ends; "" means "/2fa/". MailConfig.LinkURL of the Manager must lead there:
	// see [LinkURL].
	Prefix string
	// LoginURL is the host's own login page, a path or an https address; ""
	// means "/login". Mount it in front of [Server.Guard]. It is given the way back
	// in the query parameter "next", which anybody can write: pass it to
	// [Server.FirstFactor], or to [SafeRedirect].
	LoginURL string
	// HomeURL is the path where a login without another way back ends; ""
	// means "/".
	HomeURL string
	// Account returns the account a request is for; nil means the account that
	// was entered at login. A request must not be able to name an account
	// other than the one whose data it gets.
	Account func(*http.Request) string
	// Actions describes the step-up actions. One that is missing here is asked
	// for all the same, without being named.
	Actions map[string]Action
	// Regions are offered where a phone number is typed; none means that it
	// has to start with "+" and the country's code.
	Regions []Region

	// Templates replaces pages: a file with the name of one in this package's
	// directory "pages" takes its place. docs/pages.md says what each is given.
	// [New] renders them all once, and refuses files of other names. nil
	// replaces none.
	Templates fs.FS
	// Stylesheet replaces the style sheet; nil keeps it. For other colours
	// alone append rules to [DefaultStylesheet]; its first lines name them all.
	Stylesheet []byte

	// AttemptsPerMinute and SendsPerHour bound codes tried and messages sent
	// by one IP address (IPv6: one /64); 0 means 30 and 20. What ends in
	// success is given back, so that an office behind one address does not use
	// them up. They stand in front of the limits per user, which hold anyway.
	AttemptsPerMinute, SendsPerHour int
	// TrustedProxies are the addresses from which X-Forwarded-For is believed;
	// none means that the address of the connection counts. With too many
	// listed, anybody can choose the address the limits count.
	TrustedProxies []netip.Prefix

	// Logger gets the causes that pages do not show; nil discards.
	Logger *slog.Logger
	// Now is the clock of the limits; nil means time.Now.
	Now func() time.Time
}

// Action describes a step-up action to the person.
type Action struct {
	// Title is what is about to be done, for example "Export contacts".
	Title string
	// Page is the path of the page with the button for it. The person is led
	// back there after the code, and confirms: a POST is never repeated on
	// its own. "" means the page the request came from, where that is known.
	Page string
}

// Region is a country to read phone numbers in.
type Region struct {
	Code string // ISO 3166-1 alpha-2, as in CH
	Name string // as in "Switzerland (+41)"
}

// New checks the configuration and returns a Web, or one error that lists all
// that is wrong, by field name. It keeps a copy of cfg.
func New(cfg Config) (*Server, error) {
	cfg.setDefaults()
	templates, err := parseTemplates(cfg.Templates)
	if err != nil {
		err = fmt.Errorf("Templates: %w", err)
	}
	if err := errors.Join(cfg.check(), err); err != nil {
		return nil, fmt.Errorf("twofahttp: configuration:\n%w", err)
	}
	return &Server{
		cfg:         cfg,
		templates:   templates,
		routes:      routeMap(),
		attempts:    newLimiter(cfg.AttemptsPerMinute, time.Minute),
		sends:       newLimiter(cfg.SendsPerHour, time.Hour),
		crossOrigin: http.NewCrossOriginProtection(),
	}, nil
}

// DefaultStylesheet is the style sheet of the pages, to be added to.
func DefaultStylesheet() []byte { return slices.Clone(styleCSS) }

func (c *Config) setDefaults() {
	c.Prefix = cmp.Or(c.Prefix, "/2fa/")
	c.LoginURL = cmp.Or(c.LoginURL, "/login")
	c.HomeURL = cmp.Or(c.HomeURL, "/")
	c.AttemptsPerMinute = cmp.Or(c.AttemptsPerMinute, 30)
	c.SendsPerHour = cmp.Or(c.SendsPerHour, 20)
	c.Actions = maps.Clone(c.Actions)
	c.Regions = slices.Clone(c.Regions)
	c.TrustedProxies = slices.Clone(c.TrustedProxies)
	if c.Stylesheet == nil {
		c.Stylesheet = styleCSS
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

func (c *Config) check() error {
	var f faults
	f.want(c.Manager != nil, "Manager", "set", nil)
	f.want(c.Sessions != nil, "Sessions", "set", nil)
	f.want(c.Issuer != "", "Issuer", "the name of the product", c.Issuer)
	f.want(isLocalPath(c.Prefix) && strings.HasSuffix(c.Prefix, "/") && c.Prefix != "/", "Prefix", "a path with a slash at both ends", c.Prefix)
	f.want(isLocalPath(c.LoginURL) || strings.HasPrefix(c.LoginURL, "https://"), "LoginURL", "a local path or an https address", c.LoginURL)
	f.want(isLocalPath(c.HomeURL), "HomeURL", "a local path", c.HomeURL)
	f.want(c.AttemptsPerMinute >= 1, "AttemptsPerMinute", "1 or more", c.AttemptsPerMinute)
	f.want(c.SendsPerHour >= 1, "SendsPerHour", "1 or more", c.SendsPerHour)
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
