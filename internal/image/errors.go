package image

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"
)

// ErrVolume is the error of [Cache.Get] for a volume of the hypervisor, which is
// not copied to this machine.
var ErrVolume = errors.New("a volume of the hypervisor is used where it is")

// A DigestMismatchError reports a file whose content is not the expected one.
type DigestMismatchError struct {
	Source    string // without secrets
	Want, Got string // SHA-256 digests in hexadecimal digits
}

func (e *DigestMismatchError) Error() string {
	return fmt.Sprintf("verifying image %s: its SHA-256 digest is %s, but sha256 says %s: check the URL, or correct sha256 if the file was replaced on purpose", e.Source, e.Got, e.Want)
}

// A StatusError reports that a server refused a request.
type StatusError struct {
	URL    string // without secrets; after a redirect, the address that answered
	Code   int    // 404
	Status string // "404 Not Found"
}

func (e *StatusError) Error() string { return fmt.Sprintf("%s answered %q", e.URL, e.Status) }

// A DownloadError reports a download that failed: the failure is permanent, or all
// retries failed, too.
type DownloadError struct {
	Source   string // without secrets
	Done     int64  // bytes that are kept for the next download
	Attempts int
	Err      error // of the last attempt
}

func (e *DownloadError) Error() string {
	text := fmt.Sprintf("downloading image %s: %v", e.Source, e.Err)
	if e.Attempts > 1 {
		text += fmt.Sprintf(" (%d attempts)", e.Attempts)
	}
	return text + e.hint()
}

// hint says what to do about the failure.
func (e *DownloadError) hint() string {
	var status *StatusError
	var network *net.OpError
	switch {
	case errors.As(e.Err, &status) && (status.Code == http.StatusUnauthorized || status.Code == http.StatusForbidden):
		return ": check the URL, and the user and password in it"
	case errors.As(e.Err, &status) && status.Code < http.StatusInternalServerError:
		return ": check the URL"
	case errors.As(e.Err, &network):
		return ": check the URL and the network"
	}
	return ""
}

// Unwrap returns the error of the last attempt.
func (e *DownloadError) Unwrap() error { return e.Err }

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

// A DiskFullError reports that the file system of the cache has no room.
type DiskFullError struct {
	Dir string
	Err error // ENOSPC or EDQUOT
}

func (e *DiskFullError) Error() string {
	return fmt.Sprintf("writing to the image cache %s: %v: free space there, or put the cache on another file system", e.Dir, e.Err)
}

// Unwrap returns the error of the file system.
func (e *DiskFullError) Unwrap() error { return e.Err }

// diskError gives a full file system its type.
func (c *Cache) diskError(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, full) {
			return &DiskFullError{Dir: c.Dir, Err: full}
		}
	}
	return err
}

// localError marks a failure of this machine while a download is written: another
// request cannot repair it.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

// reason drops the path that the os package puts before an error, for messages
// that name the file already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
