//go:build linux

package outside

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Bounds for what is waited for. They are far from what it takes, so that only
// what never happens fails.
const (
	ready = 2 * time.Minute  // for a lab to start, on a busy machine
	gone  = 20 * time.Second // for what a lab leaves to go
)

// how says how to start a lab.
type how struct {
	via   []string // what to start it with; the binary itself if empty
	dir   string   // where; "/" if empty
	env   []string // added to the environment
	stdin io.Reader
	tray  *tray // that catches what it writes
	user  uint32
}

// lab is one that was started, or what started it.
type lab struct {
	cmd         *exec.Cmd
	mark        string // in the environment of its processes
	out, errors *output
	ended       chan struct{}
	namespace   *os.File // of its processes, see enterNamespace
}

var labs atomic.Int32

// launch starts a lab without waiting for it to be ready.
func launch(h how, command ...string) (*lab, error) {
	via := h.via
	if len(via) == 0 {
		via = []string{labBinary}
	}
	args := append(append([]string{}, via...), command...)
	dir := h.dir
	if dir == "" {
		dir = "/" // no module there: the lab fetches the caller's
	}
	if h.tray != nil {
		args = h.tray.command(dir, args)
	}
	l := &lab{
		cmd:  exec.Command(args[0], args[1:]...),
		mark: fmt.Sprintf("LAB_OUTSIDE=%d-%d-", os.Getpid(), labs.Add(1)),
		out:  &output{}, errors: &output{},
		ended: make(chan struct{}),
	}
	l.cmd.Dir = dir
	l.cmd.Env = append(append(os.Environ(), l.mark), h.env...)
	l.cmd.Stdin, l.cmd.Stdout, l.cmd.Stderr = h.stdin, l.out, l.errors
	if h.user != 0 {
		l.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: h.user, Gid: h.user}}
	}
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = l.cmd.Wait() // exitCode reads how it ended
		close(l.ended)
	}()
	return l, nil
}

// start is launch for a test, which kills what it has not ended itself.
func start(t *testing.T, h how, command ...string) *lab {
	t.Helper()
	l, err := launch(h, command...)
	require.NoError(t, err)
	t.Cleanup(l.end)
	return l
}

// run starts a lab and waits for its end.
func run(t *testing.T, h how, command ...string) (l *lab, code int) {
	t.Helper()
	l = start(t, h, command...)
	return l, l.exitCode(t)
}

// end kills whatever is left of the lab. It is for what has not ended well.
func (l *lab) end() {
	left := marked(l.mark)
	if l.namespace != nil {
		left = append(left, l.inside()...)
		l.namespace.Close()
	}
	for _, pid := range left {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-l.ended
}

func (l *lab) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	require.NoError(t, l.cmd.Process.Signal(s))
}

// exitCode waits for the end. Nothing of the lab may keep its standard streams
// open after that.
func (l *lab) exitCode(t *testing.T) int {
	t.Helper()
	select {
	case <-l.ended:
		return l.cmd.ProcessState.ExitCode()
	case <-time.After(ready):
		require.FailNow(t, "the lab does not end", l.errors.String())
		return 0
	}
}

// says waits until the lab's output or its command's contains text.
func (l *lab) says(t *testing.T, where *output, text string) {
	t.Helper()
	if err := l.await(where, text); err != nil {
		require.FailNow(t, err.Error())
	}
}

func (l *lab) await(where *output, text string) error {
	missing := await(ready, func() []string {
		if strings.Contains(where.String(), text) {
			return nil
		}
		select {
		case <-l.ended:
			// It may have been said last of all.
			if !strings.Contains(where.String(), text) {
				return []string{final}
			}
			return nil
		default:
			return []string{text}
		}
	})
	if len(missing) > 0 {
		return errors.New("the lab did not say " + strconv.Quote(text) + ", but\n" + where.String() + l.errors.String())
	}
	return nil
}

// final as the first missing thing ends await: nothing will come any more.
const final = "ended"

// await asks until nothing is missing, or for so long, and answers with what
// is missing then.
func await(limit time.Duration, missing func() []string) []string {
	deadline := time.Now().Add(limit)
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		list := missing()
		if len(list) == 0 || list[0] == final || time.Now().After(deadline) {
			return list
		}
		time.Sleep(pause)
	}
}

// output is what a lab writes, readable while it does.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
