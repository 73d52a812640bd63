package sshtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/overcast-go/overcast/internal/sshclient"
)

// session serves one session: a command or the sftp subsystem. It calls ended
// when that has ended, before the client can know.
func (s *Server) session(ctx context.Context, user string, ch ssh.NewChannel, ended func()) {
	defer ended()
	channel, requests, err := ch.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	x := &execution{server: s, channel: channel, user: user}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for r := range requests {
		ok, start := x.request(r)
		if r.WantReply {
			r.Reply(ok, nil)
		}
		if ok && start != nil {
			running.Go(func() {
				start(ctx)
				ended()
				channel.Close()
			})
		}
	}
}

// An execution is what is asked for in one session.
type execution struct {
	server  *Server
	channel ssh.Channel
	user    string
	pty     bool

	mu      sync.Mutex
	process *os.Process
}

func (x *execution) request(r *ssh.Request) (ok bool, start func(context.Context)) {
	switch r.Type {
	case "pty-req":
		x.pty = true
		return true, nil
	case "exec":
		var m struct{ Command string }
		if ssh.Unmarshal(r.Payload, &m) != nil {
			return false, nil
		}
		x.server.mu.Lock()
		x.server.commands = append(x.server.commands, sshclient.CommandText(m.Command))
		x.server.mu.Unlock()
		return true, func(ctx context.Context) { x.run(ctx, m.Command) }
	case "subsystem":
		var m struct{ Name string }
		if ssh.Unmarshal(r.Payload, &m) != nil || m.Name != "sftp" || x.server.config.NoSFTP {
			return false, nil
		}
		return true, x.sftp
	case "signal":
		var m struct{ Name string }
		signals := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "INT": syscall.SIGINT}
		if ssh.Unmarshal(r.Payload, &m) == nil && !x.server.config.NoSignals {
			x.kill(signals[m.Name])
		}
	}
	return false, nil
}

// kill reaches the whole process group of the command, as OpenSSH does.
func (x *execution) kill(signal syscall.Signal) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.process != nil {
		syscall.Kill(-x.process.Pid, signal)
	}
}

func (x *execution) run(ctx context.Context, command string) {
	session := Session{User: x.user, Pty: x.pty, Stdin: x.channel, Stdout: x.channel, Stderr: x.channel.Stderr()}
	if x.pty {
		session.Stderr = x.channel // a terminal has one stream
	}
	if x.server.config.Exec != nil {
		x.exit(x.server.config.Exec(ctx, sshclient.CommandText(command), session))
		return
	}
	x.shell(ctx, command, session)
}

func (x *execution) shell(ctx context.Context, command string, session Session) {
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir = x.server.Dir
	cmd.Env = append(append(os.Environ(), "USER="+x.user), x.server.config.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = session.Stdout, session.Stderr
	stdin, err := x.begin(cmd)
	if err != nil {
		io.WriteString(session.Stderr, err.Error())
		x.exit(127)
		return
	}
	stop := context.AfterFunc(ctx, func() { x.kill(syscall.SIGKILL) })
	defer stop()
	x.server.tasks.Go(func() {
		io.Copy(stdin, session.Stdin)
		stdin.Close()
	})
	err = cmd.Wait()
	x.mu.Lock()
	x.process = nil
	x.mu.Unlock()
	x.report(err)
}

// begin starts cmd. No signal gets lost in between: it waits for the start.
func (x *execution) begin(cmd *exec.Cmd) (io.WriteCloser, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	x.process = cmd.Process
	return stdin, nil
}

// signalNames are those that OpenSSH knows.
var signalNames = map[syscall.Signal]string{
	syscall.SIGABRT: "ABRT", syscall.SIGALRM: "ALRM", syscall.SIGFPE: "FPE", syscall.SIGHUP: "HUP", syscall.SIGILL: "ILL",
	syscall.SIGINT: "INT", syscall.SIGKILL: "KILL", syscall.SIGPIPE: "PIPE", syscall.SIGQUIT: "QUIT", syscall.SIGSEGV: "SEGV",
	syscall.SIGTERM: "TERM", syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2",
}

func (x *execution) report(err error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		x.exit(0)
		return
	}
	if status := exit.Sys().(syscall.WaitStatus); status.Signaled() {
		name := signalNames[status.Signal()]
		if name == "" {
			name = "SIG@openssh.com"
		}
		x.channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal     string
			CoreDumped bool
			Message    string
			Language   string
		}{Signal: name}))
		return
	}
	x.exit(exit.ExitCode())
}

func (x *execution) exit(code int) {
	x.channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
}

func (x *execution) sftp(context.Context) {
	if x.server.config.BrokenSFTP {
		x.exit(127)
		return
	}
	if files := x.server.config.SFTP; files != nil {
		server := sftp.NewRequestServer(x.channel, *files)
		server.Serve()
		server.Close()
		return
	}
	server, err := sftp.NewServer(x.channel, sftp.WithServerWorkingDirectory(x.server.Dir))
	if err != nil {
		return
	}
	server.Serve()
	if ends := x.server.config.SFTPEnds; ends != nil {
		x.channel.CloseWrite()
		ends()
	}
	server.Close()
}

// forward serves direct-tcpip: a connection from here to somewhere.
func (s *Server) forward(ctx context.Context, ch ssh.NewChannel) {
	var m struct {
		Host       string
		Port       uint32
		Origin     string
		OriginPort uint32
	}
	if ssh.Unmarshal(ch.ExtraData(), &m) != nil || s.config.NoForwarding {
		ch.Reject(ssh.Prohibited, "forwarding is off")
		return
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(m.Host, strconv.Itoa(int(m.Port))))
	if err != nil {
		ch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close()
	channel, requests, err := ch.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	s.tasks.Go(func() { ssh.DiscardRequests(requests) })
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var up sync.WaitGroup
	up.Go(func() {
		io.Copy(conn, channel)
		conn.(*net.TCPConn).CloseWrite()
	})
	io.Copy(channel, conn)
	channel.CloseWrite()
	up.Wait()
}
