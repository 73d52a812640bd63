package virt

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// QEMUAccount is the user and group that QEMU runs as on the hypervisor's machine.
type QEMUAccount struct {
	UID, GID uint32
	Groups   []uint32 // supplementary groups, as far as they are known
}

// ReadQEMUAccount reads the account from the domain's security label, or from libvirt's
// default for all domains. It is nil if there is neither, as in a user session, where
// QEMU runs as that user. The supplementary groups are those on this machine.
func ReadQEMUAccount(conn *libvirt.Connect, d *libvirtxml.Domain) (*QEMUAccount, error) {
	for _, label := range d.SecLabel {
		if label.Model == "dac" && label.Label != "" {
			return parseQEMUAccount(label.Label).findGroups(), nil
		}
	}
	caps, err := ReadCapabilities(conn)
	if err != nil {
		return nil, fmt.Errorf("reading the user that QEMU runs as: %w", err)
	}
	for _, model := range caps.Host.SecModel {
		if model.Name != "dac" {
			continue
		}
		for _, label := range model.Labels {
			if label.Type == d.Type {
				return parseQEMUAccount(label.Value).findGroups(), nil
			}
		}
	}
	return nil, nil
}

// parseQEMUAccount parses a label such as +64055:+64055. It returns nil for any other
// form.
func parseQEMUAccount(label string) *QEMUAccount {
	userPart, groupPart, _ := strings.Cut(label, ":")
	uid, errUID := strconv.ParseUint(strings.TrimPrefix(userPart, "+"), 10, 32)
	gid, errGID := strconv.ParseUint(strings.TrimPrefix(groupPart, "+"), 10, 32)
	if errUID != nil || errGID != nil {
		return nil
	}
	return &QEMUAccount{UID: uint32(uid), GID: uint32(gid)}
}

// findGroups finds the supplementary groups of the user on this machine.
func (q *QEMUAccount) findGroups() *QEMUAccount {
	if q == nil {
		return nil
	}
	account, err := user.LookupId(strconv.Itoa(int(q.UID)))
	if err != nil {
		return q
	}
	ids, _ := account.GroupIds()
	for _, id := range ids {
		if gid, err := strconv.ParseUint(id, 10, 32); err == nil {
			q.Groups = append(q.Groups, uint32(gid))
		}
	}
	return q
}

// Name returns the name of the user for messages. nil is the user of this process.
func (q *QEMUAccount) Name() string {
	if q == nil {
		return "this account"
	}
	if account, err := user.LookupId(strconv.Itoa(int(q.UID))); err == nil {
		return account.Username
	}
	return fmt.Sprintf("number %d", q.UID)
}

// Permissions, as in the mode of a file.
const (
	Search     uint32 = 1
	ReadSearch uint32 = 5
	ReadWrite  uint32 = 6
)

// May reports whether a mode grants the wanted permissions on a file of a user and group.
// It is true for nil.
func (q *QEMUAccount) May(wanted, mode, uid, gid uint32) bool {
	switch {
	case q == nil:
		return true
	case q.UID == 0:
		return true
	case q.UID == uid:
		mode >>= 6
	case q.GID == gid || slices.Contains(q.Groups, gid):
		mode >>= 3
	}
	return mode&wanted == wanted
}
