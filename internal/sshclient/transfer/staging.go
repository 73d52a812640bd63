package transfer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/shell"
	"github.com/overcast-go/overcast/internal/sshclient"
)

// A stagingDir is a temporary folder of the login user on the machine, by which
// files get to and from the user that sudo or su becomes. Unless that user is root,
// other users may enter it; its entry has a random name, and they cannot list it.
type stagingDir struct {
	c     *sshclient.Client
	dir   string
	item  string // the one thing in it
	owner string // uid:gid of the login user
}

const makeStagingDir = `umask 077; d=$(mktemp -d "${TMPDIR:-/tmp}/overcast.XXXXXXXXXX") && chmod "$1" "$d" && printf "%s\n%s:%s\n" "$d" "$(id -u)" "$(id -g)"`

func openStagingDir(ctx context.Context, c *sshclient.Client) (*stagingDir, error) {
	mode := "0733"
	if c.Target().Become() == "root" {
		mode = "0700"
	}
	out := boundedBuffer{limit: maxErrorText}
	if err := (shellFiles{c}).script(ctx, nil, &out, makeStagingDir, mode); err != nil {
		return nil, fmt.Errorf("making a temporary folder: %w", err)
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) < 2 || !path.IsAbs(lines[0]) {
		return nil, fmt.Errorf("making a temporary folder: the machine's shell printed %.500q", out.String())
	}
	return &stagingDir{c: c, dir: lines[0], item: path.Join(lines[0], rand.Text()), owner: lines[1]}, nil
}

// remove is done even though ctx may have ended.
func (b *stagingDir) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	// A failure leaves a temporary folder behind and is no reason to call the
	// copy a failure.
	_ = shellFiles{b.c}.script(ctx, nil, nil, `rm -rf "$1"`, b.dir)
}

// elevated runs a script as the user to become.
func (b *stagingDir) elevated(ctx context.Context, text string, args ...string) error {
	r, err := b.c.Run(ctx, shell.Script(text, args...))
	if op := (*sshclient.OperationError)(nil); errors.As(err, &op) {
		return op.Err
	}
	if err != nil {
		return err
	}
	if r.ExitCode != 0 {
		return fmt.Errorf("copying as %s: the machine's shell printed %.500q (exit code %d)",
			b.c.Target().Become(), strings.TrimSpace(r.Stderr+r.Stdout), r.ExitCode)
	}
	return nil
}

// installScript copies what is in the stagingDir ($1) to its place ($2); a file
// goes into a folder under its own name ($3). The modes that were widened for
// the stagingDir are set in the file of modes ($4), relative to the place.
const installScript = `umask 077
if [ -d "$1" ]; then
	[ -d "$2" ] || mkdir "$2" || exit
	cp -RP "$1/." "$2/" && cd "$2" && sh "$4"
else
	d=$2; case $2 in */) d=$2$3;; *) [ ! -d "$2" ] || d=$2/$3;; esac
	cp "$1" "$d" && t=$d sh "$4"
fi`

func uploadElevated(ctx context.Context, c *sshclient.Client, f remoteFiles, local, remote string) error {
	modes, err := modesScript(local)
	if err != nil {
		return err
	}
	box, err := openStagingDir(ctx, c)
	if err != nil {
		return err
	}
	defer box.remove(ctx)
	if err := upload(ctx, f, local, box.item, 0o755); err != nil {
		return err
	}
	script := box.item + ".modes"
	if err := f.put(ctx, strings.NewReader(modes), script, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", script, err)
	}
	return box.elevated(ctx, installScript, box.item, cleanRemote(remote), filepath.Base(local), script)
}

// fetchScript copies what is to be downloaded ($1) into the stagingDir ($2) and
// gives it to the login user ($3) with its modes. A user other than root cannot change
// the owner and lets all users read it instead.
const fetchScript = `if [ -d "$1" ]; then mkdir "$2" && cp -RPp "$1/." "$2/"; else cp -p "$1" "$2"; fi || exit
chown -R "$3" "$2" 2>/dev/null || chmod -R a+rX "$2"`

func downloadElevated(ctx context.Context, c *sshclient.Client, f remoteFiles, remote, local string) error {
	box, err := openStagingDir(ctx, c)
	if err != nil {
		return err
	}
	defer box.remove(ctx)
	defer func() {
		// The login user cannot remove the folders of others.
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = box.elevated(clean, `rm -rf "$1"`, box.item)
	}()
	if err := box.elevated(ctx, fetchScript, cleanRemote(remote), box.item, box.owner); err != nil {
		return err
	}
	return download(ctx, f, box.item, local, path.Base(cleanRemote(remote)))
}
