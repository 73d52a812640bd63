// Package standing records the hosts that stay up between test runs (overcast up), so
// that test processes of the same user can attach to them.
//
// A record is a file that describes the host. The process that has set the host up
// keeps it locked (flock) until it has torn the host down, so a record whose lock is
// free is stale. A second file is locked by the process that uses the host; the time
// of its last change is when the host was last used.
package standing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/filelock"
)

// Record describes a host that stays up.
type Record struct {
	Label   string          `json:"label"`
	PID     int             `json:"pid"`   // of the process that has set it up
	Since   time.Time       `json:"since"` // when it was set up
	Idle    time.Duration   `json:"idle"`  // after which it is torn down; 0 for never
	ID      string          `json:"id,omitempty"`
	Address string          `json:"address"`
	Shared  json.RawMessage `json:"shared"` // from host.Registry.Share

	path string
}

// Dir is the folder of the records of this user.
func Dir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the folder of hosts that stay up: %w", err)
	}
	return filepath.Join(dir, "overcast", "up"), nil
}

var unfitForFileNames = regexp.MustCompile(`[^A-Za-z0-9._]+`)

// Name is the name of the record of a label and its section of the configuration.
// Another configuration has another name.
func Name(label string, section *hocon.Value) (string, error) {
	text, err := section.MarshalJSON()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(label+"\n"), text...))
	return unfitForFileNames.ReplaceAllString(label, "-") + "-" + hex.EncodeToString(sum[:8]), nil
}

const (
	recordSuffix  = ".json"
	lockSuffix    = ".lock"
	useSuffix     = ".use"
	consoleSuffix = ".console"
)

// Claim reserves the name for this process. It fails if another process has the host
// up or is setting it up.
func Claim(name string) (*Claimed, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	lock, err := filelock.LockFile(path + lockSuffix)
	if err != nil {
		return nil, err
	}
	if lock == nil {
		return nil, ErrUp
	}
	return &Claimed{path: path, lock: lock}, os.RemoveAll(path + recordSuffix)
}

// ErrUp means that the host is up, or is being set up, by another process.
var ErrUp = errors.New("the host is up already, or is being set up: see overcast ls; overcast down removes it")

// Claimed is a name that this process has claimed.
type Claimed struct {
	path string
	lock *os.File
}

// Publish writes the record.
func (c *Claimed) Publish(r Record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path+useSuffix, nil, 0o600); err != nil {
		return err
	}
	return c.replace(recordSuffix, text)
}

// replace replaces a file at once, so that no process reads a part of it.
func (c *Claimed) replace(suffix string, content []byte) error {
	if err := os.WriteFile(c.path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(c.path+".new", c.path+suffix)
}

// WriteConsole stores the last lines of the console of the host, for Console.
func (c *Claimed) WriteConsole(lines []string) error {
	return c.replace(consoleSuffix, []byte(strings.Join(append(lines, ""), "\n")))
}

// Unpublish removes the record, so that no process attaches any more.
func (c *Claimed) Unpublish() { _ = os.Remove(c.path + recordSuffix) }

// Release gives the name up.
func (c *Claimed) Release() {
	c.Unpublish()
	_ = os.Remove(c.path + useSuffix)
	_ = os.Remove(c.path + consoleSuffix)
	_ = os.Remove(c.path + lockSuffix)
	_ = c.lock.Close()
}

// IdleTime is how long no process has used the host.
func (c *Claimed) IdleTime() time.Duration { return idleTime(c.path) }

// List is the hosts that are up.
func List() ([]Record, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*"+recordSuffix))
	if err != nil {
		return nil, err
	}
	var found []Record
	for _, path := range paths {
		if r := read(strings.TrimSuffix(path, recordSuffix)); r != nil {
			found = append(found, *r)
		}
	}
	return found, nil
}

// Find is the host with this name, or nil if it is not up.
func Find(name string) (*Record, error) {
	dir, err := Dir()
	if err != nil {
		return nil, err
	}
	return read(filepath.Join(dir, name)), nil
}

// read returns nil for a record that is missing or stale.
func read(path string) *Record {
	text, err := os.ReadFile(path + recordSuffix)
	if err != nil {
		return nil
	}
	r := &Record{path: path}
	if json.Unmarshal(text, r) != nil || !filelock.IsFileLocked(path+lockSuffix) {
		return nil
	}
	return r
}

// Use reserves the host for this process until release is called. It returns false
// if another process uses the host.
func (r *Record) Use() (release func(), ok bool, err error) {
	lock, err := filelock.LockFile(r.path + useSuffix)
	if err != nil || lock == nil {
		return nil, false, err
	}
	touch(r.path)
	return func() {
		touch(r.path)
		_ = lock.Close()
	}, true, nil
}

// IdleTime is how long no process has used the host.
func (r *Record) IdleTime() time.Duration { return idleTime(r.path) }

// Console is the last lines of the console of the host, or "" if they are not known.
func (r *Record) Console() string {
	text, err := os.ReadFile(r.path + consoleSuffix)
	if err != nil {
		return ""
	}
	return string(text)
}

// Stop asks the process that has set the host up to tear it down, and waits until it
// has.
func (r *Record) Stop(ctx context.Context) error {
	process, err := os.FindProcess(r.PID)
	if err == nil {
		err = process.Signal(syscall.SIGTERM)
	}
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping process %d, which has %s up: %w", r.PID, r.Label, err)
	}
	for pause := 20 * time.Millisecond; filelock.IsFileLocked(r.path + lockSuffix); pause = min(2*pause, 500*time.Millisecond) {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("waiting for process %d to tear down %s: %w", r.PID, r.Label, context.Cause(ctx))
		}
	}
	return nil
}

func touch(path string) {
	now := time.Now()
	_ = os.Chtimes(path+useSuffix, now, now)
}

func idleTime(path string) time.Duration {
	if filelock.IsFileLocked(path + useSuffix) {
		touch(path)
		return 0
	}
	info, err := os.Stat(path + useSuffix)
	if err != nil {
		return 0
	}
	return time.Since(info.ModTime())
}
