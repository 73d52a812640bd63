//go:build !linux

package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "lab: needs Linux, not %s: README says how to use a hypervisor of your own instead\n", runtime.GOOS)
	os.Exit(125)
}
