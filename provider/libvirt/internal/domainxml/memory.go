package domainxml

import "libvirt.org/go/libvirtxml"

// AddGenerationID gives the clone a generation ID, by which its system detects that its
// memory was restored, and seeds its random numbers anew. Only x86 has one.
func (c *Clone) AddGenerationID() {
	if d := c.Definition; d.OS != nil && d.OS.Type != nil && d.OS.Type.Arch == "x86_64" {
		d.GenID = &libvirtxml.DomainGenID{}
	}
}

// AwaitMemory makes the clone wait for its memory instead of booting.
func (c *Clone) AwaitMemory() {
	if c.Definition.QEMUCommandline == nil {
		c.Definition.QEMUCommandline = &libvirtxml.DomainQEMUCommandline{}
	}
	line := c.Definition.QEMUCommandline
	for _, arg := range []string{"-incoming", "defer"} {
		line.Args = append(line.Args, libvirtxml.DomainQEMUCommandlineArg{Value: arg})
	}
}
