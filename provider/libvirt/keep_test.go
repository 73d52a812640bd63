package libvirt

import (
	"fmt"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

func TestKeptMarkIsNotOverwrittenByARenewalThatIsUnderWay(t *testing.T) {
	i := &instance{label: "web", config: config{URL: "test:///default"}, pool: virt.NewConnections(), undo: &storage.Undo{}}
	on, err := i.connect(t.Context())
	require.NoError(t, err)
	conn := on.Conn
	require.NoError(t, conn.Ref())
	defer conn.Close()
	m := owner.NewMetadata(owner.NewName("web", owner.Self()), "base", "web", time.Hour)
	domain, err := conn.DomainCreateXML(fmt.Sprintf(`<domain type='test'><name>%s</name><metadata>%s</metadata><memory>8192</memory><os><type>hvm</type></os></domain>`, m.Name, m.XML()), 0)
	require.NoError(t, err)
	defer domain.Free()
	defer domain.Destroy()
	i.watcher = virt.NewDomainWatcher(on, m.Name, virt.DomainState{Phase: virt.PhaseUnknown})
	require.NoError(t, i.watcher.ReadState(conn))
	i.lease = owner.Renew(func() *libvirt.Connect { return conn }, m.Name, time.Hour)

	reading, write := make(chan struct{}), make(chan struct{})
	renewed, kept := make(chan error, 1), make(chan error, 1)
	lease := i.lease
	go func() {
		renewed <- lease.Change(t.Context(), func(*owner.Metadata) {
			close(reading) // the metadata is read, and not written yet
			<-write
		})
	}()
	<-reading
	go func() {
		_, err := i.Keep(t.Context())
		kept <- err
	}()
	select {
	case err := <-kept:
		assert.Fail(t, "the mark was written while the renewal was under way", "%v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(write)
	require.NoError(t, <-renewed)
	require.NoError(t, <-kept)
	definition, err := virt.ReadDefinition(domain, 0)
	require.NoError(t, err)
	read := owner.ParseMetadata(m.Name, definition.Metadata.XML)
	require.NotNil(t, read)
	assert.NotNil(t, read.Kept)
}
