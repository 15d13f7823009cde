module github.com/twofa-go/twofa/adapters/scs

go 1.26.0

require (
	github.com/alexedwards/scs/v2 v2.9.0
	github.com/stretchr/testify v1.12.1
	github.com/twofa-go/twofa v0.0.0
)

require (
	github.com/boombuler/barcode v1.1.0 // indirect
	github.com/pquerna/otp v1.5.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.44.0 // indirect
)

replace github.com/twofa-go/twofa => ../..
