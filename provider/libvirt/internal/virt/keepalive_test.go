package virt

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// libvirtd answers at most five calls of a connection at a time. Five that take long
// must not make a healthy connection look lost.
func TestKeepaliveTellsABusyConnectionFromALostOne(t *testing.T) {
	answers := func() error { return nil }
	for name, test := range map[string]struct {
		direct func(end <-chan struct{}) error
		lost   bool
	}{
		"libvirtd answers another connection": {func(<-chan struct{}) error { return nil }, false},
		"libvirtd answers none":               {func(end <-chan struct{}) error { <-end; return nil }, true},
		"libvirtd accepts no connection":      {func(<-chan struct{}) error { return errors.New("connection refused") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				end := make(chan struct{})
				h := NewKeepalive()
				h.start(nil, requests{queued: func() error { <-end; return nil }, direct: func() error { return test.direct(end) }})
				time.Sleep(time.Minute)
				assert.Equal(t, test.lost, h.isLost())
				close(end)
				assert.Equal(t, !test.lost, h.stop())
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		h := NewKeepalive()
		h.start(nil, requests{queued: answers, direct: func() error { t.Error("a connection that answers needs no other one"); return nil }})
		time.Sleep(time.Minute)
		assert.True(t, h.stop())
	})
}

func TestKeepaliveSendsOneRequestWhileAConnectionIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		var sent atomic.Int32
		h := NewKeepalive()
		h.start(nil, requests{queued: func() error { sent.Add(1); <-end; return nil }, direct: func() error { return nil }})
		time.Sleep(time.Minute)
		assert.EqualValues(t, 1, sent.Load())
		close(end)
		assert.True(t, h.stop())
	})
}

func TestStoppingAKeepaliveDoesNotWaitForAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		hangs := func() error { <-end; return nil }
		h := NewKeepalive()
		h.start(nil, requests{queued: hangs, direct: hangs})
		time.Sleep(keepaliveInterval + time.Second)
		sent := time.Now()
		assert.True(t, h.stop(), "it is not known to be lost")
		assert.Zero(t, time.Since(sent), "by the clock of the test")
		close(end)
	})
}
