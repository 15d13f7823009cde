package operate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/text"
)

// userStatus is what the command status shows. It is also its JSON.
type userStatus struct {
	User        string          `json:"user"`
	Name        string          `json:"name,omitempty"`
	InDirectory bool            `json:"in_directory"`
	Disabled    bool            `json:"disabled,omitempty"`
	Addresses   []string        `json:"addresses"` // masked
	Stored      bool            `json:"stored"`
	LastLogin   time.Time       `json:"last_login,omitzero"`
	Factors     []factorStatus  `json:"factors"`
	CodesLeft   int             `json:"recovery_codes_left"`
	CodesTotal  int             `json:"recovery_codes_total"`
	Browsers    int             `json:"known_browsers"`
	Remembered  int             `json:"remembered_browsers"`
	Failures    []failureStatus `json:"failures"`
	Reset       time.Time       `json:"reset,omitzero"` // after which no factor was enrolled yet
	Lost        time.Time       `json:"lost,omitzero"`  // when the device was reported as lost
	Case        *caseStatus     `json:"case,omitempty"`
	Accounts    []accountStatus `json:"accounts"`
}

type factorStatus struct {
	Method   twofa.Method `json:"method"`
	Name     string       `json:"name"`
	Phone    string       `json:"phone,omitempty"` // masked
	Added    time.Time    `json:"added,omitzero"`
	LastUsed time.Time    `json:"last_used,omitzero"`
}

// failureStatus are the wrong codes of a method, in one known browser or in all
// others.
type failureStatus struct {
	Method      twofa.Method `json:"method"`
	Known       bool         `json:"known_browser"`
	Consecutive int          `json:"consecutive"`
	Last        time.Time    `json:"last,omitzero"`
	LockedUntil time.Time    `json:"locked_until,omitzero"`
}

// caseStatus is the open support case.
type caseStatus struct {
	ID        string    `json:"id"`
	By        string    `json:"by"`
	Opened    time.Time `json:"opened"`
	Expires   time.Time `json:"expires"`
	Approvals int       `json:"approvals"`
	Suspended bool      `json:"suspended"`
}

type accountStatus struct {
	Account     string      `json:"account"`
	Role        twofa.Role  `json:"role,omitempty"`
	State       twofa.State `json:"state,omitempty"` // empty if the account cannot be read
	LastLogin   time.Time   `json:"last_login,omitzero"`
	Due         time.Time   `json:"due,omitzero"`
	LockedUntil time.Time   `json:"locked_until,omitzero"`
	Error       string      `json:"error,omitempty"`
}

func (c *console) status(ctx context.Context) error {
	p, err := c.look(ctx)
	if err != nil {
		return err
	}
	s, err := c.statusOf(ctx, p)
	if err != nil {
		return c.explain(err)
	}
	if c.opt.json {
		err = c.printJSON(s)
	} else {
		err = c.printStatus(s)
	}
	for _, a := range s.Accounts {
		if err == nil && a.Error != "" {
			err = &refusal{problem: "account " + a.Account + ": " + a.Error, next: "Run this program with the same keys and the same release as the servers. Nobody can sign in to an account that cannot be read."}
		}
	}
	return err
}

func (c *console) statusOf(ctx context.Context, p person) (userStatus, error) {
	s := userStatus{User: p.ID, Name: p.Name, InDirectory: p.exists, Disabled: p.Disabled, Stored: p.stored,
		Addresses: []string{}, Factors: []factorStatus{}, Failures: []failureStatus{}, Accounts: []accountStatus{}}
	for _, address := range p.Emails {
		s.Addresses = append(s.Addresses, text.MaskEmail(address))
	}
	reader := twofa.AsHost("status")
	d, err := c.Manager.User(reader, p.ID).Export(ctx)
	if err != nil {
		return s, err
	}
	s.LastLogin, s.CodesLeft, s.CodesTotal, s.Reset, s.Lost, s.Browsers = d.LastLogin, d.CodesLeft, d.CodesTotal, d.Reset, d.Lost, len(d.Browsers)
	if x := d.Case; x != nil {
		s.Case = &caseStatus{x.ID, x.By, x.Opened, x.Expires, len(x.Approvals), x.Suspended}
	}
	for _, f := range d.Factors {
		shown := factorStatus{Method: f.Method, Name: f.Name, Added: f.Added, LastUsed: f.LastUsed}
		if f.Phone != "" {
			shown.Phone = text.MaskPhone(f.Phone)
		}
		s.Factors = append(s.Factors, shown)
	}
	for _, b := range d.Browsers {
		if b.Remembered {
			s.Remembered++
		}
	}
	for _, f := range d.Failures {
		if f.Consecutive == 0 && !f.LockedUntil.After(d.Time) {
			continue
		}
		shown := failureStatus{Method: f.Method, Known: f.Browser != "", Consecutive: f.Consecutive, Last: f.Last}
		if f.LockedUntil.After(d.Time) {
			shown.LockedUntil = f.LockedUntil
		}
		s.Failures = append(s.Failures, shown)
	}
	seen := map[string]bool{}
	for _, m := range p.Members {
		if seen[m.Account] {
			continue
		}
		seen[m.Account] = true
		a := accountStatus{Account: m.Account, Role: m.Role}
		switch of, err := c.Manager.Account(reader, m.Account).Statuses(ctx, p.ID); {
		case err != nil:
			a.Error = oneLine(err.Error())
		case len(of) == 0:
			a.Error = "the user is no longer a member"
		default:
			a.Role, a.State, a.LastLogin, a.Due, a.LockedUntil = of[0].Role, of[0].State, of[0].LastLogin, of[0].Due, of[0].LockedUntil
		}
		s.Accounts = append(s.Accounts, a)
	}
	return s, nil
}

// summary returns the rows above the tables of factors, wrong codes and accounts.
func (s userStatus) summary() [][]string {
	rows := [][]string{{"User", s.User}, {"Name", s.Name}}
	switch {
	case !s.InDirectory:
		rows = append(rows, []string{"In the directory", "no"})
	case s.Disabled:
		rows = append(rows, []string{"Disabled", "yes, cannot sign in"})
	}
	rows = append(rows, []string{"Addresses", strings.Join(s.Addresses, ", ")})
	if !s.Stored {
		rows = append(rows, []string{"Second factor", "nothing is stored: never signed in, or erased"})
		return rows
	}
	codes := "none"
	if s.CodesTotal > 0 {
		codes = fmt.Sprintf("%d of %d unused", s.CodesLeft, s.CodesTotal)
	}
	browsers := fmt.Sprint(s.Browsers)
	if s.Remembered > 0 {
		browsers += fmt.Sprintf(", %d remembered", s.Remembered)
	}
	rows = append(rows, []string{"Last login", when(s.LastLogin)}, []string{"Recovery codes", codes}, []string{"Known browsers", browsers})
	if !s.Reset.IsZero() {
		rows = append(rows, []string{"Reset", when(s.Reset) + ", and not enrolled since"})
	}
	if !s.Lost.IsZero() {
		rows = append(rows, []string{"Reported as lost", when(s.Lost)})
	}
	if x := s.Case; x != nil {
		state := fmt.Sprintf("%d approvals", x.Approvals)
		if x.Suspended {
			state = "suspended, because the user has signed in"
		}
		rows = append(rows, []string{"Support case", fmt.Sprintf("%s, opened %s by %s, until %s, %s", x.ID, when(x.Opened), x.By, when(x.Expires), state)})
	}
	return rows
}

func (c *console) printStatus(s userStatus) error {
	if err := table(c.Stdout, s.summary()...); err != nil || !s.Stored {
		return err
	}
	factors := [][]string{{"FACTOR", "NAME", "ADDED", "LAST USED"}}
	for _, f := range s.Factors {
		factors = append(factors, []string{string(f.Method), strings.TrimSpace(f.Name + " " + f.Phone), when(f.Added), when(f.LastUsed)})
	}
	failures := [][]string{{"WRONG CODES", "IN", "IN A ROW", "LAST", "LOCKED UNTIL"}}
	for _, f := range s.Failures {
		where := "unknown browsers"
		if f.Known {
			where = "a known browser"
		}
		failures = append(failures, []string{string(f.Method), where, fmt.Sprint(f.Consecutive), when(f.Last), when(f.LockedUntil)})
	}
	accounts := [][]string{{"ACCOUNT", "ROLE", "STATE", "LAST LOGIN", "DUE"}}
	for _, a := range s.Accounts {
		state := string(a.State)
		switch {
		case a.Error != "":
			state = "cannot be read"
		case a.State == twofa.StateLocked && a.LockedUntil.IsZero():
			state = "locked, and waiting does not help"
		case a.State == twofa.StateLocked:
			state = "locked until " + when(a.LockedUntil)
		}
		role := "member"
		if a.Role != twofa.RoleMember {
			role = string(a.Role)
		}
		accounts = append(accounts, []string{a.Account, role, state, when(a.LastLogin), when(a.Due)})
	}
	for _, part := range [][][]string{factors, failures, accounts} {
		if len(part) == 1 {
			continue
		}
		fmt.Fprintln(c.Stdout)
		if err := table(c.Stdout, part...); err != nil {
			return err
		}
	}
	return nil
}
