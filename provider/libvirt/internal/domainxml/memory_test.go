package domainxml

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"
)

func TestCloneAwaitsItsMemory(t *testing.T) {
	for arch, has := range map[string]bool{"x86_64": true, "aarch64": false} {
		c := &Clone{Definition: &libvirtxml.Domain{OS: &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: arch}}}}
		c.AddGenerationID()
		assert.Equal(t, has, c.Definition.GenID != nil, arch)
		text, err := c.AwaitingMemory()
		require.NoError(t, err)
		assert.Contains(t, text, `<arg value="-incoming"></arg>`)
		assert.Nil(t, c.Definition.QEMUCommandline, "it boots when it is started again")
	}
}
