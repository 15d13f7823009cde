// Package sheet writes CSV files that a spreadsheet opens without running anything.
package sheet

import (
	"encoding/csv"
	"io"
	"regexp"
	"time"
)

// Writer writes a CSV file (RFC 4180). No cell of it is a formula. Create one with
// [NewWriter].
type Writer struct{ csv *csv.Writer }

// NewWriter returns a Writer that writes to w.
func NewWriter(w io.Writer) *Writer {
	table := csv.NewWriter(w)
	table.UseCRLF = true
	return &Writer{table}
}

// Write adds a row. If that fails, Flush returns the error.
func (w *Writer) Write(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = Cell(cell)
	}
	_ = w.csv.Write(row)
}

// Flush sends all rows on. It returns the first error of any row.
func (w *Writer) Flush() error {
	w.csv.Flush()
	return w.csv.Error()
}

// Cell returns a cell that no spreadsheet takes for a formula, also not after a
// character at which one in another language splits cells. Users choose their own
// names and write reasons, and a formula could send the file to somebody else.
func Cell(cell string) string { return formulaStart.ReplaceAllString(cell, "$1'$2") }

var formulaStart = regexp.MustCompile(`(^|[;,|\t]["'\s]*)([=+\-@\t\r\n＝＋－＠])`)

// Time returns a time in RFC 3339 and UTC, and nothing for the zero Time.
func Time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
