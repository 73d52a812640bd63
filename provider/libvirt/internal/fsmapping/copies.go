package fsmapping

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/shell"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/provider/libvirt/internal/gc"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
)

// copyAgeLimit is the age, since its last change, below which a copy is not removed if
// its owner cannot be seen.
const copyAgeLimit = 24 * time.Hour

// Copies are the copies of folders on a hypervisor's machine.
type Copies struct {
	Client *sshclient.Client       // on that machine
	Conn   *libvirt.Connect        // to that hypervisor
	Gone   func(clone string) bool // the domain of a clone counts as removed; may be nil
}

// listCopiesScript prints owner and change time of the copies of the login user.
const listCopiesScript = `cd "$1" && for f in ` + owner.NamePrefix + `*-fs*; do
	[ -d "$f" ] && [ ! -h "$f" ] && [ "$(stat -c %u "$f")" = "$(id -u)" ] && stat -c "%Z %n" "$f"
done; true`

// List lists the copies, and why Collect keeps them. A machine without a shell has none.
func (c Copies) List(ctx context.Context) ([]gc.Resource, error) {
	result, err := c.Client.Run(ctx, shell.Script(listCopiesScript, copiesDir))
	if err != nil {
		return nil, fmt.Errorf("listing copied folders: %w", err)
	}
	var found []gc.Resource
	for line := range strings.Lines(result.Stdout) {
		made, changed, ok := parseCopy(strings.TrimSpace(line))
		if !ok {
			continue
		}
		exists, err := c.exists(made.Clone)
		if err != nil {
			return found, err
		}
		found = append(found, judgeCopy(strings.Fields(line)[1], made, changed, time.Now(), exists))
	}
	return found, nil
}

// parseCopy parses a line of listCopiesScript. The names of other folders are ignored.
func parseCopy(line string) (made owner.Name, changed time.Time, ok bool) {
	stamp, name, _ := strings.Cut(line, " ")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return owner.Name{}, time.Time{}, false
	}
	made, ok = owner.ParseName(name)
	return made, time.Unix(seconds, 0), ok && strings.HasPrefix(strings.TrimPrefix(name, made.Clone), "-fs")
}

func judgeCopy(name string, made owner.Name, changed, now time.Time, hasDomain bool) gc.Resource {
	is := made.Process.State(owner.Self())
	r := gc.Resource{Kind: gc.KindFolder, Name: path.Join(copiesDir, name), Label: made.Label, Created: changed, Owner: fmt.Sprintf("process %d", made.Process.PID), OwnerState: is.String()}
	switch {
	case is == owner.Alive:
		r.SkipReason = "its owner is alive"
	case hasDomain:
		r.SkipReason = "its clone exists"
	case is == owner.Unknown && now.Sub(changed) < copyAgeLimit:
		r.SkipReason = fmt.Sprintf("its owner may be alive: changed within the last %v", copyAgeLimit)
	}
	return r
}

// exists reports whether a clone exists, such as one that was kept.
func (c Copies) exists(clone string) (bool, error) {
	domain, err := c.Conn.LookupDomainByName(clone)
	if virt.IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking up domain %s: %w", clone, virt.StripCodes(err))
	}
	_ = domain.Free()
	return c.Gone == nil || !c.Gone(clone), nil
}

// Collect removes the copies whose owners have ended and whose clones no longer exist.
// It returns what it removed, or would remove with DryRun, also with an error.
func (c Copies) Collect(ctx context.Context, options gc.Options) ([]gc.Resource, error) {
	found, err := c.List(ctx)
	errs := []error{err}
	var removed []gc.Resource
	for _, r := range found {
		if !options.Removes(r) {
			continue
		}
		if !options.DryRun {
			if err := removeCopy(ctx, c.Client, r.Name); err != nil {
				errs = append(errs, fmt.Errorf("removing %s: %w", r.Name, err))
				continue
			}
		}
		removed = append(removed, r)
	}
	return removed, errors.Join(errs...)
}

// removeCopy removes a copy, also with folders in it that are not writable. A copy
// that does not exist is not an error.
func removeCopy(ctx context.Context, client *sshclient.Client, dir string) error {
	quoted := shell.Quote(dir)
	return must(client.Run(ctx, fmt.Sprintf("[ ! -e %s ] || { find %[1]s -type d ! -perm -700 -exec chmod u+rwx {} \\; ; rm -rf %[1]s; }", quoted)))
}
