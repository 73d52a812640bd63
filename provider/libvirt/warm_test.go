package libvirt

import (
	"testing"

	"github.com/overcast-go/overcast/mount"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/stretchr/testify/assert"
)

func TestLibvirtdDestroysClonesExceptKeptOnesAndThoseThatItRestores(t *testing.T) {
	i := &instance{}
	i.config.Keep = provider.KeepNever
	assert.True(t, i.isAutodestroyed())
	i.warm.image = true
	assert.True(t, i.isAutodestroyed(), "the clone boots, and its memory is saved")
	i.warm.found = &layers.Layer{}
	assert.False(t, i.isAutodestroyed())
	i.warm.image = false
	assert.True(t, i.isAutodestroyed())
	i.config.Keep = provider.KeepAlways
	assert.False(t, i.isAutodestroyed())
}

func TestTheHintForAKeptCloneNamesDestroyOnlyIfNoFileStays(t *testing.T) {
	i := &instance{}
	i.config.URL, i.config.Overlay = "qemu:///system", overlayUnlinked
	const destroy = "virsh -c 'qemu:///system' destroy web"
	assert.Contains(t, i.keptHint("web"), destroy)
	i.warm.key = "slot"
	assert.NotContains(t, i.keptHint("web"), destroy, "its memory could not be saved")
	i.warm.found = &layers.Layer{}
	assert.Contains(t, i.keptHint("web"), destroy)
}

func TestTheKeyOfASlotDependsOnTheValueOfReadOnly(t *testing.T) {
	part := func(readOnly bool) string {
		return folderPart(mount.Entry{Target: "data", Mapping: mount.Mapping{ReadOnly: &readOnly}})
	}
	assert.Equal(t, part(false), part(false))
	assert.NotEqual(t, part(false), part(true))
	assert.Equal(t, part(true), folderPart(mount.Entry{Target: "data"}), "the default")
}
