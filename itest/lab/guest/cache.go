//go:build linux

package guest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cache keeps folders of files by name. An entry is built in a folder beside
// it and renamed, with a manifest of its files' checksums, so that a build
// that was cut off never counts and a damaged file is noticed.
type cache struct{ dir string }

// unusedFor is how long an unused entry is kept. It is long
// against the time between asking for an entry and having copied it.
const unusedFor = 7 * 24 * time.Hour

const manifestFile = "manifest.json"

// entry answers with the folder of a whole entry, made by build if there is
// none. It waits for another process that is building in the same cache.
func (c cache) entry(ctx context.Context, name string, build func(tmp string) error) (string, error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lockFile(ctx, filepath.Join(c.dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()

	path := filepath.Join(c.dir, name)
	if verify(path) == nil {
		now := time.Now()
		return path, os.Chtimes(path, now, now)
	}
	if err := c.prune(name); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(c.dir, partial)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := build(tmp); err != nil {
		return "", err
	}
	if err := writeManifest(tmp); err != nil {
		return "", err
	}
	// libvirt's QEMU user has no business here, but other accounts' labs read
	// entries of a shared cache folder.
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	return path, os.Rename(tmp, path)
}

// partial starts the name of a folder in which a build is under way.
const partial = "building-"

// prune takes away the broken entry of this name, builds that were cut off
// (the caller holds the lock, so no other process is building) and entries that
// have not been asked for in a long time.
func (c cache) prune(broken string) error {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		stale := e.IsDir() && (strings.HasPrefix(e.Name(), partial) || time.Since(info.ModTime()) > unusedFor)
		if stale || e.Name() == broken {
			if err := os.RemoveAll(filepath.Join(c.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// lockFile takes the lock that the kernel frees when its holder ends, however
// it ends.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for another lab that is building in %s: %w", filepath.Dir(path), context.Cause(ctx))
		}
	}
}

// lockPoll is how often a lock that another process holds is asked for again:
// flock(2) has no way to wait that a context could end.
const lockPoll = 50 * time.Millisecond

// verify answers nil if every file of the entry is as it was built.
func verify(entry string) error {
	data, err := os.ReadFile(filepath.Join(entry, manifestFile))
	if err != nil {
		return err
	}
	var want map[string]string
	if err := json.Unmarshal(data, &want); err != nil {
		return err
	}
	if len(want) == 0 {
		return fmt.Errorf("%s lists no file", filepath.Join(entry, manifestFile))
	}
	got, err := checksums(entry)
	if err != nil {
		return err
	}
	for name, sum := range want {
		if got[name] != sum {
			return fmt.Errorf("%s is not as it was built", filepath.Join(entry, name))
		}
	}
	return nil
}

func writeManifest(entry string) error {
	sums, err := checksums(entry)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(sums, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(entry, manifestFile), data, 0o644)
}

func checksums(entry string) (map[string]string, error) {
	sums := map[string]string{}
	err := filepath.WalkDir(entry, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == manifestFile {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, f); err != nil {
			return err
		}
		sums[e.Name()] = fmt.Sprintf("%x", sum.Sum(nil))
		return nil
	})
	return sums, err
}
