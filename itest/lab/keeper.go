//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keeperMain sets the lab up, inside its namespaces, and runs the command.
func keeperMain() int {
	var lab settings
	if err := json.Unmarshal([]byte(os.Getenv(settingsVariable)), &lab); err != nil {
		complain(fmt.Errorf("reading the settings: %w", err))
		return exitLab
	}
	os.Unsetenv(settingsVariable)
	unix.CloseOnExec(controlFd)
	signals := make(chan syscall.Signal, 16)
	go readControl(signals)

	env, code := setUpUnlessStopped(lab, signals)
	if env == nil {
		return code
	}
	fmt.Fprintf(os.Stderr, "lab: ready after %.1fs (%s)\n", time.Since(lab.Started).Seconds(), accelName(lab.Accel, os.Getenv("LAB_ACCEL") != ""))
	return runCommand(os.Args[1:], lab, env, signals)
}

func accelName(a accel, forced bool) string {
	switch {
	case a == kvm:
		return "guests run under KVM"
	case forced:
		return "guests are emulated, as LAB_ACCEL says"
	}
	return "guests are emulated: no hardware virtualisation here"
}

// readControl hands on the signals that the outer process was sent. When the
// pipe ends, the outer process has ended, and so does the lab at once.
func readControl(signals chan<- syscall.Signal) {
	control := os.NewFile(controlFd, "control")
	one := make([]byte, 1)
	for {
		if _, err := control.Read(one); err != nil {
			os.Exit(exitLab)
		}
		signals <- syscall.Signal(one[0])
	}
}

// setUpUnlessStopped sets the lab up, or answers with the exit code to end
// with: a signal that comes before there is a command to pass it on to ends
// the lab, as it would have ended the command.
func setUpUnlessStopped(lab settings, signals <-chan syscall.Signal) (env []string, code int) {
	type result struct {
		env []string
		err error
	}
	done := make(chan result, 1)
	go func() {
		env, err := setUp(lab)
		done <- result{env, err}
	}()
	select {
	case got := <-done:
		if got.err != nil {
			complain(got.err)
			return nil, exitLab
		}
		return got.env, 0
	case s := <-signals:
		fmt.Fprintln(os.Stderr) // ends the line of the step that is under way
		complain(fmt.Errorf("stopped by %v", s))
		return nil, 128 + int(s)
	}
}

// setUp makes the lab, and answers with what to add to the command's
// environment.
func setUp(lab settings) ([]string, error) {
	h := &hypervisor{settings: lab}
	steps := []struct {
		name string
		do   func() error
		logs []string // that may say why it failed
	}{
		{"making a private place", makePlace, nil},
		{"copying guest images", h.copyImages, nil},
		{"keeping lease files", keepLeaseFiles, nil},
		{"starting libvirt", h.start, []string{"virtlogd.log", "libvirtd.log", libvirtdLog}},
		{"defining networks", h.defineNetworks, []string{libvirtdLog}},
		{"defining base domains", h.defineDomains, []string{libvirtdLog}},
		{"making the key of " + boxName + " and " + dhcpBoxName, makeKey, []string{"ssh-agent.log"}},
		{"starting " + boxName + "'s sshd", startBox, []string{"sshd.log"}},
		{"starting " + dhcpBoxName, startDHCPBox, []string{dhcpBoxName + ".log"}},
	}
	for _, s := range steps {
		if err := step(s.name, s.do); err != nil {
			showLogs(os.Stderr, s.logs, err)
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	conf := filepath.Join(labDir, "overcast.conf")
	if err := os.WriteFile(conf, labConf, 0o644); err != nil {
		return nil, err
	}
	return append(lab.Env,
		"HOME="+labHome,
		"TMPDIR="+labDir+"/tmp",
		"LIBVIRT_DEFAULT_URI=qemu:///system",
		"SSH_AUTH_SOCK="+agentSocket,
		"LAB_SSH_KEY="+h.keyPath(),
		"LAB_STATIC_IP="+staticAddress,
		"LAB_CONF="+conf,
		"LAB_ACCEL="+string(lab.Accel),
	), nil
}

// makePlace makes everything private that a daemon could write to.
func makePlace() error {
	for _, do := range []func() error{mountState, makeAccounts, offerKVM} {
		if err := do(); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte(boxName)); err != nil {
		return fmt.Errorf("setting the host name: %w", err)
	}
	return tool("ip", "link", "set", "lo", "up")
}
