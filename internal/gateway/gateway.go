// Package gateway makes the HTTP requests of senders: to a safe address only, without
// redirects, within a timeout, and again only if the message was not accepted. What it
// reports is safe to log.
package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Client makes the requests of one sender.
type Client struct {
	sender  string
	http    http.Client
	timeout time.Duration
}

// New returns a Client for the sender of this name, which error texts begin with. It
// copies c, without its CheckRedirect and Jar, because following a redirect could send
// credentials and the message to another server. If c is nil, it uses a client with
// [http.DefaultTransport]. If timeout is zero, it defaults to 10 seconds.
func New(sender string, c *http.Client, timeout time.Duration) *Client {
	own := &Client{sender: sender, timeout: cmp.Or(timeout, 10*time.Second)}
	if c != nil {
		own.http = *c
	}
	own.http.Jar = nil
	own.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return own
}

// Problems collects the mistakes in a Config.
type Problems []error

// Add adds a text if it is wrong.
func (p *Problems) Add(wrong bool, text string) {
	if wrong {
		*p = append(*p, errors.New(text))
	}
}

// Transport adds the mistakes in the address and the timeout, which every sender has.
// The address is not quoted, because it may contain a secret by mistake.
func (p *Problems) Transport(field, address string, timeout time.Duration) {
	p.Add(!safe(address), field+": must be https, or http with a loopback IP address, and have a host, but no user, query or fragment")
	p.Add(timeout < 0, fmt.Sprintf("Timeout: must be 0 or more, is %v", timeout))
}

// Err returns all mistakes as one error, or nil.
func (p Problems) Err(sender string) error {
	if len(p) == 0 {
		return nil
	}
	return fmt.Errorf("%s: config: %w", sender, errors.Join(p...))
}

func safe(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.ContainsAny(address, "?#") {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && net.ParseIP(u.Hostname()).IsLoopback()
}

// Response is what the gateway responded.
type Response struct {
	Status int
	Body   []byte // at most 16 KiB
}

// Send makes a POST request. prepare adds the headers. read returns the outcome, and
// reports whether the gateway was busy, and so has not accepted the message. Then Send
// tries again, at most twice, after 0.5 and 2 seconds, or longer if Retry-After asks for
// that. It returns the error at once if ctx or the timeout would end before.
func (c *Client) Send(ctx context.Context, address, body string, prepare func(*http.Request), read func(Response) (busy bool, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		res, wait, err := c.post(ctx, address, body, prepare)
		if err != nil {
			return err
		}
		if busy, err := read(res); !busy || attempt == len(backoff) || !pause(ctx, max(wait, backoff[attempt])) {
			return err
		}
	}
}

// backoff is the shortest wait before the second and before the third attempt.
var backoff = [...]time.Duration{500 * time.Millisecond, 2 * time.Second}

// pause waits for d and returns true. It returns false if ctx ends first, without
// waiting if the deadline of ctx is before that.
func pause(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Client) post(ctx context.Context, address, body string, prepare func(*http.Request)) (Response, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return Response{}, 0, fmt.Errorf("%s: %w", c.sender, err)
	}
	req.Header.Set("Accept", "application/json")
	prepare(req)
	res, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which may identify the customer
		}
		return Response{}, 0, &transportError{c.sender, err}
	}
	defer res.Body.Close()
	// The body is read even if it is not needed, because otherwise the connection
	// could not be reused. The limit is for a gateway that never stops sending.
	read, _ := io.ReadAll(io.LimitReader(res.Body, maxBody))
	return Response{res.StatusCode, read}, retryAfter(res.Header.Get("Retry-After")), nil
}

const maxBody = 16 << 10

// retryAfter parses a Retry-After header in seconds. It returns 0 for the other
// form, a date, because that would need the gateway's clock. The sender then waits
// for its own backoff.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.ParseUint(header, 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// transportError is a request that got no valid response. Its text ends at the first
// quotation mark and has no digits, because net/http quotes a malformed response, and
// that may be an echo of the request.
type transportError struct {
	sender string
	err    error
}

func (e *transportError) Error() string {
	text, _, _ := strings.Cut(e.err.Error(), `"`)
	return e.sender + ": no response: " + Clean(text)
}

func (e *transportError) Unwrap() error { return e.err }

// Clean makes text from outside safe to log. It replaces digits, because phone
// numbers and codes consist of them, makes the text one line, and truncates it to
// 200 characters.
func Clean(s string) string {
	text := []rune(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsDigit(r):
			return '#'
		case unicode.IsPrint(r):
			return r
		}
		return ' '
	}, s))
	return string(text[:min(len(text), 200)])
}

// Permanent reports whether an HTTP status refuses a request for good: 400 to 499,
// except 408 and 429.
func Permanent(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}
