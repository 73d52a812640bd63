package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
)

// partMaxAge is how long an unfinished download waits to be continued.
const partMaxAge = 7 * 24 * time.Hour

// Prune removes images that were last used longer ago than unused, and unfinished
// downloads of that age. It keeps files that another process works on. Prune
// returns the size of the removed files in bytes.
func (c *Cache) Prune(ctx context.Context, unused time.Duration) (freed int64, err error) {
	limit := time.Now().Add(-unused)
	return c.remove(ctx, func(name string) bool {
		return c.lastUse(name).Before(limit)
	})
}

// removeOldParts removes unfinished downloads that nothing continued. A failure
// costs disk space and nothing else.
func (c *Cache) removeOldParts(ctx context.Context) {
	limit := time.Now().Add(-partMaxAge)
	_, _ = c.remove(ctx, func(name string) bool {
		return strings.HasSuffix(withoutRecord(name), partSuffix) && c.lastUse(name).Before(limit)
	})
}

// remove removes the files that are chosen by name.
func (c *Cache) remove(ctx context.Context, chosen func(name string) bool) (freed int64, err error) {
	entries, err := os.ReadDir(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cleaning up the image cache: %w", err)
	}
	for _, entry := range entries {
		if ctx.Err() != nil {
			return freed, context.Cause(ctx)
		}
		if entry.IsDir() || !chosen(entry.Name()) {
			continue
		}
		size, err := c.removeFile(entry.Name(), chosen)
		if err != nil {
			return freed, fmt.Errorf("cleaning up the image cache: %w", err)
		}
		freed += size
	}
	return freed, nil
}

// removeFile removes a file unless its key is locked, or it is used after all.
func (c *Cache) removeFile(name string, chosen func(name string) bool) (size int64, err error) {
	key := strings.TrimSuffix(withoutRecord(name), partSuffix)
	ended, end := context.WithCancel(context.Background())
	end() // one try
	locks, err := c.locks()
	if err != nil {
		return 0, err
	}
	l, err := filelock.Acquire(ended, locks, key, thisProcess("clean-up of the image cache"), nil)
	if errors.As(err, new(*filelock.BusyError)) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer l.Release()
	info, err := os.Stat(c.path(name))
	if err == nil && chosen(name) {
		return info.Size(), os.Remove(c.path(name))
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return 0, err
}

// lastUse is when a file was used last: its record tells, and is as old itself.
func (c *Cache) lastUse(name string) time.Time {
	for _, path := range []string{c.path(withoutRecord(name)) + recordSuffix, c.path(name)} {
		if info, err := os.Stat(path); err == nil {
			return info.ModTime()
		}
	}
	return time.Time{}
}

func withoutRecord(name string) string { return strings.TrimSuffix(name, recordSuffix) }
