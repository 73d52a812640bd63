package libvirt

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
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
	i.renewal = owner.Renew(func() *libvirt.Connect { return conn }, m.Name, time.Hour)

	reading, write := make(chan struct{}), make(chan struct{})
	renewed, kept := make(chan error, 1), make(chan error, 1)
	lease := i.renewal
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

func TestErrorsThatDoNotBlameTheLayer(t *testing.T) {
	for name, err := range map[string]error{
		"a full pool":                        fmt.Errorf("planning: %w", &storage.PoolFullError{}),
		"a full pool, as libvirt reports it": virt.StripCodes(libvirt.Error{Code: libvirt.ERR_SYSTEM_ERROR, Message: "cannot write: No space left on device"}),
		"a slow hypervisor":                  fmt.Errorf("%w: raise it", &startTimeoutError{time.Second}),
		"a client of libvirt":                &virt.StoppedError{How: virt.HowDestroyed},
	} {
		assert.False(t, (&instance{}).MayBlameLayer(err), name)
	}
	for name, err := range map[string]error{
		"a guest that powers itself off": &virt.StoppedError{How: virt.HowPoweredOff},
		"QEMU that fails":                virt.StripCodes(libvirt.Error{Code: libvirt.ERR_INTERNAL_ERROR, Message: "process exited"}),
		"no login":                       errors.New("no login"),
	} {
		assert.True(t, (&instance{}).MayBlameLayer(err), name)
	}
}

func TestLayerIsPublishedOnlyAfterACleanShutdown(t *testing.T) {
	for name, test := range map[string]struct {
		end   libvirt.DomainEventStoppedDetailType
		wrong string // part of the error; "" for none
	}{
		"powered off": {libvirt.DOMAIN_EVENT_STOPPED_SHUTDOWN, ""},
		"crashed":     {libvirt.DOMAIN_EVENT_STOPPED_CRASHED, "it crashed"},
		"destroyed":   {libvirt.DOMAIN_EVENT_STOPPED_DESTROYED, "a libvirt client destroyed it"},
		"failed":      {libvirt.DOMAIN_EVENT_STOPPED_FAILED, "QEMU failed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := virt.NewDomainWatcher(&virt.Connection{URL: "test:///default", Keepalive: virt.NewKeepalive()}, "web", virt.DomainState{Phase: virt.PhaseRunning})
			defer w.Close()
			require.EqualError(t, checkShutDown(w, time.Second), "the guest did not shut down within 1s")
			w.OnLifecycle(&libvirt.DomainEventLifecycle{Event: libvirt.DOMAIN_EVENT_STOPPED, Detail: int(test.end)})
			<-w.Done
			err := checkShutDown(w, time.Second)
			if test.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "the guest did not shut down: domain web is shut off: "+test.wrong)
		})
	}
}
