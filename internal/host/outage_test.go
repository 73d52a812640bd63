package host

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/outagetest"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/internal/sshclient/transfer"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reported is a machine of which a test reports outages.
type reported struct {
	machine
	*outagetest.Outages
}

// watchedHost is a host that is set up, of which a test reports outages.
func watchedHost(t *testing.T, address, url string) (*Host, *outagetest.Outages) {
	t.Helper()
	settings := provider.DefaultSettings()
	settings.Connection.URL = url
	outages := &outagetest.Outages{}
	h := newHost(&reported{machine{settings, address}, outages})
	t.Cleanup(func() { assert.NoError(t, h.stop(context.Background())) })
	return h, outages
}

// run runs a command on the host.
func run(ctx context.Context, h *Host, cmd string) (result sshclient.Result, err error) {
	err = h.WithClient(ctx, func(ctx context.Context, client *sshclient.Client) (err error) {
		result, err = client.Run(ctx, cmd)
		return err
	})
	return result, err
}

// waitLimit bounds the waits for what takes no time. It is shorter than the time
// after which keepalive notices a machine that is gone.
const waitLimit = 15 * time.Second

// limited returns a context that a test outlasts only if it fails.
func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitLimit)
	t.Cleanup(cancel)
	return ctx
}

// uses are the calls that need a machine that runs.
func uses(t *testing.T, host *Host) map[string]func(context.Context) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("content"), 0o600))
	return map[string]func(context.Context) error{
		"Run":   func(ctx context.Context) error { _, err := run(ctx, host, "sleep 1234"); return err },
		"RunAs": func(ctx context.Context) error { _, err := host.RunAs(ctx, "", 0, "sleep 1234"); return err },
		"Upload": func(ctx context.Context) error {
			return host.WithClient(ctx, func(ctx context.Context, c *sshclient.Client) error { return transfer.Upload(ctx, c, file, "copy") })
		},
		"Download": func(ctx context.Context) error {
			return host.WithClient(ctx, func(ctx context.Context, c *sshclient.Client) error { return transfer.Download(ctx, c, "file", file) })
		},
	}
}

func TestCallsUnderWayEndWithTheOutageOfTheirMachine(t *testing.T) {
	for _, outage := range []error{outagetest.ErrPoweredOff, outagetest.ErrSuspended, outagetest.ErrFullPool} {
		server := sshtest.Start(t, sshtest.Config{})
		host, outages := watchedHost(t, "127.0.0.1", server.URL("hostKey=insecure"))
		ctx := limited(t)
		_, err := run(ctx, host, "true")
		require.NoError(t, err)
		server.Freeze()
		for name, use := range uses(t, host) {
			t.Run(name+" when the "+outage.Error(), func(t *testing.T) {
				watched, ended := outages.Asked(outagetest.UnderWay), make(chan error, 1)
				go func() { ended <- use(ctx) }()
				<-watched
				outages.Report(outage)
				err := <-ended
				require.ErrorIs(t, err, outage)
				require.NotErrorIs(t, err, sshclient.ErrConnectionLost)
				require.NoError(t, ctx.Err())
				outages.Report(nil)
			})
		}
	}
}

func TestCommandsUnderWayEndWithTheOutageOfTheirMachine(t *testing.T) {
	for _, name := range []string{"Run", "RunAs"} {
		t.Run(name, func(t *testing.T) {
			server, running := endless(t)
			host, outages := watchedHost(t, "127.0.0.1", server.URL("hostKey=insecure"))
			ctx, ended := limited(t), make(chan error, 1)
			go func() { ended <- uses(t, host)[name](ctx) }()
			<-running
			server.Freeze()
			outages.Report(outagetest.ErrPoweredOff)
			require.ErrorIs(t, <-ended, outagetest.ErrPoweredOff)
			require.NoError(t, ctx.Err())
		})
	}
}

func TestDialContextUnderWayEndsWithTheOutageOfItsMachine(t *testing.T) {
	nobody := silent(t)
	host, outages := watchedHost(t, "127.0.0.1", "")
	_, port, err := net.SplitHostPort(nobody)
	require.NoError(t, err)
	for _, outage := range []error{outagetest.ErrPoweredOff, outagetest.ErrSuspended} {
		watched, ended := outages.Asked(outagetest.UnderWay), make(chan error, 1)
		go func() {
			conn, err := host.DialContext(limited(t), "tcp", ":"+port, "web")
			assert.Nil(t, conn)
			ended <- err
		}()
		<-watched
		outages.Report(outage)
		require.Equal(t, outage, <-ended)
		outages.Report(nil)
	}
}

func TestNewCallsFailAtOnceWhileTheMachineDoesNotRun(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	host, outages := watchedHost(t, "127.0.0.1", server.URL("hostKey=insecure"))
	ctx := limited(t)
	_, err := run(ctx, host, "true")
	require.NoError(t, err)
	all := uses(t, host)
	all["DialContext"] = func(ctx context.Context) error { _, err := host.DialContext(ctx, "tcp", ":22", "web"); return err }
	for _, outage := range []error{outagetest.ErrSuspended, outagetest.ErrFullPool, outagetest.ErrPoweredOff} {
		outages.Report(outage)
		before := len(server.Commands())
		for name, use := range all {
			require.ErrorIs(t, use(ctx), outage, name)
		}
		assert.Len(t, server.Commands(), before, "nothing was run, although it answers")
		assert.Equal(t, outage == outagetest.ErrPoweredOff, host.Exited() != nil)
	}
}

func TestAMachineThatIsResumedCanBeUsedAgain(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	host, outages := watchedHost(t, "127.0.0.1", server.URL("hostKey=insecure"))
	ctx := limited(t)
	watched, ended := outages.Asked(outagetest.UnderWay), make(chan error, 1)
	go func() {
		_, err := run(ctx, host, "sleep 1234")
		ended <- err
	}()
	<-watched
	outages.Report(outagetest.ErrSuspended)
	require.ErrorIs(t, <-ended, provider.ErrHostPaused)
	outages.Report(nil)
	result, err := run(ctx, host, "echo again")
	require.NoError(t, err)
	assert.Equal(t, "again\n", result.Stdout)
}

// endless is a server whose commands do not end, and a channel that is closed
// once one runs.
func endless(t *testing.T) (server *sshtest.Server, running chan struct{}) {
	t.Helper()
	running = make(chan struct{})
	return sshtest.Start(t, sshtest.Config{Exec: func(ctx context.Context, _ string, _ sshtest.Session) int {
		close(running)
		<-ctx.Done()
		return 0
	}}), running
}

// awaitCommand waits until the command of runInBackground runs. It fails if the command
// ends before.
func awaitCommand(t *testing.T, running <-chan struct{}, ended <-chan error) {
	t.Helper()
	select {
	case <-running:
	case err := <-ended:
		require.NoError(t, err, "the time was over before the command ran")
	}
}

// runInBackground runs a command that does not end, and returns where its error appears.
func runInBackground(ctx context.Context, host *Host) <-chan error {
	ended := make(chan error, 1)
	go func() {
		_, err := run(ctx, host, "sleep 1234")
		ended <- err
	}()
	return ended
}

func TestAConnectionThatIsLostWaitsForTheReasonThatTheProviderReports(t *testing.T) {
	for name, test := range map[string]struct{ report, want, not error }{
		"a system that has shut itself down": {outagetest.ErrPoweredOff, provider.ErrHostStopped, sshclient.ErrConnectionLost},
		"a system that reboots":              {nil, sshclient.ErrConnectionLost, provider.ErrHostStopped},
		"a hypervisor that is lost":          {outagetest.ErrUnwatched, sshclient.ErrConnectionLost, provider.ErrHostStopped},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, running := endless(t)
			host, outages := watchedHost(t, "127.0.0.1", server.URL("hostKey=insecure"))
			ended := runInBackground(limited(t), host)
			<-running
			server.Drop()
			select {
			case err := <-ended:
				require.NoError(t, err, "before anything was reported")
			case <-time.After(200 * time.Millisecond):
			}
			outages.Report(test.report)
			err := <-ended
			require.ErrorIs(t, err, test.want)
			require.NotErrorIs(t, err, test.not)
			assert.Equal(t, test.report == outagetest.ErrUnwatched, errors.Is(err, provider.ErrHypervisorNotReachable))
		})
	}
}

func TestAConnectionThatIsLostIsTheReasonWhereNothingIsReportedInTime(t *testing.T) {
	t.Parallel()
	server, running := endless(t)
	host, _ := watchedHost(t, "127.0.0.1", server.URL("hostKey=insecure"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ended := runInBackground(ctx, host)
	awaitCommand(t, running, ended)
	server.Drop()
	require.ErrorIs(t, <-ended, sshclient.ErrConnectionLost)
}

func TestAHostIsUsedAlsoWhileTheHypervisorIsSilent(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	host, outages := watchedHost(t, "127.0.0.1", server.URL("hostKey=insecure"))
	ctx := limited(t)
	outages.Report(outagetest.ErrUnwatched)
	result, err := run(ctx, host, "echo here")
	require.NoError(t, err)
	assert.Equal(t, "here\n", result.Stdout)
	require.NoError(t, host.Exited())
	server.Close()
	_, err = run(ctx, host, "echo here")
	require.ErrorIs(t, err, provider.ErrHypervisorNotReachable)
	assert.ErrorContains(t, err, "; and hypervisor is not reachable: libvirtd has ended")
}

func TestTheEndOfAContextIsNoOutage(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	host, outages := watchedHost(t, "127.0.0.1", server.URL("hostKey=insecure"))
	ctx, cancel := context.WithCancel(t.Context())
	watched, ended := outages.Asked(outagetest.UnderWay), make(chan error, 1)
	go func() {
		_, err := run(ctx, host, "sleep 1234")
		ended <- err
	}()
	<-watched
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	_, err := run(limited(t), host, "true")
	require.NoError(t, err)
}

func TestNothingIsSentToAMachineThatHasStopped(t *testing.T) {
	server, running := endless(t)
	host, outages := watchedHost(t, "127.0.0.1", server.URL("hostKey=insecure"))
	ended := runInBackground(limited(t), host)
	<-running
	before := server.Commands()
	outages.Report(outagetest.ErrPoweredOff)
	require.ErrorIs(t, <-ended, outagetest.ErrPoweredOff)
	assert.Equal(t, before, server.Commands(), "no command that ends processes")
}

func TestConnectionToAHostEndsWhenItStops(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	host, outages := watchedHost(t, "127.0.0.1", "")
	open := func() (here, there net.Conn) {
		here, err := host.DialContext(limited(t), "tcp", ":"+port, "web")
		require.NoError(t, err)
		there, err = listener.Accept()
		require.NoError(t, err)
		t.Cleanup(func() { _ = there.Close() })
		return here, there
	}
	stopped, peer := open()
	ended := make(chan error, 1)
	go func() {
		buffer := make([]byte, 1)
		if _, err := stopped.Read(buffer); err != nil {
			ended <- err
			return
		}
		_, err := stopped.Read(buffer)
		ended <- err
	}()
	outages.Report(outagetest.ErrSuspended)
	_, err = peer.Write([]byte("a"))
	require.NoError(t, err, "a host that is paused may be resumed")
	outages.Report(outagetest.ErrPoweredOff)
	require.ErrorIs(t, <-ended, outagetest.ErrPoweredOff)
	require.NoError(t, stopped.Close())

	outages.Report(nil)
	torn, _ := open()
	go func() { _, err := torn.Read(make([]byte, 1)); ended <- err }()
	require.NoError(t, host.stop(t.Context()))
	require.ErrorIs(t, <-ended, errTornDown)
}
