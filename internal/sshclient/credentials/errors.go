package credentials

import (
	"errors"
	"fmt"
)

// What may be wrong with a key file; [errors.Is] finds them in a
// [*KeyFileError].
var (
	ErrKeyFileMissing    = errors.New("does not exist: check privateKeyFile")
	ErrKeyFileUnreadable = errors.New("cannot be read: check its owner and mode")
	ErrKeyEncrypted      = errors.New("is encrypted and no passphrase is given: add the parameter passphrase to the URL, or the key to the ssh agent")
	ErrKeyPassphrase     = errors.New("is encrypted with another passphrase than the one given: correct the parameter passphrase of the URL (ssh-keygen -y -f FILE asks for the passphrase and tests it)")
	ErrKeyFormat         = errors.New("is not a usable private key: give the file that ssh-keygen wrote, without .pub")
)

// A KeyFileError says which key file cannot be used, and why.
type KeyFileError struct {
	File    string
	Problem error // one of the ErrKey... values
	Err     error // of the system; nil if there is none
}

func (e *KeyFileError) Error() string {
	text := fmt.Sprintf("key file %s %v", e.File, e.Problem)
	if e.Err != nil {
		text += fmt.Sprintf(" (%v)", e.Err)
	}
	return text
}

func (e *KeyFileError) Unwrap() []error { return []error{e.Problem, e.Err} }
