package matchers_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	. "github.com/overcast-go/overcast/matchers"
)

// listen accepts connections and sends a greeting on each. It returns the port.
func listen(t *testing.T, greeting string) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	var open []net.Conn
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open = append(open, conn)
			_, _ = conn.Write([]byte(greeting))
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-done
		for _, conn := range open {
			conn.Close()
		}
	})
	return portOf(t, listener.Addr())
}

func portOf(t *testing.T, address net.Addr) int {
	t.Helper()
	_, port, err := net.SplitHostPort(address.String())
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	return number
}

// closedPort returns a port that no process listens on.
func closedPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return portOf(t, listener.Addr())
}

// noLogin sets up a host without a configured login.
func noLogin(t *testing.T) *fixture.CloudHost {
	t.Helper()
	return setUp(t, "bare", `bare.hostname = "127.0.0.1"`)
}

func TestBeReachableOn(t *testing.T) {
	host := noLogin(t)
	open, closed := listen(t, ""), closedPort(t)
	passes(t, BeReachableOn(open), host, fmt.Sprintf(`Expected
    bare (127.0.0.1)
not to be reachable on port %d
tried: connect to port %[1]d
found: the port accepts connections
attempts: 1`, open))
	fails(t, BeReachableOn(closed), host, fmt.Sprintf(`Expected
    bare (127.0.0.1)
to be reachable on port %d
tried: connect to port %[1]d
last error: dial tcp 127.0.0.1:%[1]d: connect: connection refused
attempts: 1`, closed))
	unknown(t, BeReachableOn(70000), host, "BeReachableOn: 70000 is not a port number from 1 to 65535")
}

func TestBeReachableOnSSHLogsIn(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	host, server := serve(t, sshtest.Config{})
	passes(t, BeReachableOnSSH(), host, text(host, `Expected
    %s, as tester
not to be reachable by SSH
tried: log in and run true
found: logged in; the command exited with 0, stdout empty, stderr empty
attempts: 1`))
	assert.Contains(t, server.Commands(), "true")
	fails(t, BeReachableOnSSH().AsUser("stranger"), host, text(host, `Expected
    %s, as stranger
to be reachable by SSH
tried: log in and run true
last error: ssh to `)+server.Addr+`: login: user "stranger" was refused by `+server.Addr+` (tried key `+server.KeyFile+`; not tried: the ssh agent (SSH_AUTH_SOCK is not set); the server offers publickey)
attempts: 1`)
}

func TestBeReachableOnSSHMakesANewConnection(t *testing.T) {
	host, server := serve(t, sshtest.Config{})
	_, err := host.Run(t.Context(), "true")
	require.NoError(t, err)
	server.Close()
	ok, err := BeReachableOnSSH().Match(host)
	require.NoError(t, err)
	assert.False(t, ok)
}

func TestBeReachableOnSSHOnAnotherPort(t *testing.T) {
	other := sshtest.Start(t, sshtest.Config{Password: "sesame"})
	server := sshtest.Start(t, sshtest.Config{Password: "sesame"})
	host := setUp(t, "ports", fmt.Sprintf(`ports { hostname = "127.0.0.1", connection.url = %q }`, server.URL("hostKey=insecure")))
	passes(t, BeReachableOnSSH().OnPort(other.Port()), host, fmt.Sprintf(`Expected
    ports (127.0.0.1), as tester
not to be reachable by SSH on port %d
tried: log in and run true
found: logged in; the command exited with 0, stdout empty, stderr empty
attempts: 1`, other.Port()))
	m := BeReachableOnSSH().OnPort(closedPort(t))
	ok, err := m.Match(host)
	require.NoError(t, err)
	assert.False(t, ok)
	assert.NotContains(t, m.FailureMessage(host), "sesame")
	unknown(t, BeReachableOnSSH().OnPort(-1), host, "BeReachableOnSSH: OnPort: -1 is not a port number from 1 to 65535")
	unknown(t, BeReachableOnSSH().AsUser(""), host, "BeReachableOnSSH: AsUser: the user is empty")
}

func TestBeReachableOnSSHFailsIfTheUserMayNotRunCommands(t *testing.T) {
	host, _ := serve(t, sshtest.Config{Exec: noLoginShell})
	fails(t, BeReachableOnSSH(), host, text(host, `Expected
    %s, as tester
to be reachable by SSH
tried: log in and run true
found: logged in; the command exited with 1, stdout "This account is not available.\n", stderr empty
attempts: 1`))
}

func TestBeReachableOnSSHWithoutALoginReadsTheGreeting(t *testing.T) {
	host := noLogin(t)
	server := sshtest.Start(t, sshtest.Config{})
	passes(t, BeReachableOnSSH().OnPort(server.Port()), host, fmt.Sprintf(`Expected
    bare (127.0.0.1)
not to be reachable by SSH on port %d
tried: connect to port %[1]d and wait for the greeting of an SSH server
found: the server sent "SSH-2.0-sshtest"
attempts: 1`, server.Port()))
	chatty := listen(t, "one moment\r\nSSH-2.0-chatty\r\n")
	ok, err := BeReachableOnSSH().OnPort(chatty).Match(host)
	require.NoError(t, err)
	assert.True(t, ok)
	mute := listen(t, "")
	fails(t, BeReachableOnSSH().OnPort(mute).Within(4*time.Second), host, fmt.Sprintf(`Expected
    bare (127.0.0.1)
to be reachable by SSH on port %d
tried: connect to port %[1]d and wait for the greeting of an SSH server
last error: connected, but the server sent no greeting: no answer within 4s
attempts: 1`, mute))
	unknown(t, BeReachableOnSSH().AsUser("root"), host, "BeReachableOnSSH: cannot log in as root: no login configured")
}

func TestBeReachableOnSSHStopsEventuallyForAnotherHostKey(t *testing.T) {
	host, server := serve(t, sshtest.Config{})
	port := server.Port()
	server.Close()
	sshtest.Start(t, sshtest.Config{Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))})
	m := BeReachableOnSSH()
	_, err := m.Match(host)
	var mismatch *hostkey.MismatchError
	require.ErrorAs(t, err, &mismatch)
	for _, failure := range []string{
		failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(testLimit).Should(m) }),
		failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(testLimit).ShouldNot(m) }),
		failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(testLimit).Should(HaveMounted("/")) }),
	} {
		assert.Regexp(t, `^Told to stop trying after \d+\.\d+s\.\ncannot check\n    web\d+ \(127\.0\.0\.1\), as tester\n`, failure)
	}
}

func TestBeReachableOnSSHStopsEventuallyForAMissingKeyFile(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{})
	host := setUp(t, "keyless", fmt.Sprintf(`keyless { hostname = "127.0.0.1", connection.url = %q }`, server.URL()))
	require.NoError(t, os.Rename(server.KeyFile, filepath.Join(t.TempDir(), "moved")))
	assert.Contains(t, failureOf(func(g Gomega) { g.Eventually(host).WithTimeout(testLimit).Should(BeReachableOnSSH()) }),
		"key file "+server.KeyFile+" does not exist: check privateKeyFile\nattempts: 1")
}

// deadlines records how much time each call had.
type deadlines []time.Duration

func (d *deadlines) Run(ctx context.Context, _ string) (fixture.Result, error) {
	deadline, _ := ctx.Deadline()
	*d = append(*d, time.Until(deadline))
	return fixture.Result{}, nil
}

func TestBeReachableOnSSHLeavesTimeForALogin(t *testing.T) {
	var had deadlines
	NewWithT(t).Expect(&had).To(BeReachableOnSSH())
	NewWithT(t).Expect(&had).To(RunCommand("true"))
	NewWithT(t).Expect(&had).To(BeReachableOnSSH().Within(time.Hour))
	require.Len(t, had, 3)
	assert.Greater(t, had[0], had[1])
	assert.Greater(t, had[2], had[0])
}
