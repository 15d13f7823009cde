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

// LoadKeys returns the key ring that encrypts second-factor state. It parses
// ring, such as the value of an environment variable. If ring is empty, it
// reads the file twofa.key in the folder dir. If the file does not exist and
// create is true, it creates the file. An attacker who has both the keys and
// the database can read and forge second-factor state, so a product keeps them
// apart.
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
		return twofa.KeyRing{}, fmt.Errorf("TWOFA_KEYS: must be id:key with a key from `openssl rand -base64 32`, or %s must exist", path)
	}
	if err != nil {
		return twofa.KeyRing{}, err
	}
	return twofa.ParseKeyRing(strings.TrimSpace(string(text)))
}

// createKeys links the complete file into place. If two processes start at the
// same time, both read the file of the first, and never half of it.
func createKeys(path string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "twofa-*.key") // readable by its owner only
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
