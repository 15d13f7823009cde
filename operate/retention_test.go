package operate

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa"
)

func TestEraseEvents(t *testing.T) {
	p := newProduct(t)
	p.enroll("eve")
	p.refused(exitFailed, "user eve is still in the product", "erase-events", "eve", "-yes")
	delete(p.users, "eve")
	p.refused(exitFailed, `user "eve" has a record`, "erase-events", "eve", "-yes")
	p.must("erase", "eve", "-yes", "-by", "sam", "-reason", "x")
	p.refused(exitUsage, "-yes: required if nobody can be asked", "erase-events", "eve")
	p.refused(exitUsage, "USER: ", "erase-events", " ", "-yes")
	require.NotEmpty(t, p.events(twofa.EventQuery{User: "eve"}))
	p.dir = errors.New("directory is down")
	p.refused(exitFailed, "it is not known whether user eve is still in the product", "erase-events", "eve", "-yes")
	p.dir = nil
	require.Equal(t, "The personal data of user eve is erased from events: 2.\n", p.must("erase-events", "eve", "-yes"))
	require.Empty(t, p.events(twofa.EventQuery{User: "eve"}))
	require.Equal(t, "The personal data of user eve is erased from events: 0.\n", p.must("erase-events", "eve", "-yes"))
	p.clock.Add(time.Hour)
	require.Contains(t, p.must("verify"), "Problems            0")
}

func TestDeleteEvents(t *testing.T) {
	p := newProduct(t)
	p.enroll("ada")
	p.clock.Add(72 * time.Hour)
	p.must("revoke", "ada", "-by", "sam", "-reason", "x")
	p.clock.Add(72 * time.Hour)
	day := p.clock.Now().Add(-48 * time.Hour).Format(time.DateOnly)
	by := []string{"-by", "sam", "-reason", "kept for two years"}
	p.refused(exitUsage, "-before: required", append([]string{"delete-events", "-yes"}, by...)...)
	p.refused(exitUsage, "-reason: required", "delete-events", "-yes", "-before", day, "-by", "sam")
	p.refused(exitUsage, "-yes: required if nobody can be asked", append([]string{"delete-events", "-before", day}, by...)...)
	p.refused(exitUsage, "-before: must be at least 24 hours ago", append([]string{"delete-events", "-yes", "-before", p.clock.Now().Format(time.DateOnly)}, by...)...)
	require.Len(t, p.events(twofa.EventQuery{}), 2)

	p.tty = true
	p.typed = "2001-01-01\n"
	exit, _, stderr := p.run(append([]string{"delete-events", "-before", day}, by...)...)
	require.Equal(t, exitFailed, exit)
	require.Contains(t, stderr, "This deletes all events before "+day+"T00:00:00Z. It cannot be undone.\nType the date "+day+" to continue: ")
	require.Contains(t, stderr, "that is not the date "+day)
	p.typed = day + "\n"
	require.Equal(t, "Events before "+day+"T00:00:00Z are deleted: 2.\n", p.must(append([]string{"delete-events", "-before", day}, by...)...))
	require.Empty(t, p.events(twofa.EventQuery{}))
	verified := p.must("verify")
	require.Contains(t, verified, "Deleted before      "+day+" 00:00 UTC\nDeleted by          sam: kept for two years\n")
	require.Contains(t, p.must("verify", "-json"), `"deleted_before": "`+day+`T00:00:00Z"`)
}
