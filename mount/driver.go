package mount

import (
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// Driver is what carries files between the hypervisor's machine and the guest.
// The zero value is [Auto].
type Driver string

// The drivers. The names of the first two are those of file systems in the
// guest, too.
const (
	NineP    Driver = "9p"
	VirtioFS Driver = "virtiofs"
	Auto     Driver = "auto" // 9p, or virtiofs where the hypervisor has no 9p
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

// longestTag is the length of a mount tag in bytes, at the most.
func (d Driver) longestTag() int {
	if d == VirtioFS {
		return 36
	}
	return 31
}

// kind names the driver's tags in messages.
func (d Driver) kind() string {
	if d == VirtioFS {
		return string(VirtioFS)
	}
	return string(NineP)
}

// ShareMemory has a domain's memory shared with other processes of the
// hypervisor's machine, as virtiofs needs it. Where the memory is backed by
// files or huge pages, it stays so; what the domain says against sharing does
// not count.
func ShareMemory(domain *libvirtxml.Domain) {
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
