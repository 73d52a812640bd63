package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// provisioned is a host whose provision.cmd is run by a server.
func provisioned(t *testing.T, cmd func(context.Context, io.Writer) int) *Host {
	t.Helper()
	server := sshtest.Start(t, sshtest.Config{Exec: func(ctx context.Context, _ string, s sshtest.Session) int { return cmd(ctx, s.Stdout) }})
	settings := provider.DefaultSettings()
	settings.Connection.URL = server.URL()
	settings.Provision.Cmd, settings.Provision.Timeout = "install", time.Minute
	h := newHost(&readyMachine{settings: settings})
	t.Cleanup(func() { assert.NoError(t, h.disconnect(context.Background())) })
	return h
}

func TestProgressShowsTheLastLineOfProvisioning(t *testing.T) {
	done := make(chan struct{})
	h := provisioned(t, func(_ context.Context, out io.Writer) int {
		fmt.Fprint(out, "unpacking\nconfiguring \x1b[2J\n")
		<-done
		return 0
	})
	ended := make(chan error, 1)
	go func() { ended <- h.provision(t.Context()) }()
	require.Eventually(t, func() bool { return h.output.lastLine() != "" }, 10*time.Second, time.Millisecond)
	assert.Equal(t, `provision.cmd: configuring \x1b[2J`, h.lastSeen())
	var status Status
	h.fill(&status, 1)
	assert.Equal(t, `configuring \x1b[2J`, status.Output)
	status.Label, status.Step, status.Console = "web", "reachable", []string{"web login:"}
	assert.Contains(t, status.String(), `; provision.cmd: configuring`)
	close(done)
	require.NoError(t, <-ended)
	assert.Empty(t, h.lastSeen(), "the command has ended")
}

func TestProvisioningThatIsEndedShowsItsOutput(t *testing.T) {
	h := provisioned(t, func(ctx context.Context, out io.Writer) int {
		fmt.Fprintln(out, "waiting for a lock")
		<-ctx.Done()
		return 1
	})
	late := errors.New("too late")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.provision(ctx) }()
	require.Eventually(t, func() bool { return h.output.lastLine() != "" }, 10*time.Second, time.Millisecond)
	cancel(late)
	err := <-ended
	require.ErrorIs(t, err, late)
	require.ErrorContains(t, err, "; its output ends with: waiting for a lock")
}

func TestProvisioningThatNeedsRootSaysSo(t *testing.T) {
	for printed, hint := range map[string]bool{
		"E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)": true,
		"mkdir: cannot create directory '/srv/x': Permission denied":                             true,
		"E: Unable to acquire the dpkg frontend lock, are you root?":                             true,
		"Error: This command has to be run with superuser privileges":                            true,
		"Failed to start nginx.service: Access denied":                                           true,
		"sysctl: setting key: Operation not permitted":                                           true,
		"Failed to restart ssh.service: Interactive authentication required.":                    true,
		"sh: 1: nginx: not found":                                                                false,
	} {
		h := provisioned(t, func(_ context.Context, out io.Writer) int {
			fmt.Fprintln(out, printed)
			return 100
		})
		err := h.provision(t.Context())
		require.ErrorContains(t, err, "provisioning: provision.cmd exited with 100: "+printed)
		const text = `provision.cmd runs as user "%s", which is not root: write sudo before the commands that need root, or set provision.url to a login of root`
		client, errClient := h.Client(t.Context())
		require.NoError(t, errClient)
		assert.Equal(t, hint, strings.HasSuffix(err.Error(), "\n"+fmt.Sprintf(text, client.User())), err)
	}
	assert.Empty(t, rootHint("root", "Permission denied"))
}

func TestTailKeepsTheLastLine(t *testing.T) {
	var out tail
	for n := range 1000 {
		fmt.Fprintf(&out, "line %d\n\n", n)
	}
	assert.Equal(t, "line 999", out.lastLine())
	assert.LessOrEqual(t, len(out.text), tailSize)
}
