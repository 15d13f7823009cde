package abuse

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/memstore"
	"github.com/twofa-go/twofa/internal/harness"
)

var updateLimits = flag.Bool("limits.update", false, "write the measured table to docs/limits.md")

const (
	limitsPage = "../../docs/limits.md"
	window     = 30 * 24 * time.Hour
)

// The ceilings that docs/limits.md states.
const (
	ceilingInWindow = 100
	ceilingInYear   = 799
)

// owner is what the owner does during the year of an attack.
type owner struct {
	name     string
	unknown  bool // signs in only in browsers that are new
	signsIn  bool // once a day
	password int  // changes the password after so many days, if not zero
	copied   bool // the attacker has a copy of the cookie of the owner's browser, and guesses only with it
}

var owners = []owner{
	{name: "never signs in"},
	{name: "signs in daily in a known browser", signsIn: true},
	{name: "signs in daily in unknown browsers", signsIn: true, unknown: true},
	{name: "changes the password every month", signsIn: true, password: 30},
	{name: "changes the password every ten days", signsIn: true, password: 10},
	{name: "signs in daily, and the attacker has a copy of the cookie", signsIn: true, copied: true},
}

// An attacker who has the password types wrong codes for a year, as fast as the
// locks allow. The table in docs/limits.md is what this test measures. After a
// change, update it with
//
//	go test -run C09_YearOfAttack ./internal/abuse -limits.update
func TestAbuse_C09_YearOfAttack(t *testing.T) {
	totp, sms := make([]attack, len(owners)), make([]attack, len(owners))
	t.Run("patterns", func(t *testing.T) {
		for i, o := range owners {
			t.Run("totp/"+o.name, func(t *testing.T) { t.Parallel(); totp[i] = year(t, o, twofa.TOTP) })
			t.Run("sms/"+o.name, func(t *testing.T) { t.Parallel(); sms[i] = year(t, o, twofa.SMS) })
		}
	})
	table := yearTable(totp, sms)
	t.Log("\n" + table)
	checkGenerated(t, limitsPage, "year of attack", table, *updateLimits, "-run C09_YearOfAttack ./internal/abuse -limits.update")
}

func yearTable(totp, sms []attack) string {
	var b strings.Builder
	b.WriteString("| the owner | TOTP: most in 30 days | in a year | guessed, one app | guessed, five apps | text message: most in 30 days | in a year | guessed | sign-ins refused |\n|---|---|---|---|---|---|---|---|---|\n")
	for i, o := range owners {
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %d | %d | %s | %d of %d |\n", o.name, totp[i].inWindow(), len(totp[i].wrong),
			guessed(len(totp[i].wrong), 3), guessed(len(totp[i].wrong), 5*3), sms[i].inWindow(), len(sms[i].wrong), guessed(len(sms[i].wrong), 1),
			totp[i].lockedOut+sms[i].lockedOut, totp[i].logins+sms[i].logins)
	}
	return b.String()
}

// guessed returns the probability that one of n codes is right, if so many of a
// million codes are right at a time.
func guessed(n, right int) string {
	return fmt.Sprintf("%.2f %%", 100*(1-math.Pow(1-float64(right)/1e6, float64(n))))
}

// checkGenerated compares the part of a page between two comments with a text,
// or writes it there.
func checkGenerated(t *testing.T, file, name, want string, update bool, command string) {
	t.Helper()
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	begin, end := []byte("<!-- begin: "+name+" -->\n"), []byte("<!-- end: "+name+" -->")
	before, rest, ok := bytes.Cut(page, begin)
	got, after, ended := bytes.Cut(rest, end)
	require.True(t, ok && ended, "%s: has no comments %q and %q", file, begin, end)
	if update {
		page = bytes.Join([][]byte{before, begin, []byte("\n" + want + "\n"), end, after}, nil)
		require.NoError(t, os.WriteFile(file, page, 0o666))
		return
	}
	require.Equal(t, "\n"+want+"\n", string(got), "%s: run go test %s", file, command)
}

// attack is an attack on one user by one method.
type attack struct {
	*world
	owner  *person // in the browser in which a factor was proven last
	method twofa.Method
	kept   *keyed

	eve     *person // in the browser in which the attacker guesses
	right   string  // code of the latest text message to the attacker
	guesses int
	wrong   []time.Time // when a wrong code was compared

	proven                          time.Time // when the owner proved a factor last
	sinceSuccess, logins, lockedOut int
}

// year runs an attack for a year.
func year(t *testing.T, o owner, m twofa.Method) attack {
	kept := &keyed{memstore.New(), map[string]bool{}}
	w := newWorld(t, func(c *twofa.Config) {
		c.OnEvent, c.Store = nil, kept
		if m == twofa.SMS {
			c.Policy.Methods = []twofa.Method{twofa.TOTP, twofa.SMS}
		}
	})
	a := attack{world: w, method: m, kept: kept}
	if m == twofa.SMS {
		a.owner = w.smsUser("ada")
	} else {
		a.owner = w.enrolled("ada")
	}
	a.proven = w.clock.Now()
	w.clock.Add(time.Hour)
	begin := w.clock.Now()
	for day := range 365 {
		a.until(begin.Add(time.Duration(day)*24*time.Hour+12*time.Hour), o)
		if o.signsIn {
			a.signIn(o)
		}
		if o.password > 0 && day%o.password == o.password-1 {
			a.changePassword(day)
		}
		a.until(begin.Add(time.Duration(day+1)*24*time.Hour), o)
		if !o.copied && a.clock.Now().Sub(a.proven) < 90*24*time.Hour {
			a.ownerGetsIn(t)
		}
	}
	if !o.copied {
		require.LessOrEqual(t, a.inWindow(), ceilingInWindow)
		require.LessOrEqual(t, len(a.wrong), ceilingInYear)
	}
	return a
}

// until lets the attacker guess until a time.
func (a *attack) until(end time.Time, o owner) {
	for a.clock.Now().Before(end) {
		err := a.guess(o)
		wait := twofa.RetryAfter(err)
		switch {
		case errors.Is(err, twofa.ErrInvalidCode):
			a.wrong = append(a.wrong, a.clock.Now())
			a.sinceSuccess++
		case wait == 0: // waiting does not help, but the owner may
			require.ErrorIs(a.t, err, twofa.ErrLocked)
			wait = time.Hour
		}
		a.clock.Add(min(wait, end.Sub(a.clock.Now())))
	}
}

// guess types a wrong code, by text message several for one message. It returns
// what the attacker learns.
func (a *attack) guess(o owner) error {
	a.guesses++
	if o.copied && a.sinceSuccess >= 10 {
		return twofa.ErrLocked // the browser no longer counts as known
	}
	if a.method == twofa.TOTP || a.eve == nil {
		if err := a.start(o); err != nil {
			return err
		}
	}
	code := fmt.Sprintf("%06d", a.guesses)
	switch {
	case a.method == twofa.TOTP:
		code = notNow(a.eve, a.guesses)
	case code == a.right:
		code = "999999"
	}
	err := a.eve.verify(a.method, code)
	if twofa.RetryAfter(err) > 0 || !errors.Is(err, twofa.ErrInvalidCode) {
		a.eve = nil // the text message is no longer valid
	}
	if errors.Is(err, twofa.ErrExpired) { // the password was changed
		return a.guess(o)
	}
	return err
}

// start begins a login, in a new browser or with the copied cookie.
func (a *attack) start(o owner) error {
	eve := a.owner.browser(fmt.Sprint("attack ", a.guesses))
	if o.copied {
		eve.client.Browser = a.owner.client.Browser
	}
	require.Equal(a.t, twofa.NextChallenge, eve.begin())
	if a.method == twofa.SMS {
		if err := eve.send(twofa.SMS); err != nil {
			return err
		}
		a.right = a.out.TextCode(a.t, number)
	}
	a.eve = eve
	return nil
}

// signIn lets the owner sign in, who succeeds in a known browser.
func (a *attack) signIn(o owner) {
	a.logins++
	p := *a.owner
	if o.unknown {
		p = *a.owner.browser(fmt.Sprint("owner ", a.logins))
	}
	if err := p.enter(a.method); err != nil {
		require.ErrorIs(a.t, err, twofa.ErrLocked)
		require.True(a.t, o.unknown, "the owner is locked out of a known browser")
		a.lockedOut++
		return
	}
	a.owner, a.proven, a.sinceSuccess = &p, a.clock.Now(), 0
}

func (a *attack) changePassword(day int) {
	a.setUser("ada", func(u *twofa.User) { u.SecurityStamp = fmt.Sprint("changed on day ", day) })
	require.NoError(a.t, a.User(twofa.AsUser(a.owner.caller(), ""), "ada").CredentialsChanged(a.t.Context()))
}

// ownerGetsIn checks, in a copy of the store, that the owner gets in from a known
// browser now.
func (a *attack) ownerGetsIn(t *testing.T) {
	cfg := a.cfg
	cfg.Store = a.kept.copy(t)
	m, err := twofa.New(cfg)
	require.NoError(a.t, err)
	require.NoError(a.t, a.owner.on(m).enter(a.method), "after %v", a.clock.Now().Sub(harness.Start))
}

// enter signs a person in with the password and a code.
func (p *person) enter(m twofa.Method) error {
	require.Equal(p.t, twofa.NextChallenge, p.begin())
	if m == twofa.TOTP {
		return p.verify(m, p.now())
	}
	if err := p.send(m); err != nil {
		return err
	}
	return p.verify(m, p.out.TextCode(p.t, number))
}

// inWindow returns the largest number of wrong codes in any 30 days.
func (a *attack) inWindow() (most int) {
	for i, first := range a.wrong {
		n := 0
		for _, at := range a.wrong[i:] {
			if at.Sub(first) < window {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// keyed is a store that can be copied, because it knows its keys.
type keyed struct {
	twofa.Store
	keys map[string]bool
}

func (s *keyed) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	s.keys[next.Key] = true
	return s.Store.Swap(ctx, prev, next, events...)
}

func (s *keyed) copy(t *testing.T) twofa.Store {
	records, err := s.Get(t.Context(), slices.Collect(maps.Keys(s.keys))...)
	require.NoError(t, err)
	other := memstore.New()
	for _, r := range records {
		require.NoError(t, other.Swap(t.Context(), "", r))
	}
	return other
}
