package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/twofa-go/twofa"
)

// LoadKeys reads the key ring that seals second-factor state: from ring, as an
// environment variable or a secret manager gives it, else from the file
// twofa.key in the folder dir. Where create is set and there is neither, it
// makes that file. Who has it beside the database can read and forge
// second-factor state: a product keeps the two apart.
func LoadKeys(ring, dir string, create bool) (twofa.KeyRing, error) {
	if ring != "" {
		return twofa.ParseKeyRing(ring)
	}
	path := filepath.Join(dir, "twofa.key")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		text, err = createKeys(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return twofa.KeyRing{}, fmt.Errorf("no key ring: set TWOFA_KEYS to id:key, with a key from `openssl rand -base64 32`, or provide %s", path)
	}
	if err != nil {
		return twofa.KeyRing{}, err
	}
	return twofa.ParseKeyRing(strings.TrimSpace(string(text)))
}

// createKeys links the finished file into place: of two processes that start
// at once, both end up with the one that came first, and with all of it.
func createKeys(path string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "twofa-*.key") // for its owner only
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(twofa.GenerateKeyRing().Reveal() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.ReadFile(path)
}
