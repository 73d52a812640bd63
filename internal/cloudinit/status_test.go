package cloudinit_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/cloudinit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const logMarker = "---- /var/log/cloud-init-output.log\n"

func TestParseStatus(t *testing.T) {
	for name, test := range map[string]struct {
		exit   int
		output string
		want   cloudinit.Status
		err    string
	}{
		"done": {0, "....\nstatus: done\nboot_status_code: enabled-by-generator\nlast_update: Thu, 01 Jan 1970 00:01:00 +0000\ndetail:\nDataSourceNoCloud [seed=/dev/vdb][dsmode=net]\n",
			cloudinit.Status{State: cloudinit.Done}, ""},
		"done in one line": {0, "...status: done\n", cloudinit.Status{State: cloudinit.Done}, ""},
		"done with Windows line ends, from a terminal": {0, "\r\nstatus: done\r\n", cloudinit.Status{State: cloudinit.Done}, ""},
		"done, in the form of version 24": {0, "status: done\nextended_status: done\nboot_status_code: enabled-by-generator\ndetail: DataSourceNoCloud\nerrors: []\nrecoverable_errors: {}\n",
			cloudinit.Status{State: cloudinit.Done}, ""},
		"degraded": {2, "\nstatus: done\nextended_status: degraded done\nboot_status_code: enabled-by-generator\nlast_update: Thu, 01 Jan 1970 00:01:00 +0000\ndetail: DataSourceNoCloud [seed=/dev/vdb]\nerrors: []\nrecoverable_errors:\nDEPRECATED:\n\t- The chpasswd multiline string is deprecated\nWARNING:\n\t- Failed at merging in cloud config part from user-data: empty cloud config\n" + logMarker + "Cloud-init v. 24.2\nfinished\n",
			cloudinit.Status{State: cloudinit.Degraded, ExitCode: 2, Log: "Cloud-init v. 24.2\nfinished", Problems: []string{"The chpasswd multiline string is deprecated", "Failed at merging in cloud config part from user-data: empty cloud config"}}, ""},
		"an error, in the form of version 22": {1, "..\nstatus: error\nboot_status_code: enabled-by-generator\nlast_update: Thu, 01 Jan 1970 00:01:00 +0000\ndetail:\n('runcmd', KeyError('a'))\n('ssh', OSError())\n" + logMarker + "+ ./setup\nsetup: no such file\n",
			cloudinit.Status{State: cloudinit.Failed, ExitCode: 1, Log: "+ ./setup\nsetup: no such file", Problems: []string{"('runcmd', KeyError('a'))", "('ssh', OSError())"}},
			"waiting for cloud-init: cloud-init failed: ('runcmd', KeyError('a')); ('ssh', OSError())\nlast lines of /var/log/cloud-init-output.log:\n+ ./setup\nsetup: no such file"},
		"an error, in the form of version 24": {1, "status: error\nextended_status: error - done\ndetail: DataSourceNoCloud\nerrors:\n\t- ('scripts_user', RuntimeError('Runparts: 1 failures'))\nrecoverable_errors:\nWARNING:\n\t- other\n" + logMarker,
			cloudinit.Status{State: cloudinit.Failed, ExitCode: 1, Problems: []string{"('scripts_user', RuntimeError('Runparts: 1 failures'))"}},
			"waiting for cloud-init: cloud-init failed: ('scripts_user', RuntimeError('Runparts: 1 failures'))"},
		"disabled": {0, "\nstatus: disabled\nboot_status_code: disabled-by-generator\ndetail:\nCloud-init disabled by cloud-init-generator\n",
			cloudinit.Status{State: cloudinit.Disabled, Problems: []string{"Cloud-init disabled by cloud-init-generator"}},
			"waiting for cloud-init: cloud-init did not run: check that the image enables it and its datasource NoCloud: Cloud-init disabled by cloud-init-generator"},
		"not installed": {127, "cloud-init: not found\n", cloudinit.Status{State: cloudinit.NotInstalled, ExitCode: 127},
			"waiting for cloud-init: cloud-init is not installed in the image: use a cloud image, or set cloudInit.wait = false"},
		"another exit code": {1, "status: done\n", cloudinit.Status{State: cloudinit.Unknown, ExitCode: 1, Problems: []string{"status: done"}},
			"waiting for cloud-init: unexpected output of cloud-init status (exit code 1): status: done"},
		"a Python traceback": {1, "Traceback (most recent call last):\n  File \"x\"\n", cloudinit.Status{State: cloudinit.Unknown, ExitCode: 1, Problems: []string{"Traceback (most recent call last):\n  File \"x\""}},
			"waiting for cloud-init: unexpected output of cloud-init status (exit code 1): Traceback (most recent call last):\n  File \"x\""},
		"nothing": {255, "", cloudinit.Status{State: cloudinit.Unknown, ExitCode: 255},
			"waiting for cloud-init: unexpected output of cloud-init status (exit code 255)"},
	} {
		t.Run(name, func(t *testing.T) {
			got := cloudinit.ParseStatus(test.exit, test.output)
			if len(got.Problems) == 0 {
				got.Problems = nil
			}
			assert.Equal(t, test.want, got)
			err := got.Err()
			if test.err == "" {
				require.NoError(t, err)
				return
			}
			var failed *cloudinit.StatusError
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, test.err, err.Error())
		})
	}
}

// wait runs WaitCommand with a program in the place of cloud-init, and a log.
func wait(t *testing.T, program, log string) cloudinit.Status {
	t.Helper()
	dir := t.TempDir()
	if program != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "cloud-init"), []byte(program), 0o700))
	}
	logFile := writeFile(t, "log", []byte(log))
	command := strings.Replace(cloudinit.WaitCommand, "log=/var/log/cloud-init-output.log", "log="+logFile, 1)
	search := dir
	if program == "" { // the machine may have cloud-init
		command = strings.Replace(command, "PATH=$PATH:/usr/local/bin:/usr/bin:/bin", "PATH="+dir, 1)
	} else {
		search += ":" + os.Getenv("PATH")
	}
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Env = []string{"PATH=" + search}
	out, err := cmd.Output()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		require.NoError(t, err)
	}
	return cloudinit.ParseStatus(cmd.ProcessState.ExitCode(), string(out))
}

func TestTheWaitCommandPassesOnWhatCloudInitSays(t *testing.T) {
	log := strings.Repeat("early\n", 100) + "the last line\n"
	assert.Equal(t, cloudinit.Done, wait(t, "#!/bin/sh\n[ \"$*\" = 'status --wait --long' ] || exit 3\necho; echo 'status: done'\n", log).State)

	failed := wait(t, "#!/bin/sh\nprintf '..\\nstatus: error\\ndetail:\\nit broke\\n'; exit 1\n", log)
	assert.Equal(t, cloudinit.Failed, failed.State)
	assert.Equal(t, []string{"it broke"}, failed.Problems)
	lines := strings.Split(failed.Log, "\n")
	assert.Len(t, lines, 40)
	assert.Equal(t, "the last line", lines[39])

	assert.Equal(t, cloudinit.NotInstalled, wait(t, "", log).State)
	broken := wait(t, "#!/bin/sh\necho 'it broke' >&2; exit 1\n", "")
	assert.Equal(t, cloudinit.Unknown, broken.State)
	assert.Equal(t, []string{"it broke"}, broken.Problems)
}
