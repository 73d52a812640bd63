package sshclient_test

import (
	"path/filepath"
	"syscall"
	"testing"
)

// fifo is a named pipe by which a command says that it has come to a point.
func fifo(t testing.TB, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
