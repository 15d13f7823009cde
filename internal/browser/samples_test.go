package browser

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// samplesURL starts the program that serves each page of twofahttp in each of its
// states, once, and returns its address. It is the test of that package, because
// only tests can reach the states without walking to them.
var samplesURL = sync.OnceValues(func() (string, error) {
	path := filepath.Join(shared.dir, "samples.test")
	build := exec.Command("go", "test", "-c", "-o", path, "./twofahttp")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the samples: %w\n%s", err, out)
	}
	serve := exec.Command(path, "-test.run", "^TestSamples_AreServed$", "-samples.serve", "localhost:0")
	serve.Dir = filepath.Join(build.Dir, "twofahttp")
	in, err := serve.StdinPipe() // it ends when this is closed
	if err != nil {
		return "", err
	}
	out, err := serve.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := serve.Start(); err != nil {
		return "", err
	}
	atEnd(func() { _ = in.Close(); _, _ = io.Copy(io.Discard, out); _ = serve.Wait() })
	printed := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, url, ok := strings.Cut(lines.Text(), "samples at "); ok {
			return url, nil
		}
		printed += lines.Text() + "\n"
	}
	return "", fmt.Errorf("the samples are not served:\n%s", printed)
})

// newSamples returns the site that serves the samples, and their names.
func newSamples(t *testing.T) (s *site, names []string) {
	t.Helper()
	needChromium(t)
	url, err := samplesURL()
	require.NoError(t, err)
	answer, err := http.Get(url + "/samples.json")
	require.NoError(t, err)
	defer answer.Body.Close()
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&names))
	require.NotEmpty(t, names)
	return &site{t: t, in: inChromium, url: url}, names
}
