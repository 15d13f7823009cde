// Package ptbr contains the texts of package locale in Brazilian Portuguese. A program contains
// them only if it imports this package.
package ptbr

import (
	"embed"
	"sync"

	"github.com/twofa-go/twofa/locale"
)

//go:embed pt-BR.json
var files embed.FS

// Catalog returns the catalog of Brazilian Portuguese. It always returns the same one.
func Catalog() *locale.Catalog { return catalog() }

var catalog = sync.OnceValue(func() *locale.Catalog {
	all, err := locale.Parse(files)
	if err != nil {
		panic(err) // a test of this package parses the file
	}
	return all[0]
})
