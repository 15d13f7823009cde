package twofahttp

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/twofa-go/twofa"
)

// compare finds settings of the Manager that contradict those of the Config. Each is
// written in two places, and both are valid by themselves.
func (c *Config) compare(f *faults, info twofa.Info) {
	f.want(c.Issuer == info.Issuer, "Issuer", fmt.Sprintf("empty or %q, the Issuer of the Manager", info.Issuer), c.Issuer)
	f.want(info.Link == "" || c.leadsTo("link", info.Link), "Manager", fmt.Sprintf("one whose Mail.LinkURL leads to %slink?token=…, as that of LinkURL does", c.public(c.Prefix)), info.Link)
	f.want(info.Case == "" || c.leadsTo(casePath, info.Case), "Manager", fmt.Sprintf("one whose Mail.CaseURL leads to %scase?token=…, as that of CaseURL does", c.public(c.Prefix)), info.Case)
	for i, host := range c.Hosts {
		if info.LinkAt != nil {
			link := info.LinkAt(host)
			f.want(c.leadsTo("link", link) && hostOf(link) == host, fmt.Sprintf("Hosts[%d]", i), fmt.Sprintf("one for which Mail.LinkURL leads to %s%slink?token=…", host, c.public(c.Prefix)), link)
		}
	}
	hosts := c.Hosts
	if main := hostOf(info.Link); info.Link != "" {
		f.want(len(hosts) == 0 || slices.Contains(hosts, main), "Hosts", fmt.Sprintf("a list with %q, the host to which Mail.LinkURL leads for all other hosts", main), hosts)
		hosts = append([]string{main}, hosts...)
	}
	if len(hosts) > 0 {
		f.want(info.Case == "" || slices.Contains(hosts, hostOf(info.Case)), "Manager", fmt.Sprintf("one whose Mail.CaseURL leads to a host of Mail.LinkURL and Hosts, %q", hosts), info.Case)
		f.want(info.WebOTPHost == "" || slices.ContainsFunc(hosts, func(host string) bool { return maySameSite(host, info.WebOTPHost) }), "Manager",
			fmt.Sprintf("one whose SMS.WebOTPHost is the host at which users type codes, such as %q", hostname(hosts[0])), info.WebOTPHost)
	}
	for i, region := range c.Regions {
		f.want(len(info.Countries) == 0 || slices.Contains(info.Countries, region.Code), fmt.Sprintf("Regions[%d].Code", i), fmt.Sprintf("one of SMS.Countries of the Manager, %q", info.Countries), region.Code)
	}
}

// leadsTo reports whether an address with the token "token" is that of a page.
// Otherwise mailed links would lead nowhere: no login by link could ever end, and
// no user could end a support case.
func (c *Config) leadsTo(page, link string) bool {
	u, err := url.Parse(link)
	return err == nil && u.Path == c.public(c.Prefix)+page && u.Query().Get("token") == "token"
}

// maySameSite reports whether browsers may take two hosts to belong to one site. They
// fill in a code at pages of the site of WebOTPHost. Without the public suffix list,
// hosts with the same last two labels may be two sites.
func maySameSite(host, other string) bool {
	return lastLabels(hostname(host)) == lastLabels(other)
}

func lastLabels(host string) string {
	labels := strings.Split(strings.ToLower(host), ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}

// hostname returns a host without its port.
func hostname(host string) string {
	name, _, _ := net.SplitHostPort(host)
	return cmp.Or(name, host)
}
