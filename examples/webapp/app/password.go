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

// OWASP's choice for little memory. Tests have a cheaper one.
var (
	argonTime   uint32 = 2
	argonMemory uint32 = 19 << 10 // KiB
)

// passwords makes and checks argon2id hashes, no more at once than there are
// processors: each takes 19 MB.
type passwords struct {
	slots chan struct{}
	dummy string // compared with where there is no user, so that it takes as long
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

// hash returns the text to keep: parameters, salt and key.
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

// check returns nil if password is the one that was hashed, errWrongPassword
// if it is not or if hash is none of ours.
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
	errSignIn  = &httpError{http.StatusUnauthorized, "E-mail or password is wrong."}
	errTooMany = &httpError{http.StatusTooManyRequests, "Too many attempts. Wait a quarter of an hour, then try again."}
)

// checkPassword is the one place where a password is compared. The answer and
// its time are the same for a wrong password and an unknown address.
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

// setPassword changes a password and the user's stamp, and ends every sign-in
// but keep: whoever knew the old password is out, and older reset links are
// dead. It is part of a transaction, after which the second factor has to be
// told by CredentialsChanged.
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
