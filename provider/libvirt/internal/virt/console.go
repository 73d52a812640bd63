package virt

import (
	"fmt"
	"io"
	"regexp"
	"sync"

	"github.com/overcast-go/overcast/internal/printable"
	"github.com/overcast-go/overcast/internal/recovered"
	"libvirt.org/go/libvirt"
)

// Console reads the serial console of a clone and keeps the last part of its output.
// It ends when another client takes the console over (virsh console --force).
type Console struct {
	ended       chan struct{} // closed at the end of the output
	closed      chan struct{} // closed once libvirt has closed the stream
	closeStream func()        // may block while libvirt does not answer

	mu      sync.Mutex
	output  []byte
	stopped bool // reading
}

func newConsole(closeStream func()) *Console {
	return &Console{ended: make(chan struct{}), closed: make(chan struct{}), closeStream: closeStream}
}

// maxConsoleBytes limits the output of a console that is kept.
const maxConsoleBytes = 32 << 10

// OpenConsole opens the console of a domain. It returns nil if the domain has none
// with a terminal (<serial type='pty'>).
func OpenConsole(conn *libvirt.Connect, domain *libvirt.Domain) (*Console, error) {
	stream, err := conn.NewStream(libvirt.STREAM_NONBLOCK)
	if err != nil {
		return nil, err
	}
	if err := domain.OpenConsole("", stream, 0); err != nil {
		_ = stream.Free()
		if IsCode(err, libvirt.ERR_INTERNAL_ERROR, libvirt.ERR_NO_SUPPORT, libvirt.ERR_CONFIG_UNSUPPORTED, libvirt.ERR_OPERATION_UNSUPPORTED, libvirt.ERR_INVALID_ARG) {
			return nil, nil // it has none
		}
		return nil, err
	}
	c := newConsole(func() {
		_ = stream.EventRemoveCallback()
		_ = stream.Abort() // fails if it has already ended
		_ = stream.Free()
	})
	err = stream.EventAddCallback(libvirt.STREAM_EVENT_READABLE|libvirt.STREAM_EVENT_ERROR|libvirt.STREAM_EVENT_HANGUP,
		func(s *libvirt.Stream, _ libvirt.StreamEventType) { c.readable(s) })
	if err != nil {
		_ = stream.Abort()
		_ = stream.Free()
		return nil, fmt.Errorf("waiting for its console: %w", StripCodes(err))
	}
	return c, nil
}

// readable reads available output. libvirt's event loop calls it.
func (c *Console) readable(s *libvirt.Stream) {
	if err := recovered.Do(func() error { return c.read(s) }); err != nil {
		c.close()
	}
}

// read reads until no output is available. An error marks the end of the output.
func (c *Console) read(s *libvirt.Stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	buffer := make([]byte, 4096)
	for {
		n, err := s.Recv(buffer)
		if n == -2 { // nothing for now
			return nil
		}
		if err != nil {
			return err
		}
		if n <= 0 {
			return io.EOF
		}
		c.output = append(c.output, buffer[:n]...)
		if extra := len(c.output) - maxConsoleBytes; extra > 0 {
			c.output = append(c.output[:0], c.output[extra:]...)
		}
	}
}

// close stops reading and returns at once. The channel that it returns is closed
// when libvirt has closed the stream.
func (c *Console) close() (closed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped {
		c.stopped = true
		close(c.ended)
		go func() {
			defer close(c.closed)
			c.closeStream()
		}()
	}
	return c.closed
}

// LastLines returns up to count of the last lines of output. It may be called on nil.
func (c *Console) LastLines(count int) []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return lastLines(string(c.output), count)
}

// controlSequences are the escape sequences and control characters of terminals.
var controlSequences = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78cM]|[\x00-\x08\x0b-\x1f\x7f]")

// lastLines returns up to count of the last lines of a text without the usual control
// sequences. Others are made visible.
func lastLines(text string, count int) []string {
	return printable.LastLines(controlSequences.ReplaceAllString(text, ""), count)
}
