package virt

import (
	"fmt"
	"sync"

	"libvirt.org/go/libvirt"
)

// EventLoop runs libvirt's event loop while it has users. A process has one loop of
// libvirt's, which must be registered before a connection is opened.
type EventLoop struct {
	mu    sync.Mutex
	users int
	Stop  func()
}

// registerOnce registers the event loop of this process.
var registerOnce = sync.OnceValue(libvirt.EventRegisterDefaultImpl)

// acquire starts the loop for the first user. Each acquire needs one release.
func (l *EventLoop) acquire() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users == 0 {
		if err := registerOnce(); err != nil {
			return fmt.Errorf("registering libvirt's event loop: %w", StripCodes(err))
		}
		stop, err := startLoop()
		if err != nil {
			return err
		}
		l.Stop = stop
	}
	l.users++
	return nil
}

func (l *EventLoop) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users--; l.users == 0 {
		l.Stop()
	}
}

// startLoop runs the loop in a goroutine. The function that it returns ends the
// goroutine and waits for it.
func startLoop() (stop func(), err error) {
	stopping := make(chan struct{})
	// A timer that does not fire until it is updated, to wake the loop up.
	timer, err := libvirt.EventAddTimeout(-1, func(int) {})
	if err != nil {
		return nil, fmt.Errorf("starting libvirt's event loop: %w", StripCodes(err))
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stopping:
				return
			default:
				// Errors concern single descriptors and were reported there.
				_ = libvirt.EventRunDefaultImpl()
			}
		}
	}()
	return func() {
		close(stopping)
		libvirt.EventUpdateTimeout(timer, 0)
		<-ended
		_ = libvirt.EventRemoveTimeout(timer)
	}, nil
}
