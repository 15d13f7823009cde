// Package operate lets the staff of a product operate its second factor from a
// terminal. A host compiles it into a program of its own, which opens the
// database, the keys and the directory as its servers do:
//
//	cfg := operate.Config{Manager: m, Store: store, Directory: directory}
//	os.Exit(operate.Main(ctx, cfg, os.Args[1:]))
//
// The program then has commands such as "status", "reset" and "rekey". Its
// command "help" lists them, and [Operate] has an example of each.
//
// Whoever can run the program can remove the second factor of any user. It has no
// access control of its own, so only support may be able to run it; see
// [Config.By].
//
// [Operate]: https://github.com/twofa-go/twofa/blob/main/docs/operate.md
package operate

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/text"
)

// Config configures [Main]. Manager, Store and Directory are required.
type Config struct {
	// Manager acts on users. Its Config must be that of the product's servers, so
	// that a user who is reset is told by mail, and can be mailed a link.
	Manager *twofa.Manager
	// Store is the store of the Manager. The command rekey needs a
	// [twofa.KeyLister], export and verify need a [twofa.EventReader], and deliver
	// needs a [twofa.NoticeStore].
	Store twofa.Store
	// Directory is the directory of the Manager. It shows whether a user exists,
	// so that nobody acts on a mistyped ID.
	Directory twofa.Directory
	// FindUser returns the ID of the user that staff mean by a text, such as an
	// email address. If it returns an error that wraps [twofa.ErrNoUser], the text
	// is taken as an ID. It must not look for a name that users can choose freely:
	// an attacker could choose the address or ID of another user, and support
	// would then reset the wrong one. If nil, staff must type IDs.
	FindUser func(ctx context.Context, typed string) (id string, err error)
	// By is the name of the member of staff, if the host has authenticated them,
	// for example by the account of the operating system. Events contain it. It
	// must be 1 to 255 bytes of UTF-8 without control characters or surrounding
	// space. If empty, staff must pass the flag -by, and can write any name there.
	// The commands case-open, case-approve and case-cancel are refused then, because
	// one person could open a case and approve it under another name.
	By string
	// ResetAtOnce lets staff reset a user at once, and erase one who is still in the
	// directory. The event then has the actor of [twofa.AsHost], and the name of the
	// member of staff in its reason. An attacker who talks one of them into it needs
	// only the password and the mailbox of the user. If false, both are refused, and
	// staff open a support case; see [twofa.ManagedUser.OpenCase].
	ResetAtOnce bool
	// Command is how staff call the program, for help and messages, as in "acme
	// operate". If empty, it defaults to the name of the running program.
	Command string

	Stdin  io.Reader // if nil, it defaults to os.Stdin
	Stdout io.Writer // for results; if nil, it defaults to os.Stdout
	Stderr io.Writer // for questions, progress and errors; if nil, it defaults to os.Stderr

	isTerminal func(stream any) bool // if nil, it asks the operating system
	every      time.Duration         // between lines of progress if Stderr is not a terminal; if zero, it defaults to 5 seconds
}

// Main runs the command that args name, without the name of the program, and
// returns the code with which the program must exit:
//
//	0  the command has done what it was asked
//	1  it was refused, failed, was interrupted, or could not do all of it
//	2  the arguments are wrong, and nothing was done
//
// The first SIGINT or SIGTERM, and the end of ctx, interrupt rekey, export and
// deliver. They finish the records, the page or the notice that they have begun, and
// print how to continue. A second signal ends the program.
//
// Each command that changes something needs the name of the member of staff and a
// reason. The event has both, and the actor of [twofa.AsStaff], except after reset;
// see [Config.ResetAtOnce]. The commands rekey and deliver need neither, because they
// record no event. Main is not safe for concurrent use with the same streams.
func Main(ctx context.Context, cfg Config, args []string) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program
	c := newConsole(cfg)
	if err := cfg.problem(); err != nil {
		return c.fail(err)
	}
	err := c.run(ctx, args)
	if err == nil {
		return exitDone
	}
	return c.fail(err)
}

const (
	exitDone = iota
	exitFailed
	exitUsage
)

func (c Config) problem() error {
	switch {
	case c.Manager == nil:
		return errors.New("operate: Config.Manager: required")
	case c.Store == nil:
		return errors.New("operate: Config.Store: required")
	case c.Directory == nil:
		return errors.New("operate: Config.Directory: required")
	case c.By != "":
		return text.ValidateID("Config.By: staff", c.By)
	}
	return nil
}

// console is one run of the program.
type console struct {
	Config
	name string // how staff call the program
	cmd  command
	opt  options
}

func newConsole(cfg Config) *console {
	c := &console{Config: cfg, name: cmp.Or(cfg.Command, filepath.Base(os.Args[0]))}
	if c.Stdin == nil {
		c.Stdin = os.Stdin
	}
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	if c.isTerminal == nil {
		c.isTerminal = isTerminal
	}
	c.every = cmp.Or(c.every, 5*time.Second)
	return c
}

// isTerminal reports whether a stream is a terminal, or another device at which a
// person may type.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // standard input of services and cron jobs
	return err != nil || !os.SameFile(info, null)
}

// run parses the arguments and runs the command.
func (c *console) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		c.help(c.Stderr)
		return usagef("name a command")
	}
	name, args := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		return c.helpFor(args)
	}
	cmd, ok := find(name)
	if !ok {
		return usagef("there is no command %q", name)
	}
	c.cmd = cmd
	asked, err := c.parse(args)
	switch {
	case err != nil:
		return err
	case asked:
		c.helpOn(c.Stdout, cmd)
		return nil
	}
	return cmd.run(c, ctx)
}
