package virt

import (
	"context"
	"errors"
	"testing"

	"github.com/overcast-go/overcast/internal/recovered"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

// requirePanic checks that an error is a recovered panic.
func requirePanic(t *testing.T, err error) {
	t.Helper()
	var panicked *recovered.PanicError
	require.ErrorAs(t, err, &panicked)
}

func TestCallContinuesAfterItsContextHasEnded(t *testing.T) {
	goOn := make(chan struct{})
	no := errors.New("no")
	c := Async(func() error { <-goOn; return no })
	ended, end := context.WithCancel(t.Context())
	end()
	assert.False(t, c.Await(ended))
	close(goOn)
	assert.True(t, c.Await(t.Context()))
	assert.Equal(t, no, c.Err)
	assert.True(t, c.Await(ended), "the result counts")
}

func TestPanicInACallIsAnError(t *testing.T) {
	requirePanic(t, WithContext(t.Context(), nil, func() error { panic("a mistake") }))
}

func TestPanicWhileConnectingIsAnError(t *testing.T) {
	to := &Connection{URL: "test:///default", Ready: make(chan struct{})} // without a keepalive
	NewConnections().connect(to)
	<-to.Ready
	requirePanic(t, to.err)
}

func TestPanicInAnEventHandlerEndsTheWatch(t *testing.T) {
	conn, err := libvirt.NewConnect("test:///default")
	require.NoError(t, err)
	defer conn.Close()
	domain, err := conn.LookupDomainByName("test")
	require.NoError(t, err)
	defer domain.Free()
	w := &DomainWatcher{Domain: "test", stopped: make(chan string, 1)}
	var d dispatcher
	d.add(w)
	d.dispatch(domain, func(*DomainWatcher) { panic("a mistake") })
	assert.Contains(t, <-w.stopped, "panic: a mistake\n")
}
