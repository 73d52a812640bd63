package image

import (
	"errors"
	"fmt"
	"io/fs"
)

// A FormatError reports a file that is not a disk image, or one that is refused.
type FormatError struct {
	Path    string
	Problem string // "has a backing file: ..."
	Err     error  // of the decompressor; may be nil
}

func (e *FormatError) Error() string {
	text := fmt.Sprintf("reading image %s: %s", e.Path, e.Problem)
	if e.Err != nil {
		text += fmt.Sprintf(": %v", e.Err)
	}
	return text
}

// Unwrap returns the error of the decompressor.
func (e *FormatError) Unwrap() error { return e.Err }

// reason drops the path that the os package puts before an error, for messages
// that name the file already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
