//go:build linux

package outside

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ownEtc runs a lab on a machine whose /etc is a copy, and replaces its passwd when the
// file $1/go exists.
const ownEtc = `
dir=$1; shift
mount -t tmpfs etc "$dir/etc" && cp -a /etc/. "$dir/etc" && mount --bind "$dir/etc" /etc || exit 1
(while ! [ -e "$dir/go" ]; do [ -d "$dir" ] || exit; sleep 0.1; done
cp /etc/passwd /etc/passwd.new && mv /etc/passwd.new /etc/passwd && touch "$dir/done") >/dev/null 2>&1 &
exec "$@"`

// useradd writes a new file and renames it.
func TestTheLabKeepsItsAccountsWhenThoseOfTheMachineChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "etc"), 0o755))
	via := []string{"unshare", "--mount", "sh", "-c", ownEtc, "sh", dir, labBinary}
	l, code := run(t, how{via: via}, "sh", "-ec", `
		touch "$0/go"
		while ! [ -e "$0/done" ]; do sleep 0.1; done
		getent passwd user
		getent passwd root | cut -d: -f6
		virsh -q domstate my_base_domain`, dir)
	require.Zero(t, code, l.errors.String())
	assert.Contains(t, l.out.String(), "user:x:64990:")
	assert.Contains(t, l.out.String(), "\n/run/lab/home\n")
}
