package app

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"os"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/operate"
)

// Operate runs a command of package operate, with which support and operators
// work: it looks up, unlocks and resets users, replaces keys and exports events. It
// returns the code with which the program must exit.
//
// The caller must have verified that whoever runs the program may do so. The
// environment variable WEBAPP_STAFF names that person, for example if sudo sets it;
// without it, the flag -by does, and support cases are refused.
func (a *App) Operate(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	return operate.Main(ctx, operate.Config{
		Manager: a.twofa, Store: a.records, Directory: directory{a.db}, Command: "webapp operate", By: os.Getenv("WEBAPP_STAFF"),
		FindUser: a.findUser, ResetAtOnce: true, // a product with a support team leaves it out
		Stdin: in, Stdout: out, Stderr: errs,
	}, args)
}

// findUser returns the ID of the user with an address. Addresses are verified, so
// nobody can choose that of another user.
func (a *App) findUser(ctx context.Context, typed string) (string, error) {
	u, err := a.db.userByEmail(ctx, typed)
	if errors.Is(err, sql.ErrNoRows) {
		return "", twofa.ErrNoUser
	}
	return u.ID, err
}
