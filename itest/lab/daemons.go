//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// daemon starts a program that stays in the foreground, with its output in a
// log of its own. It ends with the lab.
func daemon(name string, args ...string) (*exec.Cmd, error) {
	return loggedDaemon(name, name, args...)
}

// loggedDaemon is daemon with a log of another name than the program's.
func loggedDaemon(log, name string, args ...string) (*exec.Cmd, error) {
	out, err := os.OpenFile(filepath.Join(logDir, log+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	path, err := exec.LookPath(name) // sshd wants to be started by its whole path
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Env = append(os.Environ(), "HOME="+labHome, "TMPDIR="+labDir+"/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return cmd, nil
}

// await returns once something listens at the address, or with an error as
// soon as the daemon that should has ended.
func await(cmd *exec.Cmd, network, address string) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // lives as long as the daemon, that is, as the lab
	limit := time.After(startLimit)
	pause := 5 * time.Millisecond
	for {
		conn, err := net.Dial(network, address)
		if err == nil {
			return conn.Close()
		}
		pause = min(2*pause, 100*time.Millisecond)
		select {
		case state := <-ended:
			return fmt.Errorf("%s ended at once: %v", filepath.Base(cmd.Path), state)
		case <-limit:
			return fmt.Errorf("%s does not listen at %s after %v: %w", filepath.Base(cmd.Path), address, startLimit, err)
		case <-time.After(pause):
		}
	}
}

// startLimit bounds the start of a daemon. The slowest, libvirtd, takes well
// under a second on a machine that does nothing else.
const startLimit = 60 * time.Second

// tool runs a command that is to end by itself; its complaint is the error.
func tool(name string, args ...string) error {
	_, err := toolOutput(name, args...)
	return err
}

func toolOutput(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+labHome)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(complaint.String()))
	}
	return out.String(), nil
}
