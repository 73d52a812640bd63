package mount_test

import (
	"testing"

	"github.com/overcast-go/overcast/mount"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMappingsThatGoTogether(t *testing.T) {
	mappings, err := decode(t, `fsMapping {
		data { hostPath = /a, mountAt = /data }
		fast { hostPath = /a, driver = VirtioFS, accessMode = passthrough, readOnly = no, mountAt = /data/fast }
		copy { hostPath = /a, sync = true }
	}`)
	require.NoError(t, err)
	assert.Nil(t, mount.Check(mappings))
}

func TestMistakes(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a long target":           {`fsMapping { a-target-that-is-longer-than-a-tag-may-be.hostPath = /a }`, `fsMapping.a-target-that-is-longer-than-a-tag-may-be: the target has 41 bytes`},
		"another spelling":        {`fsMapping { data.hostPath = /a, Data.hostPath = /b }`, `fsMapping.Data: there is a target "data" already`},
		"half a path":             {`fsMapping { data.hostPath = srv }`, `fsMapping.data.hostPath: "srv" is not a whole path`},
		"half a path, guest":      {`fsMapping { data { hostPath = /a, mountAt = data } }`, `fsMapping.data.mountAt: "data" is not a whole path, from the root of the guest`},
		"the root":                {`fsMapping { data { hostPath = /a, mountAt = "//" } }`, `fsMapping.data.mountAt: the guest's root is taken`},
		"the same place":          {`fsMapping { data { hostPath = /a, mountAt = /data }, more { hostPath = /a, mountAt = /x/../data/ } }`, `fsMapping.more.mountAt: target "data" is mounted at /data already`},
		"virtiofs, mapped":        {`fsMapping { data { hostPath = /a, driver = virtiofs, accessMode = Mapped } }`, `fsMapping.data.accessMode: virtiofs has no access mode but passthrough, and so not mapped`},
		"a copy to be written to": {`fsMapping { data { hostPath = /a, sync = true, readOnly = false } }`, `fsMapping.data.sync: it makes a copy that is thrown away`},
	} {
		t.Run(name, func(t *testing.T) {
			mappings, err := decode(t, test.text)
			require.NoError(t, err)
			mistake := mount.Check(mappings)
			require.NotNil(t, mistake)
			assert.Contains(t, mistake.Error(), test.want)
		})
	}
}
