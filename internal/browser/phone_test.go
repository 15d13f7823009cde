package browser

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/draw"
	"image/png"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/twofa-go/twofa/internal/engines"
)

// phone is an authenticator app that shares no code with this library: zbarimg
// reads the QR code, oathtool computes the codes.
type phone struct {
	t    *testing.T
	now  func() time.Time
	uri  string
	used int64 // time step of the newest code that was returned
}

// scan reads the QR code on the page with a new phone.
func (b *tab) scan() *phone {
	b.t.Helper()
	return &phone{t: b.t, now: b.now, uri: zbarimg(b.t, b.element(".qr"))}
}

// code returns a code that has not been used, because each is valid once. The
// server accepts the code of the next time step too, so code can return two
// codes without a wait.
func (p *phone) code() string {
	p.t.Helper()
	step := p.now().Unix() / 30
	require.LessOrEqual(p.t, p.used, step, "a third code within 30 seconds is not valid: move the clock of the site")
	p.used = max(p.used+1, step)
	return oathtool(p.t, p.secret(), p.used)
}

// lastCode returns again the code that code returned last.
func (p *phone) lastCode() string { return oathtool(p.t, p.secret(), p.used) }

// secret returns the key in the URI of the QR code.
func (p *phone) secret() string {
	p.t.Helper()
	u, err := url.Parse(p.uri)
	require.NoError(p.t, err)
	require.Equal(p.t, "otpauth", u.Scheme)
	return u.Query().Get("secret")
}

// oathtool computes the code of a time step.
func oathtool(t *testing.T, secret string, step int64) string {
	t.Helper()
	at := time.Unix(step*30, 0).UTC().Format("2006-01-02 15:04:05 UTC")
	return output(t, nil, engines.Tool(t, "oathtool"), "--totp", "-b", secret, "--now", at)
}

// zbarimg returns the bytes of the QR code in a picture.
func zbarimg(t *testing.T, picture []byte) string {
	t.Helper()
	tool := engines.Tool(t, "zbarimg")
	file := filepath.Join(t.TempDir(), "qr.png")
	require.NoError(t, os.WriteFile(file, picture, 0o600))
	return output(t, nil, tool, "--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", "-Sqrcode.binary", file)
}

// jsQR returns the bytes of the QR code in a picture. Its decoder is stricter
// about contrast and the quiet zone than zbarimg.
func jsQR(t *testing.T, picture []byte) string {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(picture))
	require.NoError(t, err)
	size := img.Bounds().Size()
	pixels := image.NewNRGBA(image.Rectangle{Max: size})
	draw.Draw(pixels, pixels.Rect, img, img.Bounds().Min, draw.Src)
	in := binary.LittleEndian.AppendUint32(nil, uint32(size.X))
	return node(t, append(binary.LittleEndian.AppendUint32(in, uint32(size.Y)), pixels.Pix...), `
		const jsQR = require('jsqr');
		const found = jsQR.default ? jsQR.default : jsQR;
		const code = found(new Uint8ClampedArray(input.subarray(8)), input.readUInt32LE(0), input.readUInt32LE(4));
		process.stdout.write(Buffer.from(code.binaryData));`)
}

// otpauthCode computes the code for a URI with the JavaScript library otpauth.
func otpauthCode(t *testing.T, uri string, step int64) string {
	t.Helper()
	return node(t, []byte(uri), `
		const { URI } = require('otpauth');
		process.stdout.write(URI.parse(input.toString()).generate({ timestamp: `+strconv.FormatInt(step*30_000, 10)+` }));`)
}

// node runs a script, which finds the input in the constant input, and returns its output.
func node(t *testing.T, input []byte, script string) string {
	t.Helper()
	modules := nodeModules(t)
	cmd := exec.Command(engines.Tool(t, "node"), "-e", `const input = require('fs').readFileSync(0);`+script)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	return outputOf(t, input, cmd)
}

// nodeModules returns the folder of the npm packages that .ci/run installs.
func nodeModules(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("TWOFA_NODE_MODULES")
	if dir == "" {
		engines.Require(t, "npm packages", "TWOFA_NODE_MODULES does not name their folder")
	}
	return dir
}

func output(t *testing.T, input []byte, name string, args ...string) string {
	t.Helper()
	return outputOf(t, input, exec.Command(name, args...))
}

func outputOf(t *testing.T, input []byte, cmd *exec.Cmd) string {
	t.Helper()
	var problem bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &problem
	out, err := cmd.Output()
	require.NoError(t, err, "%s: %s", cmd.Path, problem.String())
	return strings.TrimSuffix(string(out), "\n")
}
