package mount_test

import (
	"testing"

	"github.com/overcast-go/overcast/mount"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCheckAcceptsValidMappings(t *testing.T) {
	mappings, err := decode(t, `fsMapping {
		data { hostPath = /a, mountAt = /data }
		fast { hostPath = /a, driver = VirtioFS, accessMode = passthrough, readOnly = no, mountAt = /data/fast }
		copy { hostPath = /a, sync = true }
	}`)
	require.NoError(t, err)
	assert.Nil(t, mount.Check(mappings))
}

func TestCheckReturnsTheFirstError(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"target too long":   {`fsMapping { a-target-that-is-longer-than-a-tag-may-be.hostPath = /a }`, `fsMapping.a-target-that-is-longer-than-a-tag-may-be: the target has 41 bytes`},
		"same but for case": {`fsMapping { data.hostPath = /a, Data.hostPath = /b }`, `fsMapping.Data: the target "data" is already in use`},
		"relative path":     {`fsMapping { data.hostPath = srv }`, `fsMapping.data.hostPath: "srv" is not an absolute path on the hypervisor's machine`},
		"relative mountAt":  {`fsMapping { data { hostPath = /a, mountAt = data } }`, `fsMapping.data.mountAt: "data" is not an absolute path in the guest`},
		"guest's root":      {`fsMapping { data { hostPath = /a, mountAt = "//" } }`, `fsMapping.data.mountAt: cannot mount at the guest's root`},
		"same mountAt":      {`fsMapping { data { hostPath = /a, mountAt = /data }, more { hostPath = /a, mountAt = /x/../data/ } }`, `fsMapping.more.mountAt: the target "data" is already mounted at /data`},
		"virtiofs, mapped":  {`fsMapping { data { hostPath = /a, driver = virtiofs, accessMode = Mapped } }`, `fsMapping.data.accessMode: virtiofs supports only the access mode passthrough, not mapped: use driver = 9p`},
		"writable copy":     {`fsMapping { data { hostPath = /a, sync = true, readOnly = false } }`, `fsMapping.data.sync: sync copies the folder, and the copy is deleted with the clone`},
	} {
		t.Run(name, func(t *testing.T) {
			mappings, err := decode(t, test.text)
			require.NoError(t, err)
			invalid := mount.Check(mappings)
			require.NotNil(t, invalid)
			assert.Contains(t, invalid.Error(), test.want)
		})
	}
}
