package virt

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// hungUp says whether a console is closed for libvirt, too.
func hungUp(c *console) bool {
	select {
	case <-c.close():
		return true
	default:
		return false
	}
}

func TestConsolesAreReadWhileLibvirtDoesNotAnswer(t *testing.T) {
	answer := make(chan struct{})
	c := newConsole(func() { <-answer })
	c.said = []byte("login:\n")
	c.close()
	assert.Equal(t, []string{"login:"}, c.Tail(1))
	assert.False(t, hungUp(c))
	<-c.ended
	close(answer)
	<-c.close()
	assert.True(t, hungUp(c), "again")
}

func TestClonesAreLetGoOfWhenNobodyAnswers(t *testing.T) {
	on := &Connection{Heart: NewHeartbeat()}
	w := NewDomainWatcher(on, "test", DomainState{})
	answer := make(chan struct{})
	defer close(answer)
	w.SetConsole(newConsole(func() { <-answer }))
	on.Heart.Stop("it has not answered")
	<-w.Ended
	w.Close()
}
