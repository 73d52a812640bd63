package ssh

import (
	"errors"
	"strings"
)

// Errors that a caller may branch on with errors.Is.
var (
	// ErrHostKeyMismatch means that a machine showed another host key than the
	// one that is known or pinned for it.
	ErrHostKeyMismatch = errors.New("host key mismatch")
	// ErrLoginRefused means that a machine refused every method of logging in.
	ErrLoginRefused = errors.New("login refused")
)

// Is makes the error an [ErrHostKeyMismatch].
func (e *HostKeyMismatchError) Is(target error) bool { return target == ErrHostKeyMismatch }

// Is makes the error an [ErrLoginRefused] if the machine refused the login. A
// connection that was lost during the login was not refused.
func (e *LoginError) Is(target error) bool {
	return target == ErrLoginRefused && e.Err != nil && strings.Contains(e.Err.Error(), "unable to authenticate")
}

// IsPermanent reports whether an error stays the same however often the
// connection is tried: a key file, the settings of this machine, or a host key is
// wrong. A refused login is not permanent: the accounts of a booting machine may
// appear after its sshd.
func IsPermanent(err error) bool {
	var keyFile *KeyFileError
	var unknown *HostKeyUnknownError
	var revoked *HostKeyRevokedError
	var dial *DialError
	return errors.As(err, &keyFile) || errors.As(err, &unknown) || errors.As(err, &revoked) ||
		errors.Is(err, ErrHostKeyMismatch) || (errors.As(err, &dial) && dial.Phase == PhaseSettings)
}
