package transfer_test

import (
	"os"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
)

func TestElevatedFiles(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, parameters string
		without          bool
	}{
		{"sudo", "connectionType=SUDO", false},
		{"sudo as another user", "connectionType=SUDO&sudoUsername=oracle", false},
		{"interactive sudo", "connectionType=INTERACTIVE_SUDO", false},
		{"interactive sudo without SFTP", "connectionType=INTERACTIVE_SUDO", true},
		{"su", "connectionType=SU", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tmp := t.TempDir()
			password := ""
			if !strings.Contains(tc.parameters, "=SUDO") {
				password = "hunter2"
			}
			server := sshtest.StartElevator(t, password, sshtest.Config{NoSFTP: tc.without, Env: []string{"TMPDIR=" + tmp}})
			c := connect(t, server.URLWithPassword(password, tc.parameters))
			thereAndBack(t, c, server.Dir)
			if left, _ := os.ReadDir(tmp); len(left) > 0 {
				t.Errorf("left behind in the temporary folder: %v", left)
			}
			elevated := 0
			for _, cmd := range server.Commands() {
				if strings.HasPrefix(cmd, "su") {
					elevated++
				}
			}
			if elevated == 0 {
				t.Error("nothing was done by sudo or su")
			}
		})
	}
}
