package domainxml

import (
	"slices"

	"libvirt.org/go/libvirtxml"
)

// AddGenerationID gives the clone a generation ID, by which its system detects that its
// memory was restored, and seeds its random numbers anew. Only x86 has one.
func (c *Clone) AddGenerationID() {
	if d := c.Definition; d.OS != nil && d.OS.Type != nil && d.OS.Type.Arch == "x86_64" {
		d.GenID = &libvirtxml.DomainGenID{}
	}
}

// AwaitingMemory returns a definition with which the clone starts waiting for its memory
// instead of booting.
func (c *Clone) AwaitingMemory() (string, error) {
	d, line := *c.Definition, libvirtxml.DomainQEMUCommandline{}
	if d.QEMUCommandline != nil {
		line = *d.QEMUCommandline
	}
	line.Args = append(slices.Clone(line.Args), libvirtxml.DomainQEMUCommandlineArg{Value: "-incoming"}, libvirtxml.DomainQEMUCommandlineArg{Value: "defer"})
	d.QEMUCommandline = &line
	return d.Marshal()
}
