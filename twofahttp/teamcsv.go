package twofahttp

import (
	"encoding/csv"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
)

var csvColumns = []string{"name", "email", "role", "state", "methods", "codes_left", "last_login", "last_proof", "due", "lost", "case"}

// getTeamCSV downloads the list. Its first part is read before anything is sent,
// so that an error then has an ordinary answer. If a later part fails, the
// connection is aborted, because a list that ends early would look complete.
func (x *exchange) getTeamCSV() (view, error) {
	v := x.teamView()
	part, err := x.readPart(v, teamBatch)
	if err != nil {
		return view{}, err
	}
	name := "team-" + x.cfg.Now().UTC().Format(time.DateOnly) + ".csv"
	return view{stream: &stream{"text/csv; charset=utf-8", name, func(w io.Writer) error { return x.writeCSV(w, v, part) }}}, nil
}

// writeCSV writes a part of the list and all parts after it.
func (x *exchange) writeCSV(w io.Writer, v teamView, part teamPart) error {
	table := csv.NewWriter(w)
	table.UseCRLF = true // RFC 4180
	_ = table.Write(csvColumns)
	passed := map[string]bool{}
	for {
		for _, m := range part.members {
			_ = table.Write(csvRow(m))
		}
		table.Flush()
		if err := table.Error(); err != nil || part.next == "" {
			return err
		}
		if passed[part.next] {
			return fmt.Errorf("%w: Config.Team: returned a TeamPage.Next twice, so the list would never end", errTeam)
		}
		passed[part.next] = true
		v.after = part.next
		var err error
		if part, err = x.readPart(v, teamBatch); err != nil {
			return err
		}
	}
}

func csvRow(m member) []string {
	role := string(m.Role)
	if m.Role == twofa.RoleMember {
		role = "member"
	}
	row := []string{m.Name, m.Email, role, string(m.State), strings.Join(m.Methods, " "), strconv.Itoa(m.CodesLeft), csvTime(m.LastLogin), csvTime(m.LastProof), csvTime(m.Due), csvTime(m.Lost), csvTime(m.Case)}
	for i, cell := range row {
		row[i] = csvCell(cell)
	}
	return row
}

// csvTime returns a time in RFC 3339, and nothing for a time that is not known.
func csvTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// csvCell returns a cell that no spreadsheet takes for a formula, also not after a
// character at which one in another language splits cells. A member can choose
// their own name, and a formula could send the list to somebody else.
func csvCell(cell string) string { return formulaStart.ReplaceAllString(cell, "$1'$2") }

var formulaStart = regexp.MustCompile(`(^|[;,|\t]["'\s]*)([=+\-@\t\r\n＝＋－＠])`)
