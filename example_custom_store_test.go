package twofa_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"sync"

	"github.com/twofa-go/twofa"
)

// A host implements Store to keep second-factor state in its own database. One
// line of test proves the implementation: see package storetest.
func ExampleStore() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "twofa")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	keys, _ := twofa.ParseKeyRing(twofa.GenerateKeyRing().Reveal())
	m, err := twofa.New(twofa.Config{
		Issuer: "Acme", Store: &fileStore{path: filepath.Join(dir, "twofa.json")}, Keys: keys,
		Directory: twofa.LookUp(func(_ context.Context, id string) (twofa.User, error) { return twofa.User{ID: id, Name: id}, nil }),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Account(twofa.AsHost("start-up"), "acme").SetPolicy(ctx, twofa.Policy{Required: true, EnrollWithoutLink: true}, ""))
	info, err := m.Account(twofa.AsHost("start-up"), "acme").Policy(ctx)
	fmt.Println(info.Policy.Required, err)
	// Output:
	// <nil>
	// true <nil>
}

// fileStore is a [twofa.Store] in one file, for one process. It reads and
// writes the whole file each time.
type fileStore struct {
	path string
	mu   sync.Mutex
}

type fileContent struct {
	Records map[string]twofa.Record
	Events  []twofa.Event
}

func (s *fileStore) Get(ctx context.Context, keys ...string) ([]twofa.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, err := s.read(ctx)
	var found []twofa.Record
	for _, key := range keys {
		if r, ok := content.Records[key]; ok {
			found = append(found, r)
		}
	}
	return found, err
}

func (s *fileStore) Swap(ctx context.Context, prev string, next twofa.Record, events ...twofa.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, err := s.read(ctx)
	if err != nil {
		return err
	}
	switch stored := content.Records[next.Key].Version; { // "" if there is no record
	case stored == next.Version:
		return nil // this Swap was made before
	case stored != prev:
		return twofa.ErrConflict
	case next.Version == "":
		delete(content.Records, next.Key)
	default:
		content.Records[next.Key] = next
	}
	content.Events = append(content.Events, events...)
	return s.write(content)
}

func (s *fileStore) read(ctx context.Context) (fileContent, error) {
	content := fileContent{Records: make(map[string]twofa.Record)}
	if err := ctx.Err(); err != nil {
		return content, err
	}
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return content, nil
	} else if err != nil {
		return content, err
	}
	return content, json.Unmarshal(data, &content)
}

// write replaces the file in one step, so that a crash leaves the old content
// or the new one.
func (s *fileStore) write(content fileContent) error {
	data, err := json.Marshal(content)
	if err != nil {
		return err
	}
	f, err := os.Create(s.path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.path)
}
