module github.com/twofa-go/twofa/internal/protowire

go 1.26.0

require (
	github.com/stretchr/testify v1.12.1
	github.com/twofa-go/twofa v0.0.0
	google.golang.org/protobuf v1.36.12
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/twofa-go/twofa => ../..
