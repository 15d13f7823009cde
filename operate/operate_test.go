package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/event"
	"github.com/twofa-go/twofa/internal/harness"
	"github.com/twofa-go/twofa/twofatest"
)

var updateHelp = flag.Bool("help.update", false, "rewrite testdata/help.txt")

// product is a host whose staff use the program.
type product struct {
	t     *testing.T
	store *memstore.Store
	clock *twofatest.Clock
	out   *twofatest.Outbox
	users map[string]twofa.User
	dir   error // of the directory
	cfg   Config
	tty   bool
	typed string
}

func newProduct(t *testing.T) *product {
	p := &product{t: t, store: memstore.New(), clock: twofatest.NewClock(harness.Start), out: &twofatest.Outbox{}, users: map[string]twofa.User{}}
	for _, id := range []string{"ada", "bob", "eve"} {
		p.users[id] = twofa.User{ID: id, Name: id + "@example.com", Emails: []string{id + "@example.com"},
			Members: []twofa.Member{{Account: "acme", Role: twofa.RoleAdmin}}}
	}
	bob := p.users["bob"]
	bob.Emails = nil
	p.users["bob"] = bob
	p.cfg = Config{Manager: p.manager(p.store, twofatest.KeyRing(t, "operate")), Store: p.store, Directory: p, Command: "acme operate", ResetAtOnce: true,
		isTerminal: func(any) bool { return p.tty }}
	return p
}

func (p *product) manager(store twofa.Store, keys twofa.KeyRing) *twofa.Manager {
	p.t.Helper()
	m, err := twofa.New(twofa.Config{Issuer: "Acme", Store: store, Keys: keys, Directory: p, Now: p.clock.Now,
		Mail: twofa.MailConfig{Mailer: p.out, LinkURL: func(l twofa.LinkRequest) string { return "https://acme.example/" + l.Token.Reveal() },
			CaseURL: func(l twofa.LinkRequest) string { return "https://acme.example/case/" + l.Token.Reveal() }}})
	require.NoError(p.t, err)
	return m
}

func (p *product) Users(_ context.Context, ids ...string) (found []twofa.User, err error) {
	if p.dir != nil {
		return nil, p.dir
	}
	for _, id := range ids {
		if u, ok := p.users[id]; ok {
			found = append(found, u)
		}
	}
	return found, nil
}

// enroll gives a user an authenticator app.
func (p *product) enroll(id string) {
	p.t.Helper()
	app := twofa.ImportFactor{Key: twofa.NewSecret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), Name: id + "'s phone"}
	_, err := p.cfg.Manager.User(twofa.AsHost("test"), id).Import(p.t.Context(), app)
	require.NoError(p.t, err)
}

// run runs the program.
func (p *product) run(args ...string) (exit int, stdout, stderr string) {
	p.t.Helper()
	var out, errs bytes.Buffer
	p.cfg.Stdin, p.cfg.Stdout, p.cfg.Stderr = strings.NewReader(p.typed), &out, &errs
	exit = Main(p.t.Context(), p.cfg, args)
	return exit, out.String(), errs.String()
}

// must runs a command that succeeds and returns what it prints.
func (p *product) must(args ...string) string {
	p.t.Helper()
	exit, stdout, stderr := p.run(args...)
	require.Equal(p.t, exitDone, exit, stderr)
	return stdout
}

// refused runs a command that fails with a message and changes nothing.
func (p *product) refused(exit int, message string, args ...string) {
	p.t.Helper()
	before := p.snapshot()
	got, stdout, stderr := p.run(args...)
	require.Equal(p.t, exit, got, "%s%s", stdout, stderr)
	require.Contains(p.t, stderr, message)
	require.Contains(p.t, stderr, "acme operate")
	require.Equal(p.t, before, p.snapshot())
}

// snapshot returns the versions of all records, and the events.
func (p *product) snapshot() (all []string) {
	keys, err := p.store.Keys(p.t.Context(), "", 1000)
	require.NoError(p.t, err)
	records, err := p.store.Get(p.t.Context(), keys...)
	require.NoError(p.t, err)
	for _, r := range records {
		all = append(all, r.Key+" "+r.Version)
	}
	for _, e := range p.events(twofa.EventQuery{}) {
		all = append(all, e.ID)
	}
	return all
}

func (p *product) events(q twofa.EventQuery) []twofa.Event {
	p.t.Helper()
	page, err := p.store.Events(p.t.Context(), q)
	require.NoError(p.t, err)
	return page.Events
}

func (p *product) factors(id string) int {
	p.t.Helper()
	d, err := p.cfg.Manager.User(twofa.AsHost("test"), id).Export(p.t.Context())
	require.NoError(p.t, err)
	return len(d.Factors)
}

func TestUsageErrors(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	by := []string{"-by", "sam", "-reason", "ticket 4711"}
	long := strings.Repeat("x", 496)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"name a command", nil},
		{`there is no command "rest"`, []string{"rest", "ada"}},
		{`there is no command "nonsense"`, []string{"help", "nonsense"}},
		{"USER is missing", []string{"status"}},
		{"USER is missing", append([]string{"revoke"}, by...)},
		{`"bob" is one argument too many`, []string{"status", "ada", "bob"}},
		{"flag provided but not defined: -jsn", []string{"status", "ada", "-jsn"}},
		{"flag provided but not defined: -by", []string{"status", "ada", "-by", "sam"}},
		{"-by: required", []string{"revoke", "ada"}},
		{"-by: required", []string{"reset", "ada", "-yes", "-reason", "lost"}},
		{"-by: must be 1 to 255 bytes", []string{"revoke", "ada", "-by", " sam", "-reason", "x"}},
		{"-by: must be 1 to 255 bytes", []string{"revoke", "ada", "-by", "s\x1b[2Jam", "-reason", "x"}},
		{"-reason: required", []string{"revoke", "ada", "-by", "sam"}},
		{"-reason: required", []string{"erase", "ada", "-by", "sam", "-yes"}},
		{"-reason: required", []string{"revoke", "ada", "-by", "sam", "-reason", " \n"}},
		{"-reason: must be at most 495 bytes, has 496", []string{"revoke", "ada", "-by", "sam", "-reason", long}},
		{"USER: twofa: user ID: must be 1 to 255 bytes", append([]string{"revoke", "a\nb"}, by...)},
		{"USER: twofa: user ID: must be 1 to 255 bytes", append([]string{"revoke", ""}, by...)},
		{"USER: twofa: user ID: must be 1 to 255 bytes", []string{"status", " ada"}},
		{"METHOD is missing", append([]string{"unlock", "ada"}, by...)},
		{`METHOD: must be totp, sms or recovery, is "email"`, append([]string{"unlock", "ada", "email"}, by...)},
		{"-yes: required", append([]string{"reset", "ada"}, by...)},
		{"-yes: required", append([]string{"erase", "ada"}, by...)},
		{"flag provided but not defined: -in-person", append([]string{"revoke", "ada", "-in-person"}, by...)},
		{"-workers: must be 1 to 64, is 0", []string{"rekey", "-workers", "0"}},
		{`invalid value "many"`, []string{"rekey", "-workers", "many"}},
		{`"ada" is one argument too many`, []string{"rekey", "ada"}},
		{"want a date such as 2026-01-31", []string{"export", "-since", "yesterday"}},
		{"-since: must be before -until", []string{"export", "-since", "2026-01-02", "-until", "2026-01-01"}},
		{"-until: must be at least a minute ago", []string{"export", "-until", "2999-01-01"}},
		{"-until: required with -after", []string{"export", "-after", "1.1"}},
		{"-after: ", []string{"export", "-after", "nonsense", "-until", "2026-01-01"}},
		{"flag provided but not defined: -json", []string{"export", "-json"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			p.t = t
			p.refused(exitUsage, c.want, c.args...)
		})
	}
}

func TestRefusals(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	by := []string{"-by", "sam", "-reason", "ticket 4711", "-yes"}
	for _, name := range []string{"revoke", "reset", "erase"} {
		args := append([]string{name, "adda"}, by[:4]...)
		p.refused(exitFailed, `there is no user "adda"`, args...)
	}
	p.refused(exitFailed, `there is no user "adda"`, "status", "adda")
	p.refused(exitFailed, "user bob (bob@example.com) has no address to which a link can be mailed", append([]string{"reset", "bob"}, by...)...)
	p.refused(exitFailed, "user eve (eve@example.com) has no factor", append([]string{"unlock", "eve", "totp"}, by[:4]...)...)
}

// Flags may come before and after the operands, because people type them in any
// order.
func TestFlagsInAnyOrder(t *testing.T) {
	p := newProduct(t)
	p.users["-x"] = twofa.User{ID: "-x"}
	for _, args := range [][]string{
		{"revoke", "ada", "-by", "sam", "-reason", "ticket 4711"},
		{"revoke", "-by", "sam", "ada", "-reason=ticket 4711"},
		{"revoke", "--by=sam", "-reason", "ticket 4711", "ada"},
		{"revoke", "-by", "sam", "-reason", "ticket 4711", "--", "-x"},
	} {
		p.must(args...)
		e := p.events(twofa.EventQuery{Limit: 1})[0]
		require.Equal(t, event.Revoked, e.Type)
		require.Equal(t, twofa.EventActor{Kind: "staff", ID: "sam"}, e.Actor)
		require.Equal(t, "ticket 4711", e.Reason)
		require.Equal(t, args[len(args)-1] == "-x", e.User == "-x")
	}
}

func TestRevoke(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	require.Equal(t, "All sessions of user ada (ada@example.com) have ended. The factors remain.\n", p.must("revoke", "ada", "-by", "sam", "-reason", "laptop stolen"))
	require.Equal(t, 1, p.factors("ada"))
	var printed map[string]string
	require.NoError(t, json.Unmarshal([]byte(p.must("revoke", "ada", "-by", "sam", "-reason", "again", "-json")), &printed))
	require.Equal(t, map[string]string{"command": "revoke", "user": "ada", "by": "sam", "reason": "again",
		"message": "All sessions of user ada (ada@example.com) have ended. The factors remain."}, printed)
}

// Sessions can be ended after the user was deleted, and while the directory is down.
func TestRevoke_WithoutDirectory(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	p.enroll("bob")
	delete(p.users, "ada")
	require.Contains(t, p.must("revoke", "ada", "-by", "sam", "-reason", "x"), "user ada have ended")
	p.dir = errors.New("down\x1b[2J")
	exit, _, stderr := p.run("revoke", "bob", "-by", "sam", "-reason", "x")
	require.Equal(t, exitDone, exit)
	require.Contains(t, stderr, "Warning: the directory cannot be read")
	require.NotContains(t, stderr, "\x1b")
	p.refused(exitFailed, "temporarily unavailable: directory: down", "revoke", "eve", "-by", "sam", "-reason", "x")
}

func TestReset(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	p.enroll("bob")
	reset := []string{"reset", "ada", "-by", "sam", "-reason", "phone lost"}
	p.tty, p.typed = true, "Ada\n"
	p.refused(exitFailed, "that is not the user ID", reset...)
	p.typed = "" // end of input
	p.refused(exitFailed, "that is not the user ID", reset...)
	p.typed = "ada\n"
	_, stdout, stderr := p.run(reset...)
	require.Equal(t, "User: ada (ada@example.com)\nThis removes all factors, recovery codes and known browsers, and ends all sessions. It cannot be undone.\nType the user ID to continue: ", stderr)
	require.Equal(t, "User ada (ada@example.com) was reset. At the next sign-in, the user must open a link at their own address before enrolling.\n", stdout)
	require.Zero(t, p.factors("ada"))
	e := p.events(twofa.EventQuery{User: "ada", Limit: 1})[0]
	require.Equal(t, []string{event.Reset, "host", "sam: phone lost"}, []string{e.Type, e.Actor.Kind, e.Reason})

	require.Contains(t, p.must("reset", "bob", "-in-person", "-yes", "-by", "sam", "-reason", "came to the office"), "must sign in and enroll within 24 hours")
	require.Zero(t, p.factors("bob"))
	p.enroll("eve")
	p.dir = errors.New("down")
	p.refused(exitFailed, "the directory cannot be read", "reset", "eve", "-yes", "-by", "sam", "-reason", "x")
	p.dir = nil
	delete(p.users, "eve")
	p.refused(exitFailed, `the directory does not return user "eve"`, "reset", "eve", "-yes", "-by", "sam", "-reason", "x")
}

// Unless the host allows it, staff cannot reset a user at once, nor erase one who is
// still in the product, which would do the same.
func TestAbuse_N01_StaffCannotResetAtOnce(t *testing.T) {
	p := newProduct(t)
	p.cfg.ResetAtOnce = false
	p.enroll("ada")
	by := []string{"ada", "-yes", "-by", "sam", "-reason", "the caller says it is urgent"}
	p.refused(exitFailed, "this product does not let staff reset a user at once", append([]string{"reset", "-in-person"}, by...)...)
	p.refused(exitFailed, "user ada (ada@example.com) is still in the product", append([]string{"erase"}, by...)...)
	p.dir = errors.New("down")
	p.refused(exitFailed, `it is not known whether user "ada" is still in the product`, append([]string{"erase"}, by...)...)
	p.dir = nil
	delete(p.users, "ada")
	p.must(append([]string{"erase"}, by...)...)
}

// The question ends at a signal, although a terminal cannot be interrupted.
func TestReset_InterruptedQuestion(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	p.tty = true
	ctx, cancel := context.WithCancel(t.Context())
	never, w := io.Pipe()
	defer w.Close()
	var errs bytes.Buffer
	p.cfg.Stdin, p.cfg.Stdout, p.cfg.Stderr = never, io.Discard, writerFunc(func(b []byte) {
		if errs.Write(b); strings.Contains(errs.String(), "Type the user ID") {
			cancel()
		}
	})
	require.Equal(t, exitFailed, Main(ctx, p.cfg, []string{"reset", "ada", "-by", "sam", "-reason", "x"}))
	require.Contains(t, errs.String(), "reset: interrupted\nNothing was changed.\n")
	require.Equal(t, 1, p.factors("ada"))
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

func TestErase(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	erase := []string{"erase", "ada", "-yes", "-by", "sam", "-reason", "request of 2 March"}
	require.Contains(t, p.must(erase...), "Everything that was stored about user ada (ada@example.com) is deleted, except events.")
	e := p.events(twofa.EventQuery{User: "ada", Limit: 1})[0]
	require.Equal(t, []string{event.Erased, "host", "", "sam: request of 2 March"}, []string{e.Type, e.Actor.Kind, e.Actor.ID, e.Reason})
	require.Contains(t, p.must(erase...), "Nothing is stored about user ada (ada@example.com).")
	delete(p.users, "ada")
	p.refused(exitFailed, `there is no user "ada"`, erase...)
	p.enroll("eve")
	delete(p.users, "eve")
	require.Contains(t, p.must("erase", "eve", "-yes", "-by", "sam", "-reason", "x"), "user eve is deleted")
	e = p.events(twofa.EventQuery{User: "eve", Limit: 1})[0]
	require.Equal(t, []string{event.Erased, "staff", "sam", "x"}, []string{e.Type, e.Actor.Kind, e.Actor.ID, e.Reason})
}

func TestUnlock(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	lock := func() {
		t.Helper()
		for range 8 {
			r, err := p.cfg.Manager.Begin(t.Context(), twofa.FirstFactor{UserID: "ada", Account: "acme", By: twofa.ByPassword})
			require.NoError(t, err)
			_, err = p.cfg.Manager.Verify(t.Context(), twofa.Caller{Account: "acme"}, r.Challenge, twofa.Proof{Method: twofa.TOTP, Code: twofa.NewSecret("000000")})
			require.Error(t, err)
		}
	}
	unlock := []string{"unlock", "ada", "totp", "-by", "sam", "-reason", "typed the wrong app's codes"}
	for range 3 {
		lock()
		require.Contains(t, p.must("status", "ada"), "locked until 2026-03-02 09:01 UTC")
		require.Equal(t, "Method totp of user ada (ada@example.com) is not locked.\n", p.must(unlock...))
		require.NotContains(t, p.must("status", "ada"), "locked")
	}
	e := p.events(twofa.EventQuery{User: "ada", Types: []string{event.Unlocked}})
	require.Len(t, e, 3)
	require.Equal(t, "sam", e[0].Actor.ID)
	lock()
	p.refused(exitFailed, "were unlocked or eased three times in 30 days", unlock...)
}

func TestStatus_Case(t *testing.T) {
	p := newProduct(t)
	p.enroll("bob")
	opened, err := p.cfg.Manager.User(twofa.AsStaff("sam", "lost"), "bob").OpenCase(t.Context(), twofa.ResetRequest{InPerson: true})
	require.NoError(t, err)
	require.Contains(t, p.must("status", "bob"), "Support case    "+opened.ID+", opened 2026-03-02 09:00 UTC by sam, until 2026-03-09 09:00 UTC, 0 approvals\n")
	var printed userStatus
	require.NoError(t, json.Unmarshal([]byte(p.must("status", "bob", "-json")), &printed))
	require.Equal(t, &caseStatus{ID: opened.ID, By: "sam", Opened: opened.Opened, Expires: opened.Expires}, printed.Case)
}

func TestStatus(t *testing.T) {
	p := newProduct(t)
	require.Equal(t, "User           ada\nName           ada@example.com\nAddresses      a•••@example.com\nSecond factor  nothing is stored: never signed in, or erased\n", p.must("status", "ada"))
	p.enroll("ada")
	before := p.snapshot()
	require.Equal(t, `User            ada
Name            ada@example.com
Addresses       a•••@example.com
Last login      -
Recovery codes  none
Known browsers  0

FACTOR  NAME         ADDED                 LAST USED
totp    ada's phone  2026-03-02 09:00 UTC  2026-03-02 09:00 UTC

ACCOUNT  ROLE   STATE  LAST LOGIN  DUE
acme     admin  on     -           -
`, p.must("status", "ada"))
	var printed userStatus
	require.NoError(t, json.Unmarshal([]byte(p.must("status", "-json", "ada")), &printed))
	require.Equal(t, userStatus{User: "ada", Name: "ada@example.com", InDirectory: true, Stored: true, Addresses: []string{"a•••@example.com"},
		Factors:  []factorStatus{{Method: twofa.TOTP, Name: "ada's phone", Added: harness.Start, LastUsed: harness.Start}},
		Failures: []failureStatus{}, Accounts: []accountStatus{{Account: "acme", Role: twofa.RoleAdmin, State: twofa.StateOn}}}, printed)
	require.Equal(t, before, p.snapshot(), "reading changes nothing and records no event")
}

// Names come from users, who could choose one that rewrites the terminal of the
// support.
func TestAbuse_Q08_NamesDoNotControlTheTerminal(t *testing.T) {
	p := newProduct(t)
	ada := p.users["ada"]
	ada.Name = "ada\x1b[2J\u009b31m\u202eevil\x7f\r\n"
	ada.Emails = []string{"\x1b@example.com"}
	p.users["ada"] = ada
	p.enroll("ada")
	p.tty, p.typed = true, "ada\n"
	for _, args := range [][]string{
		{"status", "ada"}, {"status", "ada", "-json"},
		{"revoke", "ada", "-by", "sam", "-reason", "x"}, {"revoke", "ada", "-by", "sam", "-reason", "x", "-json"},
		{"reset", "ada", "-by", "sam", "-reason", "x\x1b[2J\u009b"}, {"erase", "ada", "-by", "sam", "-reason", "x"},
		{"status", "\x1b[2J"}, {"\x1b[2J"}, {"status", "ada", "-\x1b[2J"}, {"export"},
	} {
		_, stdout, stderr := p.run(args...)
		require.NotRegexp(t, `[\x00-\x09\x0b-\x1f\x7f\x{80}-\x{9f}\x{202e}]`, stdout+stderr, "%q", args)
	}
	var printed userStatus
	p.enroll("eve")
	p.users["eve"] = twofa.User{ID: "eve", Name: ada.Name}
	require.NoError(t, json.Unmarshal([]byte(p.must("status", "eve", "-json")), &printed))
	require.Equal(t, ada.Name, printed.Name, "JSON escapes what the table leaves out")
}

func TestFindUser(t *testing.T) {
	p := newProduct(t)
	p.cfg.FindUser = func(_ context.Context, typed string) (string, error) {
		switch typed {
		case "ada@example.com":
			return "ada", nil
		case "down":
			return "", errors.New("connection refused")
		}
		return "", twofa.ErrNoUser
	}
	require.Contains(t, p.must("status", "ada@example.com"), "User           ada\n")
	require.Contains(t, p.must("status", "bob"), "User           bob\n")
	p.refused(exitFailed, "Config.FindUser: connection refused", "status", "down")
	_, stdout, _ := p.run("help")
	require.Contains(t, stdout, "such as an email address")
}

// If the host has authenticated the member of staff, nobody can write another
// name.
func TestBy(t *testing.T) {
	p := newProduct(t)
	p.cfg.By = "sam"
	p.must("revoke", "ada", "-reason", "x")
	require.Equal(t, "sam", p.events(twofa.EventQuery{Limit: 1})[0].Actor.ID)
	p.refused(exitUsage, "flag provided but not defined: -by", "revoke", "ada", "-by", "eve", "-reason", "x")
	p.cfg.By = "s\nam"
	p.refused(exitFailed, "Config.By", "revoke", "ada", "-reason", "x")
}

func TestConfigErrors(t *testing.T) {
	for field, forget := range map[string]func(*Config){
		"Manager":   func(c *Config) { c.Manager = nil },
		"Store":     func(c *Config) { c.Store = nil },
		"Directory": func(c *Config) { c.Directory = nil },
	} {
		p := newProduct(t)
		forget(&p.cfg)
		p.refused(exitFailed, "Config."+field+": required", "status", "ada")
	}
}

// An error of the store says that it is not known what has happened.
func TestUnavailableStore(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	faults := &harness.FaultStore{Store: p.store}
	p.cfg.Manager, p.cfg.Store = p.manager(faults, twofatest.KeyRing(t, "operate")), faults
	by := []string{"-by", "sam", "-reason", "x"}
	faults.Refuse = func(twofa.Record) error { return errors.New("disk full") }
	for _, name := range []string{"revoke", "reset", "erase"} {
		args := append([]string{name, "ada"}, by...)
		if name != "revoke" {
			args = append(args, "-yes")
		}
		p.refused(exitFailed, "disk full", args...)
		_, _, stderr := p.run(args...)
		require.Contains(t, stderr, "It is not known whether the change was made. Run the command again")
	}
	faults.Read = func([]string) error { return errors.New("connection refused") }
	p.refused(exitFailed, "connection refused", append([]string{"revoke", "ada"}, by...)...)
	p.refused(exitFailed, "connection refused", "status", "ada")
	_, _, stderr := p.run("status", "ada")
	require.Contains(t, stderr, "Nothing was changed. Run the command again.")
	p.refused(exitFailed, "cannot list its keys", "rekey")
	p.refused(exitFailed, "cannot list its events", "export")
}

// A record that cannot be read can only be erased.
func TestUnreadableRecord(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	p.cfg.Manager = p.manager(p.store, twofatest.KeyRing(t, "another"))
	_, _, stderr := p.run("status", "ada")
	require.Contains(t, stderr, `acme operate status: twofa: record "user/ada": `)
	require.Contains(t, stderr, "Run this program with the same keys")
	p.refused(exitFailed, `record "user/ada"`, "reset", "ada", "-yes", "-by", "sam", "-reason", "x")
	p.must("erase", "ada", "-yes", "-by", "sam", "-reason", "x")
}

// One account that cannot be read does not hide the others.
func TestStatus_UnreadableAccount(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	require.NoError(t, p.store.Swap(t.Context(), "", twofa.Record{Key: "account/beta", Version: "v", Data: []byte("x")}))
	ada := p.users["ada"]
	ada.Members = append(ada.Members, twofa.Member{Account: "beta"})
	p.users["ada"] = ada
	exit, stdout, stderr := p.run("status", "ada")
	require.Equal(t, exitFailed, exit)
	require.Regexp(t, `acme +admin +on `, stdout)
	require.Regexp(t, `beta +member +cannot be read `, stdout)
	require.Contains(t, stderr, "account beta: ")
}

func TestHelp(t *testing.T) {
	p := newProduct(t)
	_, shown, _ := p.run("help")
	for _, cmd := range commands() {
		_, stdout, stderr := p.run("help", cmd.name)
		require.Empty(t, stderr)
		shown += "\n$ acme operate help " + cmd.name + "\n" + stdout
		exit, again, _ := p.run(cmd.name, "-h")
		require.Equal(t, exitDone, exit)
		require.Equal(t, stdout, again)
	}
	for line := range strings.Lines(shown) {
		require.LessOrEqual(t, len(line), 100, line)
	}
	if *updateHelp {
		require.NoError(t, os.WriteFile("testdata/help.txt", []byte(shown), 0o644))
	}
	want, err := os.ReadFile("testdata/help.txt")
	require.NoError(t, err)
	require.Equal(t, string(want), shown, "run go test ./operate -help.update and look at the difference")
	exit, stdout, stderr := p.run()
	require.Equal(t, exitUsage, exit)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "Usage: acme operate COMMAND [flags]")
}

func TestIsTerminal(t *testing.T) {
	file, err := os.Open("operate.go")
	require.NoError(t, err)
	defer file.Close()
	require.False(t, isTerminal(file))
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	require.False(t, isTerminal(null))
	if tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0); err == nil { // a new terminal, on Linux
		defer tty.Close()
		require.True(t, isTerminal(tty))
	}
	require.False(t, isTerminal(strings.NewReader("")))
	require.False(t, isTerminal(nil))
}

func TestCommandLine(t *testing.T) {
	require.Equal(t, `acme operate rekey -after 'user/o'\''neil $(x)'`, commandLine("acme operate", "rekey", "-after", "user/o'neil $(x)"))
	require.Equal(t, "x -user user/ada@example.com ''", commandLine("x", "-user", "user/ada@example.com", ""))
}

func TestGrouped(t *testing.T) {
	var got []string
	for _, n := range []int{0, 12, 999, 1000, 123456, 1234567} {
		got = append(got, grouped(n))
	}
	require.Equal(t, []string{"0", "12", "999", "1,000", "123,456", "1,234,567"}, got)
}

func TestWaitOf(t *testing.T) {
	var got []string
	for _, d := range []time.Duration{time.Millisecond, 90 * time.Second, 3 * time.Minute, 119 * time.Minute, 3 * time.Hour, 29*24*time.Hour + 1} {
		got = append(got, waitOf(d))
	}
	require.Equal(t, []string{"1 second", "90 seconds", "3 minutes", "119 minutes", "3 hours", "30 days"}, got)
}
