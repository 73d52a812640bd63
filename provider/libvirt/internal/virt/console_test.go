package virt

import (
	"testing"

	"github.com/stretchr/testify/assert"
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
	on.Keepalive.MarkLost("it has not answered")
	<-w.Done
	w.Close()
}
