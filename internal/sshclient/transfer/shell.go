package transfer

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/overcast-go/overcast/internal/lsmode"
	"github.com/overcast-go/overcast/internal/shell"
	"github.com/overcast-go/overcast/internal/sshclient"
)

// shellFiles are remote files through the login shell, with commands that
// every Unix has: for machines without SFTP.
type shellFiles struct{ c *sshclient.Client }

// Exit codes of the scripts for what they have found.
const exitNotThere = 44

func (f shellFiles) script(ctx context.Context, in io.Reader, out io.Writer, text string, args ...string) error {
	stderr := boundedBuffer{limit: maxErrorText}
	code, err := f.c.RunAsLoginUser(ctx, shell.Script(text, args...), in, out, &stderr)
	switch {
	case err != nil:
		return err
	case code == exitNotThere:
		return fs.ErrNotExist
	case code != 0:
		return fmt.Errorf("the machine's shell printed %.500q (exit code %d)", strings.TrimSpace(stderr.String()), code)
	}
	return nil
}

func (f shellFiles) stat(ctx context.Context, name string) (fs.FileMode, error) {
	out := boundedBuffer{limit: maxErrorText}
	err := f.script(ctx, nil, &out,
		`[ -e "$1" ] || exit 44; LC_ALL=C ls -ldLn "$1"`, cleanRemote(name))
	if err != nil {
		return 0, err
	}
	return lsmode.Parse(out.String())
}

// listScript prints mode, name and link target of each entry, each ended by a
// NUL, as names may hold anything else.
const listScript = `cd "$1" || exit
find . ! -name . -exec sh -c '
for f do
	l=$(LC_ALL=C ls -ldn "$f")
	t=; [ -h "$f" ] && t=$(readlink "$f"; echo .)
	printf "%.10s\0%s\0%s\0" "$l" "$f" "$t"
done' sh {} +`

func (f shellFiles) list(ctx context.Context, dir string) ([]remoteEntry, error) {
	out := boundedBuffer{limit: maxListing}
	if err := f.script(ctx, nil, &out, listScript, cleanRemote(dir)); err != nil {
		return nil, err
	}
	if out.isFull() {
		return nil, &limitError{"the list of the folder has", int64(out.limit)}
	}
	fields := strings.Split(out.String(), "\x00")
	var entries []remoteEntry
	for i := 0; i+2 < len(fields); i += 3 {
		mode, err := lsmode.Parse(fields[i])
		if err != nil {
			return nil, err
		}
		target := strings.TrimSuffix(fields[i+2], "\n.")
		entries = append(entries, remoteEntry{path.Clean(fields[i+1]), mode, target})
	}
	return entries, nil
}

func (f shellFiles) mkdir(ctx context.Context, name string) error {
	return f.script(ctx, nil, nil, `[ -d "$1" ] || mkdir "$1"`, cleanRemote(name))
}

func (f shellFiles) chmod(ctx context.Context, name string, mode fs.FileMode) error {
	return f.script(ctx, nil, nil, `chmod "$2" "$1"`, cleanRemote(name), octal(mode))
}

func (f shellFiles) symlink(ctx context.Context, target, name string) error {
	return f.script(ctx, nil, nil,
		`[ -d "$1" ] && [ ! -h "$1" ] || rm -f "$1"; ln -s -- "$2" "$1"`, cleanRemote(name), target)
}

// put begins with a file that only its owner can read.
func (f shellFiles) put(ctx context.Context, from io.Reader, name string, mode fs.FileMode) error {
	return f.script(ctx, from, nil,
		`umask 077; : >"$1" && chmod 600 "$1" && cat >>"$1" && chmod "$2" "$1"`, cleanRemote(name), octal(mode))
}

func (f shellFiles) get(ctx context.Context, name string, to io.Writer) error {
	return f.script(ctx, nil, to, `cat <"$1"`, cleanRemote(name))
}

func (shellFiles) close() {}

func octal(mode fs.FileMode) string { return fmt.Sprintf("%04o", mode.Perm()) }
