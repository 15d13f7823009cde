package browser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// gallery are the pictures of docs/gallery.md: the sample that each one shows, and
// its width in one color scheme.
var gallery = []struct {
	name, sample string
	width        int
}{
	{"challenge", "challenge-02", 560},
	{"waiting", "challenge-10", 560},
	{"choose", "setup-01", 560},
	{"scan", "setup-07", 560},
	{"codes", "setup-09", 560},
	{"settings", "settings-04", 800},
	{"confirm", "change-05", 560},
	{"recovered", "recovered-03", 560},
	{"problem", "message-expired", 560},
	{"mail", "mail", 560},
}

// docs/gallery.md shows each picture, and together they have less than 1 MB. After
// a change of the pages, make them again with
//
//	go test ./internal/browser -run TestGallery -pictures
func TestGallery_ShowsEachPicture(t *testing.T) {
	t.Parallel()
	docs := filepath.Join("..", "..", "docs")
	if *pictures {
		s, _ := newSamples(t)
		b := s.browser(t)
		for _, p := range gallery {
			b.must(b.window.open(b.url + "/samples/en/" + p.sample))
			b.until(`true`)
			require.NoError(t, os.WriteFile(filepath.Join(docs, "gallery", p.name+".png"), b.inBothSchemes(p.width), 0o644))
		}
	}
	page, err := os.ReadFile(filepath.Join(docs, "gallery.md"))
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(docs, "gallery", "*"))
	require.NoError(t, err)
	require.Len(t, files, len(gallery), "no picture may be left over")
	var bytes int64
	for _, p := range gallery {
		info, err := os.Stat(filepath.Join(docs, "gallery", p.name+".png"))
		require.NoError(t, err)
		bytes += info.Size()
		require.Equal(t, 1, strings.Count(string(page), "](gallery/"+p.name+".png)"), p.name)
	}
	require.Less(t, bytes, int64(1<<20))
}
