package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

const (
	recordSuffix   = ".json"
	partSuffix     = ".part"
	unpackedSuffix = ".unpacked"
)

// record says which state of a file was verified. The time when the record itself
// was modified is when the file was used last.
type record struct {
	Size    int64     `json:"size"`
	ModTime time.Time `json:"modTime"`
}

func recordOf(info fs.FileInfo) record {
	return record{Size: info.Size(), ModTime: info.ModTime().UTC()}
}

func (r record) matches(info fs.FileInfo) bool {
	return r.Size == info.Size() && r.ModTime.Equal(info.ModTime())
}

// isUnchanged reports whether the file of a key is there, and of the size and
// modification time with which it was published.
func (c *Cache) isUnchanged(key string) bool {
	info, err := os.Stat(c.path(key))
	if err != nil {
		return false
	}
	var r record
	if readJSON(c.path(key)+recordSuffix, &r) != nil || !r.matches(info) {
		return false
	}
	now := time.Now()
	_ = os.Chtimes(c.path(key)+recordSuffix, now, now) // a failure means an earlier Prune
	return true
}

// isIntact is isUnchanged for a file that is named by its digest. The digest
// decides where size and modification time do not; a file that fails is removed.
// The caller holds the lock of the digest.
func (c *Cache) isIntact(ctx context.Context, digest string, m *meter) (bool, error) {
	if c.isUnchanged(digest) {
		return true, nil
	}
	file, err := os.Open(c.path(digest))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("verifying a cached image: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return false, fmt.Errorf("verifying a cached image: %w", err)
	}
	sum := sha256.New()
	if err := copyAll(ctx, sum, file, m, "verifying"); err != nil {
		return false, fmt.Errorf("verifying a cached image: %w", err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != digest {
		c.logf("image %s: the cached file is damaged and is discarded: its SHA-256 digest is %s: %s", m.now.Source, got, c.path(digest))
		return false, os.Remove(c.path(digest))
	}
	return true, c.diskError(writeJSON(c.path(digest)+recordSuffix, recordOf(info)))
}

// publish gives the finished part of a key its final name. The caller holds the
// lock of the key.
func (c *Cache) publish(part, key string) error {
	file, err := os.Open(part)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		return c.diskError(err)
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	// The record comes first: a file without one would be verified again.
	if err := writeJSON(c.path(key)+recordSuffix, recordOf(info)); err != nil {
		return c.diskError(err)
	}
	return os.Rename(part, c.path(key))
}

// hash128 names what has a name of any length, as a URL or a path.
func hash128(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

func readJSON(path string, to any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// writeJSON replaces a file at once, so that no reader sees a half of it.
func writeJSON(path string, from any) error {
	text, err := json.Marshal(from)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*"+partSuffix)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err := errors.Join(err, file.Close()); err != nil {
		os.Remove(file.Name())
		return err
	}
	return os.Rename(file.Name(), path)
}
