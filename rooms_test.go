package twofa_test

import (
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// calls maps each file of the root package to the files that declare a
// function or method which it uses.
func calls(t *testing.T) map[string]map[string]bool {
	t.Helper()
	exports := map[string]string{}
	for _, p := range goList(t, "-export", "-deps", ".") {
		exports[p.ImportPath] = p.Export
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range goSources(t, ".") {
		files = append(files, parseInto(t, fset, name))
	}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	_, err := config.Check(modulePath, fset, files, info)
	require.NoError(t, err)

	fileOf := func(p token.Pos) string { return filepath.Base(fset.Position(p).Filename) }
	graph := map[string]map[string]bool{}
	for id, used := range info.Uses {
		f, ok := used.(*types.Func)
		if !ok || f.Pkg() == nil || f.Pkg().Path() != modulePath {
			continue
		}
		from, to := fileOf(id.Pos()), fileOf(f.Origin().Pos())
		if from == to {
			continue
		}
		if graph[from] == nil {
			graph[from] = map[string]bool{}
		}
		graph[from][to] = true
	}
	return graph
}

// reach returns the files that can be reached from one.
func reach(graph map[string]map[string]bool, from string) map[string]bool {
	seen := map[string]bool{}
	var visit func(string)
	visit = func(file string) {
		for next := range graph[file] {
			if !seen[next] {
				seen[next] = true
				visit(next)
			}
		}
	}
	visit(from)
	return seen
}

// The files of the root package call each other in one direction, so that a
// reader can understand each after those that it calls.
func TestGuard_FilesCallInOneDirection(t *testing.T) {
	graph := calls(t)
	var pairs, cycle []string
	for from := range graph {
		for to := range graph[from] {
			if from < to && graph[to][from] {
				pairs = append(pairs, from+" and "+to)
			}
		}
		round := []string{from}
		for other := range reach(graph, from) {
			if other != from && reach(graph, other)[from] {
				round = append(round, other)
			}
		}
		if len(round) > len(cycle) {
			cycle = round
		}
	}
	slices.Sort(pairs)
	slices.Sort(cycle)
	require.LessOrEqual(t, len(pairs), 3, "files that call each other:\n%s", strings.Join(pairs, "\n"))
	require.LessOrEqual(t, len(cycle), 3, "files in one cycle: %s", strings.Join(cycle, " "))
}

// The root folder has few files, and none is long.
func TestGuard_Rooms(t *testing.T) {
	sources := goSources(t, ".")
	require.LessOrEqual(t, len(sources), 54, "Go files in the root: move code to a package under internal/")
	for _, name := range sources {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.LessOrEqual(t, strings.Count(string(text), "\n"), 400, "%s: must have at most 400 lines", name)
	}
	all, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	tests := slices.DeleteFunc(all, func(name string) bool { return strings.HasPrefix(name, "example_") })
	require.LessOrEqual(t, len(tests), 12, "test files in the root: move tests of the exported API to internal/abuse: %s", strings.Join(tests, " "))
}
