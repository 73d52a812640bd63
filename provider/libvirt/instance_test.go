package libvirt

import (
	"testing"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/require"
)

func TestSetUpThatPanicsFails(t *testing.T) {
	const url = "test:///default"
	i := &instance{label: "web", config: config{URL: url}, pool: virt.NewConnections(), undo: &storage.Undo{}}
	i.pool.Once[url] = nil // a mistake
	var panicked *recovered.PanicError
	require.ErrorAs(t, i.SetUp(t.Context()), &panicked)
	require.NoError(t, i.TearDown(t.Context()))
}
