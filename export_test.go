package twofa

import "github.com/boombuler/barcode/qr"

// EncodeQR is the encoder alone, to compare with.
func EncodeQR(text string) error {
	_, err := qr.Encode(text, qr.M, qr.Unicode)
	return err
}
