package twofahttp_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// office is a host with admins, who use the pages of the team. It is the
// directory and has the list.
type office struct {
	*host
	mu      sync.Mutex
	members map[string][]twofa.Member
	listed  []twofahttp.TeamMember // of acme
	asked   []twofahttp.TeamQuery
	answer  func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) // if not nil, replaces the list
}

// newOffice starts a host with the account acme, which has the owner olga, the
// admins adam and anna, and the members mia and max, and with the account beta,
// which has the owner bert. The header X-Account selects the account.
func newOffice(t *testing.T, policy twofa.Policy, tune ...func(*twofa.Config, *twofahttp.Config)) *office {
	t.Helper()
	o := &office{members: map[string][]twofa.Member{}}
	for user, role := range map[string]twofa.Role{"olga": twofa.RoleOwner, "adam": twofa.RoleAdmin, "anna": twofa.RoleAdmin, "mia": "", "max": ""} {
		o.join(user, "acme", role)
	}
	o.join("bert", "beta", twofa.RoleOwner)
	for _, user := range []string{"olga", "adam", "anna", "mia", "max"} {
		o.list(user)
	}
	o.host = newHost(t, policy, append([]func(*twofa.Config, *twofahttp.Config){func(mc *twofa.Config, wc *twofahttp.Config) {
		mc.Directory, wc.Team = o, o.team
		wc.Account = func(r *http.Request) string { return r.Header.Get("X-Account") }
	}}, tune...)...)
	return o
}

var longAgo = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func (o *office) join(user, account string, role twofa.Role) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.members[user] = append(o.members[user], twofa.Member{Account: account, Role: role, Since: longAgo})
}

// become replaces the role of a user.
func (o *office) become(user string, role twofa.Role) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.members[user] = []twofa.Member{{Account: "acme", Role: role, Since: longAgo}}
}

func (o *office) list(user string) {
	o.listed = append(o.listed, twofahttp.TeamMember{ID: user, Name: strings.ToUpper(user[:1]) + user[1:], Email: user + "@example.com"})
}

// hire adds members who have never signed in.
func (o *office) hire(n int) {
	for i := range n {
		user := fmt.Sprintf("member-%05d", i)
		o.join(user, "acme", "")
		o.list(user)
	}
}

// Users implements twofa.Directory.
func (o *office) Users(_ context.Context, ids ...string) (users []twofa.User, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		if members, ok := o.members[id]; ok {
			users = append(users, twofa.User{ID: id, Name: id, Emails: []string{id + "@example.com"}, Members: members})
		}
	}
	return users, nil
}

// team is Config.Team. Its cursor is the number of members before it.
func (o *office) team(_ context.Context, q twofahttp.TeamQuery) (page twofahttp.TeamPage, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, q)
	if o.answer != nil {
		return o.answer(q)
	}
	if q.Account != "acme" {
		return page, nil
	}
	from, _ := strconv.Atoi(q.After)
	for i, m := range o.listed[min(max(from, 0), len(o.listed)):] {
		if q.ID != "" && m.ID != q.ID || !strings.Contains(strings.ToLower(m.Name+m.Email), strings.ToLower(q.Search)) {
			continue
		}
		if len(page.Members) == q.Limit {
			page.Next = strconv.Itoa(from + i)
			return page, nil
		}
		page.Members = append(page.Members, m)
	}
	return page, nil
}

func (o *office) answers(answer func(twofahttp.TeamQuery) (twofahttp.TeamPage, error)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = answer
}

func (o *office) questions() []twofahttp.TeamQuery {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]twofahttp.TeamQuery{}, o.asked...)
}

// require sets the policy of acme.
func (o *office) require(p twofa.Policy) {
	o.Helper()
	require.NoError(o, o.m.Account(twofa.AsHost("test"), "acme").SetPolicy(o.Context(), p, ""))
}

// in returns the browser of a user who has enrolled an app and signed in to acme.
func (o *office) in(user string) (*browser, app) {
	o.Helper()
	b := o.browser()
	phone, _ := b.enroll(user, "account", "acme")
	return b, phone
}

var (
	rowPattern   = regexp.MustCompile(`(?s)<tr role="row"><td.*?</tr>`)
	labelPattern = regexp.MustCompile(`<span class="row-name"><bdi>([^<]+)</bdi>`)
	statePattern = regexp.MustCompile(`<span class="badge[^"]*"><svg.*?</svg>([^<]+)</span>`)
	nextPattern  = regexp.MustCompile(`<a class="btn-link" href="([^"]+)">(?:Next page|Check more members)</a>`)
)

// rows returns the rows of the table by the label of the member, and the labels in
// their order.
func rows(page string) (byLabel map[string]string, labels []string) {
	byLabel = map[string]string{}
	for _, row := range rowPattern.FindAllString(page, -1) {
		label := labelPattern.FindStringSubmatch(row)[1]
		byLabel[label] = row
		labels = append(labels, label)
	}
	return byLabel, labels
}

// stateIn returns the state that a row shows.
func stateIn(row string) string {
	m := statePattern.FindStringSubmatch(strings.ReplaceAll(row, "\n", ""))
	if m == nil {
		return ""
	}
	return m[1]
}
