package sshclient_test

import (
	"io"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
)

// dropbear 2022.83 closes a session that is opened before the program of another one has ended.
func TestASubsystemIsASessionUntilItsProgramHasEnded(t *testing.T) {
	outputEnded, programEnds := make(chan struct{}), make(chan struct{})
	server := sshtest.Start(t, sshtest.Config{SFTPEnds: func() {
		close(outputEnded)
		<-programEnds
	}})
	c := connect(t, server.URL(), nil)
	subsystem, err := c.OpenSubsystem(t.Context(), "sftp", func(in io.WriteCloser, _ io.Reader) error { return in.Close() })
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		subsystem.Close(func() {})
	}()
	<-outputEnded
	select {
	case <-closed:
		t.Error("it is closed before its program has ended")
	case <-time.After(200 * time.Millisecond):
	}
	close(programEnds)
	<-closed
}
