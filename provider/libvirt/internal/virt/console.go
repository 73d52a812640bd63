package virt

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	"github.com/overcast-go/overcast/internal/recovered"
	"libvirt.org/go/libvirt"
)

// console keeps the last of what a clone's serial console says, from the start
// on. One that a person takes over (virsh console --force) ends it.
type console struct {
	ended  chan struct{} // closed once nothing more will come
	closed chan struct{} // closed once libvirt has been told so, too
	hangUp func()        // tells libvirt, which may have to be waited for

	mu   sync.Mutex
	said []byte
	over bool // nobody reads any more
}

func newConsole(hangUp func()) *console {
	return &console{ended: make(chan struct{}), closed: make(chan struct{}), hangUp: hangUp}
}

// consoleKept is how much of a console is kept, in bytes.
const consoleKept = 32 << 10

// openConsole opens the console of a domain that has one with a terminal
// (<serial type='pty'>); it answers with nil for any other.
func OpenConsole(conn *libvirt.Connect, domain *libvirt.Domain) (*console, error) {
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
		_ = stream.Abort() // fails where it has ended by itself
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

// readable is told that there is something to read, by libvirt's event loop.
func (c *console) readable(s *libvirt.Stream) {
	if err := recovered.Do(func() error { return c.read(s) }); err != nil {
		c.close()
	}
}

// read takes what there is. An error says that there will be no more.
func (c *console) read(s *libvirt.Stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
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
		c.said = append(c.said, buffer[:n]...)
		if extra := len(c.said) - consoleKept; extra > 0 {
			c.said = append(c.said[:0], c.said[extra:]...)
		}
	}
}

// close stops reading. It waits for nobody; what it answers with is closed once
// the stream is, for which libvirt may be waited for.
func (c *console) close() (closed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over {
		c.over = true
		close(c.ended)
		go func() {
			defer close(c.closed)
			c.hangUp()
		}()
	}
	return c.closed
}

// tail is the last lines that were said. A nil console has said nothing.
func (c *console) Tail(lines int) []string {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return lastLines(string(c.said), lines)
}

// controls are what a terminal would act on rather than show.
var controls = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>78cM]|[\x00-\x08\x0b-\x1f\x7f]")

// lastLines are the last lines of a text that are not empty, as they read.
func lastLines(text string, most int) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(controls.ReplaceAllString(line, ""), " \t\n"); line != "" {
			lines = append(lines, strings.ToValidUTF8(line, "?"))
		}
	}
	return lines[max(0, len(lines)-most):]
}
