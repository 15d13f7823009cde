// Package outbox is an example of a durable queue of messages, in a table of the host's
// database. Copy it, or put its promises into the job runner that you already have:
//
//   - SendMail and SendSMS return nil only after the row is committed. From then on, the
//     link or code is valid, and a crash does not lose the message.
//   - A message is encrypted, because it contains a link or code. Otherwise everyone who
//     reads the table, a backup or the page of a job runner could use it.
//   - A message is dropped when its link or code expires, because it could only confuse.
//   - A message is handed over at most once, unless the mail server or gateway has said
//     that it did not accept it.
package outbox

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

// Schema creates the table, in SQLite. In PostgreSQL, the type of sealed is BYTEA.
const Schema = `CREATE TABLE outbox (
	id TEXT PRIMARY KEY,
	sealed BLOB NOT NULL,
	due BIGINT NOT NULL,     -- when a worker may take it, in Unix seconds
	expires BIGINT NOT NULL, -- when it is dropped, in Unix seconds
	taken INTEGER NOT NULL   -- 1 once a worker hands it over
)`

// Outbox is a [twofa.Mailer] and a [twofa.SMSSender] that stores messages. All fields
// are required.
type Outbox struct {
	// DB is a [*sql.DB]. With a [*sql.Tx], SendMail would return nil before the
	// commit.
	DB interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	}
	// AEAD encrypts messages. Use [cipher.NewGCMWithRandomNonce] with a key of its
	// own, which is kept outside the database.
	AEAD cipher.AEAD
	// Mailer and SMS send the messages that [Outbox.Deliver] hands over.
	Mailer twofa.Mailer
	SMS    twofa.SMSSender
	// Retry reports whether an error of Mailer or SMS means that the message was not
	// accepted, such as an *smtpmail.Error with Code 400 to 499. Otherwise the user
	// could get it twice.
	Retry func(error) bool
	// Now is the same as that of twofa.Config.
	Now func() time.Time
}

// noticeValid is how long a notice is worth sending.
const noticeValid = 3 * 24 * time.Hour

// retryAfter is the time between two attempts.
const retryAfter = 15 * time.Second

// message is what is encrypted.
type message struct {
	SMS                               bool
	To, Subject, Text, HTML, Language string
	Expires                           time.Time
}

// SendMail stores m. It returns nil if the row is committed.
func (o *Outbox) SendMail(ctx context.Context, m twofa.Email) error {
	return o.put(ctx, message{To: m.To, Subject: m.Subject, Text: m.Text.Reveal(), HTML: m.HTML.Reveal(), Expires: m.Expires})
}

// SendSMS stores m. It returns nil if the row is committed.
func (o *Outbox) SendSMS(ctx context.Context, m twofa.TextMessage) error {
	return o.put(ctx, message{SMS: true, To: m.To, Text: m.Body.Reveal(), Language: m.Language, Expires: m.Expires})
}

func (o *Outbox) put(ctx context.Context, m message) error {
	// The sender would refuse it too, but only after the user was told to look for it.
	if strings.ContainsAny(m.To+m.Subject, "\r\n") {
		return errors.New("outbox: To and Subject: must be one line")
	}
	plain, err := json.Marshal(m)
	if err != nil {
		return errors.New("outbox: the message cannot be written as JSON")
	}
	id, now, expires := rand.Text(), o.Now(), m.Expires
	if expires.IsZero() {
		expires = now.Add(noticeValid)
	}
	// The ID is authenticated, so that nobody who writes to the table can put one
	// message into the row of another.
	sealed := o.AEAD.Seal(nil, nil, plain, []byte(id))
	_, err = o.DB.ExecContext(ctx, `INSERT INTO outbox (id, sealed, due, expires, taken) VALUES ($1, $2, $3, $4, 0)`,
		id, sealed, now.Unix(), expires.Unix())
	if err != nil {
		return fmt.Errorf("outbox: %w", err)
	}
	return nil
}

// Deliver hands over one message, and reports whether there was one. Call it in a loop,
// in any number of workers, and wait about a second after it returned false. It returns
// the error of the database, or of the sender. Neither contains the message. If ctx ends,
// it finishes the message that it has taken, because a server that is stopped would
// otherwise lose it. The sender needs a timeout of its own.
func (o *Outbox) Deliver(ctx context.Context) (found bool, err error) {
	now := o.Now().Unix()
	if _, err := o.DB.ExecContext(ctx, `DELETE FROM outbox WHERE expires <= $1`, now); err != nil {
		return false, err
	}
	var id string
	var sealed []byte
	err = o.DB.QueryRowContext(ctx, `SELECT id, sealed FROM outbox WHERE taken = 0 AND due <= $1 ORDER BY due LIMIT 1`, now).Scan(&id, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	ctx = context.WithoutCancel(ctx)
	// The row is taken before the message is handed over. If the process ends in
	// between, it is not sent again, because it may have been accepted.
	taken, err := o.DB.ExecContext(ctx, `UPDATE outbox SET taken = 1 WHERE id = $1 AND taken = 0`, id)
	if err != nil {
		return false, err
	}
	if n, err := taken.RowsAffected(); n != 1 || err != nil {
		return true, err // another worker has it
	}
	failed := o.handOver(ctx, id, sealed)
	query, args := `DELETE FROM outbox WHERE id = $1`, []any{id}
	if failed != nil && o.Retry(failed) {
		query, args = `UPDATE outbox SET taken = 0, due = $2 WHERE id = $1`, append(args, o.Now().Add(retryAfter).Unix())
	}
	_, err = o.DB.ExecContext(ctx, query, args...)
	return true, errors.Join(failed, err)
}

func (o *Outbox) handOver(ctx context.Context, id string, sealed []byte) error {
	plain, err := o.AEAD.Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return fmt.Errorf("outbox: row %s cannot be decrypted", id)
	}
	var m message
	if err := json.Unmarshal(plain, &m); err != nil {
		return fmt.Errorf("outbox: row %s is not a message", id)
	}
	if m.SMS {
		return o.SMS.SendSMS(ctx, twofa.TextMessage{To: m.To, Body: twofa.NewSecret(m.Text), Language: m.Language, Expires: m.Expires})
	}
	return o.Mailer.SendMail(ctx, twofa.Email{To: m.To, Subject: m.Subject, Text: twofa.NewSecret(m.Text), HTML: twofa.NewSecret(m.HTML), Expires: m.Expires})
}
