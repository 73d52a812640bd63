package trace

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"unicode/utf8"

	"github.com/overcast-go/overcast/internal/redact"
)

// Variable is the environment variable that names the file.
const Variable = "OVERCAST_TRACE"

// File is a file of trace events in the JSON array format, whose closing bracket is
// optional. Several processes may write to it: an event is one write.
type File struct {
	mu     sync.Mutex
	file   *os.File
	tracks map[string]*Track
	failed error // of the first write that failed
}

// event is one of the Trace Event Format.
type event struct {
	Name     string            `json:"name"`
	Phase    string            `json:"ph"`            // X: complete, i: instant, M: metadata
	Time     int64             `json:"ts"`            // in microseconds since 1970
	Duration *int64            `json:"dur,omitempty"` // in microseconds
	Process  int               `json:"pid"`
	Track    uint32            `json:"tid"`
	Scope    string            `json:"s,omitempty"` // of an instant event: t is its track
	Args     map[string]string `json:"args,omitempty"`
}

// Open opens the file that [Variable] names, and creates it if it does not exist. Events
// are appended. It returns nil if the variable is not set, and fails if the file cannot be
// written or is not a regular file.
func Open() (*File, error) {
	path := os.Getenv(Variable)
	if path == "" {
		return nil, nil
	}
	f, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the trace that %s names: %w: correct it or unset it", Variable, err)
	}
	return f, nil
}

func open(path string) (*File, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|openAtOnce, 0o644)
	if err != nil {
		return nil, err
	}
	f := &File{file: file, tracks: map[string]*Track{}}
	if err := f.begin(); err != nil {
		_ = file.Close()
		return nil, err
	}
	return f, nil
}

// begin writes the opening bracket to an empty file, with the file locked against other
// processes, and the name of this process.
func (f *File) begin() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", f.file.Name())
	}
	unlock, err := lock(f.file)
	if err != nil {
		return err
	}
	defer unlock()
	if info, err = f.file.Stat(); err != nil {
		return err
	}
	before := ",\n"
	if info.Size() == 0 {
		before = "[\n"
	}
	f.writeAfter(before, event{Name: "process_name", Phase: "M", Args: args("name", filepath.Base(os.Args[0]))})
	return f.failed
}

// write appends an event.
func (f *File) write(e event) { f.writeAfter(",\n", e) }

// writeAfter appends a separator and an event by one write, so that the file with a closing
// bracket is JSON at any time.
func (f *File) writeAfter(separator string, e event) {
	e.Process = os.Getpid()
	text, err := json.Marshal(e)
	if err == nil {
		_, err = f.file.Write(append([]byte(separator), text...))
	}
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.failed = cmp.Or(f.failed, err)
	}
}

// Close closes the file. The error is that of a write.
func (f *File) Close() error {
	if f == nil {
		return nil
	}
	err := f.file.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err = errors.Join(f.failed, err); err != nil {
		return fmt.Errorf("writing the trace that %s names: %w", Variable, err)
	}
	return nil
}

// maxText limits a text of an event, in bytes, so that one write appends an event.
const maxText = 500

// shown returns a text without secrets, and its first bytes if it is long.
func shown(text string) string {
	text = redact.Text(text)
	if len(text) <= maxText {
		return text
	}
	cut := maxText
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + " ..."
}
