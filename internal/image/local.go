package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// fileRecord is the digest of a local file, and the state that had it.
type fileRecord struct {
	record
	Path   string `json:"path"`
	Inode  uint64 `json:"inode"`
	SHA256 string `json:"sha256"`
}

// minAge is how old a modification has to be before its time identifies a state
// of a file: two in a row may have the same time.
const minAge = 2 * time.Second

// errChanged reports a file that another program writes to.
var errChanged = errors.New("it changed while it was read: try again when it is complete")

// digestFile returns the digest of a local file. It is computed once for each
// path, size, modification time and inode.
func (c *Cache) digestFile(ctx context.Context, source Source, m *meter) (string, error) {
	key := "file-" + hash128(source.Path)
	if digest, ok := c.knownDigest(key, source.Path); ok {
		return digest, nil
	}
	l, err := c.acquire(ctx, key, m)
	if err != nil {
		return "", err
	}
	defer l.Release()
	if digest, ok := c.knownDigest(key, source.Path); ok {
		return digest, nil
	}
	now, err := computeDigest(ctx, source.Path, m)
	if errors.As(err, new(*FormatError)) {
		return "", err
	}
	if err != nil {
		return "", fmt.Errorf("reading image %s: %w", source, reason(err))
	}
	if time.Since(now.ModTime) < minAge {
		return now.SHA256, nil
	}
	return now.SHA256, c.diskError(writeJSON(c.path(key)+recordSuffix, now))
}

func (c *Cache) knownDigest(key, path string) (string, bool) {
	info, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	var known fileRecord
	if readJSON(c.path(key)+recordSuffix, &known) != nil || known.Path != path || known.Inode != inode(info) || !known.matches(info) {
		return "", false
	}
	return known.SHA256, true
}

func computeDigest(ctx context.Context, path string, m *meter) (fileRecord, error) {
	file, err := openRegular(path)
	if err != nil {
		return fileRecord{}, err
	}
	defer file.Close()
	before, err := file.Stat()
	if err != nil {
		return fileRecord{}, err
	}
	sum := sha256.New()
	if err := copyAll(ctx, sum, file, m, "reading"); err != nil {
		return fileRecord{}, err
	}
	after, err := file.Stat()
	if err != nil {
		return fileRecord{}, err
	}
	if !recordOf(before).matches(after) {
		return fileRecord{}, errChanged
	}
	return fileRecord{record: recordOf(before), Path: path, Inode: inode(before), SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// openRegular opens a file for reading. Pipes and devices are refused before they
// are opened: they could block.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &FormatError{Path: path, Problem: "it is not a regular file"}
	}
	return os.Open(path)
}

func inode(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Ino
	}
	return 0
}
