package twofahttp

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/twofa-go/twofa"
	"github.com/twofa-go/twofa/internal/sheet"
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
	table := sheet.NewWriter(w)
	table.Write(csvColumns...)
	passed := map[string]bool{}
	for {
		for _, m := range part.members {
			table.Write(csvRow(m)...)
		}
		if err := table.Flush(); err != nil || part.next == "" {
			return err
		}
		x.partSent()
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
	return []string{m.Name, m.Email, role, string(m.State), strings.Join(m.Methods, " "), strconv.Itoa(m.CodesLeft), sheet.Time(m.LastLogin), sheet.Time(m.LastProof), sheet.Time(m.Due), sheet.Time(m.Lost), sheet.Time(m.Case)}
}
