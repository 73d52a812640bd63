//go:build linux

package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// controlFd is the pipe from the outer process, in both inner ones.
const controlFd = 3

// initMain is process 1 of the lab. It mounts what the keeper needs to see
// the new namespaces, starts the keeper, and reaps whatever ends: libvirt
// waits for a process that it has killed until it is gone from the process
// table. When the keeper ends so does this process, and the kernel ends every
// other one with it.
func initMain() int {
	// Handled, not ignored: an ignored signal would stay ignored in CMD.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTTOU, syscall.SIGTTIN, syscall.SIGTSTP, syscall.SIGPIPE)
	if err := mountKernelViews(); err != nil {
		complain(err)
		return exitLab
	}
	keeper, err := os.StartProcess("/proc/self/exe", append([]string{keeperName}, os.Args[1:]...), &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, os.NewFile(controlFd, "control")},
	})
	if err != nil {
		complain(fmt.Errorf("starting the keeper: %w", err))
		return exitLab
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			complain(fmt.Errorf("waiting for the keeper: %w", err))
			return exitLab
		case pid == keeper.Pid && status.Signaled():
			return 128 + int(status.Signal())
		case pid == keeper.Pid:
			return status.ExitStatus()
		}
	}
}
