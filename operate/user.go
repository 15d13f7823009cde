package operate

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/text"
)

// person is the user that a command is about.
type person struct {
	twofa.User
	exists  bool // in the directory
	unknown bool // the directory cannot be read, so that the user may exist
	stored  bool // has a record
}

// label returns the user as text that can be printed to a terminal.
func (p person) label() string {
	if name := text.Clean(p.Name, 100); name != "" && name != p.ID {
		return p.ID + " (" + name + ")"
	}
	return p.ID
}

// look finds the user that the first operand names. A user whom neither the
// directory nor the store knows is refused, because the ID was probably mistyped.
// One whom only the store knows was probably deleted. If the directory fails, a
// user whom the store knows is returned even so, because it must be possible to
// end sessions then.
func (c *console) look(ctx context.Context) (person, error) {
	id := c.opt.operands[0]
	if c.FindUser != nil {
		switch found, err := c.FindUser(ctx, id); {
		case err == nil:
			id = found
		case !errors.Is(err, twofa.ErrNoUser):
			return person{}, c.explain(fmt.Errorf("%w: Config.FindUser: %w", twofa.ErrUnavailable, err))
		}
	}
	if err := text.ValidateID("user", id); err != nil {
		return person{}, usagef("USER: %v", err)
	}
	p := person{User: twofa.User{ID: id}}
	users, unavailable := c.Directory.Users(ctx, id)
	if unavailable != nil {
		users = nil
	}
	for _, u := range users {
		if u.ID == id {
			p.User, p.exists = u, true
		}
	}
	records, err := c.Store.Get(ctx, "user/"+id)
	if err != nil {
		return p, c.explain(fmt.Errorf("%w: store: %w", twofa.ErrUnavailable, err))
	}
	p.stored = len(records) > 0
	switch {
	case unavailable != nil && !p.stored:
		return p, c.explain(fmt.Errorf("%w: directory: %w", twofa.ErrUnavailable, unavailable))
	case unavailable != nil:
		p.unknown = true
		fmt.Fprintf(c.Stderr, "Warning: the directory cannot be read, so the name of the user is not known: %s\n", oneLine(unavailable.Error()))
	case !p.exists && !p.stored:
		return p, &refusal{problem: fmt.Sprintf("there is no user %q", id), next: "Check the spelling. Nothing was changed."}
	}
	return p, nil
}

// by returns the actor.
func (c *console) by() twofa.Actor { return twofa.AsStaff(c.opt.by, c.opt.reason) }

// asHost returns the actor of what only the host itself may do.
func (c *console) asHost() twofa.Actor { return twofa.AsHost(c.opt.by + ": " + c.opt.reason) }

func (c *console) revoke(ctx context.Context) error {
	p, err := c.look(ctx)
	if err != nil {
		return err
	}
	if err := c.Manager.User(c.by(), p.ID).Revoke(ctx); err != nil {
		return c.explain(err)
	}
	return c.done(p, "All sessions of user %s have ended. The factors remain.", p.label())
}

func (c *console) unlock(ctx context.Context) error {
	method := twofa.Method(c.opt.operands[1])
	switch method {
	case twofa.TOTP, twofa.SMS, twofa.RecoveryCode:
	default:
		return usagef("METHOD: must be %s, %s or %s, is %q", twofa.TOTP, twofa.SMS, twofa.RecoveryCode, method)
	}
	p, err := c.look(ctx)
	if err != nil {
		return err
	}
	switch err := c.Manager.User(c.by(), p.ID).Unlock(ctx, method); {
	case errors.Is(err, twofa.ErrNotEnrolled):
		return &refusal{problem: "user " + p.label() + " has no factor", next: "There is nothing to unlock. The user can enroll at the next sign-in.", cause: err}
	case errors.Is(err, twofa.ErrLocked):
		return &refusal{problem: "the methods of user " + p.label() + " were unlocked or eased three times in 30 days", cause: err,
			next: "Somebody may be guessing codes. Ask the user for a browser in which they have signed in with a code before, or for a recovery code. Otherwise wait " +
				waitOf(twofa.RetryAfter(err)) + ", or verify the user's identity and use \"reset\"."}
	case errors.Is(err, twofa.ErrNotAllowed):
		return &refusal{problem: fmt.Sprintf("method %s of user %s is off after too many wrong codes in a row", method, p.label()), cause: err,
			next: "The user must enroll it again. Ask for a recovery code, which lets them do so. Otherwise verify the user's identity and use \"reset\"."}
	case err != nil:
		return c.explain(err)
	}
	return c.done(p, "Method %s of user %s is not locked.", method, p.label())
}

func (c *console) reset(ctx context.Context) error {
	if !c.ResetAtOnce {
		return &refusal{problem: "this product does not let staff reset a user at once",
			next: "Open a support case, which another member of staff approves. Nothing was changed."}
	}
	p, err := c.look(ctx)
	switch {
	case err != nil:
		return err
	case p.unknown:
		return &refusal{problem: "the directory cannot be read", next: "Run the command again later. Nothing was changed."}
	case !p.exists:
		return &refusal{problem: fmt.Sprintf("the directory does not return user %q", p.ID),
			next: "Only a user of the product can be reset. If the user was deleted, \"erase\" deletes the record. Nothing was changed."}
	case !c.opt.inPerson && len(p.Emails) == 0:
		return &refusal{problem: "user " + p.label() + " has no address to which a link can be mailed", next: inPersonHint}
	}
	if err := c.confirm(ctx, p, "This removes all factors, recovery codes and known browsers, and ends all sessions."); err != nil {
		return err
	}
	switch err := c.Manager.User(c.asHost(), p.ID).Reset(ctx, twofa.ResetRequest{InPerson: c.opt.inPerson}); {
	case errors.Is(err, twofa.ErrNotAllowed) && !c.opt.inPerson:
		return &refusal{problem: err.Error(), next: inPersonHint, cause: err}
	case err != nil:
		return c.explain(err)
	}
	if c.opt.inPerson {
		return c.done(p, "User %s was reset. The user must sign in and enroll within 24 hours.", p.label())
	}
	return c.done(p, "User %s was reset. At the next sign-in, the user must open a link at their own address before enrolling.", p.label())
}

const inPersonHint = "Nothing was changed. Verify the user's identity in person or by video, and run the command again with -in-person. " +
	"Or enter an address in the product that you have verified."

func (c *console) erase(ctx context.Context) error {
	p, err := c.look(ctx)
	switch {
	case err != nil:
		return err
	case !p.stored:
		return c.done(p, "Nothing is stored about user %s.", p.label())
	case p.unknown && !c.ResetAtOnce:
		return &refusal{problem: fmt.Sprintf("it is not known whether user %q is still in the product", p.ID), next: "Run the command again when the directory can be read. Nothing was changed."}
	case p.exists && !c.ResetAtOnce:
		return &refusal{problem: "user " + p.label() + " is still in the product",
			next: "Delete the user there first. For a user who stays and has lost all factors, open a support case. Nothing was changed."}
	}
	what := "This deletes everything that is stored about the user."
	if p.exists {
		what += " The user is still in the directory: if they stay, press Ctrl-C and use \"reset\"."
	}
	if err := c.confirm(ctx, p, what); err != nil {
		return err
	}
	by := c.by()
	if p.exists || p.unknown {
		by = c.asHost() // like a reset
	}
	if err := c.Manager.User(by, p.ID).Delete(ctx); err != nil {
		return c.explain(err)
	}
	return c.done(p, "Everything that was stored about user %s is deleted, except events.", p.label())
}

// confirm asks staff to type the user ID again.
func (c *console) confirm(ctx context.Context, p person, what string) error {
	return c.confirmWord(ctx, "User: "+p.label()+"\n"+what, "the user ID", p.ID)
}

// confirmWord asks staff to type a word again, such as the user ID.
func (c *console) confirmWord(ctx context.Context, what, name, word string) error {
	if c.opt.yes {
		return nil
	}
	if !c.isTerminal(c.Stdin) {
		return usagef("-yes: required if nobody can be asked, because this cannot be undone")
	}
	fmt.Fprintf(c.Stderr, "%s It cannot be undone.\nType %s to continue: ", what, name)
	typed := make(chan string, 1)
	go func() { // reading a terminal cannot be interrupted
		line, err := bufio.NewReader(io.LimitReader(c.Stdin, 1024)).ReadString('\n')
		if err != nil {
			fmt.Fprintln(c.Stderr) // the terminal has not begun a new line
		}
		typed <- strings.TrimSpace(line)
	}()
	select {
	case answer := <-typed:
		if answer != word {
			return &refusal{problem: "that is not " + name, next: "Nothing was changed. It is " + word + "."}
		}
	case <-ctx.Done():
		fmt.Fprintln(c.Stderr)
		return &refusal{problem: "interrupted", next: "Nothing was changed.", cause: ctx.Err()}
	}
	return nil
}

// done reports that an act has taken effect.
func (c *console) done(p person, format string, args ...any) error {
	message := fmt.Sprintf(format, args...)
	if !c.opt.json {
		_, err := fmt.Fprintln(c.Stdout, message)
		return err
	}
	return c.printJSON(struct {
		Command string `json:"command"`
		User    string `json:"user,omitempty"`
		By      string `json:"by"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}{c.cmd.name, p.ID, c.opt.by, c.opt.reason, message})
}
