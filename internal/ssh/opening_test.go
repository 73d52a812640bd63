package ssh_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/internal/ssh/sshtest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is begun just when the connection ends, ends too, and does not keep
// Close waiting.
func TestNothingOutlastsAConnectionThatEndsMeanwhile(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	target, err := ssh.ParseURL(server.URL())
	require.NoError(t, err)
	for range 60 {
		client, err := ssh.Dial(t.Context(), target, &ssh.Options{AgentSocket: ssh.NoAgent})
		require.NoError(t, err)
		var begun sync.WaitGroup
		for range 4 {
			begun.Go(func() {
				for client.Err() == nil {
					_, err := client.Run(context.Background(), "true")
					assert.True(t, err == nil || errors.Is(err, ssh.ErrConnectionLost), err)
				}
			})
		}
		server.Drop()
		begun.Wait()
		assert.NoError(t, client.Close())
	}
}
