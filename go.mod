module github.com/twofa-go/twofa

go 1.26.0

require (
	github.com/boombuler/barcode v1.1.0
	github.com/pquerna/otp v1.5.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/crypto v0.58.0
)
