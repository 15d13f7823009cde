// Package qr draws QR codes.
package qr

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"

	"github.com/boombuler/barcode/qr"
)

// quietZone is the width of the white border in modules. Strict readers need
// it, above all on a dark page.
const quietZone = 4

// code is a QR code with its quiet zone.
type code struct {
	size int                 // modules per side
	dark func(x, y int) bool // whether a module is dark
}

func encode(text string) (code, error) {
	c, err := qr.Encode(text, qr.M, qr.Unicode)
	if err != nil {
		return code{}, err
	}
	n := c.Bounds().Dx()
	return code{n + 2*quietZone, func(x, y int) bool {
		x, y = x-quietZone, y-quietZone
		if x < 0 || y < 0 || x >= n || y >= n {
			return false
		}
		r, _, _, _ := c.At(x, y).RGBA()
		return r == 0
	}}, nil
}

// PNG draws the QR code of text black on white, with scale pixels per module.
// The image has one bit per pixel, so that it stays under 1 KB.
func PNG(text string, scale int) ([]byte, error) {
	c, err := encode(text)
	if err != nil {
		return nil, err
	}
	img := image.NewPaletted(image.Rect(0, 0, c.size*scale, c.size*scale), color.Palette{color.White, color.Black})
	for y := range c.size * scale {
		row := img.Pix[y*img.Stride:][:c.size*scale]
		if y%scale != 0 {
			copy(row, img.Pix[(y-1)*img.Stride:])
			continue
		}
		for x := range row {
			if c.dark(x/scale, y/scale) {
				row[x] = 1
			}
		}
	}
	var b bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, img)
	return b.Bytes(), err
}

// SVG draws the QR code of text as one black path on white.
func SVG(text string) (string, error) {
	c, err := encode(text)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges" role="img" aria-label="QR code"><path fill="#fff" d="M0 0h%dv%dH0z"/><path d="`, c.size, c.size, c.size, c.size)
	for y := range c.size {
		for x := 0; x < c.size; x++ {
			run := 0
			for c.dark(x+run, y) {
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
