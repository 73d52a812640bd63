package mount

import (
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// Driver is the protocol between the hypervisor and the guest. The zero value is
// [Auto].
type Driver string

// The drivers. NineP and VirtioFS are also the names of the file systems in the
// guest.
const (
	NineP    Driver = "9p"
	VirtioFS Driver = "virtiofs"
	Auto     Driver = "auto" // 9p, or virtiofs if the hypervisor has no 9p
)

// UnmarshalText reads the name of a driver.
func (d *Driver) UnmarshalText(text []byte) error {
	driver := Driver(strings.ToLower(string(text)))
	if !slices.Contains([]Driver{NineP, VirtioFS, Auto}, driver) {
		return fmt.Errorf("%q is not a driver: use %s, %s or %s", text, NineP, VirtioFS, Auto)
	}
	*d = driver
	return nil
}

// tagLimit is the maximum length of a mount tag in bytes.
func (d Driver) tagLimit() int {
	if d == VirtioFS {
		return 36
	}
	return 31
}

// fileSystem is the name of the file system in the guest.
func (d Driver) fileSystem() string {
	if d == VirtioFS {
		return string(VirtioFS)
	}
	return string(NineP)
}

// shareMemory makes a domain's memory shared with other processes of the
// hypervisor's machine, which virtiofs requires. Memory backed by files or huge
// pages stays so. It overrides access='private'.
func shareMemory(domain *libvirtxml.Domain) {
	if domain.MemoryBacking == nil {
		domain.MemoryBacking = &libvirtxml.DomainMemoryBacking{}
	}
	backing := domain.MemoryBacking
	backing.MemoryAccess = &libvirtxml.DomainMemoryAccess{Mode: "shared"}
	anonymous := backing.MemorySource == nil || backing.MemorySource.Type == "" || backing.MemorySource.Type == "anonymous"
	if anonymous && backing.MemoryHugePages == nil {
		backing.MemorySource = &libvirtxml.DomainMemorySource{Type: "memfd"}
	}
	if domain.CPU == nil || domain.CPU.Numa == nil {
		return
	}
	for n := range domain.CPU.Numa.Cell {
		if cell := &domain.CPU.Numa.Cell[n]; cell.MemAccess == "private" {
			cell.MemAccess = "shared"
		}
	}
}
