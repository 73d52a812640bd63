package guard

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// variable is the environment variable that makes a process a guard. Its value is the inode
// of the pipe at standard input: a process that has only inherited the variable, or for which
// a user has set it, is no guard.
const variable = "OVERCAST_GUARD"

// released is the line that ends a guard whose parent needs it no more. It is no line of a
// caller, which has no blanks at its end.
const released = "released "

// name is the first argument of a guard process, and its name in the process table. The
// second argument is the PID of the parent.
const name = "overcast-guard"

// endTimeout limits the wait for a guard process that was released.
const endTimeout = 10 * time.Second

// Guard is the guard process of this process. It runs while it has users. The zero value
// has none.
type Guard struct {
	mu    sync.Mutex
	users int
	lines []string // that the process gets

	process *exec.Cmd // nil if none runs
	pipe    *os.File
}

// Acquire adds a user, and starts the guard process unless it runs. If this process ends
// before release is called, [Orphaned] returns line in the guard process. The last release
// ends the guard process and waits for that.
func (g *Guard) Acquire(line string) (release func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Contains(g.lines, line) {
		g.lines = append(g.lines, line)
	}
	if err := g.send(line); err != nil {
		return nil, fmt.Errorf("starting a guard process: %w", err)
	}
	g.users++
	return sync.OnceFunc(g.release), nil
}

// release removes a user.
func (g *Guard) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users--; g.users == 0 {
		g.stop()
		g.lines = nil
	}
}

// send sends a line to the guard process. It starts another one if there is none, or if it
// was killed.
func (g *Guard) send(line string) error {
	if g.process != nil {
		if _, err := io.WriteString(g.pipe, line+"\n"); err == nil {
			return nil
		}
		g.stop()
	}
	if err := g.start(); err != nil {
		return err
	}
	_, err := io.WriteString(g.pipe, strings.Join(g.lines, "\n")+"\n")
	if err != nil {
		g.stop()
	}
	return err
}

// start starts a guard process.
func (g *Guard) start() error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	inode, err := inodeOf(read)
	if err == nil {
		g.process = newProcess(read, inode)
		err = g.process.Start()
	}
	if err != nil {
		g.process = nil
		_ = write.Close()
		return err
	}
	g.pipe = write
	return nil
}

// newProcess returns the command that starts a guard process. Standard output and error are
// /dev/null: a process that holds those of a test makes "go test" wait.
func newProcess(stdin *os.File, inode uint64) *exec.Cmd {
	return &exec.Cmd{
		Path:        "/proc/self/exe", // also if the file was removed or replaced
		Args:        []string{name, strconv.Itoa(os.Getpid())},
		Env:         append(os.Environ(), variable+"="+strconv.FormatUint(inode, 10), "GOMAXPROCS=1"),
		Dir:         "/",
		Stdin:       stdin,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
}

func inodeOf(f *os.File) (uint64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Mode()&os.ModeNamedPipe == 0 {
		return 0, fmt.Errorf("%s is no pipe", f.Name())
	}
	return stat.Ino, nil
}

// stop ends the guard process without letting it do anything, and waits until it has ended.
func (g *Guard) stop() {
	_, _ = io.WriteString(g.pipe, released+"\n") // fails if it was killed
	_ = g.pipe.Close()
	process := g.process.Process
	late := time.AfterFunc(endTimeout, func() { _ = process.Kill() })
	_ = g.process.Wait() // its exit code says nothing
	late.Stop()
	g.process, g.pipe = nil, nil
}
