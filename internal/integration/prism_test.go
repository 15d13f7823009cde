package integration

import (
	"bufio"
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/internal/engines"
)

var prismListens = regexp.MustCompile(`Prism is listening on (http://127\.0\.0\.1:\d+)`)

// startPrism starts a mock server for the description of a gateway's API.
func startPrism(t *testing.T, description string) (base string) {
	t.Helper()
	prism := engines.Tool(t, cmp.Or(os.Getenv("TWOFA_PRISM"), "prism"))
	cmd := exec.CommandContext(t.Context(), prism, "mock", "--host", "127.0.0.1", "--port", "0", "--errors", description)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	var printed bytes.Buffer
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Wait() }) // the end of the test has stopped it
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		printed.WriteString(lines.Text() + "\n")
		if found := prismListens.FindStringSubmatch(lines.Text()); found != nil {
			go func() { // otherwise Prism would block at a full pipe
				for lines.Scan() {
				}
			}()
			return found[1]
		}
	}
	t.Fatalf("Prism did not start: %s", printed.String())
	return ""
}
