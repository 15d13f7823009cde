package twofahttp_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	classOfPage     = regexp.MustCompile(`{{define "width"}}.*?{{end}}`)
	templateAction  = regexp.MustCompile(`(?s){{.*?}}`)
	tagOfPage       = regexp.MustCompile(`(?s)<[^>]*>|[a-z-]+="[^"]*"`)
	spokenAttribute = regexp.MustCompile(`\b(?:aria-label|alt|title|placeholder)="([^"]*)"`)
	word            = regexp.MustCompile(`[\p{L}]*[\p{Ll}]+[\p{L}]*|\p{Lo}{2,}`)
)

// No page has a word of its own, neither in its text nor in an attribute that a
// browser shows or a screen reader reads. All words are in package locale.
func TestPages_HaveNoWords(t *testing.T) {
	files, err := filepath.Glob("pages/*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		page := templateAction.ReplaceAllString(classOfPage.ReplaceAllString(string(content), ""), "")
		require.Empty(t, word.FindAllString(tagOfPage.ReplaceAllString(page, " "), -1), file)
		for _, attribute := range spokenAttribute.FindAllStringSubmatch(page, -1) {
			require.Empty(t, word.FindAllString(attribute[1], -1), "%s: %s", file, attribute[0])
		}
	}
}
