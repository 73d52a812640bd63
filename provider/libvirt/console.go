package libvirt

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"libvirt.org/go/libvirt"
)

// console keeps the last of what a clone's serial console says, from the start
// on. One that a person takes over (virsh console --force) ends it.
type console struct {
	ended chan struct{} // closed once nothing more will come

	mu     sync.Mutex
	said   []byte
	stream *libvirt.Stream // nil once it is closed
}

// consoleKept is how much of a console is kept, in bytes.
const consoleKept = 32 << 10

// openConsole opens the console of a domain that has one with a terminal
// (<serial type='pty'>); it answers with nil for any other.
func openConsole(conn *libvirt.Connect, domain *libvirt.Domain) (*console, error) {
	stream, err := conn.NewStream(libvirt.STREAM_NONBLOCK)
	if err != nil {
		return nil, err
	}
	if err := domain.OpenConsole("", stream, 0); err != nil {
		_ = stream.Free()
		if isCode(err, libvirt.ERR_INTERNAL_ERROR, libvirt.ERR_NO_SUPPORT, libvirt.ERR_CONFIG_UNSUPPORTED, libvirt.ERR_OPERATION_UNSUPPORTED, libvirt.ERR_INVALID_ARG) {
			return nil, nil // it has none
		}
		return nil, err
	}
	c := &console{ended: make(chan struct{}), stream: stream}
	err = stream.EventAddCallback(libvirt.STREAM_EVENT_READABLE|libvirt.STREAM_EVENT_ERROR|libvirt.STREAM_EVENT_HANGUP,
		func(s *libvirt.Stream, events libvirt.StreamEventType) { c.read(s) })
	if err != nil {
		_ = stream.Abort()
		_ = stream.Free()
		return nil, fmt.Errorf("waiting for its console: %w", said(err))
	}
	return c, nil
}

// read takes what there is. libvirt's event loop calls it.
func (c *console) read(s *libvirt.Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stream == nil {
		return
	}
	buffer := make([]byte, 4096)
	for {
		n, err := s.Recv(buffer)
		if n == -2 { // nothing for now
			return
		}
		if err != nil || n <= 0 {
			c.finish()
			return
		}
		c.said = append(c.said, buffer[:n]...)
		if extra := len(c.said) - consoleKept; extra > 0 {
			c.said = append(c.said[:0], c.said[extra:]...)
		}
	}
}

// finish ends the stream; mu is held.
func (c *console) finish() {
	if c.stream == nil {
		return
	}
	_ = c.stream.EventRemoveCallback()
	_ = c.stream.Abort() // fails where it has ended by itself
	_ = c.stream.Free()
	c.stream = nil
	close(c.ended)
}

// close stops reading.
func (c *console) close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish()
}

// tail is the last lines that were said. A nil console has said nothing.
func (c *console) tail(lines int) []string {
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
