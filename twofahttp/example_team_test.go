package twofahttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/twofahttp"
)

// An owner opens the list of members and downloads it, and a member may not.
func Example_team() {
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{Issuer: "Acme", Store: memstore.New(), Keys: keys, Directory: staff{}})
	if err != nil {
		panic(err)
	}
	web, err := twofahttp.New(twofahttp.Config{Manager: m, Sessions: &sessions{byID: map[string]string{}}, Team: staff{}.list})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/2fa/", web.Handler())
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// The password has been verified.
		web.FirstFactor(w, r, twofa.FirstFactor{UserID: r.PostFormValue("user"), Account: "acme", By: twofa.ByPassword}, "/2fa/team")
	})
	srv := httptest.NewTLSServer(mux)
	defer srv.Close()

	for _, user := range []string{"grace", "linus"} {
		client := srv.Client()
		client.Jar, _ = cookiejar.New(nil)
		page, err := client.PostForm(srv.URL+"/login", url.Values{"user": {user}}) // and follows the redirect to the list
		if err != nil {
			panic(err)
		}
		_ = page.Body.Close()
		fmt.Println(user, page.Request.URL.Path, page.StatusCode)
		file, err := client.Get(srv.URL + "/2fa/team.csv?q=example.com&state=off")
		if err != nil {
			panic(err)
		}
		text, _ := io.ReadAll(file.Body)
		_ = file.Body.Close()
		if file.StatusCode == http.StatusOK {
			fmt.Println(strings.ReplaceAll(string(text), "\r", ""))
		}
	}
	// Output:
	// grace /2fa/team 200
	// name,email,role,state,methods,codes_left,last_login,last_proof,due,lost,case
	// Linus,linus@example.com,member,off,,0,,,,,
	//
	// linus /2fa/team 403
}

// staff is the host's directory, and its list of members.
type staff struct{}

var employees = []twofa.User{
	{ID: "linus", Name: "linus@example.com", Members: []twofa.Member{{Account: "acme"}}},
	{ID: "grace", Name: "grace@acme.example", Members: []twofa.Member{{Account: "acme", Role: twofa.RoleOwner}}},
}

// Users implements twofa.Directory.
func (staff) Users(_ context.Context, ids ...string) (found []twofa.User, err error) {
	for _, u := range employees {
		if slices.Contains(ids, u.ID) {
			found = append(found, u)
		}
	}
	return found, nil
}

// list is Config.Team. The cursor is the ID of the last member of the part before.
func (staff) list(_ context.Context, q twofahttp.TeamQuery) (page twofahttp.TeamPage, err error) {
	skip := q.After != ""
	for _, u := range employees {
		switch wanted := (q.ID == "" || q.ID == u.ID) && strings.Contains(u.Name, q.Search); {
		case skip:
			skip = u.ID != q.After
		case wanted && len(page.Members) == q.Limit:
			page.Next = page.Members[q.Limit-1].ID
			return page, nil
		case wanted && u.Members[0].Account == q.Account:
			page.Members = append(page.Members, twofahttp.TeamMember{ID: u.ID, Name: strings.ToUpper(u.ID[:1]) + u.ID[1:], Email: u.Name})
		}
	}
	return page, nil
}
