package twofa_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var updateAbuseCases = flag.Bool("abuse.update", false, "write the names of tests to docs/abuse-cases.md")

const abuseCases = "docs/abuse-cases.md"

var (
	abuseTest = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)Abuse\w*)\(`)
	abuseName = regexp.MustCompile(`^(?:Test|Fuzz)Abuse_((?:[A-Z][0-9]{2}_)+)\w+$`)
	abuseRow  = regexp.MustCompile(`(?m)^\| <a id="([a-z][0-9]{2})"></a>([A-Z][0-9]{2}) \| ([^|\n]+) \| ([^|\n]+) \| ([^|\n]*) \|$`)
)

// abuseTests returns the names of all tests of abuse cases in the repository,
// by ID.
func abuseTests(t *testing.T) map[string][]string {
	t.Helper()
	tests := map[string][]string{}
	require.NoError(t, filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == ".git") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, found := range abuseTest.FindAllStringSubmatch(string(text), -1) {
			name := abuseName.FindStringSubmatch(found[1])
			if name == nil {
				t.Errorf("%s: %s: must be named TestAbuse_<ID>_<Name>", file, found[1])
				continue
			}
			for _, id := range strings.Split(strings.TrimSuffix(name[1], "_"), "_") {
				if id[0] == 'S' {
					t.Errorf("%s: %s: class S is for scenarios, use T%s", file, found[1], id[1:])
				} else if !slices.Contains(tests[id], found[1]) {
					tests[id] = append(tests[id], found[1])
				}
			}
		}
		return nil
	}))
	for _, names := range tests {
		slices.Sort(names)
	}
	return tests
}

// docs/abuse-cases.md explains the ID of each abuse case and names its tests.
// After a test was added or renamed, update the names with
//
//	go test -run TestGuard_AbuseCases . -abuse.update
func TestGuard_AbuseCases(t *testing.T) {
	tests := abuseTests(t)
	page, err := os.ReadFile(abuseCases)
	require.NoError(t, err)
	if *updateAbuseCases {
		page = abuseRow.ReplaceAllFunc(page, func(row []byte) []byte {
			c := abuseRow.FindSubmatch(row)
			return fmt.Appendf(nil, `| <a id="%s"></a>%s | %s | %s | %s |`, c[1], c[2], c[3], c[4], cell(tests[string(c[2])]))
		})
		require.NoError(t, os.WriteFile(abuseCases, page, 0o666))
	}
	explained := map[string]bool{}
	for _, c := range abuseRow.FindAllStringSubmatch(string(page), -1) {
		anchor, id, names := c[1], c[2], c[5]
		if strings.ToLower(id) != anchor || explained[id] {
			t.Errorf("%s: %s: has the anchor %q, or is there twice", abuseCases, id, anchor)
		}
		explained[id] = true
		switch {
		case len(tests[id]) == 0:
			t.Errorf("%s: %s: has no test", abuseCases, id)
		case names != cell(tests[id]):
			t.Errorf("%s: %s: names other tests: run go test -run TestGuard_AbuseCases . -abuse.update", abuseCases, id)
		}
	}
	for id := range tests {
		if !explained[id] {
			t.Errorf("%s: %s: is missing, but is the ID of %s", abuseCases, id, tests[id][0])
		}
	}
	require.Equal(t, strings.Count(string(page), `<a id="`), len(explained), "rows that are not in the form of the table")
}

// cell returns the last cell of a row.
func cell(names []string) string { return "`" + strings.Join(names, "` `") + "`" }
