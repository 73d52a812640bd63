package sshtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Ordinary is an account of an [OpenSSH] that root's tests have beside root.
const Ordinary = "ordinary"

// An OpenSSHConfig says how the sshd of this machine is started.
type OpenSSHConfig struct {
	Shell string   // login shell of the accounts; /bin/sh if empty
	Lines []string // more lines for sshd_config
}

// An OpenSSH is a running sshd.
type OpenSSH struct {
	Addr     string
	Users    []string // that may log in: root and [Ordinary], or the user of the tests
	SmallDir string   // a folder with 256 KiB of space, if root runs the tests
	KeyFile  string   // private key that may log in

	dir     string
	hostKey string // fingerprint
}

// StartOpenSSH starts the sshd of this machine on a loopback port, with keys of
// its own, until the test ends. It skips the test where there is no sshd. If
// root runs the tests, sshd and its commands are in namespaces of their own:
// they end with the test, and the accounts are not those of this machine.
func StartOpenSSH(t testing.TB, c OpenSSHConfig) *OpenSSH {
	t.Helper()
	sshd, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		t.Skip("this machine has no /usr/sbin/sshd (package openssh-server)")
	}
	if c.Shell == "" {
		c.Shell = "/bin/sh"
	}
	s := &OpenSSH{}
	s.prepare(t, c)
	for range 5 { // another process may take the port first
		if s.start(t, sshd) {
			return s
		}
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	t.Fatalf("sshd does not start: %s", log)
	return nil
}

// URL is a connection URL for an account.
func (s *OpenSSH) URL(user string, parameters ...string) string {
	all := append([]string{"privateKeyFile=" + s.KeyFile, "hostKey=" + s.hostKey}, parameters...)
	return "ssh://" + user + "@" + s.Addr + "?" + strings.Join(all, "&")
}

// prepare writes all files. Unlike those of t.TempDir, other users can read
// them.
func (s *OpenSSH) prepare(t testing.TB, c OpenSSHConfig) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sshtest-openssh-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s.dir, s.KeyFile = dir, filepath.Join(dir, "key")
	key := WriteKey(t, s.KeyFile, "")
	s.hostKey = ssh.FingerprintSHA256(WriteKey(t, filepath.Join(dir, "host_key"), ""))
	lines := append([]string{
		"HostKey " + filepath.Join(dir, "host_key"),
		"AuthorizedKeysFile " + filepath.Join(dir, "authorized_keys"),
		"PidFile none", "UsePAM no", "StrictModes no", "PermitRootLogin yes", "Subsystem sftp internal-sftp",
	}, c.Lines...)
	write := func(name, text string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("sshd_config", strings.Join(lines, "\n")+"\n", 0o644)
	write("authorized_keys", string(ssh.MarshalAuthorizedKey(key)), 0o644)
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, home} {
		if err := os.Chmod(d, map[string]os.FileMode{dir: 0o755, home: 0o777}[d]); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() != 0 {
		me, err := user.Current()
		if err != nil {
			t.Fatal(err)
		}
		s.Users = []string{me.Username}
		return
	}
	if out, err := exec.Command("unshare", "--mount", "--pid", "--fork", "true").CombinedOutput(); err != nil {
		t.Skipf("root cannot make namespaces here: %s", out)
	}
	s.Users = []string{"root", Ordinary}
	s.SmallDir = filepath.Join(dir, "small")
	write("passwd", fmt.Sprintf("root:x:0:0::%[1]s:%[2]s\n%[3]s:x:64980:64980::%[1]s:%[2]s\nsshd:x:64981:64981::/run/sshd:/usr/sbin/nologin\n", home, c.Shell, Ordinary), 0o644)
	if err := os.Mkdir(s.SmallDir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// namespaces are prepared by root before sshd starts. Standard input ends with
// the test, or when its process is killed.
const (
	namespaces = `mount -t tmpfs tmpfs /run && mkdir -m 755 /run/sshd && mount --bind "$2/passwd" /etc/passwd &&
mount -t tmpfs -o size=256k,mode=1777 tmpfs "$2/small" || exit; ` + untilTheEnd
	untilTheEnd = `"$1" -D -e -f "$2/sshd_config" -o ListenAddress=127.0.0.1 -p "$3" 2>"$2/log" & cat; kill $!`
)

// start starts sshd on a free port, and reports whether it answers.
func (s *OpenSSH) start(t testing.TB, sshd string) bool {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Addr = free.Addr().String()
	free.Close()
	_, port, _ := net.SplitHostPort(s.Addr)
	cmd := exec.Command("sh", "-c", untilTheEnd, "sh", sshd, s.dir, port)
	if os.Geteuid() == 0 {
		cmd = exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", namespaces, "sh", sshd, s.dir, port)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("starting sshd: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	end := func() {
		stdin.Close()
		<-ended
	}
	if !s.answers(ended) {
		end()
		t.Logf("starting sshd: %s", &said)
		return false
	}
	t.Cleanup(end)
	return true
}

// answers waits until sshd greets.
func (s *OpenSSH) answers(ended <-chan struct{}) bool {
	for pause, tries := 10*time.Millisecond, 0; tries < 100; pause, tries = min(2*pause, 200*time.Millisecond), tries+1 {
		if conn, err := net.Dial("tcp", s.Addr); err == nil {
			greeting, err := bufio.NewReader(io.LimitReader(conn, 255)).ReadString('\n')
			conn.Close()
			if err == nil && strings.HasPrefix(greeting, "SSH-2.0-OpenSSH") {
				return true
			}
		}
		select {
		case <-ended:
			return false
		case <-time.After(pause):
		}
	}
	return false
}
