// Package mark gives an error a second identity without changing its text.
package mark

import "errors"

// As returns err with errors.Is(err, sentinel) true. The text stays that of err,
// and everything that err wraps can still be found. It returns nil for a nil err.
func As(err, sentinel error) error {
	if err == nil || errors.Is(err, sentinel) {
		return err
	}
	return &marked{err, sentinel}
}

type marked struct{ cause, sentinel error }

func (e *marked) Error() string        { return e.cause.Error() }
func (e *marked) Unwrap() error        { return e.cause }
func (e *marked) Is(target error) bool { return target == e.sentinel }
