package virt

import (
	"fmt"
	"sync"

	"libvirt.org/go/libvirt"
)

// eventLoop runs libvirt's event loop while somebody needs it. libvirt has
// one loop in a process, and connections must be opened after it is registered.
type eventLoop struct {
	mu    sync.Mutex
	users int
	Stop  func()
}

// registerOnce tells libvirt which event loop this process has.
var registerOnce = sync.OnceValue(libvirt.EventRegisterDefaultImpl)

// acquire makes sure that the loop runs until release has been called as often.
func (l *eventLoop) acquire() error {
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

func (l *eventLoop) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.users--; l.users == 0 {
		l.Stop()
	}
}

// startLoop runs the loop in a goroutine; the function that it returns ends
// the goroutine and waits for it.
func startLoop() (stop func(), err error) {
	stopping := make(chan struct{})
	// A timer that never fires by itself: making it fire wakes the loop up.
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
				// Its errors are about single descriptors and were reported there.
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
