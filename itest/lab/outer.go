//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/overcast-go/overcast/itest/lab/guest"
)

// settings are what the outer process passes to the keeper.
type settings struct {
	Image      guest.Image
	Debian     string // path of the Debian guest's disk; empty if the lab has no such guest
	Accel      accel
	Env        []string // added to the environment of the command
	Foreground bool     // the command gets the terminal
	Started    time.Time
}

// settingsVariable carries the settings from process to process, out of sight of ps.
const settingsVariable = "LAB_SETTINGS"

// outerMain runs in the caller's namespaces: it makes sure of everything that
// needs the machine or the network, starts the lab's process 1, and passes
// signals on until that has ended.
func outerMain(command []string) int {
	if code, err := checkCommand(command[0]); err != nil {
		complain(err)
		return code
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	orphaned, err := watchCallers()
	if err != nil {
		complain(err)
		return exitLab
	}

	prepared := make(chan prepareResult, 1)
	go func() {
		lab, err := prepare(ctx)
		prepared <- prepareResult{lab, err}
	}()
	select {
	case got := <-prepared:
		if got.err != nil {
			complain(got.err)
			return exitLab
		}
		return enter(got.settings, command, signals, orphaned)
	case s := <-signals:
		cancel(fmt.Errorf("stopped by %v", s))
		<-prepared
		complain(context.Cause(ctx))
		return 128 + int(s.(syscall.Signal))
	case <-orphaned:
		cancel(errors.New("what started the lab is gone"))
		<-prepared
		return exitLab
	}
}

type prepareResult struct {
	settings settings
	err      error
}

// prepare checks the machine and fetches all that cannot be fetched inside.
func prepare(ctx context.Context) (settings, error) {
	lab := settings{Started: time.Now(), Foreground: ownsTerminal()}
	if err := addSbin(); err != nil {
		return lab, err
	}
	if err := checkMachine(); err != nil {
		return lab, err
	}
	var err error
	if lab.Accel, err = chooseAccel(os.Getenv("LAB_ACCEL"), "/proc/cpuinfo", kvmDevice); err != nil {
		return lab, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return lab, fmt.Errorf("no folder for the cache of guests: %w: set HOME or XDG_CACHE_HOME", err)
	}
	lab.Image, err = guest.Ensure(ctx, filepath.Join(cache, "overcast-lab"), func() func(error) {
		return begin("building guest image")
	})
	if err != nil {
		return lab, fmt.Errorf("building guest image: %w", err)
	}
	if wantsDebian() {
		lab.Debian, err = guest.EnsureDebian(ctx, filepath.Join(cache, "overcast-lab"), lab.Image, func() func(error) {
			return begin("building Debian image")
		})
		if err != nil {
			return lab, fmt.Errorf("building Debian image: %w: without LAB_DEBIAN=1 the lab needs none", err)
		}
	}
	if lab.Env, err = goEnvironment(ctx); err != nil || !wantsCloud() {
		return lab, err
	}
	cloud, err := guest.EnsureCloud(ctx, filepath.Join(cache, "overcast-lab"), lab.Image, func() func(error) {
		return begin("building cloud image")
	})
	if err != nil {
		return lab, fmt.Errorf("building cloud image: %w: without LAB_CLOUD=1 the lab needs none", err)
	}
	lab.Env = append(lab.Env, "LAB_CLOUD_IMAGE="+cloud)
	return lab, nil
}

// wantsCloud says whether the caller asks for a cloud image.
func wantsCloud() bool { return os.Getenv("LAB_CLOUD") == "1" }

// wantsDebian says whether the caller asks for the Debian guest. It takes about
// a minute to build, so only those get it who say so.
func wantsDebian() bool { return os.Getenv("LAB_DEBIAN") == "1" }

// goEnvironment keeps Go's caches where they are although HOME becomes the
// lab's, and fetches the modules of the module that the caller stands in:
// inside there is no network to fetch them from.
func goEnvironment(ctx context.Context) ([]string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return nil, nil
	}
	names := []string{"GOPATH", "GOCACHE", "GOMODCACHE", "GOENV"}
	out, err := exec.CommandContext(ctx, "go", append([]string{"env", "-json", "GOMOD", "GOVERSION"}, names...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("asking go for its folders: %w", err)
	}
	var values map[string]string
	if err := json.Unmarshal(out, &values); err != nil {
		return nil, fmt.Errorf("asking go for its folders: %w", err)
	}
	var env []string
	for _, name := range names {
		env = append(env, name+"="+values[name])
	}
	if cache, err := os.UserCacheDir(); err == nil {
		env = append(env, "XDG_CACHE_HOME="+cache)
	}
	if values["GOMOD"] == "" || values["GOMOD"] == os.DevNull {
		return env, nil
	}
	download := exec.CommandContext(ctx, "go", "mod", "download")
	if complaint, err := download.CombinedOutput(); err != nil {
		// Not fatal: what CMD needs may be there all the same.
		fmt.Fprintf(os.Stderr, "lab: go mod download: %v: %s\n", err, strings.TrimSpace(string(complaint)))
	}
	return env, nil
}

// enter starts process 1 of the lab and waits for it. The command is handed on
// as arguments, as it came: they may hold any bytes, and more of them than one
// variable of an environment can.
func enter(lab settings, command []string, signals <-chan os.Signal, orphaned <-chan struct{}) int {
	data, err := json.Marshal(lab)
	if err != nil {
		complain(err)
		return exitLab
	}
	control, toKeeper, err := os.Pipe()
	if err != nil {
		complain(err)
		return exitLab
	}
	first := &exec.Cmd{
		Path: "/proc/self/exe", Args: append([]string{initName}, command...),
		Env:   append(os.Environ(), settingsVariable+"="+string(data)),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		ExtraFiles: []*os.File{control},
		SysProcAttr: &syscall.SysProcAttr{
			Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
			Pdeathsig:  syscall.SIGKILL,
		},
	}
	if err := first.Start(); err != nil {
		complain(fmt.Errorf("making namespaces: %w: in a container, run it with --privileged", err))
		return exitLab
	}
	control.Close()
	ended := make(chan struct{})
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		passOn(toKeeper, signals, orphaned, ended)
	}()
	err = first.Wait()
	close(ended)
	<-passed
	if lab.Foreground {
		takeTerminal()
	}
	return exitCode(err)
}

// passOn writes each signal to the keeper as one byte, until the lab has
// ended. Closing the pipe tells the keeper to end at once.
func passOn(toKeeper *os.File, signals <-chan os.Signal, orphaned, ended <-chan struct{}) {
	defer toKeeper.Close()
	for {
		select {
		case s := <-signals:
			if _, err := toKeeper.Write([]byte{byte(s.(syscall.Signal))}); err != nil {
				return
			}
		case <-orphaned:
			return
		case <-ended:
			return
		}
	}
}

// exitCode is a finished process's exit code as a shell would tell it.
func exitCode(err error) int {
	var failed *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failed):
		if status, ok := failed.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return 128 + int(status.Signal())
		}
		return failed.ExitCode()
	}
	complain(err)
	return exitLab
}
