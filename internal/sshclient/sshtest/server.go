package sshtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// DefaultUser is the user that may log in if a Config names none.
const DefaultUser = "tester"

// A Config says how a server behaves. The zero value lets DefaultUser in with
// the key in [Server.KeyFile] and does everything that a server does.
type Config struct {
	User                string          // who may log in; DefaultUser if empty
	Password            string          // "" refuses passwords
	KeyboardInteractive bool            // the password is asked for as a question instead
	Keys                []ssh.PublicKey // who may log in by key, besides Server.KeyFile
	HostKeys            []ssh.Signer    // default: an ed25519 key
	Address             string          // to listen on; default 127.0.0.1:0

	NoSFTP       bool           // refuse the sftp subsystem
	BrokenSFTP   bool           // accept it, and then have no program for it
	SFTP         *sftp.Handlers // serve these files in place of the system's
	SFTPEnds     func()         // called after the end of the output of SFTP, before the session is closed
	NoForwarding bool           // refuse direct-tcpip
	NoKeepAlive  bool           // leave keepalive requests unanswered
	NoSignals    bool           // refuse to send signals, as OpenSSH before 9.8 does for root
	MaxSessions  int            // sessions of one connection; more are refused. 0: any number; negative: none

	Dir string   // where commands and SFTP start; default: a new folder
	Env []string // added to the environment of commands, as NAME=value

	// Exec runs commands in place of /bin/sh, and gives the exit code. It gets
	// them without the prefix by which ssh.Client marks their processes.
	Exec func(ctx context.Context, cmd string, s Session) int
}

// A Session is what a command is run with.
type Session struct {
	User           string
	Pty            bool
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// A Server is a running SSH server.
type Server struct {
	Addr    string // host:port
	Dir     string // where commands and SFTP start
	KeyFile string // private key that may log in

	config   Config
	listener net.Listener
	ssh      *ssh.ServerConfig
	ctx      context.Context
	stop     context.CancelFunc
	tasks    sync.WaitGroup

	mu         sync.Mutex
	conns      []*wire       // in their order
	frozen     chan struct{} // closed when frozen
	commands   []string
	logins     int
	loggingIn  int // logins under way
	mostAtOnce int // the most logins that were under way at once
	keepAlives chan struct{}
}

// Start starts a server that ends with the test.
func Start(t testing.TB, c Config) *Server {
	t.Helper()
	s := &Server{config: c, Dir: c.Dir, frozen: make(chan struct{}), keepAlives: make(chan struct{}, 1000)}
	if s.config.User == "" {
		s.config.User = DefaultUser
	}
	if s.Dir == "" {
		s.Dir = t.TempDir()
	}
	s.KeyFile = filepath.Join(t.TempDir(), "id_ed25519")
	s.config.Keys = append(s.config.Keys, WriteKey(t, s.KeyFile, ""))
	if len(c.HostKeys) == 0 {
		s.config.HostKeys = []ssh.Signer{NewSigner(t, ssh.KeyAlgoED25519)}
	}
	s.configure()
	address := c.Address
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("starting an ssh server: %v", err)
	}
	s.listener, s.Addr = listener, listener.Addr().String()
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.tasks.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

func (s *Server) configure() {
	s.ssh = &ssh.ServerConfig{MaxAuthTries: 20, ServerVersion: "SSH-2.0-sshtest"}
	s.ssh.PublicKeyCallback = func(m ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		for _, k := range s.config.Keys {
			if m.User() == s.config.User && bytes.Equal(k.Marshal(), key.Marshal()) {
				return nil, nil
			}
		}
		return nil, errors.New("unknown key")
	}
	password := func(m ssh.ConnMetadata, p string) (*ssh.Permissions, error) {
		if m.User() == s.config.User && p == s.config.Password {
			return nil, nil
		}
		return nil, errors.New("wrong password")
	}
	switch {
	case s.config.Password == "":
	case s.config.KeyboardInteractive:
		s.ssh.KeyboardInteractiveCallback = func(m ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil || len(answers) != 1 {
				return nil, errors.New("no answer")
			}
			return password(m, answers[0])
		}
	default:
		s.ssh.PasswordCallback = func(m ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) { return password(m, string(p)) }
	}
	for _, key := range s.config.HostKeys {
		s.ssh.AddHostKey(key)
	}
}

// Host is the address without the port.
func (s *Server) Host() string { host, _, _ := net.SplitHostPort(s.Addr); return host }

// Port is the port that the server listens on.
func (s *Server) Port() int {
	_, port, _ := net.SplitHostPort(s.Addr)
	n, _ := strconv.Atoi(port)
	return n
}

// URL is a connection URL that logs in with KeyFile and accepts the server's
// first host key, with more parameters as NAME=value. A parameter given
// replaces the one that would be there.
func (s *Server) URL(parameters ...string) string {
	all := []string{"privateKeyFile=" + s.KeyFile, "hostKey=" + s.Fingerprint(0)}
	for _, p := range parameters {
		name, _, _ := strings.Cut(p, "=")
		kept := all[:0]
		for _, a := range all {
			clash := name == "knownHosts" && strings.HasPrefix(a, "hostKey=")
			if !strings.HasPrefix(a, name+"=") && !clash {
				kept = append(kept, a)
			}
		}
		all = append(kept, p)
	}
	login := s.config.User
	if s.config.Password != "" {
		login += ":" + url.PathEscape(s.config.Password)
	}
	return "ssh://" + login + "@" + s.Addr + "?" + strings.Join(all, "&")
}

// Fingerprint is that of the i-th host key.
func (s *Server) Fingerprint(i int) string {
	return ssh.FingerprintSHA256(s.config.HostKeys[i].PublicKey())
}

// KnownHosts writes a known_hosts file with the host keys of these types, or
// with all of them.
func (s *Server) KnownHosts(t testing.TB, file string, types ...string) {
	t.Helper()
	var b strings.Builder
	for _, key := range s.config.HostKeys {
		public := key.PublicKey()
		if len(types) == 0 || strings.Contains(" "+strings.Join(types, " ")+" ", " "+public.Type()+" ") {
			b.WriteString(knownhosts.Line([]string{s.Addr}, public) + "\n")
		}
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Commands are the command lines that the server was given so far, without the
// prefix by which ssh.Client marks their processes.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.commands...)
}

// Connections counts the connections that are there now.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Logins counts the connections that were let in.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// LoginsAtOnce is the most logins that were under way at once.
func (s *Server) LoginsAtOnce() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mostAtOnce
}

// KeepAlives receives a value for each keepalive request.
func (s *Server) KeepAlives() <-chan struct{} { return s.keepAlives }

// Freeze makes every connection half-open: nothing that is sent arrives, in
// either direction, and neither side gets an error. New connections are frozen too.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.frozen:
	default:
		close(s.frozen)
	}
}

// Drop cuts every connection. New ones are served.
func (s *Server) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.conns {
		w.Close()
	}
}

// DropNewest cuts the connection that was opened last.
func (s *Server) DropNewest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[len(s.conns)-1].Close()
}

// Close ends the server, its connections and its commands, and waits for
// them. The test's end calls it too.
func (s *Server) Close() {
	s.stop()
	s.listener.Close()
	s.Drop()
	s.tasks.Wait()
}

func (s *Server) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		w := &wire{Conn: conn, frozen: s.frozen, closed: make(chan struct{})}
		s.mu.Lock()
		s.conns = append(s.conns, w)
		s.mu.Unlock()
		if s.ctx.Err() != nil {
			w.Close()
		}
		s.tasks.Go(func() {
			s.serve(w)
			w.Close()
			s.mu.Lock()
			s.conns = slices.DeleteFunc(s.conns, func(other *wire) bool { return other == w })
			s.mu.Unlock()
		})
	}
}

// letIn does the handshake and counts logins. A login counts before the client knows of it.
func (s *Server) letIn(w *wire) (*ssh.ServerConn, <-chan ssh.NewChannel, <-chan *ssh.Request, error) {
	s.mu.Lock()
	s.loggingIn++
	s.mostAtOnce = max(s.mostAtOnce, s.loggingIn)
	s.mu.Unlock()
	ended := sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.loggingIn--
	})
	defer ended()
	config := *s.ssh
	config.AuthLogCallback = func(_ ssh.ConnMetadata, _ string, err error) {
		if err != nil {
			return
		}
		ended()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.logins++
	}
	return ssh.NewServerConn(w, &config)
}

func (s *Server) serve(w *wire) {
	conn, channels, requests, err := s.letIn(w)
	if err != nil {
		return
	}
	defer conn.Close()
	s.tasks.Go(func() { s.answer(requests) })
	var sessions sync.WaitGroup
	defer sessions.Wait()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var open atomic.Int32
	for ch := range channels {
		switch ch.ChannelType() {
		case "session":
			if limit := int32(s.config.MaxSessions); limit != 0 && open.Load() >= limit {
				ch.Reject(ssh.ConnectionFailed, "open failed") // as OpenSSH does
				continue
			}
			open.Add(1)
			ended := sync.OnceFunc(func() { open.Add(-1) })
			sessions.Go(func() { s.session(ctx, conn.User(), ch, ended) })
		case "direct-tcpip":
			sessions.Go(func() { s.forward(ctx, ch) })
		default:
			ch.Reject(ssh.UnknownChannelType, "no such channel type")
		}
	}
}

// answer refuses requests, as OpenSSH refuses keepalive requests: any answer
// counts as one.
func (s *Server) answer(requests <-chan *ssh.Request) {
	for r := range requests {
		isKeepAlive := r.Type == "keepalive@openssh.com"
		if r.WantReply && !(isKeepAlive && s.config.NoKeepAlive) {
			r.Reply(false, nil)
		}
		if isKeepAlive {
			select {
			case s.keepAlives <- struct{}{}:
			default:
			}
		}
	}
}

// A wire is a connection that can freeze.
type wire struct {
	net.Conn
	frozen <-chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	select {
	case <-w.frozen:
		<-w.closed // what arrived is lost
		return 0, net.ErrClosed
	default:
		return n, err
	}
}

func (w *wire) Write(p []byte) (int, error) {
	select {
	case <-w.frozen:
		return len(p), nil // lost
	default:
		return w.Conn.Write(p)
	}
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}
