package twofahttp_test

import (
	"encoding/csv"
	"errors"
	"io"
	"mime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/twofahttp"
)

// table returns the rows of a download.
func table(t *testing.T, a answer) [][]string {
	t.Helper()
	require.Equal(t, 200, a.StatusCode, a.Body)
	all, err := csv.NewReader(strings.NewReader(a.Body)).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"name", "email", "role", "state", "methods", "codes_left", "last_login", "last_proof", "due", "lost", "case"}, all[0])
	return all[1:]
}

func TestTeamCSV_WholeList(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	o.hire(2100)
	b, _ := o.in("adam")
	o.require(withGrace)
	a := b.get("/2fa/team.csv")
	kind, params, err := mime.ParseMediaType(a.Header.Get("Content-Disposition"))
	require.NoError(t, err)
	require.Equal(t, "attachment", kind)
	require.Equal(t, "team-2026-03-01.csv", params["filename"])
	require.Equal(t, "text/csv; charset=utf-8", a.Header.Get("Content-Type"))
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	rows := table(t, a)
	require.Len(t, rows, 2105)
	require.Equal(t, []string{"Olga", "olga@example.com", "owner", "grace", "", "0", "", "", "2026-03-15T09:00:10Z", "", ""}, rows[0])
	require.Equal(t, []string{"Adam", "adam@example.com", "admin", "on", "totp", "10", "2026-03-01T09:00:10Z", "", "", "", ""}, rows[1])
	require.Equal(t, "member", rows[3][2])
	for _, q := range o.questions() {
		require.Equal(t, 1000, q.Limit)
	}
	require.Len(t, table(t, b.get("/2fa/team.csv?state=on")), 1)
	require.Len(t, table(t, b.get("/2fa/team.csv?q=MEMBER&state=grace")), 2100)
	require.Len(t, table(t, b.get("/2fa/team.csv?q=nobody")), 0)
	head := b.do(b.request("HEAD", "/2fa/team.csv", ""))
	require.Equal(t, 200, head.StatusCode)
	require.Empty(t, head.Body)
}

// No cell is a formula, and none has characters that a page would not show.
func TestTeamCSV_HasNoFormulas(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	for name, want := range map[string]string{
		`=HYPERLINK("http://evil.example","x")`: `'=HYPERLINK("http://evil.example","x")`,
		"+1+1":                                  "'+1+1",
		"-1":                                    "'-1",
		"@SUM(1)":                               "'@SUM(1)",
		"\t=1":                                  "'=1",
		"\r\n=1":                                "'=1",
		"\u202e=1":                              "'=1",
		"＝1":                                    "'＝1",
		"Mia, \"the\"\r\nmember":                `Mia, "the"member`,
		"Mia;=1":                                "Mia;'=1", // a spreadsheet in German splits here
		"Mia, \t@SUM(1)":                        "Mia, '@SUM(1)",
		"Mia=1":                                 "Mia=1",
		"":                                      "",
	} {
		o.answers(func(twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
			return twofahttp.TeamPage{Members: []twofahttp.TeamMember{{ID: "mia", Name: name, Email: name}}}, nil
		})
		row := table(t, b.get("/2fa/team.csv"))[0]
		require.Equal(t, []string{want, want}, row[:2], "%q", name)
	}
}

// download returns why a file is not complete, or nil. If nothing has arrived yet,
// the client sends the request again, so the answer may be an ordinary error.
func (b *browser) download(path string) error {
	res, err := b.client.Do(b.request("GET", path, ""))
	if err != nil {
		return err
	}
	if _, err = io.ReadAll(res.Body); err == nil && res.StatusCode != 200 {
		err = errors.New(res.Status)
	}
	_ = res.Body.Close()
	return err
}

// If a part of the list fails, the download fails. It never ends early as if it
// were complete.
func TestTeamCSV_FailsInTheMiddle(t *testing.T) {
	for name, second := range map[string]func(*office) (twofahttp.TeamPage, error){
		"the host's list": func(*office) (twofahttp.TeamPage, error) { return twofahttp.TeamPage{}, errors.New("down") },
		"the same cursor": func(*office) (twofahttp.TeamPage, error) { return twofahttp.TeamPage{Next: "1"}, nil },
		"the store": func(o *office) (twofahttp.TeamPage, error) {
			o.store.broken(errors.New("down"), false)
			return twofahttp.TeamPage{Members: []twofahttp.TeamMember{{ID: "mia"}}}, nil
		},
		"the role": func(o *office) (twofahttp.TeamPage, error) {
			o.members["adam"] = nil
			return twofahttp.TeamPage{Members: []twofahttp.TeamMember{{ID: "mia"}}}, nil
		},
		"a panic": func(*office) (twofahttp.TeamPage, error) { panic("hunter2") },
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t, twofa.PolicyOptional())
			b, _ := o.in("adam")
			o.answers(func(q twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
				if q.After == "" {
					return twofahttp.TeamPage{Members: []twofahttp.TeamMember{{ID: "mia", Name: "Mia"}}, Next: "1"}, nil
				}
				return second(o)
			})
			require.Error(t, b.download("/2fa/team.csv"))
			require.NotContains(t, o.logs.String(), "hunter2")
			if name == "a panic" {
				require.Contains(t, o.logs.String(), "twofahttp: panic")
			} else {
				require.Contains(t, o.logs.String(), "twofahttp: download aborted")
			}
		})
	}
}

// The cursors of a list that goes round in circles end the download.
func TestTeamCSV_Circle(t *testing.T) {
	o := newOffice(t, twofa.PolicyOptional())
	b, _ := o.in("adam")
	o.answers(func(q twofahttp.TeamQuery) (twofahttp.TeamPage, error) {
		return twofahttp.TeamPage{Next: map[string]string{"": "a", "a": "b", "b": "a"}[q.After]}, nil
	})
	require.Error(t, b.download("/2fa/team.csv"))
	require.Less(t, len(o.questions()), 10, "the client may try twice")
}
