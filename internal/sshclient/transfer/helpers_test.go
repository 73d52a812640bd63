package transfer_test

import (
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/stretchr/testify/require"
)

func connect(t testing.TB, url string) *sshclient.Client {
	t.Helper()
	target, err := sshurl.ParseURL(url)
	require.NoError(t, err)
	client, err := sshclient.Dial(t.Context(), target, &sshclient.Options{Home: t.TempDir(), AgentSocket: sshclient.NoAgent})
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

func run(t testing.TB, c *sshclient.Client, cmd string) sshclient.Result {
	t.Helper()
	result, err := c.Run(t.Context(), cmd)
	require.NoError(t, err)
	return result
}
