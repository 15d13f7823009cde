package operate

import (
	"context"
	"errors"
	"fmt"

	"github.com/twofa-go/twofa"
)

// deliver mails the notices that no request has mailed.
func (c *console) deliver(ctx context.Context) error {
	mailed, err := c.Manager.Deliver(ctx)
	switch {
	case errors.Is(err, twofa.ErrNotAllowed):
		return &refusal{problem: err.Error(), cause: err,
			next: "Set Config.Mail.Mailer of the Manager of this program to that of the servers, and use a store that implements NoticeStore."}
	case err != nil:
		problem := err.Error()
		if errors.Is(err, context.Canceled) {
			problem = "interrupted"
		}
		return &refusal{problem: fmt.Sprintf("%s, after %s notices were mailed", problem, grouped(mailed)), cause: err,
			next: "Run the command again, as each minute. A notice that could not be mailed is tried again after 5, 10, 20 minutes and so on, and given up a day after its event."}
	case c.opt.json:
		return c.printJSON(struct {
			Mailed int `json:"mailed"`
		}{mailed})
	}
	return table(c.Stdout, []string{"Notices mailed", grouped(mailed)})
}
