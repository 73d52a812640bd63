//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChooseAccel(t *testing.T) {
	const (
		intel = "processor\t: 0\nflags\t\t: fpu vme msr vmx smx\nbugs\t\t: none\n"
		amd   = "processor\t: 0\nflags\t\t: fpu vme svm\n"
		none  = "processor\t: 0\nmodel name\t: svm vmx\nflags\t\t: fpu vmxnet notsvm svm_lock\nvmx flags\t: vnmi\n"
	)
	for name, c := range map[string]struct {
		forced, cpuinfo string
		device          bool
		want            accel
		complaint       string
	}{
		"Intel":                       {cpuinfo: intel, device: true, want: kvm},
		"AMD":                         {cpuinfo: amd, device: true, want: kvm},
		"no flag though a device":     {cpuinfo: none, device: true, want: tcg},
		"no device though a flag":     {cpuinfo: intel, want: tcg},
		"neither":                     {cpuinfo: none, want: tcg},
		"KVM forced without a flag":   {forced: "kvm", cpuinfo: none, device: true, want: kvm},
		"KVM forced without a device": {forced: "kvm", cpuinfo: intel, complaint: "load the module kvm_intel or kvm_amd, or use LAB_ACCEL=tcg"},
		"emulation forced":            {forced: "tcg", cpuinfo: intel, device: true, want: tcg},
		"nonsense":                    {forced: "nonsense", cpuinfo: intel, device: true, complaint: "LAB_ACCEL=nonsense: it must be kvm, tcg or unset"},
	} {
		t.Run(name, func(t *testing.T) {
			cpuinfo, device := filepath.Join(t.TempDir(), "cpuinfo"), filepath.Join(t.TempDir(), "kvm")
			require.NoError(t, os.WriteFile(cpuinfo, []byte(c.cpuinfo), 0o600))
			if c.device {
				require.NoError(t, os.WriteFile(device, nil, 0o600))
			}
			got, err := chooseAccel(c.forced, cpuinfo, device)
			if c.complaint != "" {
				require.ErrorContains(t, err, c.complaint)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestChooseAccelNeedsCPUInfoOnlyIfNothingIsForced(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "cpuinfo")
	_, err := chooseAccel("", missing, missing)
	require.ErrorContains(t, err, "set LAB_ACCEL")
	got, err := chooseAccel("tcg", missing, missing)
	require.NoError(t, err)
	assert.Equal(t, tcg, got)
}
