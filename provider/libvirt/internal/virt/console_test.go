package virt

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"libvirt.org/go/libvirt"
)

// isStreamClosed reports whether libvirt has closed the stream of a console.
func isStreamClosed(c *Console) bool {
	select {
	case <-c.close():
		return true
	default:
		return false
	}
}

func TestConsoleOutputIsAvailableWhileLibvirtDoesNotAnswer(t *testing.T) {
	answer := make(chan struct{})
	c := newConsole(func() { <-answer })
	c.output = []byte("login:\n")
	c.close()
	assert.Equal(t, []string{"login:"}, c.LastLines(1))
	assert.False(t, isStreamClosed(c))
	<-c.ended
	close(answer)
	<-c.close()
	assert.True(t, isStreamClosed(c), "again")
}

func TestWatcherOfALostConnectionCloses(t *testing.T) {
	on := &Connection{Keepalive: NewKeepalive()}
	w := NewDomainWatcher(on, "test", DomainState{})
	answer := make(chan struct{})
	defer close(answer)
	w.SetConsole(newConsole(func() { <-answer }))
	changed, _ := w.Outage()
	on.Keepalive.MarkLost("it has not answered")
	<-changed
	w.Close()
}

func TestWatcherClosesThoughLibvirtDoesNotAnswerTheEndOfItsConsole(t *testing.T) {
	w := NewDomainWatcher(&Connection{Keepalive: NewKeepalive()}, "test", DomainState{})
	answer := make(chan struct{})
	defer close(answer)
	w.SetConsole(newConsole(func() { <-answer }))
	w.Close()
}

// libvirt's messages repeat what a guest agent answers, and consoles what a guest prints.
func TestTextOfAGuestHasNoControlCharacters(t *testing.T) {
	err := StripCodes(libvirt.Error{Message: "unable to execute QEMU agent command: \x1b[2J" + strings.Repeat("x", 1<<20)})
	assert.NotContains(t, err.Error(), "\x1b")
	assert.Less(t, len(err.Error()), 16<<10)
	c := newConsole(func() {})
	c.output = []byte("\x1b[31mred\x1b[0m \x1b]0;title\a \u009b2J\n" + strings.Repeat("x", maxConsoleBytes) + "\n")
	lines := c.LastLines(2)
	assert.NotRegexp(t, "[\x00-\x1f\u0080-\u009f]", lines[0])
	assert.Contains(t, lines[0], `\u009b2J`)
	assert.Less(t, len(lines[1]), 1<<10)
}
