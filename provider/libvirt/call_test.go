package libvirt

import (
	"context"
	"errors"
	"testing"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

// requirePanic checks that an error is a panic that was caught.
func requirePanic(t *testing.T, err error) {
	t.Helper()
	var panicked *recovered.PanicError
	require.ErrorAs(t, err, &panicked)
}

func TestCallsAreLeftUnderWay(t *testing.T) {
	goOn := make(chan struct{})
	no := errors.New("no")
	c := begin(func() error { <-goOn; return no })
	ended, end := context.WithCancel(t.Context())
	end()
	assert.False(t, c.await(ended))
	close(goOn)
	assert.True(t, c.await(t.Context()))
	assert.Equal(t, no, c.err)
	assert.True(t, c.await(ended), "the answer counts")
}

func TestPanicsInCallsAreErrors(t *testing.T) {
	requirePanic(t, bounded(t.Context(), nil, func() error { panic("a mistake") }))
}

func TestConnectingThatPanicsFails(t *testing.T) {
	to := &connection{url: "test:///default", ready: make(chan struct{})} // without a heart
	newConnections().connect(to)
	<-to.ready
	requirePanic(t, to.err)
}

func TestEventsThatPanicEndTheWatch(t *testing.T) {
	conn, err := libvirt.NewConnect("test:///default")
	require.NoError(t, err)
	defer conn.Close()
	domain, err := conn.LookupDomainByName("test")
	require.NoError(t, err)
	defer domain.Free()
	w := &domainWatcher{domain: "test", stopped: make(chan string, 1)}
	var d dispatcher
	d.add(w)
	d.dispatch(domain, func(*domainWatcher) { panic("a mistake") })
	assert.Contains(t, <-w.stopped, "panic: a mistake\n")
}
