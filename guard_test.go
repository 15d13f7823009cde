package twofa_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/twofa-go/twofa"

// testPackages lists the packages of the root module that only tests import.
var testPackages = []string{modulePath + "/storetest", modulePath + "/twofatest", modulePath + "/internal/engines", modulePath + "/internal/harness", modulePath + "/internal/pseudo"}

// goCommand runs the go command on this module alone, as a user who imports it
// does.
func goCommand(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-buildvcs=false")
	out, err := cmd.Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("go %s: %s", strings.Join(args, " "), failed.Stderr)
	}
	require.NoError(t, err)
	return out
}

type goPackage struct {
	ImportPath, Dir   string
	Export            string
	Standard, DepOnly bool
	Module            *struct{ Path string }
	GoFiles, Imports  []string
}

func goList(t *testing.T, args ...string) []goPackage {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(goCommand(t,
		append([]string{"list", "-json=ImportPath,Dir,Export,Standard,DepOnly,Module,GoFiles,Imports"}, args...)...))))
	var all []goPackage
	for {
		var p goPackage
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else {
			require.NoError(t, err)
		}
		all = append(all, p)
	}
}

func TestGuard_RootRequiresFiveModules(t *testing.T) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Tool, Replace []any
	}
	require.NoError(t, json.Unmarshal(goCommand(t, "mod", "edit", "-json"), &mod))
	var direct []string
	for _, r := range mod.Require {
		if !r.Indirect {
			direct = append(direct, r.Path)
		}
	}
	require.ElementsMatch(t, []string{
		"github.com/boombuler/barcode", "github.com/pquerna/otp", "github.com/stretchr/testify", "golang.org/x/crypto", "golang.org/x/text",
	}, direct)
	require.Empty(t, mod.Tool, "tools belong in internal/tools")
	require.Empty(t, mod.Replace)
}

// A released module is used without its replace lines, so its go.mod must name
// tagged versions. Between releases, a requirement of v0.0.0 is accepted next to
// a replace line, which builds it from this repository. With TWOFA_RELEASE set,
// it is refused in the modules that get tags (see RELEASING.md).
func TestGuard_NoReleasedModuleRequiresV000(t *testing.T) {
	type module struct{ Path, Version string }
	var work struct{ Use []struct{ DiskPath string } }
	require.NoError(t, json.Unmarshal(goCommand(t, "work", "edit", "-json", "go.work"), &work))
	require.NotEmpty(t, work.Use)
	for _, use := range work.Use {
		file := filepath.Join(use.DiskPath, "go.mod")
		var mod struct {
			Require []module
			Replace []struct{ Old module }
		}
		require.NoError(t, json.Unmarshal(goCommand(t, "mod", "edit", "-json", file), &mod))
		for _, r := range mod.Require {
			ours := r.Path == modulePath || strings.HasPrefix(r.Path, modulePath+"/")
			replaced := slices.ContainsFunc(mod.Replace, func(x struct{ Old module }) bool { return x.Old.Path == r.Path })
			if ours && strings.HasPrefix(r.Version, "v0.0.0") {
				require.True(t, replaced, "%s: requires %s %s without a replace line", file, r.Path, r.Version)
				tagged := strings.HasPrefix(filepath.ToSlash(filepath.Clean(use.DiskPath)), "adapters/")
				require.False(t, tagged && os.Getenv("TWOFA_RELEASE") != "", "%s: requires %s %s, which has no tag", file, r.Path, r.Version)
			}
		}
	}
}

// The test checks which modules and packages a host gets with each package,
// apart from the standard library.
func TestGuard_Dependencies(t *testing.T) {
	modules := []string{
		modulePath, "github.com/boombuler/barcode", "github.com/pquerna/otp", "golang.org/x/crypto",
		"golang.org/x/sys",  // CPU features, for x/crypto
		"golang.org/x/text", // matching of languages and plural rules
	}
	for _, p := range goList(t, "./...") {
		if slices.Contains(testPackages, p.ImportPath) {
			continue
		}
		t.Run(path.Base(p.ImportPath), func(t *testing.T) {
			for _, dep := range goList(t, "-deps", p.ImportPath) {
				require.NotEqual(t, "testing", dep.ImportPath)
				require.NotContains(t, testPackages, dep.ImportPath)
				require.False(t, strings.HasPrefix(dep.ImportPath, modulePath+"/examples/") && dep.DepOnly, dep.ImportPath)
				if !dep.Standard {
					require.NotNil(t, dep.Module, dep.ImportPath)
					require.Contains(t, modules, dep.Module.Path)
				}
				if dep.DepOnly {
					require.False(t, strings.HasPrefix(dep.ImportPath, modulePath+"/locale/"), "%s: only the languages that a host imports may be linked", dep.ImportPath)
				}
				if p.ImportPath == modulePath {
					require.NotEqual(t, "net/http", dep.ImportPath)
					require.NotContains(t, dep.ImportPath, modulePath+"/adapters")
					require.NotEqual(t, modulePath+"/twofahttp", dep.ImportPath)
				}
			}
		})
	}
}

// No module of this repository imports an example, except in tests.
func TestGuard_NothingImportsExamples(t *testing.T) {
	example := regexp.MustCompile(`^` + modulePath + `/examples/`)
	mods, err := filepath.Glob("*/*/go.mod")
	require.NoError(t, err)
	require.NotEmpty(t, mods)
	for _, mod := range append(mods, "go.mod") {
		dir := filepath.Dir(mod)
		if strings.HasPrefix(dir, "examples") {
			continue
		}
		require.NoError(t, filepath.WalkDir(dir, func(file string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "examples" || d.Name() == "node_modules") {
				return filepath.SkipDir
			}
			if strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
				for _, imp := range parseGo(t, file).Imports {
					require.NotRegexp(t, example, unquote(imp.Path.Value), file)
				}
			}
			return nil
		}))
	}
}

// The library starts nothing in the background and keeps no state that its host
// cannot see.
func TestGuard_NoInitNoGoroutineNoVariables(t *testing.T) {
	for _, name := range goSources(t, ".") {
		file := parseGo(t, name)
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				require.False(t, n.Recv == nil && n.Name.Name == "init", "%s: has a func init", name)
			case *ast.GoStmt:
				t.Errorf("%s: starts a goroutine", name)
			case *ast.SelectorExpr:
				require.NotEqual(t, "Go", n.Sel.Name, "%s: starts a goroutine", name)
			}
			return true
		})
		for _, decl := range file.Decls {
			for _, v := range packageVars(decl) {
				require.True(t, !ast.IsExported(v) || strings.HasPrefix(v, "Err"), "%s: %s: must not be a variable that other packages can change", name, v)
			}
		}
	}
}

func packageVars(decl ast.Decl) (names []string) {
	gen, ok := decl.(*ast.GenDecl)
	if !ok || gen.Tok != token.VAR {
		return nil
	}
	for _, spec := range gen.Specs {
		for _, name := range spec.(*ast.ValueSpec).Names {
			names = append(names, name.Name)
		}
	}
	return names
}

// Secrets are compared in constant time, and random values are not predictable.
// The only use of math/rand is the delay between retries.
func TestAbuse_Q06_ComparisonsAndRandomness(t *testing.T) {
	const jitter = "update.go"
	secret := regexp.MustCompile(`(?i)(secret|code|token|mac|digest|hash|sum|password|binding)$`)
	forbidden := map[string]string{
		"bytes.Equal": "hmac.Equal", "bytes.Compare": "hmac.Equal", "bytes.EqualFold": "hmac.Equal",
		"strings.EqualFold": "a canonical form", "reflect.DeepEqual": "hmac.Equal", "slices.Equal": "hmac.Equal",
	}
	for _, p := range goList(t, "./...") {
		if slices.Contains(testPackages, p.ImportPath) {
			continue
		}
		for _, name := range p.GoFiles {
			at := filepath.Join(p.Dir, name)
			file := parseGo(t, at)
			for _, imp := range file.Imports {
				if strings.HasPrefix(unquote(imp.Path.Value), "math/rand") && !(p.ImportPath == modulePath && name == jitter) {
					t.Errorf("%s imports %s", at, imp.Path.Value)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					if pkg, ok := n.X.(*ast.Ident); ok {
						if instead, bad := forbidden[pkg.Name+"."+n.Sel.Name]; bad {
							t.Errorf("%s: %s.%s; use %s", at, pkg.Name, n.Sel.Name, instead)
						}
					}
				case *ast.BinaryExpr:
					x, y := variable(file, n.X), variable(file, n.Y)
					equality := n.Op == token.EQL || n.Op == token.NEQ
					if equality && x != "" && y != "" && (secret.MatchString(x) || secret.MatchString(y)) {
						t.Errorf("%s: %s %s %s; use subtle.ConstantTimeCompare", at, x, n.Op, y)
					}
				}
				return true
			})
		}
	}
}

// variable returns the name of a variable or field. It returns "" for
// constants, nil, calls and all other expressions.
func variable(file *ast.File, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		if e.Name != "nil" && !e.IsExported() {
			return e.Name
		}
	case *ast.SelectorExpr:
		pkg, ok := e.X.(*ast.Ident)
		if !ok || !slices.ContainsFunc(file.Imports, func(imp *ast.ImportSpec) bool { return path.Base(unquote(imp.Path.Value)) == pkg.Name }) {
			return e.Sel.Name
		}
	}
	return ""
}

// goSources returns the Go files of one folder except tests.
func goSources(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	files = slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
	require.NotEmpty(t, files)
	return files
}

func parseGo(t *testing.T, file string) *ast.File {
	t.Helper()
	return parseInto(t, token.NewFileSet(), file)
}

func parseInto(t *testing.T, fset *token.FileSet, file string) *ast.File {
	t.Helper()
	f, err := goparser.ParseFile(fset, file, nil, goparser.SkipObjectResolution)
	require.NoError(t, err)
	return f
}

func unquote(s string) string {
	s, _ = strconv.Unquote(s)
	return s
}
