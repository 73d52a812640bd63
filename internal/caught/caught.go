// Package caught keeps a panic in a goroutine from ending the process: nothing
// that a test has made would be taken away then. Whoever starts the goroutine
// gets an error instead, as for anything else that has gone wrong there.
package caught

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// Error is a panic that was caught.
type Error struct {
	Value any    // that panic was called with
	Stack []byte // of the goroutine, from where it panicked
}

// Error is the value and the stack, as the runtime shows them.
func (e *Error) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Unwrap gives the value where that is an error, and nil else.
func (e *Error) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Call calls do and answers with its error, or with an *[Error] if it panics.
func Call(do func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &Error{Value: value, Stack: debug.Stack()}
		}
	}()
	return do()
}

// Each does something with each of several names, side by side, and waits for
// all of them. It answers with all errors; a panic is told with its name.
func Each(names []string, do func(name string) error) error {
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for n, name := range names {
		all.Go(func() {
			errs[n] = Call(func() error { return do(name) })
			if _, panicked := errs[n].(*Error); panicked {
				errs[n] = fmt.Errorf("%s: %w", name, errs[n])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
