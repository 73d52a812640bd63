//go:build unix

package filelock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// recordLimit is how much of a record is read, in bytes.
const recordLimit = 1 << 20

// recordPath returns the file of a record. Each user has records of its own: no
// other user may write to them.
func recordPath(dir, name string) string {
	return filepath.Join(dir, fmt.Sprintf("%s.%d.record", unsafeInNames.ReplaceAllString(name, "_"), os.Geteuid()))
}

// Update changes a record: a small file of a name in folder dir that the processes
// of a user share. It holds the lock of that name meanwhile, and fails as
// [Acquire] does.
func Update(ctx context.Context, dir, name string, me Holder, change func(old []byte) []byte) error {
	held, err := Acquire(ctx, dir, name, me, nil)
	if err != nil {
		return err
	}
	defer held.Release()
	old, err := Read(dir, name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := os.CreateTemp(dir, "*.record.new")
	if err != nil {
		return fmt.Errorf("writing the record of %s: %w", name, err)
	}
	_, err = file.Write(change(old))
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), recordPath(dir, name))
	}
	if err != nil {
		return fmt.Errorf("writing the record of %s: %w", name, errors.Join(err, os.Remove(file.Name())))
	}
	return nil
}

// Read returns the content of a record. The error is an [os.ErrNotExist] if there
// is none.
func Read(dir, name string) ([]byte, error) {
	file, err := openRegular(recordPath(dir, name))
	if err != nil {
		return nil, fmt.Errorf("reading the record of %s: %w", name, err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, recordLimit))
	if err != nil {
		return nil, fmt.Errorf("reading the record of %s: %w", name, err)
	}
	return content, nil
}
