package event_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// The page of the audit log has one row for each type, and no other.
func TestTypesAreDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	require.NoError(t, err)
	declared := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING {
			name, err := strconv.Unquote(s.Value)
			require.NoError(t, err)
			declared[name] = true
		}
		return true
	})
	require.GreaterOrEqual(t, len(declared), 40)
	page, err := os.ReadFile("../docs/audit.md")
	require.NoError(t, err)
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [^|]+ \\|[^|]*\\| [^|]+ \\| \\d{4}/[^|]+ \\| [^|]+ \\|$").FindAllStringSubmatch(string(page), -1) {
		require.False(t, rows[row[1]], row[1])
		rows[row[1]] = true
	}
	require.Equal(t, declared, rows)
}
