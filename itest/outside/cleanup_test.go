//go:build linux

package outside

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// forever is a command that waits to be killed, with the lab around it.
const forever = "echo up; exec sleep 1000"

// booting is one with a guest that has just been switched on.
const booting = "virsh -q start my_base_domain && " + forever

// inTheLab is work whose traces are the lab's to take away: a guest, a volume,
// a network, logins with a terminal, and daemons that CMD forgets about.
const inTheLab = `set -e
	virsh -q start my_base_domain
	virsh -q vol-create-as default left.qcow2 1M --format qcow2
	virsh -q net-destroy my_routed_network
	cp ~/.ssh/id_rsa "$TMPDIR/key"
	ssh-keygen -q -p -P bigsecret -N "" -f "$TMPDIR/key" >/dev/null
	ssh -q -tt -o StrictHostKeyChecking=no -i "$TMPDIR/key" user@linux-box tty >/dev/null
	setsid sleep 1000 &
	setsid env -i sh -c 'trap "" TERM HUP; sleep 1000' </dev/null >/dev/null 2>&1 &
	umount /mnt 2>/dev/null || true
	mount -t tmpfs left /mnt
	echo up
`

func TestNothingIsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		how     how
		command []string
		until   string // what is on standard error, or else "up" on standard output
		kill    bool   // then, by SIGKILL; or else the command ends by itself
		code    int
	}{
		"after a command that takes nothing away, and ends":      {command: []string{"sh", "-c", inTheLab}},
		"after a command that takes nothing away, and is killed": {command: []string{"sh", "-c", "setsid sleep 1000 & echo up; kill -KILL $$"}, code: 128 + 9},
		"after a lab killed at its start":                        {command: []string{"true"}, until: "lab: defining networks ...", kill: true},
		"after a lab killed in mid-boot":                         {command: []string{"sh", "-c", booting}, kill: true},
		"after a go run killed in mid-boot": {how: how{via: []string{"go", "run", "./itest/lab"}, dir: repository},
			command: []string{"sh", "-c", booting}, kill: true},
		"after a make killed in mid-boot": {how: how{via: makeRun(t, booting), dir: repository}, kill: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.how.tray = newTray(t)
			holder := fmt.Sprintf("/proc/%d", c.how.tray.holder.Process.Pid)
			before := lookAtMachine(holder)

			l := start(t, c.how, c.command...)
			l.enterNamespace(t)
			if c.until != "" {
				l.says(t, l.errors, c.until)
			} else {
				l.says(t, l.out, "up\n")
			}
			assert.Empty(t, lookAtMachine(holder).since(before), "on the machine while the lab runs")
			if c.kill {
				require.NotEmpty(t, l.processes())
				l.signal(t, syscall.SIGKILL)
			} else {
				assert.Equal(t, c.code, l.exitCode(t))
			}

			left := await(gone, func() []string {
				return append(append(l.processes(), lookAtMachine(holder).since(before)...), c.how.tray.files()...)
			})
			assert.Empty(t, left)
		})
	}
}

// makeRun is a make that runs the lab as this project's Makefile does.
func makeRun(t *testing.T, script string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "Makefile")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, "all:\n\t@go run ./itest/lab sh -c '%s'; true\n", script), 0o644))
	return []string{"make", "-f", path}
}
