//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// runCommand runs the command as a process group of its own and passes signals
// on to it.
func runCommand(command []string, lab settings, env []string, signals <-chan syscall.Signal) int {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if lab.Foreground {
		tty, err := os.Open("/dev/tty")
		if err == nil {
			defer tty.Close()
			cmd.SysProcAttr.Foreground, cmd.SysProcAttr.Ctty = true, int(tty.Fd())
		}
	}
	if err := cmd.Start(); err != nil {
		complain(fmt.Errorf("starting %s: %w", command[0], err))
		return startCode(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = syscall.Kill(receiver(cmd.Process.Pid, s), s) // fails if it has just ended
		case err := <-ended:
			return exitCode(err)
		}
	}
}

// receiver is the process that a signal is passed on to: the command, or, for the signals
// of the keyboard, its whole process group, as a terminal has it. Programs that
// start others count on that; Ginkgo is one.
func receiver(pid int, s syscall.Signal) int {
	if s == syscall.SIGINT || s == syscall.SIGQUIT {
		return -pid
	}
	return pid
}

// checkCommand looks for the command before a lab is made for nothing.
func checkCommand(name string) (code int, err error) {
	if _, err := exec.LookPath(name); err != nil {
		return startCode(err), fmt.Errorf("starting %s: %w", name, err)
	}
	return 0, nil
}

// startCode is the exit code for a command that did not start, as a shell
// would tell it.
func startCode(err error) int {
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
		return exitNotFound
	}
	return exitNotRunnable
}

// ownsTerminal says whether the lab runs in the foreground of a terminal. The
// command then becomes the foreground process group, so that Ctrl-C reaches it
// from the terminal, once, and a shell in the lab has job control.
func ownsTerminal() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// takeTerminal makes the lab's own process group the foreground again.
func takeTerminal() {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return
	}
	defer tty.Close()
	// A background process that does this is stopped unless it ignores SIGTTOU.
	signal.Ignore(syscall.SIGTTOU)
	_ = unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCSPGRP, unix.Getpgrp())
}
