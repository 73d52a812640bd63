package fsmapping

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/mount"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"golang.org/x/sys/unix"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// pathChecker checks folders on the hypervisor's machine.
type pathChecker struct {
	conn   *libvirt.Connect
	url    string
	remote bool              // the hypervisor is another machine, as far as the URL says
	as     *virt.QEMUAccount // nil if it is not known
	clone  string            // name of the clone
	checks int               // pools created so far
}

func newPathChecker(conn *libvirt.Connect, url string, gateway func() (*sshurl.Target, error), c *domainxml.Clone) (*pathChecker, error) {
	target, err := gateway()
	p := &pathChecker{conn: conn, url: url, remote: target != nil || err != nil, clone: c.Name}
	p.as, err = virt.ReadQEMUAccount(conn, c.Definition)
	return p, err
}

// check checks that QEMU can read a folder.
func (p *pathChecker) check(ctx context.Context, u *storage.Undo, m *mapping) error {
	as := p.as
	if m.Driver == mount.VirtioFS {
		as = nil // its daemon runs as root
	}
	if p.remote {
		return p.checkRemote(ctx, u, m.HostPath, as)
	}
	if err := p.checkLocal(m.HostPath); err != nil {
		return err
	}
	return checkReadable(as, m.HostPath)
}

// checkSource checks that a folder of this machine can be copied.
func (p *pathChecker) checkSource(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist on this machine, and sync = true copies it from here", dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	}
	return nil
}

// checkLocal checks a folder of this machine.
func (p *pathChecker) checkLocal(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist on this machine, the hypervisor's machine (%s)", dir, redact.Text(p.url))
	case errors.Is(err, fs.ErrPermission):
		return nil // QEMU may be able to read it
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	}
	return nil
}

// checkReadable fails if QEMU cannot read a folder of this machine: it needs read and
// search permission there, and search permission on all folders above.
func checkReadable(q *virt.QEMUAccount, dir string) error {
	if q == nil {
		return nil
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil // QEMU may be able to read it
	}
	for _, folder := range ancestors(dir) {
		wanted, how := virt.Search, "passed through"
		if folder == dir {
			wanted, how = virt.ReadSearch, "read"
		}
		var stat unix.Stat_t
		if err := unix.Stat(folder, &stat); err != nil || hasACL(folder) {
			continue
		}
		if !q.May(wanted, uint32(stat.Mode), stat.Uid, stat.Gid) {
			return fmt.Errorf("%s cannot be %s by user %s, which QEMU runs as (it has mode %04o, and belongs to user %d, group %d): chmod o+%s %[1]s, or setfacl -m u:%[3]s:%[7]s %[1]s",
				folder, how, q.Name(), stat.Mode&0o7777, stat.Uid, stat.Gid, map[uint32]string{virt.Search: "x", virt.ReadSearch: "rx"}[wanted])
		}
	}
	return nil
}

// ancestors returns all folders from the root to dir.
func ancestors(dir string) []string {
	folders := []string{dir}
	for dir != path.Dir(dir) {
		dir = path.Dir(dir)
		folders = append(folders, dir)
	}
	slices.Reverse(folders)
	return folders
}

// hasACL reports whether a folder has an access control list, which the mode does not
// show.
func hasACL(folder string) bool {
	_, err := unix.Getxattr(folder, "system.posix_acl_access", nil)
	return err == nil
}

// remoteCheckTimeout limits the check of a folder of another machine, which may have to
// wait until another process removes its pool over the folder.
const remoteCheckTimeout = 30 * time.Second

// checkRemote checks a folder of another machine. libvirt has no call for that: it
// creates a temporary pool over the folder, whose definition has the folder's mode. The
// folders above cannot be checked.
func (p *pathChecker) checkRemote(ctx context.Context, u *storage.Undo, dir string, as *virt.QEMUAccount) error {
	ctx, cancel := context.WithTimeoutCause(ctx, remoteCheckTimeout, fmt.Errorf("timeout of %v expired", remoteCheckTimeout))
	defer cancel()
	is, err := p.readPermissions(ctx, u, dir)
	switch text := fmt.Sprint(err); {
	case err == nil:
	case storage.IsDirMissing(err):
		return fmt.Errorf("%s does not exist on the hypervisor's machine (%s)%s", dir, redact.Text(p.url), offerSync(dir))
	case strings.Contains(text, "Not a directory"):
		return fmt.Errorf("%s on the hypervisor's machine (%s) is not a folder", dir, redact.Text(p.url))
	case virt.IsCode(err, libvirt.ERR_NO_SUPPORT):
		return nil // QEMU's start fails otherwise
	default:
		return fmt.Errorf("looking for %s on the hypervisor's machine (%s): %w", dir, redact.Text(p.url), virt.StripCodes(err))
	}
	if as == nil || is == nil || as.UID == 0 {
		return nil
	}
	mode, errMode := strconv.ParseUint(is.Mode, 8, 32)
	owner, errOwner := strconv.ParseUint(is.Owner, 10, 32)
	if errMode != nil || errOwner != nil {
		return nil
	}
	// The groups of the user on that machine are not known: it may be in this one.
	perhaps := as.UID != uint32(owner) && mode>>3&5 == 5
	if perhaps || as.May(virt.ReadSearch, uint32(mode), uint32(owner), ^uint32(0)) {
		return nil
	}
	return fmt.Errorf("%s on the hypervisor's machine (%s) cannot be read by the user that QEMU runs as there, number %d (it has mode %s, and belongs to user %s, group %s): chmod o+rx it",
		dir, redact.Text(p.url), as.UID, is.Mode, is.Owner, is.Group)
}

// offerSync suggests sync = true for a missing folder.
func offerSync(dir string) string {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return ": it exists on this machine; with sync = true it is copied for the lifetime of the clone"
	}
	return ": create it there, or create it on this machine and set sync = true"
}

// readPermissions reads the permissions of a folder from an existing pool over it, or
// from a temporary one. They may be nil.
func (p *pathChecker) readPermissions(ctx context.Context, u *storage.Undo, dir string) (*libvirtxml.StoragePoolTargetPermissions, error) {
	dir = path.Clean(dir)
	pools, err := storage.AllFilePools(p.conn)
	if err != nil {
		return nil, err
	}
	for _, candidate := range pools {
		if candidate.Dir != dir {
			continue
		}
		// Another process may remove its temporary pool at any time.
		permissions, err := permissionsOfPool(p.conn, candidate.Name)
		if !virt.IsCode(err, libvirt.ERR_NO_STORAGE_POOL) {
			return permissions, err
		}
	}
	p.checks++
	made, err := storage.CreateDirPool(ctx, p.conn, u, fmt.Sprintf("%s-look%d", p.clone, p.checks), dir, 0)
	if err != nil {
		return nil, err
	}
	defer made.Close()
	return permissionsOf(made.Pool)
}

func permissionsOfPool(conn *libvirt.Connect, name string) (*libvirtxml.StoragePoolTargetPermissions, error) {
	pool, err := conn.LookupStoragePoolByName(name)
	if err != nil {
		return nil, err
	}
	defer pool.Free()
	return permissionsOf(pool)
}

func permissionsOf(pool *libvirt.StoragePool) (*libvirtxml.StoragePoolTargetPermissions, error) {
	text, err := pool.GetXMLDesc(0)
	if err != nil {
		return nil, err
	}
	var definition libvirtxml.StoragePool
	if err := definition.Unmarshal(text); err != nil {
		return nil, err
	}
	if definition.Target == nil {
		return nil, nil
	}
	return definition.Target.Permissions, nil
}
