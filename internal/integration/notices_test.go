package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/adapters/sqlstore"
	"github.com/twofa-go/twofa/internal/engines"
	"github.com/twofa-go/twofa/twofatest"
)

// noticeJob is what a program of TestNotices_ServersAreKilled does.
type noticeJob struct {
	Driver, DSN string
	Dialect     sqlstore.Dialect
	Mails       string        // file with a line for each mail
	Ahead       time.Duration // of the real clock
	Revoke      string        // user whose sessions it ends; if empty, it delivers
	Stop        string        // where it hangs, one of the points below
}

const noticeEnv = "TWOFA_TEST_NOTICES"

// Points at which a program hangs, so that it can be killed there.
const (
	beforeSwap = "before-swap"
	afterSwap  = "after-swap"
	afterMail  = "after-mail"
	afterDone  = "after-done"
	afterClaim = "after-claim"
)

func (j noticeJob) at(point string) {
	if j.Stop == point {
		fmt.Println("here")
		select {}
	}
}

// stoppingStore hangs at some points.
type stoppingStore struct {
	*sqlstore.Store
	job noticeJob
}

func (s stoppingStore) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	s.job.at(beforeSwap)
	err := s.Store.Swap(ctx, prev, next, events...)
	s.job.at(afterSwap)
	return err
}

func (s stoppingStore) ClaimNotices(ctx context.Context, now, until time.Time, limit int) ([]twofa.Event, error) {
	events, err := s.Store.ClaimNotices(ctx, now, until, limit)
	s.job.at(afterClaim)
	return events, err
}

func (s stoppingStore) NoticesDone(ctx context.Context, events ...twofa.Event) error {
	err := s.Store.NoticesDone(ctx, events...)
	s.job.at(afterDone)
	return err
}

// fileMailer appends the address of each mail to a file.
type fileMailer struct{ job noticeJob }

func (f fileMailer) SendMail(_ context.Context, m twofa.Email) error {
	file, err := os.OpenFile(f.job.Mails, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(file, m.To)
	err = errors.Join(err, file.Close())
	f.job.at(afterMail)
	return err
}

type refusingMailer struct{}

func (refusingMailer) SendMail(context.Context, twofa.Email) error {
	return errors.New("mail server does not answer")
}

// mailedUsers is a directory in which every ID is a user with an address.
type mailedUsers struct{}

func (mailedUsers) Users(_ context.Context, ids ...string) (found []twofa.User, err error) {
	for _, id := range ids {
		found = append(found, twofa.User{ID: id, Emails: []string{id}})
	}
	return found, nil
}

func (j noticeJob) manager(t *testing.T, mailer twofa.Mailer) *twofa.Manager {
	t.Helper()
	m, err := twofa.New(twofa.Config{Issuer: "Acme", Store: stoppingStore{database{j.Driver, j.DSN, j.Dialect}.store(t), j}, Keys: twofatest.KeyRing(t, "notices"),
		Directory: mailedUsers{}, Mail: twofa.MailConfig{Mailer: mailer}, Now: func() time.Time { return time.Now().Add(j.Ahead) }})
	require.NoError(t, err)
	return m
}

// run is the program.
func (j noticeJob) run(t *testing.T) {
	m := j.manager(t, fileMailer{j})
	if j.Revoke != "" {
		require.NoError(t, m.User(twofa.AsHost("test"), j.Revoke).Revoke(t.Context()))
		return
	}
	if j.Stop == "" { // together with another one
		fmt.Println("here")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	n, err := m.Deliver(t.Context())
	require.NoError(t, err)
	fmt.Println("mailed", n)
}

// start starts the program, and returns once it is at its point.
func (j noticeJob) start(t *testing.T) (cmd *exec.Cmd, in io.WriteCloser, out *bufio.Reader) {
	t.Helper()
	job, err := json.Marshal(j)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd = exec.CommandContext(t.Context(), self, "-test.run", "^TestNotices_ServersAreKilled$")
	cmd.Env, cmd.Stderr = append(os.Environ(), noticeEnv+"="+string(job)), os.Stderr
	in, err = cmd.StdinPipe()
	require.NoError(t, err)
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	out = bufio.NewReader(pipe)
	line, err := out.ReadString('\n')
	require.NoError(t, err, "%+v", j)
	require.Equal(t, "here\n", line)
	return cmd, in, out
}

func (j noticeJob) kill(t *testing.T) {
	t.Helper()
	cmd, _, _ := j.start(t)
	require.NoError(t, cmd.Process.Kill())
	_, ended := errors.AsType[*exec.ExitError](cmd.Wait())
	require.True(t, ended)
}

// Servers are killed at every point between the write of an event and the end of its
// notice. Then two others deliver at the same time. Each notice is mailed, and only
// those twice whose server was killed between the mail and its note of it.
func TestNotices_ServersAreKilled(t *testing.T) {
	if job := os.Getenv(noticeEnv); job != "" {
		var j noticeJob
		require.NoError(t, json.Unmarshal([]byte(job), &j))
		j.run(t)
		return
	}
	forEach(t, func(t *testing.T, d database) { killServers(t, d.migrate(t), d) })
	t.Run("PgBouncer", func(t *testing.T) {
		t.Parallel()
		d := fresh(t, "PostgreSQL")
		d.dsn = engines.PgBouncer(t, d.dsn) + "&default_query_exec_mode=exec"
		killServers(t, d.migrate(t), d)
	})
	t.Run("Galera", func(t *testing.T) {
		t.Parallel()
		dsns := engines.Galera(t, 2)
		one, two := database{"mysql", dsns[0], sqlstore.MySQL}, database{"mysql", dsns[1], sqlstore.MySQL}
		killServers(t, one.migrate(t), two)
	})
}

// killServers kills servers that use one database. One of those that deliver then
// uses the other one, which may be another server of the same cluster.
func killServers(t *testing.T, d, other database) {
	t.Helper()
	j := noticeJob{Driver: d.driver, DSN: d.dsn, Dialect: d.dialect, Mails: filepath.Join(t.TempDir(), "mails")}
	require.NoError(t, os.WriteFile(j.Mails, nil, 0o600))
	host := j.manager(t, refusingMailer{})
	users := []string{afterClaim, "deliver-" + afterMail, beforeSwap, afterSwap, afterMail, afterDone}
	for _, user := range users {
		_, err := host.User(twofa.AsHost("test"), user).Import(t.Context(), twofa.ImportFactor{Key: twofa.NewSecret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")})
		require.NoError(t, err)
	}
	// One notice is left at a time, so that only that one is in the hands of the
	// server that is killed. The claim of the first lasts until after the second.
	for i, stop := range []string{afterClaim, afterMail} {
		require.NoError(t, host.User(twofa.AsHost("test"), users[i]).Revoke(t.Context()))
		k := j
		k.Stop, k.Ahead = stop, 10*time.Minute
		k.kill(t)
	}
	for _, stop := range users[2:] {
		k := j
		k.Stop, k.Revoke = stop, stop
		k.kill(t)
	}

	j.Ahead = time.Hour
	total := 0
	var others []func()
	for _, db := range []database{d, other} {
		k := j
		k.DSN = db.dsn
		cmd, in, out := k.start(t)
		others = append(others, func() {
			_, err := fmt.Fprintln(in)
			require.NoError(t, err)
		}, func() {
			printed, err := io.ReadAll(out)
			require.NoError(t, err)
			require.NoError(t, cmd.Wait())
			var n int
			_, err = fmt.Sscanf(string(printed), "mailed %d", &n)
			require.NoError(t, err)
			total += n
		})
	}
	for _, i := range []int{0, 2, 1, 3} { // both begin before one is waited for
		others[i]()
	}
	require.Equal(t, 4, total)
	mails, err := os.ReadFile(j.Mails)
	require.NoError(t, err)
	count := map[string]int{}
	for to := range strings.FieldsSeq(string(mails)) {
		count[to]++
	}
	require.Equal(t, map[string]int{afterClaim: 1, "deliver-" + afterMail: 2, afterSwap: 1, afterMail: 2, afterDone: 1}, count)
	n, err := j.manager(t, fileMailer{j}).Deliver(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
}
