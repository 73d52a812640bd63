package fsmapping

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/ssh"
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
	remote bool         // the hypervisor is another machine, as far as the URL says
	as     *qemuAccount // nil if it is not known
	clone  string       // name of the clone
	checks int          // pools created so far
}

func newPathChecker(conn *libvirt.Connect, url string, gateway func() (*ssh.Target, error), c *domainxml.Clone) (*pathChecker, error) {
	target, err := gateway()
	p := &pathChecker{conn: conn, url: url, remote: target != nil || err != nil, clone: c.Name}
	if p.as, err = readQEMUAccount(conn, c.Definition); err == nil && !p.remote {
		p.as.findGroups()
	}
	return p, err
}

// check checks that the clone can have a folder.
func (p *pathChecker) check(ctx context.Context, u *storage.Undo, m *mapping) error {
	as := p.as
	if m.Driver == mount.VirtioFS {
		as = nil // its daemon runs as root
	}
	if p.remote {
		return p.checkThere(ctx, u, m.HostPath, as)
	}
	if err := p.checkHere(m.HostPath); err != nil {
		return err
	}
	return as.mayRead(m.HostPath)
}

// checkSource checks that a folder of this machine can be copied.
func (p *pathChecker) checkSource(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist on this machine, from which sync = true copies it", dir)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	}
	return nil
}

// checkHere checks a folder of this machine.
func (p *pathChecker) checkHere(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s does not exist on this machine, the hypervisor's machine (%s)", dir, virt.RedactURL(p.url))
	case errors.Is(err, fs.ErrPermission):
		return nil // QEMU may see what this process may not
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", dir)
	}
	return nil
}

// qemuAccount is who QEMU runs as on the hypervisor's machine.
type qemuAccount struct {
	uid, gid uint32
	groups   []uint32 // beside gid, as far as they are known
}

// readQEMUAccount reads it from the domain's own security label, or from what
// libvirt gives to all domains. It is nil where neither says, as in a user's
// own session, whose QEMU is that user's.
func readQEMUAccount(conn *libvirt.Connect, d *libvirtxml.Domain) (*qemuAccount, error) {
	for _, label := range d.SecLabel {
		if label.Model == "dac" && label.Label != "" {
			return parseQEMUAccount(label.Label), nil
		}
	}
	text, err := conn.GetCapabilities()
	if err != nil {
		return nil, fmt.Errorf("asking who QEMU runs as: %w", virt.StripCodes(err))
	}
	var told libvirtxml.Caps
	if err := told.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("asking who QEMU runs as: %w", err)
	}
	for _, model := range told.Host.SecModel {
		if model.Name != "dac" {
			continue
		}
		for _, label := range model.Labels {
			if label.Type == d.Type {
				return parseQEMUAccount(label.Value), nil
			}
		}
	}
	return nil, nil
}

// parseQEMUAccount reads a label as +64055:+64055. It is nil for one that is
// written in any other way.
func parseQEMUAccount(label string) *qemuAccount {
	userPart, groupPart, _ := strings.Cut(label, ":")
	uid, errUID := strconv.ParseUint(strings.TrimPrefix(userPart, "+"), 10, 32)
	gid, errGID := strconv.ParseUint(strings.TrimPrefix(groupPart, "+"), 10, 32)
	if errUID != nil || errGID != nil {
		return nil
	}
	return &qemuAccount{uid: uint32(uid), gid: uint32(gid)}
}

// findGroups finds the groups that the user is in on this machine.
func (q *qemuAccount) findGroups() {
	if q == nil {
		return
	}
	account, err := user.LookupId(strconv.Itoa(int(q.uid)))
	if err != nil {
		return
	}
	ids, _ := account.GroupIds()
	for _, id := range ids {
		if gid, err := strconv.ParseUint(id, 10, 32); err == nil {
			q.groups = append(q.groups, uint32(gid))
		}
	}
}

// name is for messages.
func (q *qemuAccount) name() string {
	if account, err := user.LookupId(strconv.Itoa(int(q.uid))); err == nil {
		return account.Username
	}
	return fmt.Sprintf("number %d", q.uid)
}

// mayRead says why QEMU could not read a folder of this machine: it must be
// able to look into it, and to pass through all those above.
func (q *qemuAccount) mayRead(dir string) error {
	if q == nil {
		return nil
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil // QEMU may see what this process may not
	}
	for _, folder := range pathTo(dir) {
		wanted, how := uint32(1), "passed through"
		if folder == dir {
			wanted, how = 5, "read"
		}
		var stat unix.Stat_t
		if err := unix.Stat(folder, &stat); err != nil || hasACL(folder) {
			continue
		}
		if !q.may(wanted, uint32(stat.Mode), stat.Uid, stat.Gid) {
			return fmt.Errorf("%s cannot be %s by user %s, as whom QEMU runs (it has mode %04o, and belongs to user %d, group %d): chmod o+%s %[1]s, or setfacl -m u:%[3]s:%[7]s %[1]s",
				folder, how, q.name(), stat.Mode&0o7777, stat.Uid, stat.Gid, map[uint32]string{1: "x", 5: "rx"}[wanted])
		}
	}
	return nil
}

// pathTo are all folders from the root to dir.
func pathTo(dir string) []string {
	folders := []string{dir}
	for dir != path.Dir(dir) {
		dir = path.Dir(dir)
		folders = append(folders, dir)
	}
	slices.Reverse(folders)
	return folders
}

// may says whether a mode gives the rights that are wanted.
func (q *qemuAccount) may(wanted, mode, uid, gid uint32) bool {
	switch {
	case q.uid == 0:
		return true
	case q.uid == uid:
		mode >>= 6
	case q.gid == gid || slices.Contains(q.groups, gid):
		mode >>= 3
	}
	return mode&wanted == wanted
}

// hasACL says whether a folder has rights that its mode does not tell of.
func hasACL(folder string) bool {
	_, err := unix.Getxattr(folder, "system.posix_acl_access", nil)
	return err == nil
}

// lookLimit bounds the look at a folder of another machine: the pool that it
// takes has to wait for that of another process.
const lookLimit = 30 * time.Second

// checkThere is for a hypervisor on another machine. libvirt has no call that
// looks at a folder: a pool is made over it for a moment, which tells, too, what
// its mode is. What is above it cannot be seen.
func (p *pathChecker) checkThere(ctx context.Context, u *storage.Undo, dir string, as *qemuAccount) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lookLimit, fmt.Errorf("%v are over", lookLimit))
	defer cancel()
	is, err := p.poolOver(ctx, u, dir)
	switch text := fmt.Sprint(err); {
	case err == nil:
	case storage.IsMissingFolder(err):
		return fmt.Errorf("%s does not exist on the machine of the hypervisor (%s), where it is looked for%s", dir, virt.RedactURL(p.url), offerSync(dir))
	case strings.Contains(text, "Not a directory"):
		return fmt.Errorf("%s on the machine of the hypervisor (%s) is not a folder", dir, virt.RedactURL(p.url))
	case virt.IsCode(err, libvirt.ERR_NO_SUPPORT):
		return nil // QEMU tells
	default:
		return fmt.Errorf("looking for %s on the machine of the hypervisor (%s): %w", dir, virt.RedactURL(p.url), virt.StripCodes(err))
	}
	if as == nil || is == nil || as.uid == 0 {
		return nil
	}
	mode, errMode := strconv.ParseUint(is.Mode, 8, 32)
	owner, errOwner := strconv.ParseUint(is.Owner, 10, 32)
	if errMode != nil || errOwner != nil {
		return nil
	}
	// Which groups it is in over there is not known: it may be in this one.
	perhaps := as.uid != uint32(owner) && mode>>3&5 == 5
	if perhaps || as.may(5, uint32(mode), uint32(owner), ^uint32(0)) {
		return nil
	}
	return fmt.Errorf("%s on the machine of the hypervisor (%s) cannot be read by the user as whom QEMU runs there, number %d (it has mode %s, and belongs to user %s, group %s): chmod o+rx it",
		dir, virt.RedactURL(p.url), as.uid, is.Mode, is.Owner, is.Group)
}

// offerSync is for a folder that is not where it is looked for.
func offerSync(dir string) string {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return ": it is on this machine; sync = true copies it over for as long as the clone is there"
	}
	return "; sync = true would copy it over from this machine"
}

// poolOver makes a pool over a folder, unless there is one, and reads its
// permissions, which may be nil.
func (p *pathChecker) poolOver(ctx context.Context, u *storage.Undo, dir string) (*libvirtxml.StoragePoolTargetPermissions, error) {
	dir = path.Clean(dir)
	pools, err := storage.FilePools(p.conn)
	if err != nil {
		return nil, err
	}
	for _, candidate := range pools {
		if candidate.Folder != dir {
			continue
		}
		if pool, err := p.conn.LookupStoragePoolByName(candidate.Name); err == nil {
			defer pool.Free()
			return permissionsOf(pool)
		}
	}
	p.checks++
	made, err := storage.FolderPool(ctx, p.conn, u, fmt.Sprintf("%s-look%d", p.clone, p.checks), dir, 0)
	if err != nil {
		return nil, err
	}
	defer made.Close()
	return permissionsOf(made.Pool)
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
