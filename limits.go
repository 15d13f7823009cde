package twofa

import (
	"slices"
	"time"
)

const (
	maxBrowsers   = 10
	browserLife   = 90 * day         // from the last proof; no use lengthens it
	rotationGrace = 30 * time.Second // how long the previous token still works, because answers get lost
)

// Set-up limits.
const (
	maxFactors       = 5 // authenticator apps a user
	pendingTTL       = 10 * time.Minute
	maxConfirmations = 5 // wrong codes, then the set-up is discarded
)

const (
	challengeTTL       = 10 * time.Minute
	enrollChallengeTTL = 15 * time.Minute // also how old a first factor may be to set up the first authenticator
	sessionTTL         = 24 * time.Hour
)

const noticeTimeout = 5 * time.Second

// issueSlack is how far the clocks of servers may disagree about a time of
// issue. It never lengthens anything.
const issueSlack = time.Minute

// maxRecord bounds what is read and written. A user's record stays far below:
// every list in it is bounded.
const maxRecord = 64 << 10

const maxSpent = 32

const lowOnCodes = 3 // a use that leaves this many or fewer is worth a notice

const defaultCodes = 10

const maxCodes = 20

// NoRecoveryCodes in [RecoveryConfig.Codes] makes none. Who loses the only
// authenticator is then locked out until the host helps ([Manager.Erase]).
const NoRecoveryCodes = -1

const (
	maxSent      = 12
	linkTTL      = 10 * time.Minute
	textTTL      = 5 * time.Minute
	maxTextTries = 5
	sendTimeout  = 20 * time.Second // where the context has no deadline of its own
	hour         = time.Hour
)

const (
	day        = 24 * time.Hour
	maxMaxAge  = time.Hour
	onceMaxAge = 5 * time.Minute // a proof that serves once has to be used within this
)

const (
	maxGrants = 16
	maxName   = 128 // bytes of an action's, resource's or authenticator's name
)

const (
	maxRounds    = 24              // of read, decide, swap, before a busy record is refused
	readBackTime = 2 * time.Second // to learn the outcome of a swap that ended in an error
)

const maxToken = 4096 // characters

const minKey = 16 // bytes: RFC 4226, section 4, R6

// What every method is limited by (docs/limits.md). NIST SP 800-63B-4, section
// 3.2.2, allows 100 consecutive failures and asks for growing waits.
const (
	failuresToLock   = 5
	firstLock        = time.Minute // doubles with each further failure
	longestLock      = time.Hour
	failuresUnknown  = 90 // in browsers not known: then the method is off there
	failuresKnown    = 10 // in known browsers
	failureNoticeGap = time.Hour
)

// allowance limits how often messages may be sent.
type allowance struct {
	coolDown        []time.Duration // wait after the 1st, 2nd, … message within an hour; the last one applies from there on
	perHour, perDay int
}

var (
	mailAllowance = allowance{[]time.Duration{time.Minute}, 5, 20}
	textAllowance = allowance{[]time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute}, 5, 10}
)

// nextSendIn returns how long the next message has to wait, given when earlier
// ones were reserved, oldest first.
func (a allowance) nextSendIn(times []unixTime, now unixTime) time.Duration {
	var until unixTime
	times, lastHour := recentTimes(times, now, day), recentTimes(times, now, hour)
	if n := len(lastHour); n > 0 {
		until = lastHour[n-1].add(a.coolDown[min(n, len(a.coolDown))-1])
	}
	if n := len(lastHour); n >= a.perHour {
		until = max(until, lastHour[n-a.perHour].add(hour))
	}
	if n := len(times); n >= a.perDay {
		until = max(until, times[n-a.perDay].add(day))
	}
	return max(0, min(until.sub(now), day))
}

// recentTimes returns the times that are less than span ago. A time that lies
// as far ahead was set by a wrong clock and would stop all sending until then,
// so it is left out.
func recentTimes(times []unixTime, now unixTime, span time.Duration) []unixTime {
	return slices.DeleteFunc(slices.Clone(times), func(t unixTime) bool { return now.sub(t).Abs() >= span })
}
