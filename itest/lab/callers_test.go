//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCallersAreTheProcessesThatOnlyExistForTheLab(t *testing.T) {
	for name, c := range map[string]struct {
		chain []string // programs, from the lab's parent upwards
		want  []int    // which of them are watched; the first is process 100
	}{
		"started by hand":                 {chain: []string{"bash", "sshd"}},
		"go run by hand":                  {chain: []string{"go", "bash", "sshd"}, want: []int{100}},
		"go run in make":                  {chain: []string{"go", "make", "bash", "sshd"}, want: []int{100, 101}},
		"go run in make's shell":          {chain: []string{"go", "sh", "make", "bash", "sshd"}, want: []int{100, 101, 102}},
		"make in a make in a script":      {chain: []string{"go", "sh", "make", "dash", "gmake", "bash", "init"}, want: []int{100, 101, 102, 103, 104}},
		"a shell below make":              {chain: []string{"bash", "make", "bash"}, want: []int{100, 101}},
		"make beyond something else":      {chain: []string{"go", "sudo", "make"}, want: []int{100}},
		"a test":                          {chain: []string{"outside.test", "go", "make"}},
		"make right below process 1":      {chain: []string{"go", "make"}, want: []int{100, 101}},
		"nothing but shells to process 1": {chain: []string{"sh", "bash"}},
	} {
		t.Run(name, func(t *testing.T) {
			info := func(pid int) (string, int, error) {
				at := pid - 100
				if at == len(c.chain)-1 {
					return c.chain[at], 1, nil
				}
				return c.chain[at], pid + 1, nil
			}
			assert.ElementsMatch(t, c.want, callers(100, info))
		})
	}
}

func TestCallersEndsWhereProcCannotBeRead(t *testing.T) {
	info := func(pid int) (string, int, error) {
		if pid == 100 {
			return "go", 101, nil
		}
		return "", 0, errors.New("permission denied")
	}
	assert.Equal(t, []int{100}, callers(100, info))
	assert.Empty(t, callers(101, info))
	assert.Empty(t, callers(1, info), "process 1 is not watched")
}

func TestProcessInfoOfThisProcess(t *testing.T) {
	name, parent, err := processInfo(os.Getpid())
	require.NoError(t, err)
	exe, err := os.Executable()
	require.NoError(t, err)
	assert.Equal(t, filepath.Base(exe), name)
	assert.Equal(t, os.Getppid(), parent)
}
