// Package fsmapping gives clones the folders of the hypervisor's machine that fsMapping
// names: it selects the driver, checks that QEMU can read the folder, and copies
// folders with sync = true to another machine.
package fsmapping
