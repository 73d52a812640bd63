package transfer

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/pkg/sftp"
)

// littleSpace is the free space below which a file system counts as full, in bytes.
// It is the size of the largest write of SFTP.
const littleSpace = 64 << 10

// flagReadOnly is SSH_FXE_STATVFS_ST_RDONLY.
const flagReadOnly = 1

// explain finds the cause of the SFTP error "Failure": a file system that is read-only
// or has no space for a file of that size. The protocol has no code for other causes.
func (f *sftpFiles) explain(ctx context.Context, name string, size int64, err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) || status.FxCode() != sftp.ErrSSHFxFailure || ctx.Err() != nil {
		return err
	}
	space, spaceErr := f.space(ctx, path.Dir(cleanRemote(name)))
	switch {
	case spaceErr != nil:
		return err
	case space.readOnly:
		return syscall.EROFS
	case space.free < max(size, littleSpace):
		return fmt.Errorf("%w (%d bytes are free)", syscall.ENOSPC, space.free)
	case space.noFiles:
		return fmt.Errorf("%w (no more files can be created)", syscall.ENOSPC)
	}
	return err
}

// space is what a file system has left for the login user.
type space struct {
	free     int64 // bytes
	noFiles  bool  // no inode is free
	readOnly bool
}

// space asks by an extension of SFTP that OpenSSH has, or else by df.
func (f *sftpFiles) space(ctx context.Context, dir string) (s space, err error) {
	err = f.call(ctx, func() error {
		stat, err := f.sftp.StatVFS(dir)
		if err != nil {
			return err
		}
		blocks := stat.Bavail
		if f.c.Target().User == "root" {
			blocks = stat.Bfree
		}
		s = space{int64(blocks * stat.Frsize), stat.Files > 0 && stat.Ffree == 0, stat.Flag&flagReadOnly != 0}
		return nil
	})
	if err != nil && f.c.Target().ConnectionType != sshurl.SFTP {
		s.free, err = shellFiles{f.c}.free(ctx, dir)
	}
	return s, err
}

// free asks df for the free space of the file system of a folder, in bytes.
func (f shellFiles) free(ctx context.Context, dir string) (int64, error) {
	out := boundedBuffer{limit: maxErrorText}
	if err := f.script(ctx, nil, &out, `df -kP "$1"`, dir); err != nil {
		return 0, err
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	fields := strings.Fields(lines[len(lines)-1])
	if len(lines) < 2 || len(fields) < 4 {
		return 0, fmt.Errorf("the machine's df prints %q", out.String())
	}
	free, err := strconv.ParseInt(fields[3], 10, 64)
	return free << 10, err
}
