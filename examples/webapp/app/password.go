package app

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters that OWASP recommends for little memory. Tests use cheaper ones.
var (
	argonTime   uint32 = 2
	argonMemory uint32 = 19 << 10 // KiB
)

// passwords creates and checks argon2id hashes, at most as many at once as
// there are processors, because each needs 19 MB.
type passwords struct {
	slots chan struct{}
	dummy string // hash to compare with if the user is unknown, so that it takes as long
}

func newPasswords() (*passwords, error) {
	p := &passwords{slots: make(chan struct{}, runtime.NumCPU())}
	var err error
	p.dummy, err = p.hash(context.Background(), rand.Text())
	return p, err
}

func (p *passwords) key(ctx context.Context, password string, salt []byte) ([]byte, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.slots }()
	return argon2.IDKey([]byte(password), salt, argonTime, argonMemory, 1, 32), nil
}

// hash returns the text to store: parameters, salt and key.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	key, err := p.key(ctx, password, salt)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$%s$%s", argonMemory, argonTime,
		b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

var errWrongPassword = errors.New("wrong password")

// check returns nil if hash was created from password. Otherwise, or if hash
// was not created by this package, it returns errWrongPassword.
func (p *passwords) check(ctx context.Context, hash, password string) error {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 {
		parts = strings.Split(p.dummy, "$")
		password = "" // matches nothing: the dummy is random
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	got, err := p.key(ctx, password, salt)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return errWrongPassword
	}
	return nil
}

var (
	errSignIn  = &httpError{http.StatusUnauthorized, "The email or password is wrong. Try again, or reset your password."}
	errTooMany = &httpError{http.StatusTooManyRequests, "Too many attempts. Wait 15 minutes, then try again."}
)

// checkPassword is the only function that compares a password. Its result and
// the time it takes are the same for a wrong password and an unknown address.
func (a *App) checkPassword(r *http.Request, email, password string) (user, error) {
	ctx := r.Context()
	done, ok := a.limit.attempt(clientIP(r), normalEmail(email))
	if !ok {
		return user{}, errTooMany
	}
	u, err := a.db.userByEmail(ctx, email)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return user{}, err
	}
	if err := a.password.check(ctx, u.Password, password); errors.Is(err, errWrongPassword) {
		a.log.InfoContext(ctx, "wrong password", "user", u.ID, "ip", clientIP(r))
		return user{}, errSignIn
	} else if err != nil {
		return user{}, err
	}
	done()
	return u, nil
}

func checkNewPassword(password string) error {
	if len([]rune(password)) < 12 || len(password) > 256 {
		return &httpError{http.StatusBadRequest, "A password has at least 12 characters and at most 256 bytes."}
	}
	return nil
}

// setPassword changes the user's password and security stamp, deletes the
// user's reset links, and ends every sign-in except keep, so that an attacker
// who knew the old password is signed out. Run it in a transaction, and call
// CredentialsChanged afterwards.
func (s store) setPassword(ctx context.Context, userID, hash, keep string) error {
	err := oneRow(s.ExecContext(ctx, `UPDATE users SET password = $1, stamp = $2 WHERE id = $3`, hash, rand.Text(), userID))
	if err != nil {
		return err
	}
	if _, err = s.ExecContext(ctx, `DELETE FROM signins WHERE user_id = $1 AND id <> $2`, userID, keep); err != nil {
		return err
	}
	_, err = s.ExecContext(ctx, `DELETE FROM links WHERE kind = $1
		AND email = (SELECT email FROM users WHERE id = $2)`, linkReset, userID)
	return err
}
