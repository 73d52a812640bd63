//go:build linux

package main

import (
	"fmt"
	"os"
	"time"
)

// step says what is being done, and how long it took once it is done.
func step(name string, do func() error) error {
	done := begin(name)
	err := do()
	done(err)
	return err
}

// begin says what is being done; the function that it returns ends the line.
func begin(name string) (done func(error)) {
	start := time.Now()
	fmt.Fprintf(os.Stderr, "lab: %s ...", name)
	return func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, " failed")
			return
		}
		fmt.Fprintf(os.Stderr, " %.1fs\n", time.Since(start).Seconds())
	}
}
