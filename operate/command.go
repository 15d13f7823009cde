package operate

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/twofa-go/twofa/internal/text"
)

// command is one command of the program.
type command struct {
	name     string
	operands []string // names of what follows, such as USER
	short    string   // one line for the list of commands
	long     string   // effect, and everything to know before
	example  string   // operands and flags of a call, except -by and -reason
	acts     bool     // needs -by and -reason, which are stored
	destroys bool     // cannot be undone, so that it asks again
	named    bool     // needs Config.By, because one person must not act under two names
	flags    func(fs *flag.FlagSet, o *options)
	run      func(c *console, ctx context.Context) error
}

// options are the arguments of a command.
type options struct {
	operands   []string
	by, reason string
	yes, json  bool

	inPerson bool

	workers int
	after   string

	user, account, actor, types, format string
	since, until, before                instant
}

// maxReason is how many bytes of a reason an event keeps. The reason of a reset
// begins with the name of the member of staff.
const maxReason = 500

func commands() []command {
	return []command{
		{name: "status", example: "u_4711", operands: []string{"USER"}, short: "show what a user has enrolled, and what is locked", run: (*console).status,
			long: "Shows the factors, recovery codes, locks and accounts of a user. It changes\nnothing and records no event. Phone numbers and addresses are masked."},
		{name: "revoke", example: "u_4711", operands: []string{"USER"}, short: "sign a user out everywhere", run: (*console).revoke, acts: true,
			long: "Ends all sessions of a user and forgets all remembered browsers. The factors\nremain. Use it if somebody else may be signed in as the user. If the password may\nbe known to somebody else, have it changed as well. The user is told by mail."},
		{name: "unlock", example: "u_4711 totp", operands: []string{"USER", "METHOD"}, short: "end the lock of a method after wrong codes", run: (*console).unlock, acts: true,
			long: "Ends the lock of one method of a user: totp, sms or recovery. It works three\ntimes in 30 days. A method that 100 wrong codes in a row have turned off stays\noff. The user is told by mail."},
		{name: "case", example: "u_4711", operands: []string{"USER"}, short: "show the support case of a user", run: (*console).showCase,
			long: "Shows the open support case of a user. It changes nothing and records no event."},
		{name: "case-open", example: "u_4711", operands: []string{"USER"}, short: "ask for a reset of a user who has lost everything", run: (*console).openCase, acts: true, named: true,
			long: "Opens a support case to reset a user. Another member of staff approves it, from 72\nhours to 7 days later, or two others from 24 hours on. The user is told at every\naddress of the last 30 days and can end it, and the admins of their accounts are\ntold. Verify who is asking: call back at a number that you have on file.",
			flags: func(fs *flag.FlagSet, o *options) {
				fs.BoolVar(&o.inPerson, "in-person", false, "you have verified the user's identity in person or by video; only for a user\nwho cannot be mailed a link, and then required")
			}},
		{name: "case-approve", example: "u_4711 CASE", operands: []string{"USER", "CASE"}, short: "approve the support case of a colleague", run: (*console).approveCase, acts: true, destroys: true, named: true,
			long: "Approves a case that somebody else has opened. The last approval that is needed\nresets the user at once. Look into the ticket yourself, and call the user back."},
		{name: "case-cancel", example: "u_4711 CASE", operands: []string{"USER", "CASE"}, short: "end a support case without a reset", run: (*console).cancelCase, acts: true, named: true,
			long: "Ends a case. Nothing is removed. The user and the admins are told by mail."},
		{name: "reset", example: "u_4711", operands: []string{"USER"}, short: "remove all factors of a user who has lost them", run: (*console).reset, acts: true, destroys: true,
			long: "Removes all factors, recovery codes and known browsers of a user, and ends all\nsessions, at once and without a support case. Products have to allow it. Verify\nfirst who is asking: after a reset, an attacker who has the password and the\nmailbox needs nothing else. Ask for a recovery code before, and for a second\ndevice. At the next sign-in, the user must open a link at their own address before\nthey can enroll again. The user is told by mail.",
			flags: func(fs *flag.FlagSet, o *options) {
				fs.BoolVar(&o.inPerson, "in-person", false, "you have verified the user's identity in person or by video; no link is\nneeded, and the user must sign in and enroll within 24 hours")
			}},
		{name: "erase", example: "u_4711", operands: []string{"USER"}, short: "delete everything that is stored about a user", run: (*console).erase, acts: true, destroys: true,
			long: "Deletes all second-factor state of a user who was deleted from the product. After\nit, the password alone may be enough to enroll a new factor, so it is refused for a\nuser who is still in the product, unless the product allows resets at once. Events\nremain. Nobody is told by mail."},
		{name: "erase-events", example: "u_4711", operands: []string{"USER"}, short: "erase the personal data of a deleted user from events", run: (*console).eraseEvents, destroys: true,
			long: "Removes the ID of a user who was deleted, their addresses and programs, and what\nthey gave as reasons from all events. What happened and when remains, and verify\nstill finds whether an event was changed or dropped. Run \"erase\" first. It can be\nrepeated, and continues where it stopped. It records no event. Exports and backups\nremain as they are."},
		{name: "delete-events", example: "-before 2024-01-01", short: "delete old events", run: (*console).deleteEvents, acts: true, destroys: true,
			long: "Deletes all events before a time that is at least 24 hours ago. It first stores\nthis time, your name and the reason, so that verify accepts that older events are\nmissing, and no others. Servers can run meanwhile. It can be repeated, and\ncontinues where it stopped.",
			flags: func(fs *flag.FlagSet, o *options) {
				fs.Var(&o.before, "before", "delete events before this `time`, such as 2026-01-31 or 2026-01-31T12:00:00Z;\nrequired")
			}},
		{name: "deliver", short: "mail the notices that no server has mailed", run: (*console).deliver,
			long: "Mails the notices that servers have left, because they were stopped or the mail\nserver did not answer. Run it once a minute, for example from cron, unless the\nservers call Manager.Deliver themselves. Several may run at the same time. If a\nnotice could not be mailed, the exit code is 1, and a later run tries it again."},
		{name: "rekey", example: "-workers 8", short: "encrypt all records again under the first key", run: (*console).rekey,
			long: "Encrypts all records that are under another key than the first one of the ring.\nRun it after the new key is the first one on every server, and once more right\nbefore you remove the old key. Events remain under the old key, so that verify\ncannot check them after that. It can be interrupted and repeated, and servers can\nrun meanwhile. Records of phone numbers under another key are deleted, because\nnobody counts with them any longer. It records no event.",
			flags: func(fs *flag.FlagSet, o *options) {
				fs.IntVar(&o.workers, "workers", 4, "`number` of records that are encrypted at the same time, 1 to 64")
				fs.StringVar(&o.after, "after", "", "continue after this `key`, which an interrupted run has printed")
			}},
		{name: "verify", short: "check that no event was changed or dropped", run: (*console).verify,
			long: "Reads all events and checks that they are those that the library wrote, and that\nnone was added, changed or dropped. Every key must be in the ring that an event\nhas ever been written under. It reads only. If it finds a problem, the exit code\nis 1."},
		{name: "export", example: "-since 2026-01-01 -until 2026-02-01 > january.jsonl", short: "write events as lines of JSON, or as a table", run: (*console).export,
			long: "Writes events to standard output, the oldest first, one JSON object a line. They\ncontain personal data, such as IP addresses. With -format csv, it writes a table in\nwhich no cell is a formula; see docs/admins.md. Without -until it ends a minute ago,\nbecause an event can be stored up to a minute after its time. The last message\nsays with which -since the next export continues.",
			flags: func(fs *flag.FlagSet, o *options) {
				fs.StringVar(&o.format, "format", formatLines, "`format` of the events: jsonl or csv")
				fs.StringVar(&o.user, "user", "", "only events about the user with this `ID`")
				fs.StringVar(&o.account, "account", "", "only events in the account with this `ID`")
				fs.StringVar(&o.actor, "actor", "", "only events that the actor with this `ID` caused")
				fs.StringVar(&o.types, "type", "", "only events of these `types`, with commas in between")
				fs.Var(&o.since, "since", "only events at this `time` or later, such as 2026-01-31 or\n2026-01-31T12:00:00Z")
				fs.Var(&o.until, "until", "only events before this `time`, at least a minute ago")
				fs.StringVar(&o.after, "after", "", "continue after this `cursor`, which an interrupted run has printed")
			}},
	}
}

func find(name string) (command, bool) {
	all := commands()
	i := slices.IndexFunc(all, func(cmd command) bool { return cmd.name == name })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

// instant is a flag with a time.
type instant struct{ time.Time }

func (t *instant) String() string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (t *instant) Set(s string) (err error) {
	if t.Time, err = time.Parse(time.DateOnly, s); err != nil {
		t.Time, err = time.Parse(time.RFC3339, s)
	}
	if err != nil {
		return errors.New("want a date such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z")
	}
	return nil
}

// flagSet returns the flags of a command, which write into o.
func (c *console) flagSet(cmd command, o *options) *flag.FlagSet {
	fs := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	if cmd.acts && c.By == "" && !cmd.named {
		fs.StringVar(&o.by, "by", "", "your `name`, as it must be in the event; required")
	}
	if cmd.acts {
		fs.StringVar(&o.reason, "reason", "", "why you do it, as `text` for the event, such as the number of a ticket; required")
	}
	if cmd.destroys {
		fs.BoolVar(&o.yes, "yes", false, "do not ask for confirmation")
	}
	if cmd.name != "export" {
		fs.BoolVar(&o.json, "json", false, "print JSON")
	}
	if cmd.flags != nil {
		cmd.flags(fs, o)
	}
	return fs
}

// parse reads the arguments of c.cmd, in which flags may also follow operands. It
// reports whether they ask for help.
func (c *console) parse(args []string) (help bool, err error) {
	fs := c.flagSet(c.cmd, &c.opt)
	for {
		err := fs.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			return true, nil
		case err != nil:
			return false, usagef("%v", err)
		}
		rest := fs.Args()
		if len(rest) == 0 {
			break
		}
		if i := len(args) - len(rest); i > 0 && args[i-1] == "--" {
			c.opt.operands = append(c.opt.operands, rest...)
			break
		}
		c.opt.operands = append(c.opt.operands, rest[0])
		args = rest[1:]
	}
	return false, c.checkOptions()
}

func (c *console) checkOptions() error {
	o := &c.opt
	if n := len(c.cmd.operands); len(o.operands) < n {
		return usagef("%s is missing", c.cmd.operands[len(o.operands)])
	} else if len(o.operands) > n {
		return usagef("%q is one argument too many; put text with spaces in quotes", o.operands[n])
	}
	if !c.cmd.acts {
		return nil
	}
	if c.By != "" {
		o.by = c.By
	}
	switch {
	case c.cmd.named && c.By == "":
		return &refusal{problem: "a case needs a name that the program itself knows, because one person could open and approve it under two names",
			next: "Set Config.By to the member of staff that your program has authenticated, for example by the account of the operating system. Nothing was changed."}
	case o.by == "":
		return usagef("-by: required: your name, as it must be in the event")
	case text.ValidateID("staff", o.by) != nil:
		return usagef("-by: must be 1 to 255 bytes without control characters or space around it, is %.64q", o.by)
	case text.Clean(o.reason, maxReason) == "":
		return usagef("-reason: required: why you do it, such as the number of a ticket")
	}
	if longest := maxReason - len(o.by) - len(": "); len(o.reason) > longest {
		return usagef("-reason: must be at most %d bytes, has %d", longest, len(o.reason))
	}
	return nil
}

// help writes the list of commands.
func (c *console) help(w io.Writer) {
	fmt.Fprintf(w, "Usage: %s COMMAND [flags]\n\n", c.name)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, cmd := range commands() {
		fmt.Fprintf(t, "  %s\t%s\n", strings.Join(append([]string{cmd.name}, cmd.operands...), " "), cmd.short)
	}
	fmt.Fprintf(t, "  help COMMAND\tshow the flags of a command\n")
	_ = t.Flush()
	users := "the ID of a user"
	if c.FindUser != nil {
		users = "the ID of a user, or what this product finds users by, such as an email address"
	}
	fmt.Fprintf(w, "\nUSER is %s.\nExit codes: 0 done, 1 refused or failed, 2 wrong arguments.\n", users)
}

// helpOn writes the help of a command.
func (c *console) helpOn(w io.Writer, cmd command) {
	example := cmd.example
	if cmd.acts && c.By == "" && !cmd.named {
		example += " -by sam"
	}
	if cmd.acts {
		example += ` -reason "ticket 4711"`
	}
	fmt.Fprintf(w, "Usage: %s [flags]\n\n%s\n", strings.Join(append([]string{c.name, cmd.name}, cmd.operands...), " "), cmd.long)
	fmt.Fprintf(w, "\nExample:\n  %s %s %s\n", c.name, cmd.name, strings.TrimSpace(example))
	fs := c.flagSet(cmd, &options{})
	fmt.Fprint(w, "\nFlags:\n")
	fs.SetOutput(w)
	fs.PrintDefaults()
}

func (c *console) helpFor(args []string) error {
	if len(args) == 0 {
		c.help(c.Stdout)
		return nil
	}
	cmd, ok := find(args[0])
	if !ok {
		return usagef("there is no command %q", args[0])
	}
	c.helpOn(c.Stdout, cmd)
	return nil
}
