package harness

import (
	"image"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// DecodeQR decodes a clean QR code of level M in byte mode (ISO/IEC 18004),
// drawn with one pixel per module and a quiet zone of four modules. It shares
// no code with the encoder. It corrects no errors, because there must be none.
func DecodeQR(t testing.TB, img image.Image) string {
	t.Helper()
	const quiet = 4
	n := img.Bounds().Dx() - 2*quiet
	version := (n - 17) / 4
	require.Equal(t, 17+4*version, n)
	blocks, ok := qrBlocks[version]
	require.True(t, ok, "version %d", version)
	dark := func(row, col int) bool {
		r, _, _, _ := img.At(col+quiet, row+quiet).RGBA()
		return r == 0
	}
	for i := range n + 2*quiet { // the quiet zone is empty
		for j := range quiet {
			for _, at := range [][2]int{{i, j}, {i, n + quiet + j}, {j, i}, {n + quiet + j, i}} {
				require.False(t, dark(at[0]-quiet, at[1]-quiet))
			}
		}
	}
	format := 0
	for col := range 5 {
		format <<= 1
		if dark(8, col) {
			format++
		}
	}
	format ^= 0b10101
	require.Equal(t, 0b00, format>>3, "level M")
	return qrText(t, qrDeinterleave(qrBits(n, version, qrMasks[format&7], dark), blocks), version)
}

// qrMasks report which modules are inverted.
var qrMasks = [8]func(i, j int) bool{
	func(i, j int) bool { return (i+j)%2 == 0 },
	func(i, _ int) bool { return i%2 == 0 },
	func(_, j int) bool { return j%3 == 0 },
	func(i, j int) bool { return (i+j)%3 == 0 },
	func(i, j int) bool { return (i/2+j/3)%2 == 0 },
	func(i, j int) bool { return i*j%2+i*j%3 == 0 },
	func(i, j int) bool { return (i*j%2+i*j%3)%2 == 0 },
	func(i, j int) bool { return ((i+j)%2+i*j%3)%2 == 0 },
}

// qrBlocks are the data codewords of each block at level M, by version.
var qrBlocks = map[int][]int{
	5: short(2, 43, 0), 6: short(4, 27, 0), 7: short(4, 31, 0), 8: short(2, 38, 2), 9: short(3, 36, 2), 10: short(4, 43, 1),
	11: short(1, 50, 4), 12: short(6, 36, 2), 13: short(8, 37, 1), 14: short(4, 40, 5), 15: short(5, 41, 5), 16: short(7, 45, 3),
	17: short(10, 46, 1), 18: short(9, 43, 4), 19: short(3, 44, 11), 20: short(3, 41, 13), 21: short(17, 42, 0), 22: short(17, 46, 0),
}

// short returns the sizes of blocks, followed by those of blocks that are
// longer by one.
func short(blocks, size, longer int) []int {
	return append(slices.Repeat([]int{size}, blocks), slices.Repeat([]int{size + 1}, longer)...)
}

// qrAlign are the centers of alignment patterns, by version.
var qrAlign = map[int][]int{
	5: {6, 30}, 6: {6, 34}, 7: {6, 22, 38}, 8: {6, 24, 42}, 9: {6, 26, 46}, 10: {6, 28, 50}, 11: {6, 30, 54}, 12: {6, 32, 58},
	13: {6, 34, 62}, 14: {6, 26, 46, 66}, 15: {6, 26, 48, 70}, 16: {6, 26, 50, 74}, 17: {6, 30, 54, 78}, 18: {6, 30, 56, 82},
	19: {6, 30, 58, 86}, 20: {6, 34, 62, 90}, 21: {6, 28, 50, 72, 94}, 22: {6, 26, 50, 74, 98},
}

// qrFixed reports whether a module contains no data.
func qrFixed(n, version, i, j int) bool {
	switch {
	case i == 6, j == 6, i < 9 && j < 9, i < 9 && j >= n-8, i >= n-8 && j < 9: // timing, finders, format
		return true
	case version >= 7 && (i < 6 && j >= n-11 || j < 6 && i >= n-11):
		return true
	}
	for _, y := range qrAlign[version] {
		for _, x := range qrAlign[version] {
			corner := y == 6 && x == 6 || y == 6 && x == n-7 || y == n-7 && x == 6
			if !corner && i >= y-2 && i <= y+2 && j >= x-2 && j <= x+2 {
				return true
			}
		}
	}
	return false
}

// qrBits reads the codewords, two columns at a time, alternately upwards and
// downwards.
func qrBits(n, version int, mask func(i, j int) bool, dark func(i, j int) bool) (codewords []byte) {
	var word byte
	bits, up := 0, true
	for right := n - 1; right > 0; right -= 2 {
		if right == 6 {
			right--
		}
		for k := range n {
			i := k
			if up {
				i = n - 1 - k
			}
			for _, j := range []int{right, right - 1} {
				if qrFixed(n, version, i, j) {
					continue
				}
				word <<= 1
				if dark(i, j) != mask(i, j) {
					word |= 1
				}
				if bits++; bits%8 == 0 {
					codewords = append(codewords, word)
				}
			}
		}
		up = !up
	}
	return codewords
}

// qrDeinterleave puts the data codewords of all blocks in order.
func qrDeinterleave(codewords []byte, blocks []int) []byte {
	data := make([][]byte, len(blocks))
	longest := blocks[len(blocks)-1]
	for i := range longest {
		for b, size := range blocks {
			if i < size {
				data[b] = append(data[b], codewords[0])
				codewords = codewords[1:]
			}
		}
	}
	var all []byte
	for _, block := range data {
		all = append(all, block...)
	}
	return all
}

// qrText reads one segment of bytes.
func qrText(t testing.TB, data []byte, version int) string {
	t.Helper()
	at := 0
	take := func(bits int) (v int) {
		for range bits {
			v = v<<1 | int(data[at/8]>>(7-at%8)&1)
			at++
		}
		return v
	}
	require.Equal(t, 0b0100, take(4), "mode is bytes")
	length := take(8)
	if version >= 10 {
		length = length<<8 | take(8)
	}
	text := make([]byte, length)
	for i := range text {
		text[i] = byte(take(8))
	}
	return string(text)
}
