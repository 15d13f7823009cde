package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twofa-go/twofa"
)

// showCase shows the open support case of a user.
func (c *console) showCase(ctx context.Context) error {
	p, err := c.look(ctx)
	if err != nil {
		return err
	}
	x, err := c.Manager.User(twofa.AsHost("operate"), p.ID).Case(ctx)
	switch {
	case err != nil:
		return c.explain(err)
	case c.opt.json:
		return c.printJSON(struct {
			User string      `json:"user"`
			Case *twofa.Case `json:"case"`
		}{p.ID, x})
	case x == nil:
		_, err := fmt.Fprintf(c.Stdout, "User %s has no open case.\n", p.label())
		return err
	}
	return c.printCase(p, *x)
}

func (c *console) openCase(ctx context.Context) error {
	p, err := c.lookForCase(ctx)
	if err != nil {
		return err
	}
	x, err := c.Manager.User(c.by(), p.ID).OpenCase(ctx, twofa.ResetRequest{InPerson: c.opt.inPerson})
	switch {
	case errors.Is(err, twofa.ErrNotEnrolled):
		return &refusal{problem: "user " + p.label() + " has no factor", next: "There is nothing to reset. The user can enroll at the next sign-in.", cause: err}
	case errors.Is(err, twofa.ErrNotAllowed):
		return &refusal{problem: err.Error(), cause: err,
			next: "Nothing was changed. See \"case\" for a case that is open. -in-person is for users who cannot be mailed a link, and only for them."}
	case err != nil:
		return c.explain(err)
	}
	if c.opt.json {
		return c.done(p, "Case %s was opened.", x.ID)
	}
	if err := c.done(p, "Case %s was opened for user %s. The user and the admins of their accounts were told by mail.", x.ID, p.label()); err != nil {
		return err
	}
	return c.printCase(p, x)
}

func (c *console) approveCase(ctx context.Context) error {
	p, err := c.lookForCase(ctx)
	if err != nil {
		return err
	}
	if err := c.confirm(ctx, p, "The last approval that is needed removes all factors, recovery codes and known browsers, and ends all sessions."); err != nil {
		return err
	}
	x, err := c.Manager.User(c.by(), p.ID).ApproveCase(ctx, c.opt.operands[1])
	switch {
	case errors.Is(err, twofa.ErrExpired):
		return c.noCase(p, err)
	case errors.Is(err, twofa.ErrLocked):
		return &refusal{problem: "the case is not old enough", cause: err,
			next: "Approve it in " + waitOf(twofa.RetryAfter(err)) + ". Until then, the user can end it."}
	case errors.Is(err, twofa.ErrNotAllowed):
		return &refusal{problem: err.Error(), next: "Nothing was changed.", cause: err}
	case err != nil:
		return c.explain(err)
	}
	if !x.Reset {
		return c.done(p, "Case %s is approved by %s. It needs another approval%s.", x.ID, approvers(x), laterAlone(x))
	}
	if x.InPerson {
		return c.done(p, "User %s was reset. The user must sign in and enroll within 24 hours.", p.label())
	}
	return c.done(p, "User %s was reset. At the next sign-in, the user must open a link at their own address before enrolling.", p.label())
}

func (c *console) cancelCase(ctx context.Context) error {
	p, err := c.look(ctx)
	if err != nil {
		return err
	}
	switch err := c.Manager.User(c.by(), p.ID).CancelCase(ctx, c.opt.operands[1]); {
	case errors.Is(err, twofa.ErrExpired):
		return c.noCase(p, err)
	case err != nil:
		return c.explain(err)
	}
	return c.done(p, "The case of user %s has ended. Nothing was removed.", p.label())
}

// lookForCase is look for an act that needs the directory.
func (c *console) lookForCase(ctx context.Context) (person, error) {
	p, err := c.look(ctx)
	switch {
	case err != nil:
		return p, err
	case p.unknown:
		return p, &refusal{problem: "the directory cannot be read", next: "Run the command again later. Nothing was changed."}
	case !p.exists:
		return p, &refusal{problem: fmt.Sprintf("the directory does not return user %q", p.ID), next: "Only a user of the product can have a case. Nothing was changed."}
	}
	return p, nil
}

func (c *console) noCase(p person, err error) error {
	return &refusal{problem: fmt.Sprintf("user %s has no open case %q", p.label(), c.opt.operands[1]), cause: err,
		next: "It may have expired, or the user has ended it. See \"case\". Nothing was changed."}
}

func (c *console) printCase(p person, x twofa.Case) error {
	state := "open"
	if x.Suspended {
		state = "suspended: the user has signed in since, and has to say in that session whether it is theirs"
	}
	return table(c.Stdout,
		[]string{"Case", x.ID}, []string{"User", p.label()}, []string{"State", state},
		[]string{"Opened", when(x.Opened) + " by " + x.By}, []string{"Reason", x.Reason},
		[]string{"Approved by", approvers(x)}, []string{"By two from", when(x.From)}, []string{"By one from", when(x.ByOneFrom)},
		[]string{"Ends", when(x.Expires)})
}

func approvers(x twofa.Case) string {
	var names []string
	for _, a := range x.Approvals {
		names = append(names, a.By)
	}
	return strings.Join(names, ", ")
}

// laterAlone says when the approval that was given is enough.
func laterAlone(x twofa.Case) string {
	if x.ByOneFrom.IsZero() {
		return ""
	}
	return ", or this command again from " + when(x.ByOneFrom) + " on"
}
