package libvirt

import (
	"context"
	"testing"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPanicDuringSetUpBecomesAnError(t *testing.T) {
	const url = "test:///default"
	i := &instance{label: "web", config: config{URL: url}, pool: virt.NewConnections(), undo: &storage.Undo{}}
	var panicked *recovered.PanicError
	err := i.call(t.Context(), func(context.Context, *virt.Connection) error { panic("a mistake") })
	require.ErrorAs(t, err, &panicked)
	require.NoError(t, i.TearDown(t.Context()))
}

func TestInstanceNamesItsBaseDomain(t *testing.T) {
	config, err := decode(t, `nat_host { baseDomain = my_base_domain }`)
	require.NoError(t, err)
	var made provider.Instance = &instance{config: config}
	clone, ok := made.(provider.Cloned)
	require.True(t, ok)
	assert.Equal(t, "my_base_domain", clone.BaseDomain())
}
