// Command mutants checks the tests of decision.go. It negates each condition in
// that file, replaces it by true and by false, and reports each change that no
// test of the decision notices:
//
//	go run ./internal/mutants
//
// All changes are compiled into one test program, which the variable
// TWOFA_MUTANT selects from.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

const file = "decision.go"

// kinds are the changes of one condition.
var kinds = []string{"negated", "true", "false"}

// helper is added to the mutated file.
const helper = `
var chosenMutant, mutantKind = func() (int, string) {
	var n int
	var kind string
	fmt.Sscanf(os.Getenv("TWOFA_MUTANT"), "%d %s", &n, &kind)
	return n, kind
}()

func mutant(n int, condition bool) bool {
	if n != chosenMutant {
		return condition
	}
	switch mutantKind {
	case "negated":
		return !condition
	case "true":
		return true
	case "false":
		return false
	}
	return condition
}
`

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "twofa-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	places, program, err := compile(dir)
	if err != nil {
		return err
	}
	if out, err := test(program, "0 none", "^TestDecision"); err != nil {
		return fmt.Errorf("the tests fail without any change: %w\n%s", err, out)
	}
	survived := 0
	for n, place := range places {
		for _, kind := range kinds {
			choice := strconv.Itoa(n+1) + " " + kind
			if _, err := test(program, choice, "^TestDecisionsDocument$"); err != nil {
				continue // the quick test has noticed
			}
			if _, err := test(program, choice, "^TestDecision"); err == nil {
				survived++
				fmt.Printf("%s is %s: no test notices\n", place, kind)
			}
		}
	}
	fmt.Printf("%d conditions, %d changes, %d not noticed\n", len(places), len(places)*len(kinds), survived)
	if survived > 0 {
		return fmt.Errorf("%d changes survived", survived)
	}
	return nil
}

func test(program, mutant, names string) ([]byte, error) {
	cmd := exec.Command(program, "-test.run", names)
	cmd.Env = append(os.Environ(), "TWOFA_MUTANT="+mutant)
	return cmd.CombinedOutput()
}

// compile builds the test program and returns the conditions that it can change.
func compile(dir string) (places []string, program string, err error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.ParseComments)
	if err != nil {
		return nil, "", err
	}
	wrap := func(e *ast.Expr) {
		var text bytes.Buffer
		_ = format.Node(&text, set, *e)
		places = append(places, fmt.Sprintf("%s: %s", set.Position((*e).Pos()), text.String()))
		*e = &ast.CallExpr{Fun: ast.NewIdent("mutant"), Args: []ast.Expr{&ast.BasicLit{Kind: token.INT, Value: strconv.Itoa(len(places))}, *e}}
	}
	// From the outside in, so that the text of a condition is the one in the file.
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			wrap(&n.Cond)
		case *ast.SwitchStmt:
			if n.Tag == nil {
				for _, c := range n.Body.List {
					for i := range c.(*ast.CaseClause).List {
						wrap(&c.(*ast.CaseClause).List[i])
					}
				}
			}
		case *ast.BinaryExpr:
			if n.Op == token.LAND || n.Op == token.LOR {
				wrap(&n.X)
				wrap(&n.Y)
			}
		}
		return true
	})
	var source bytes.Buffer
	if err := format.Node(&source, set, parsed); err != nil {
		return nil, "", err
	}
	text := bytes.Replace(source.Bytes(), []byte(`import "slices"`), []byte("import (\n\t\"fmt\"\n\t\"os\"\n\t\"slices\"\n)"), 1)
	mutated := filepath.Join(dir, file)
	if err := os.WriteFile(mutated, append(text, helper...), 0o644); err != nil {
		return nil, "", err
	}
	here, err := filepath.Abs(file)
	if err != nil {
		return nil, "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{here: mutated}})
	if err != nil {
		return nil, "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o644); err != nil {
		return nil, "", err
	}
	program = filepath.Join(dir, "decision.test")
	out, err := exec.Command("go", "test", "-c", "-overlay", list, "-o", program, ".").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return places, program, err
}
