package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/user"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
)

var _ provider.Checker = (*cloneProvider)(nil)

// Check looks at all that a clone needs. It goes as far as making the overlays,
// which it takes away again: nothing else proves that they can be made.
func (p *cloneProvider) Check(ctx context.Context, label string, section *hocon.Value) []provider.Result {
	made, err := p.Instance(label, section)
	if err != nil {
		return []provider.Result{{Name: "configuration", Err: err}}
	}
	d := &diagnosis{instance: made.(*instance)}
	d.run(ctx)
	return d.findings
}

// diagnosis is the check of one host.
type diagnosis struct {
	*instance
	findings []provider.Result
}

// warn notes what works, but may fail.
func (d *diagnosis) warn(link, warning string) {
	d.findings = append(d.findings, provider.Result{Name: link, Warning: warning})
}

// report notes what came of a link, and says whether it holds. What libvirt
// forbids is not the fault of the link that it was found at.
func (d *diagnosis) report(link, seen string, err error) bool {
	if virt.IsCode(err, libvirt.ERR_OPERATION_DENIED, libvirt.ERR_ACCESS_DENIED) {
		link, err = "permissions", fmt.Errorf("%w: libvirt lets this account only look: connect to the socket that is for reading and writing, and have polkit, or libvirt's access control, grant it the management of domains, volumes and networks", err)
	}
	d.findings = append(d.findings, provider.Result{Name: link, Detail: seen, Err: err})
	return err == nil
}

func (d *diagnosis) run(ctx context.Context) {
	on, err := d.connect(ctx)
	if !d.report("connection", virt.RedactURL(d.config.URL), err) {
		return
	}
	defer d.disconnect()
	if d.isLocal() {
		seen, err := checkKVM(kvmDevice, qemuUser(d.config.URL))
		d.report("/dev/kvm", seen, err)
	}
	base, err := virt.ReadBase(on.Conn, d.config.URL, d.config.BaseDomain)
	if !d.report("base domain", d.config.BaseDomain+" is shut off", err) {
		return
	}
	known, err := domainxml.ReadBridges(on.Conn)
	if err != nil {
		d.report("network", "", err)
		return
	}
	c, err := domainxml.PlanClone(base, domainxml.Options{Label: d.label, Network: d.config.Network, Bridges: known, Cache: d.config.Cache})
	if err != nil {
		link := "disks"
		if strings.Contains(err.Error(), "interface") {
			link = "network"
		}
		d.report(link, "", err)
		return
	}
	if len(d.config.FSMapping) > 0 {
		err := errors.Join(d.folders.Plan(ctx, on.Conn, c), d.undo.Run(ctx, on.Conn))
		d.report("folders", fmt.Sprintf("%d of fsMapping", len(d.folders.Mappings)), err)
	}
	c.AddMetadata(owner.NewMetadata(c.Name, base.Name, d.label, d.config.OwnerLease).XML())
	d.checkDisks(ctx, on.Conn, c, base.Name)
	d.checkNetwork(ctx, on.Conn, c, known)
	d.checkClientIDs(c)
	d.checkLookup(ctx, on.Conn, c)
	d.checkReach(ctx, on.Conn, c.Network)
}

// isLocal says whether the hypervisor is this machine's own.
func (d *diagnosis) isLocal() bool {
	gateway, err := d.gatewayTarget()
	return err == nil && gateway == nil && strings.HasPrefix(d.config.URL, "qemu")
}

const mendDisk = "check that the file is there, and that libvirtd and the user that QEMU runs as may read it"

// checkDisks makes the overlays and takes them away again.
func (d *diagnosis) checkDisks(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone, base string) {
	if err := storage.LocateOverlays(conn, c, base, d.config.OverlayPool); err != nil {
		if strings.Contains(strings.ToLower(err.Error()), "pool") {
			d.report("pool", "", err)
			return
		}
		d.report("disks", "", fmt.Errorf("%w: %s", err, mendDisk))
		return
	}
	var pools []string
	var u storage.Undo
	for n := range c.Overlays {
		o := &c.Overlays[n]
		if err := storage.CreateOverlay(conn, &u, o); err != nil {
			d.report("disks", "", errors.Join(fmt.Errorf("disk %s: %w: %s", o.Target, err, mendDisk), u.Run(ctx, conn)))
			return
		}
		if !slices.Contains(pools, o.Pool) {
			pools = append(pools, o.Pool)
		}
	}
	err := u.Run(ctx, conn)
	if d.report("disks", fmt.Sprintf("%d, each with an overlay that can be made", len(c.Overlays)), err) {
		d.report("pool", strings.Join(pools, ", "), nil)
		d.report("permissions", "this account may make and remove volumes", nil)
	}
}

// checkLookup tries what the strategies ask, with a MAC address that nobody has.
func (d *diagnosis) checkLookup(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) {
	find, err := d.strategy(conn, c)
	if err != nil {
		d.report("look-up", "", err)
		return
	}
	if by, ok := find.(strategy.SSH); ok {
		d.checkLookupHost(ctx, by, c.MAC)
		return
	}
	auto, isRace := find.(strategy.Auto)
	if isRace && d.config.SSH.Command != "" {
		if by, ok := auto.Strategies[0].(strategy.SSH); ok {
			d.checkLookupHost(ctx, by, c.MAC)
		}
	}
	switch d.config.Lookup {
	case lookupARP:
		n := address.NewNeighbours(conn, d.newAddressCheck(conn, c), 0)
		n.ByCommand = true
		if _, err = n.Table(ctx, c.MAC); err != nil {
			err = fmt.Errorf("%w: have that machine let you run %s", err, address.NeighbourCommand)
		}
	case lookupStatic:
		err = d.checkClaim(conn)
	}
	d.report("look-up", fmt.Sprint(find), err)
}

// checkLookupHost logs in and runs the command once.
func (d *diagnosis) checkLookupHost(ctx context.Context, by strategy.SSH, mac net.HardwareAddr) {
	ctx, cancel := context.WithTimeout(ctx, by.Timeout)
	defer cancel()
	client, err := ssh.Dial(ctx, by.Target, by.Options)
	if err != nil {
		err = fmt.Errorf("%w: check SSH.url, and that this works: ssh %s", err, by.Target.Host)
	}
	if !d.report("look-up host", by.Target.String(), err) {
		return
	}
	defer client.Close()
	d.report("look-up command", by.Command, checkCommand(ctx, client, by.Command, mac))
}

// checkCommand runs a look-up command for an interface that there is not: it
// should have nothing to say.
func checkCommand(ctx context.Context, client *ssh.Client, command string, mac net.HardwareAddr) error {
	result, err := client.Run(ctx, strings.ReplaceAll(command, strategy.MACPlaceholder, mac.String()))
	if err != nil {
		return fmt.Errorf("running SSH.command: %w", err)
	}
	if complaint := strings.TrimSpace(result.Stderr); complaint != "" {
		return fmt.Errorf("SSH.command complains on %s: %q: correct the command, or let its user do what it does", client, complaint)
	}
	if printed := strings.TrimSpace(result.Stdout); printed != "" {
		return fmt.Errorf("SSH.command prints %q for %s, which nobody has: have it look for {0}", printed, mac)
	}
	return nil
}

// checkClaim says who has the static address.
func (d *diagnosis) checkClaim(conn *libvirt.Connect) error {
	lock := newAddressLock(d.label, d.config.Static.IP)
	holder, err := lock.holder(conn)
	if err == nil && holder != nil {
		err = fmt.Errorf("%w: wait until it is done, or remove it (overcast gc)", &AddressInUseError{Address: lock.address, Holder: holder.String(), Since: holder.since})
	}
	return err
}

// kvmDevice is how QEMU asks the kernel for hardware virtualisation.
const kvmDevice = "/dev/kvm"

// checkKVM knows a trap: where the device exists, but the user that QEMU runs
// as may not open it, libvirtd asks QEMU anew for what it can do in every call,
// and each define and start takes five seconds and more.
func checkKVM(device, account string) (seen string, err error) {
	info, err := os.Stat(device)
	if errors.Is(err, os.ErrNotExist) {
		return "there is none: guests are emulated, which is slow", nil
	}
	if err != nil {
		return "", err
	}
	who, err := user.Lookup(account)
	if err != nil {
		return "QEMU runs as " + account + ", which this machine does not know", nil
	}
	if mayOpen(info, who) {
		return account + " may open it", nil
	}
	return "", fmt.Errorf("%s exists, but %s, which QEMU runs as, may not open it: libvirtd then takes five seconds and more for each define and start: chgrp kvm %[1]s; chmod 660 %[1]s; usermod -aG kvm %[2]s", device, account)
}

// mayOpen says whether a file's mode lets an account read and write it.
func mayOpen(info os.FileInfo, who *user.User) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || who.Uid == "0" {
		return true
	}
	groups, _ := who.GroupIds() // none known is no group
	switch mode := info.Mode().Perm(); {
	case who.Uid == strconv.Itoa(int(stat.Uid)):
		return mode&0o600 == 0o600
	case slices.Contains(groups, strconv.Itoa(int(stat.Gid))):
		return mode&0o060 == 0o060
	default:
		return mode&0o006 == 0o006
	}
}

var qemuUserSetting = regexp.MustCompile(`(?m)^\s*user\s*=\s*"\+?([^"]+)"`)

// qemuUser is the account that QEMU runs as: a session's runs as whoever asks,
// the system's as libvirt's configuration says, or else as distributions have it.
func qemuUser(hypervisor string) string {
	if at, err := url.Parse(hypervisor); err == nil && at.Path == "/session" {
		if me, err := user.Current(); err == nil {
			return me.Username
		}
	}
	if text, err := os.ReadFile(path.Join("/etc/libvirt", "qemu.conf")); err == nil {
		if found := qemuUserSetting.FindSubmatch(text); found != nil {
			return string(found[1])
		}
	}
	for _, name := range []string{"libvirt-qemu", "qemu"} {
		if _, err := user.Lookup(name); err == nil {
			return name
		}
	}
	return "root"
}
