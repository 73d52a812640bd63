package filelock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// recordLimit is how much of a record is read, in bytes.
const recordLimit = 1 << 20

// recordName returns the name of the file of a record. Each user has records of
// its own: no other user may write to them.
func recordName(name string) string {
	return fmt.Sprintf("%s.%d.record", unsafeInNames.ReplaceAllString(name, "_"), os.Geteuid())
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
	if err := write(dir, recordName(name), change(old)); err != nil {
		return fmt.Errorf("writing the record of %s: %w", name, err)
	}
	return nil
}

// write replaces a file in a folder at once.
func write(dir, name string, content []byte) error {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	file, unfinished, err := createUnfinished(folder, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err == nil {
		err = folder.Rename(unfinished, name)
	}
	if err != nil {
		return errors.Join(err, folder.Remove(unfinished))
	}
	return nil
}

// Read returns the content of a record. The error is an [os.ErrNotExist] if there
// is none. A file that another user has created in its place is an error.
func Read(dir, name string) ([]byte, error) {
	content, err := read(dir, recordName(name))
	if err != nil {
		return nil, fmt.Errorf("reading the record of %s: %w", name, err)
	}
	return content, nil
}

func read(dir, name string) ([]byte, error) {
	folder, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	file, err := openRegular(folder, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if owner := ownerOf(info); owner != os.Geteuid() {
		return nil, fmt.Errorf("%s belongs to user %d: remove it", file.Name(), owner)
	}
	return io.ReadAll(io.LimitReader(file, recordLimit))
}
