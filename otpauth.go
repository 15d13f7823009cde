package twofa

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strconv"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// otpauth builds the URI that a QR code carries, by the rules of the Key URI
// Format: issuer both as prefix of the label and as parameter, no colon in
// either part, everything outside RFC 3986's unreserved characters escaped,
// a space as %20, never as "+".
func (c *Config) otpauth(u User, a totpParams) string {
	issuer, account := label(c.Issuer), label(u.Name)
	if account == "" {
		account = label(u.ID)
	}
	return "otpauth://totp/" + escape(issuer) + ":" + escape(account) +
		"?secret=" + a.key() + "&issuer=" + escape(issuer) + "&algorithm=" + a.Algorithm +
		"&digits=" + strconv.Itoa(a.Digits) + "&period=" + strconv.FormatInt(a.Period, 10)
}

// label makes a name fit for the URI's label. 64 bytes keep the QR code small
// enough to scan from a screen.
func label(s string) string { return clean(strings.ReplaceAll(s, ":", " "), 64) }

func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

const quietZone = 4 // modules of white around a QR code; strict readers ask for it

// qrModules returns the QR code as rows of dark modules, quiet zone included.
func qrModules(text string) (size int, dark func(x, y int) bool, err error) {
	code, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		return 0, nil, err
	}
	n := code.Bounds().Dx()
	return n + 2*quietZone, func(x, y int) bool {
		x, y = x-quietZone, y-quietZone
		if x < 0 || y < 0 || x >= n || y >= n {
			return false
		}
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}, nil
}

// PNG draws the QR code black on white, scale pixels a module (1 to 32; 0
// means 6), as a 1-bit PNG of less than 1 KB. It holds the authenticator's key:
// serve it to the person only, never by way of a chart service.
func (e Enrollment) PNG(scale int) ([]byte, error) {
	scale = min(max(cmp.Or(scale, 6), 1), 32)
	size, dark, err := qrModules(e.URI.Reveal())
	if err != nil {
		return nil, err
	}
	img := image.NewPaletted(image.Rect(0, 0, size*scale, size*scale), color.Palette{color.White, color.Black})
	for y := range size * scale {
		row := img.Pix[y*img.Stride:][:size*scale]
		if y%scale != 0 {
			copy(row, img.Pix[(y-1)*img.Stride:])
			continue
		}
		for x := range row {
			if dark(x/scale, y/scale) {
				row[x] = 1
			}
		}
	}
	var b bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, img)
	return b.Bytes(), err
}

// SVG draws the QR code as one path on white, to be put into a page as it is.
// It carries no text. The warning of [Enrollment.PNG] holds.
func (e Enrollment) SVG() (string, error) {
	size, dark, err := qrModules(e.URI.Reveal())
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" role="img" aria-label="QR code"><path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, size, size, size, size)
	for y := range size {
		for x := 0; x < size; x++ {
			run := 0
			for dark(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x, y, run, run)
				x += run
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return b.String(), nil
}
