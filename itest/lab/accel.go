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

// chooseAccel follows LAB_ACCEL, or else the CPU. /dev/kvm alone proves
// nothing: it can be opened on machines whose CPU has no virtualisation left
// to give, and a guest hangs there.
func chooseAccel() (accel, error) {
	switch forced := os.Getenv("LAB_ACCEL"); forced {
	case "kvm":
		if _, err := os.Stat("/dev/kvm"); err != nil {
			return "", fmt.Errorf("LAB_ACCEL=kvm, but there is no /dev/kvm: load the module kvm_intel or kvm_amd, or use LAB_ACCEL=tcg")
		}
		return kvm, nil
	case "tcg":
		return tcg, nil
	case "":
	default:
		return "", fmt.Errorf("LAB_ACCEL=%s: it is kvm, tcg, or not set", forced)
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat("/dev/kvm"); err == nil && regexp.MustCompile(`(?m)^flags\s*:.*\b(vmx|svm)\b`).Match(info) {
		return kvm, nil
	}
	return tcg, nil
}
