//go:build linux

package main

import (
	"fmt"
	"os"
	"regexp"
)

// accel says how guests run.
type accel string

const (
	kvm accel = "kvm" // by hardware virtualisation
	tcg accel = "tcg" // emulated
)

// kvmDevice is how a process asks the kernel for hardware virtualisation.
const kvmDevice = "/dev/kvm"

var virtualisation = regexp.MustCompile(`(?m)^flags\s*:.*\b(vmx|svm)\b`)

// chooseAccel follows what LAB_ACCEL says, or else the CPU. The device alone
// proves nothing: it can be opened on machines whose CPU has no virtualisation
// left to give, and a guest hangs there.
func chooseAccel(forced, cpuinfo, device string) (accel, error) {
	_, missing := os.Stat(device)
	switch {
	case forced == string(kvm) && missing != nil:
		return "", fmt.Errorf("LAB_ACCEL=kvm, but there is no %s: load the module kvm_intel or kvm_amd, or use LAB_ACCEL=tcg", device)
	case forced == string(kvm) || forced == string(tcg):
		return accel(forced), nil
	case forced != "":
		return "", fmt.Errorf("LAB_ACCEL=%s: it must be kvm, tcg or unset", forced)
	}
	info, err := os.ReadFile(cpuinfo)
	if err != nil {
		return "", fmt.Errorf("detecting hardware virtualisation of the CPU: %w: set LAB_ACCEL", err)
	}
	if missing == nil && virtualisation.Match(info) {
		return kvm, nil
	}
	return tcg, nil
}
