package operate

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twofa-go/twofa"
)

// auditMeaning says what a problem means, for people who do not know the code.
var auditMeaning = map[twofa.AuditProblemKind]string{
	twofa.AuditChanged:  "the event is not as it was written, its key is not in the ring, or its time is still to come",
	twofa.AuditUnsigned: "the event was not written by the library",
	twofa.AuditRepeated: "the event is there twice",
	twofa.AuditMissing:  "events are missing from this number on",
	twofa.AuditCut:      "the last events are missing, from this number on",
	twofa.AuditPutBack:  "the record of the events is older than they are, so somebody has put it back",
	twofa.AuditNoRecord: "the record of the events is missing or cannot be read",
}

// verify checks that the stored events are those that the library wrote.
func (c *console) verify(ctx context.Context) error {
	if _, ok := c.Store.(twofa.EventReader); !ok {
		return c.noEvents()
	}
	p := c.progress("events", 0)
	report, err := c.Manager.VerifyEvents(ctx, func(events int) { p.show(events, "") })
	p.clear()
	if err != nil {
		return c.explain(err)
	}
	if c.opt.json {
		err = c.printReport(report)
	} else {
		err = c.tableReport(report)
	}
	if err != nil {
		return err
	}
	if found := len(report.Problems) + report.More; found > 0 {
		return &refusal{problem: "problems with the events: " + grouped(found),
			next: "If this program lacks a key that servers have used, run it again with all keys. Otherwise somebody may have written to the database: " +
				"keep a copy of it as it is, and compare it with your exports and backups before anything is deleted."}
	}
	return nil
}

func (c *console) printReport(report twofa.AuditReport) error {
	type problem struct {
		Kind    twofa.AuditProblemKind `json:"kind"`
		User    string                 `json:"user,omitempty"`
		Account string                 `json:"account,omitempty"`
		Event   string                 `json:"event,omitempty"`
		Seq     uint64                 `json:"seq"`
	}
	problems := []problem{}
	for _, x := range report.Problems {
		problems = append(problems, problem(x))
	}
	return c.printJSON(struct {
		Events   int       `json:"events"`
		Records  int       `json:"records"`
		Deleted  time.Time `json:"deleted_before,omitzero"`
		Problems []problem `json:"problems"`
		More     int       `json:"more"` // problems that are not listed
	}{report.Events, report.Records, report.Cutoff.Before, problems, report.More})
}

func (c *console) tableReport(report twofa.AuditReport) error {
	rows := [][]string{
		{"Events", grouped(report.Events)},
		{"Users and accounts", grouped(report.Records)},
	}
	if !report.Cutoff.Before.IsZero() {
		rows = append(rows, []string{"Deleted before", when(report.Cutoff.Before)}, []string{"Deleted by", report.Cutoff.Reason})
	}
	rows = append(rows, []string{"Problems", grouped(len(report.Problems) + report.More)})
	if err := table(c.Stdout, rows...); err != nil || len(report.Problems) == 0 {
		return err
	}
	rows = [][]string{{"PROBLEM", "USER", "ACCOUNT", "NUMBER", "EVENT", "MEANING"}}
	for _, x := range report.Problems {
		rows = append(rows, []string{string(x.Kind), x.User, x.Account, strconv.FormatUint(x.Seq, 10), x.Event, auditMeaning[x.Kind]})
	}
	if report.More > 0 {
		rows = append(rows, []string{grouped(report.More) + " more"})
	}
	fmt.Fprintln(c.Stdout)
	return table(c.Stdout, rows...)
}
