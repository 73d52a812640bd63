package ssh_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/internal/ssh/sshtest"
	"github.com/stretchr/testify/assert"
)

func TestOpenSSHRunsManyCommandsAtOnce(t *testing.T) {
	server := sshtest.StartOpenSSH(t, sshtest.OpenSSHConfig{})
	for _, user := range server.Users {
		for _, count := range []int{50, 500} {
			t.Run(fmt.Sprintf("%d as %s", count, user), func(t *testing.T) {
				runMany(t, connect(t, server.URL(user), nil), count)
			})
		}
	}
}

func TestOpenSSHLearnsALowerLimit(t *testing.T) {
	server := sshtest.StartOpenSSH(t, sshtest.OpenSSHConfig{Lines: []string{"MaxSessions 2"}})
	c := connect(t, server.URL(server.Users[0]), nil)
	runMany(t, c, 50)
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			assert.NoError(t, c.Upload(t.Context(), "testdata/locked", fmt.Sprintf("copy-%d", i)))
		})
	}
	all.Wait()
}

func TestOpenSSHReportsSignals(t *testing.T) {
	server := sshtest.StartOpenSSH(t, sshtest.OpenSSHConfig{})
	c := connect(t, server.URL(server.Users[0]), nil)
	for signal, want := range map[string]ssh.Result{
		"HUP":  {ExitCode: 129, Signal: "HUP"},
		"KILL": {ExitCode: 137, Signal: "KILL"},
		"TERM": {ExitCode: 143, Signal: "TERM"},
		"USR1": {ExitCode: 138, Signal: "USR1"},
		"USR2": {ExitCode: 140, Signal: "USR2"},
		"BUS":  {ExitCode: 128, Signal: "unknown"},
		"34":   {ExitCode: 128, Signal: "unknown"},
	} {
		assert.Equal(t, want, run(t, c, "kill -"+signal+" $$"), signal)
	}
	// A shell that does not end itself reports the number.
	assert.Equal(t, 162, run(t, c, "sh -c 'kill -34 $$'; exit $?").ExitCode)
}

// BenchmarkMemoryOfCommands reports how much memory a command takes while it
// runs, and while it waits for a session.
func BenchmarkMemoryOfCommands(b *testing.B) {
	server := sshtest.StartOpenSSH(b, sshtest.OpenSSHConfig{})
	for _, count := range []int{10, 90, 500} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			for b.Loop() {
				c := connect(b, server.URL(server.Users[0]), nil)
				run(b, c, "true")
				before := memory()
				ctx, cancel := context.WithCancel(b.Context())
				var all sync.WaitGroup
				for range count {
					all.Go(func() { c.Run(ctx, "echo started >>counter; sleep 600") })
				}
				running := min(count, 90)
				eventually(b, "they run", func() bool { return ssh.Waiting(c) == count-running && ssh.Open(c) == running })
				b.ReportMetric(float64(memory()-before)/1024/float64(count), "KB/command")
				cancel()
				all.Wait()
				c.Close()
			}
		})
	}
}

func memory() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
