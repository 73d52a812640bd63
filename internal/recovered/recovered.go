// Package recovered runs functions in which a panic becomes an error. A panic in
// a goroutine would otherwise end the process before it can clean up what it
// created on a hypervisor.
package recovered

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// PanicError is a panic that was recovered.
type PanicError struct {
	Value any    // the argument of panic
	Stack []byte // the stack of the goroutine at the panic
}

// Error returns the value and the stack, formatted as the runtime does.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// Unwrap returns the value if it is an error, and nil otherwise.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Do calls do and returns its error. If do panics, it returns a *[PanicError].
func Do(do func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return do()
}

// ForEach calls do for each name, in a goroutine each, and waits for all of
// them. It returns all errors joined. The error of a panic starts with the name.
func ForEach(names []string, do func(name string) error) error {
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for n, name := range names {
		all.Go(func() {
			errs[n] = Do(func() error { return do(name) })
			if _, panicked := errs[n].(*PanicError); panicked {
				errs[n] = fmt.Errorf("%s: %w", name, errs[n])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
