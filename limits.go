package twofa

import (
	"slices"
	"time"
)

const (
	maxBrowsers = 10 // known browsers per user
	// browserLife counts from the last proof in the browser. A login without a
	// proof does not extend it.
	browserLife = 90 * day
	// rotationGrace is how long the previous token is accepted, because the
	// response with the new one can get lost.
	rotationGrace = 2 * time.Minute
)

// Enrollment.
const (
	maxFactors       = 5 // authenticators per user
	enrollmentTTL    = 30 * time.Minute
	maxEnrollment    = 2 * time.Hour // however often a step renews it
	maxConfirmations = 5             // wrong codes until the enrollment is discarded
)

const (
	challengeTTL = 10 * time.Minute
	sessionTTL   = 24 * time.Hour
	// firstFactorMaxAge is the maximum age of a first factor that may enroll the
	// first authenticator.
	firstFactorMaxAge = 15 * time.Minute
	holdTTL           = time.Minute // for a first factor that the browser brings again
	// reviewTTL is how long an admin may look at what a policy would change, before
	// it is saved.
	reviewTTL = 30 * time.Minute
	// replayTTL is how long the same proof gets the same answer again, because
	// forms are sent twice.
	replayTTL = 10 * time.Second
)

const (
	maxFirstFactors  = 4      // of a session
	maxSeen          = 16     // accounts in which a user was last seen
	maxMembersAtOnce = 1000   // of one call
	maxKeysAtOnce    = 1000   // of one call
	maxExtensions    = 16     // of a user's grace
	maxAssigned      = 10_000 // phone numbers of one call
	maxMemberships   = 100    // accounts whose members a session knows its user to be
)

const (
	maxGrace     = 90 * day
	maxExtension = 90 * day // of one user's grace
)

// Reminders of a required enrollment go out so long before it is due. The host
// asks for them once a day, so each is due at the call that comes closest to 7
// days or 1 day before.
const (
	firstReminder = 7*day + day/2
	lastReminder  = day + day/2
)

// assignedTTL is how long a phone number that an admin entered is offered.
const assignedTTL = 30 * day

// inPersonFor is how long enrollment is open after a reset in person.
const inPersonFor = 24 * time.Hour

// coolingTime is how long a user can do nothing as an admin after a reset.
const coolingTime = 24 * time.Hour

// A support case can be approved from caseFirst on by two, and from caseByOne on by
// one. It ends after caseTTL.
const (
	caseFirst  = 24 * time.Hour
	caseByOne  = 72 * time.Hour
	caseTTL    = 7 * day
	maxCases   = 3 // of a user in casePeriod
	casePeriod = 30 * day
)

// directoryLag is how long after a change of the security stamp a directory may
// still return the one before.
const directoryLag = time.Minute

const (
	maxAddresses = 8        // kept per user
	addressLife  = 30 * day // of one that the user no longer has
)

const (
	maxAuditProblems = 1000 // that a report lists
	maxEventTypes    = 100  // of one query
	maxActionDetail  = 200  // bytes that a host reports about an action
)

// minRetention is how long events are kept at least. Within it, clocks of servers
// may differ, and the trace of an attack is still there when it is noticed.
const minRetention = 24 * time.Hour

const noticeTimeout = 5 * time.Second // for Config.OnEvent, and for a notice to one address

// issueSlack is how far ahead a time of issue may be, because the clocks of
// servers differ. It extends no lifetime, because lifetimes count from the time
// of issue.
const issueSlack = time.Minute

// maxRecord limits the bytes of a record that is read or written. A user record
// is far smaller, because every list in it is limited.
const maxRecord = 64 << 10

// maxPolicy leaves room in the record of an account.
const maxPolicy = 32 << 10

const (
	maxSpent   = 32 // used-up challenges per user, from which on none can be canceled
	maxAnswers = 4  // per user, that can be given again
	// maxUsedForms is how many forms of a user are recognized when they arrive
	// again.
	maxUsedForms = 4
	// maxSpentHeld is how many challenges may be used up when a held first
	// factor signs in. Each uses up another one, without any other proof.
	maxSpentHeld = 256
)

// cancelAllowance limits how often a login or step-up can be canceled, because
// each time is a write.
var cancelAllowance = allowance{[]time.Duration{0}, 20, 100}

const cancelBucket = "cancel"

// lostAllowance limits how often the report of a lost device is told, because each
// time is a mail to several people.
var lostAllowance = allowance{[]time.Duration{0}, 1, 1}

const lostBucket = "lost"

// foundAllowance limits how often it is told that a lost device is in use again, for
// the same reason.
var foundAllowance = allowance{[]time.Duration{0}, 3, 3}

const foundBucket = "found"

// changeAllowance limits how often a factor can be renamed, how often recovery
// codes can be viewed, and how often a member is given more time. One proof allows
// each as often as the user or admin likes, and each time is an event.
var changeAllowance = allowance{[]time.Duration{0}, 20, 100}

const (
	renameBucket = "rename"
	viewBucket   = "view"
	extendBucket = "extend"
)

// lowOnCodes is the number of unused recovery codes at which notices start to
// advise the user to generate new ones.
const lowOnCodes = 3

const defaultCodes = 10

const maxCodes = 20

// NoRecoveryCodes, as [RecoveryConfig.Codes], turns recovery codes off. A user
// who loses every factor is then locked out until the host calls
// [ManagedUser.Reset].
const NoRecoveryCodes = -1

const (
	maxSent      = 12 // valid links and codes per user
	maxReturned  = 2  // messages that can never arrive, given back per day
	linkTTL      = 10 * time.Minute
	maxLinkTTL   = time.Hour
	textTTL      = 5 * time.Minute
	maxTextTries = 5                // wrong codes until a texted code is revoked
	sendTimeout  = 20 * time.Second // if the context has no deadline
	hour         = time.Hour
)

const (
	day             = 24 * time.Hour
	maxMaxAge       = time.Hour       // of ActionRule.MaxAge
	maxActionPolicy = 5 * time.Minute // of a proof for ActionPolicy
	onceMaxAge      = 5 * time.Minute // a single-use proof must be used within this time
)

const (
	maxGrants   = 16  // per user
	maxName     = 128 // bytes in the name of an action, resource or authenticator
	maxUserName = 254 // bytes of the name of a user on a page; enough for every email address
)

const (
	// maxRounds is how many conflicts an operation meets until it fails. It has
	// more in a known browser, so that an attacker who writes all the time does
	// not keep the owner out.
	maxRounds      = 24
	maxRoundsKnown = 96
	readBackTime   = 2 * time.Second  // to learn whether a swap that returned an error was stored
	attemptTime    = 10 * time.Second // for a proof, which counts even if the client hangs up
)

const maxToken = 4096 // characters

// Limits of a form that waits for a step-up.
const (
	maxHeldBody  = 16 << 10
	maxHeldPath  = 4 << 10  // of each path
	maxHeldToken = 48 << 10 // characters, with the challenge
)

const (
	minKey         = 16 // bytes (RFC 4226, section 4, R6)
	minImportedKey = 10 // of another product; its factor is marked as legacy
	maxImportedKey = 128
	defaultPeriod  = 30 * time.Second
)

// Limits of wrong codes (docs/limits.md). NIST SP 800-63B-4, section 3.2.2,
// allows 100 consecutive failures and asks for growing waits.
const (
	failuresToLock   = 5
	firstLock        = time.Minute // doubles with each further failure
	longestLock      = time.Hour
	failuresKnown    = 10 // in a known browser, until it counts as unknown
	failureNoticeGap = time.Hour

	// In unknown browsers, each failure raises the level by one, and each day
	// lowers it by one. Together with easing, that is at most 100 failures in 30
	// days: maxLevel + 30 + maxEased*easeBy.
	maxLevel   = 40
	easeBy     = 10 // for a changed first factor
	maxEased   = 3  // in easePeriod
	easePeriod = 30 * day
	maxStreak  = 100 // failures without a success in any browser
)

// allowance limits how often messages may be sent.
type allowance struct {
	// coolDown is the wait after the 1st, 2nd, … message within an hour. The
	// last one applies to all further messages.
	coolDown        []time.Duration
	perHour, perDay int
}

var (
	mailAllowance = allowance{[]time.Duration{time.Minute}, 5, 20}
	textAllowance = allowance{[]time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute}, 5, 10}
)

// nextSendIn returns how long to wait before the next message may be sent,
// given the times at which earlier ones were counted, oldest first.
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

// recentTimes returns the times that are less than span ago. It drops times
// that lie span or more ahead, because they were set by a wrong clock.
// Otherwise nothing could be sent until real time caught up with that clock.
func recentTimes(times []unixTime, now unixTime, span time.Duration) []unixTime {
	return slices.DeleteFunc(slices.Clone(times), func(t unixTime) bool { return now.sub(t).Abs() >= span })
}

// unixTime is a time in whole seconds since 1970, as records and tokens store
// it. Zero means never.
type unixTime int64

func unixTimeOf(t time.Time) unixTime { return unixTime(t.Unix()) }

func (t unixTime) add(d time.Duration) unixTime { return t + unixTime(d/time.Second) }

// sub returns t-u. It is for times that lie years apart at most.
func (t unixTime) sub(u unixTime) time.Duration { return time.Duration(t-u) * time.Second }

// within reports whether t, a time of issue, is less than age ago. A time that
// lies ahead of now by more than clocks may differ is not.
func (t unixTime) within(age time.Duration, now unixTime) bool {
	return t <= now.add(issueSlack) && now.sub(t) < age
}

// isAhead reports whether t, an expiry, lies ahead of now, and not further than
// ttl. Otherwise what was issued by a clock that was a year ahead would live for
// a year.
func (t unixTime) isAhead(ttl time.Duration, now unixTime) bool {
	return now < t && t.sub(now) <= ttl+issueSlack
}

// time returns t in UTC, or the zero Time if t is zero.
func (t unixTime) time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.Unix(int64(t), 0).UTC()
}

// sameDay reports whether t and u are on one day in UTC.
func (t unixTime) sameDay(u unixTime) bool {
	const seconds = unixTime(day / time.Second)
	return t/seconds == u/seconds
}

// now returns the time by [Config.Now].
func (m *Manager) now() unixTime { return unixTimeOf(m.cfg.Now()) }
