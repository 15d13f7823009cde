package twofahttp

import (
	"github.com/twofa-go/twofa/locale"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Route is an entry of the route table.
type Route struct{ Method, Path string }

// Routes lists the route table of a server with Config.Team.
func Routes() []Route { return append(list(routeTable()), TeamRoutes()...) }

// TeamRoutes lists the routes for admins.
func TeamRoutes() []Route { return list(teamRoutes()) }

func list(table []route) (routes []Route) {
	for _, rt := range table {
		routes = append(routes, Route{rt.method, rt.path})
	}
	return routes
}

// Message is a row of the table of messages.
type Message = message

// Messages is that table.
var Messages = messages

// ID returns the name of the row.
func (m message) ID() string { return m.id() }

// Title and Text return the English words of the row, with placeholders.
func (m message) Title() string { return m.title(locale.English()) }
func (m message) Text() string  { return locale.English().Text("message."+m.id()+".text", nil) }

// PageFields lists the fields that each page is given.
func PageFields() map[string][]string {
	fields := map[string][]string{}
	add := func(page string, data any) {
		for _, f := range reflect.VisibleFields(reflect.TypeOf(data)) {
			if !slices.Contains(fields[page], f.Name) {
				fields[page] = append(fields[page], f.Name)
			}
		}
	}
	add("Every page", pageData{})
	add("Every page", alert{})
	for name, states := range sampleData(locale.English()) {
		add(strings.TrimSuffix(name, ".txt")+".html", states[0])
	}
	return fields
}

// ParseForm parses the body of a POST.
func ParseForm(body string) (url.Values, error) { return parseForm(body, maxFields) }

// Limiter limits requests by address.
type Limiter struct{ l limiter }

// NewLimiter returns a Limiter.
func NewLimiter(n int, per time.Duration) Limiter { return Limiter{newLimiter(n, per)} }

// Take takes one token.
func (l Limiter) Take(addr netip.Addr, now time.Time) time.Duration {
	return l.l.take(origin{addr: networkOf(addr)}, now)
}

// GiveBack gives back one token.
func (l Limiter) GiveBack(addr netip.Addr) { l.l.giveBack(origin{addr: networkOf(addr)}) }

// TakeAttempt counts an attempt of a request.
func (s *Server) TakeAttempt(r *http.Request) error {
	_, err := s.newExchange(nil, r).takeAttempt()
	return err
}

// Len returns the number of addresses in memory.
// TakeSend counts a message to be sent for a request.
func (s *Server) TakeSend(r *http.Request) error { return s.newExchange(nil, r).takeSend() }

// GiveBackSend gives back the message that led to a proof in a request.
func (s *Server) GiveBackSend(r *http.Request) { s.newExchange(nil, r).giveBackSend(twofa.EmailLink) }

func (l Limiter) Len() int { return len(l.l.buckets) }

// PolicyTexts returns the texts of the form for a policy.
func (s *Server) PolicyTexts(p twofa.Policy) url.Values { return s.policyInput().policyTexts(p) }

// ApplyPolicy returns the policy of a form that was filled with base.
func (s *Server) ApplyPolicy(base twofa.Policy, form url.Values) (twofa.Policy, []error) {
	return s.policyInput().apply(base, form)
}

// ParseCounts parses the numbers of a preview and writes them again.
func ParseCounts(text string) (again string, looked int, ok bool) {
	d, ok := parseCounts(text)
	return d.counts(), d.Looked, ok
}

// PolicyFields lists the fields of twofa.Policy that the form sets, and those that
// it keeps.
func PolicyFields() (set, kept []string) {
	for _, f := range policyFields {
		set = append(set, f.of...)
	}
	return set, keptFields
}

// DifferenceTexts returns the fields in which two policies differ: the title, and
// the words before and after.
func (s *Server) DifferenceTexts(before, after twofa.Policy) (list [][3]string) {
	x := s.newExchange(nil, &http.Request{Header: http.Header{}})
	for _, d := range (twofa.PolicyChange{Before: before, After: after}).Differences(x.locale(), x.actionTitle) {
		list = append(list, [3]string{d.Title, d.Before, d.After})
	}
	return list
}
