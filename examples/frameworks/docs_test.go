package frameworks_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var write = flag.Bool("write", false, "write the programs of this folder into docs/frameworks.md")

// shown is a code block of the page that must show functions of a program:
// <!-- examples/frameworks/chi/main.go: newHandler routes -->
var shown = regexp.MustCompile("(?s)<!-- examples/frameworks/([a-z]+/main\\.go): ([A-Za-z ]+) -->\n```go\n(.*?)```\n")

// The code blocks of docs/frameworks.md are those of the programs that the tests run.
func TestDocs_ShowThePrograms(t *testing.T) {
	const page = "../../docs/frameworks.md"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	programs := map[string]bool{}
	want := shown.ReplaceAllStringFunc(string(text), func(block string) string {
		m := shown.FindStringSubmatch(block)
		programs[strings.TrimSuffix(m[1], "/main.go")] = true
		return "<!-- examples/frameworks/" + m[1] + ": " + m[2] + " -->\n```go\n" + functions(t, m[1], strings.Fields(m[2])) + "```\n"
	})
	for _, dir := range []string{"nethttp", "chi", "echo", "gin", "fiber", "htmx", "nocookies"} {
		require.True(t, programs[dir], "docs/frameworks.md must show %s", dir)
	}
	if *write {
		require.NoError(t, os.WriteFile(page, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, string(text), "run: go test ./examples/frameworks -run TestDocs -write")
}

// functions returns the source of functions of a file, with their comments.
func functions(t *testing.T, file string, names []string) string {
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, source, parser.ParseComments)
	require.NoError(t, err)
	var parts []string
	for _, name := range names {
		for _, decl := range parsed.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Name.Name == name {
				from := f.Pos()
				if f.Doc != nil {
					from = f.Doc.Pos()
				}
				parts = append(parts, string(source[fset.Position(from).Offset:fset.Position(f.End()).Offset])+"\n")
			}
		}
	}
	require.Len(t, parts, len(names), "%s: %v", file, names)
	return strings.Join(parts, "\n")
}
