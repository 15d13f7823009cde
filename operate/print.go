package operate

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/twofa-go/twofa/internal/text"
)

// table prints rows of cells in columns. Every cell is cleaned, because names come
// from users: a control character could rewrite what is on the terminal.
func table(w io.Writer, rows ...[]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if row[i] = text.Clean(cell, 200); row[i] == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// when returns a time as text, and an empty string for the zero Time.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// printJSON prints a value as indented JSON.
func (c *console) printJSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = c.Stdout.Write(append(text.PrintableJSON(data), '\n'))
	return err
}

// grouped returns a number with commas between groups of three digits.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// progress shows how far a long command has come. On a terminal it redraws one
// line. Otherwise it prints a line every few seconds, for a log.
type progress struct {
	w        io.Writer
	terminal bool
	every    time.Duration
	unit     string
	total    int // 0 if it is not known

	began, shown time.Time
	drawn        int // length of the line on the terminal
}

func (c *console) progress(unit string, total int) *progress {
	p := &progress{w: c.Stderr, terminal: c.isTerminal(c.Stderr), every: c.every, unit: unit, total: total, began: time.Now()}
	if p.terminal {
		p.every = 200 * time.Millisecond
	}
	p.shown = p.began
	return p
}

// show tells how many units are done, unless it has just done so. at is the place
// that has been reached, for a log.
func (p *progress) show(done int, at string) {
	now := time.Now()
	if now.Sub(p.shown) < p.every {
		return
	}
	p.shown = now
	took := now.Sub(p.began)
	rate := float64(done) / took.Seconds()
	line := grouped(done) + " " + p.unit
	if p.total > 0 {
		share := min(1, float64(done)/float64(p.total))
		line = fmt.Sprintf("%3.0f %%  %s of %s %s", 100*share, grouped(done), grouped(max(p.total, done)), p.unit)
		if p.terminal {
			full := int(share * 20)
			line = "[" + strings.Repeat("#", full) + strings.Repeat("-", 20-full) + "] " + line
		}
	}
	line += fmt.Sprintf(", %s a second", grouped(int(rate+0.5)))
	if left := p.total - done; p.total > 0 && left > 0 && rate > 0 {
		line += ", about " + waitOf(time.Duration(float64(left)/rate*float64(time.Second))) + " left"
	}
	if p.terminal {
		fmt.Fprintf(p.w, "\r%-*s", p.drawn, line)
		p.drawn = len(line)
		return
	}
	if at != "" {
		line += ", " + at
	}
	fmt.Fprintln(p.w, line)
}

// clear removes the line from the terminal, so that another can be printed.
func (p *progress) clear() {
	if p.drawn > 0 {
		fmt.Fprintf(p.w, "\r%*s\r", p.drawn, "")
		p.drawn = 0
	}
}

// commandLine returns a command that can be pasted into a shell.
func commandLine(name string, args ...string) string {
	line := name
	for _, arg := range args {
		if arg == "" || strings.Trim(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@,+=") != "" {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		line += " " + arg
	}
	return line
}
