package sshclient_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What is begun just when the connection ends, ends too, and does not keep
// Close waiting.
func TestChannelsThatAreBeingOpenedEndWithTheConnection(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	target, err := sshurl.ParseURL(server.URL())
	require.NoError(t, err)
	for range 60 {
		client, err := sshclient.Dial(t.Context(), target, &sshclient.Options{AgentSocket: sshclient.NoAgent})
		require.NoError(t, err)
		var begun sync.WaitGroup
		for range 4 {
			begun.Go(func() {
				for client.Err() == nil {
					_, err := client.Run(context.Background(), "true")
					assert.True(t, err == nil || errors.Is(err, sshclient.ErrConnectionLost), err)
				}
			})
		}
		server.Drop()
		begun.Wait()
		assert.NoError(t, client.Close())
	}
}
