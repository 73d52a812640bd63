package libvirt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/address"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
)

var _ provider.Checker = (*cloneProvider)(nil)

// Check plans a clone as set-up does and reports each step, and then checks what the
// clone depends on. It creates nothing that lasts.
func (p *cloneProvider) Check(ctx context.Context, label string, section *hocon.Value) []provider.Result {
	made, err := p.Instance(label, section)
	if err != nil {
		return []provider.Result{{Name: "configuration", Err: err}}
	}
	d := &diagnosis{instance: made.(*instance)}
	return d.check(ctx, d.run)
}

// diagnosis is the check of a host.
type diagnosis struct {
	*instance

	mu      sync.Mutex // run may still add results after check has returned
	results []provider.Result
}

// check connects, calls run and returns the results. It returns what there is, and why, if
// libvirt does not answer when ctx or the connection ends.
func (d *diagnosis) check(ctx context.Context, run func(context.Context, *virt.Connection)) []provider.Result {
	const name = "connection"
	on, err := d.connect(ctx)
	if d.report(name, redact.Text(d.config.URL), err) {
		_, err := over(ctx, on, d.disconnect, func(ctx context.Context) (struct{}, error) {
			run(ctx, on)
			return struct{}{}, context.Cause(ctx)
		})
		if err != nil {
			d.report(name, "", err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.results)
}

func (d *diagnosis) add(result provider.Result) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.results = append(d.results, result)
}

// warn adds a warning.
func (d *diagnosis) warn(name, warning string) {
	d.add(provider.Result{Name: name, Warning: warning})
}

// report adds the result of a check and reports whether it succeeded. An operation that
// libvirt forbids is a failure of the check "permissions".
func (d *diagnosis) report(name, detail string, err error) bool {
	if virt.IsCode(err, libvirt.ERR_OPERATION_DENIED, libvirt.ERR_ACCESS_DENIED) {
		name, err = "permissions", fmt.Errorf("%w: this account has read-only access: connect to libvirt's read-write socket, and let polkit or libvirt's access control grant it the management of domains, volumes and networks", err)
	}
	d.add(provider.Result{Name: name, Detail: detail, Err: err})
	return err == nil
}

func (d *diagnosis) run(ctx context.Context, on *virt.Connection) {
	p := &planning{instance: d.instance, on: on}
	if d.config.Image != nil && (!d.checkInput(ctx, p) || !d.checkImage(ctx, p)) {
		return
	}
	ok := d.checkPlan(ctx, p)
	undoing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer cancel()
	if err := d.undo.Run(undoing, on.Conn); err != nil {
		d.report("clean-up", "", err)
	}
	if !ok {
		return
	}
	if d.isLocal() {
		d.checkKVM(p)
	}
	d.checkConsole(p.clone)
	d.checkNetwork(ctx, on.Conn, p.clone)
	d.checkClientIDs(p.clone)
	d.checkLookup(ctx, on.Conn, p.clone)
	d.checkReach(ctx, on.Conn, p.clone.Network)
}

// checkInput checks what a set-up reads on this machine.
func (d *diagnosis) checkInput(ctx context.Context, p *planning) bool {
	ok := true
	for _, step := range inputSteps {
		err := step.take(p, ctx)
		if err != nil || step.detail != nil {
			detail := ""
			if err == nil {
				detail = step.detail(p)
			}
			ok = d.report(step.name, detail, err) && ok
		}
	}
	return ok
}

// checkPlan takes the steps of the plan and reports each. It stops at the first failure.
func (d *diagnosis) checkPlan(ctx context.Context, p *planning) bool {
	for n, step := range planSteps {
		if err := step.take(p, ctx); err != nil {
			return d.report(step.name, "", err)
		}
		if step.detail != nil {
			d.report(step.name, step.detail(p), nil)
		}
		if n == 0 { // libvirt gives the definition with secrets to a read-write connection only
			d.report("permissions", "this account has read-write access", nil)
		}
	}
	for _, use := range p.pools {
		if warning := use.Warning(); warning != "" {
			d.warn("pool", warning)
		}
	}
	return true
}

// isLocal reports whether the hypervisor runs on this machine.
func (d *diagnosis) isLocal() bool {
	gateway, err := d.gatewayTarget()
	return err == nil && gateway == nil && strings.HasPrefix(d.config.URL, "qemu")
}

// checkConsole warns of a base whose console errors cannot show.
func (d *diagnosis) checkConsole(c *domainxml.Clone) {
	if c.HasConsole() {
		d.report("console", "the base domain has one", nil)
		return
	}
	d.warn("console", fmt.Sprintf("base domain %q has no serial console, so errors cannot show the last lines of its boot: add <serial type='pty'/> (virsh edit), and console=ttyS0 to the kernel's command line", d.config.BaseDomain))
}

// checkLookup runs the queries of the strategies, with a MAC address that no machine has.
func (d *diagnosis) checkLookup(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) {
	find, err := d.strategy(ctx, conn, c)
	if err != nil {
		d.report("look-up", "", err)
		return
	}
	if by, ok := find.(strategy.SSH); ok {
		d.checkLookupHost(ctx, by, c.MAC)
		return
	}
	if auto, ok := find.(strategy.Auto); ok {
		d.checkAuto(ctx, auto, c)
	}
	switch d.config.Lookup {
	case lookupARP:
		n := address.NewNeighbours(conn, d.newAddressCheck(conn, c), 0)
		n.ByCommand = true
		if _, err = n.Table(ctx, c.MAC); err != nil {
			err = fmt.Errorf("%w: the account that logs in there needs the permission to run %s", err, address.NeighbourCommand)
		}
	case lookupStatic:
		err = d.checkClaim(conn)
	}
	d.report("look-up", fmt.Sprint(find), err)
}

// checkAuto checks the SSH look-up of the strategy auto, and warns if only ARP is left.
func (d *diagnosis) checkAuto(ctx context.Context, auto strategy.Auto, c *domainxml.Clone) {
	if by, ok := auto.Strategies[0].(strategy.SSH); ok {
		d.checkLookupHost(ctx, by, c.MAC)
	}
	if len(auto.Strategies) == 1 && !d.config.asksSSH() {
		d.warn("look-up", fmt.Sprintf("only ARP requests can find the address: libvirt gives no DHCP leases on %s, and base domain %q has no channel for a guest agent: add a <dhcp> range to the network or a channel to the base domain, or configure SSH.command or static.ip", c.Network, d.config.BaseDomain))
	}
}

// checkLookupHost logs in and runs the command once.
func (d *diagnosis) checkLookupHost(ctx context.Context, by strategy.SSH, mac net.HardwareAddr) {
	ctx, cancel := context.WithTimeout(ctx, by.Timeout)
	defer cancel()
	target, err := sshurl.ParseURL(by.URL)
	if err != nil {
		d.report("look-up host", "", err)
		return
	}
	client, err := sshclient.Dial(ctx, target, nil)
	if err != nil {
		err = fmt.Errorf("%w: check SSH.url, and that this works: ssh %s", err, target.Host)
	}
	if !d.report("look-up host", target.String(), err) {
		return
	}
	defer client.Close()
	d.report("look-up command", by.Command, checkCommand(ctx, client, by.Command, mac))
}

// checkCommand runs a look-up command for an interface that does not exist: it must print
// nothing.
func checkCommand(ctx context.Context, client *sshclient.Client, command string, mac net.HardwareAddr) error {
	result, err := client.Run(ctx, strings.ReplaceAll(command, strategy.MACPlaceholder, mac.String()))
	if err != nil {
		return fmt.Errorf("running SSH.command: %w", err)
	}
	if complaint := strings.TrimSpace(result.Stderr); complaint != "" {
		return fmt.Errorf("SSH.command prints an error on %s: %.500q: correct the command, or the permissions of its user", client, complaint)
	}
	if printed := strings.TrimSpace(result.Stdout); printed != "" {
		return fmt.Errorf("SSH.command prints %.500q for %s, which no machine has: it must search for {0}", printed, mac)
	}
	return nil
}

// checkClaim fails if a domain has the static address.
func (d *diagnosis) checkClaim(conn *libvirt.Connect) error {
	lock := newAddressLock(d.label, d.config.Static.IP)
	holder, err := lock.holder(conn)
	if err == nil && holder != nil {
		err = fmt.Errorf("%w: wait until its process has ended, or remove it (overcast gc)", &AddressInUseError{Address: lock.address, Holder: holder.String(), Since: holder.since})
	}
	return err
}

// kvmDevice is the device through which QEMU uses hardware virtualisation.
const kvmDevice = "/dev/kvm"

func (d *diagnosis) checkKVM(p *planning) {
	account, err := virt.ReadQEMUAccount(p.on.Conn, p.base)
	detail := ""
	if err == nil {
		detail, err = checkKVM(kvmDevice, account)
	}
	d.report(kvmDevice, detail, err)
}

// checkKVM fails if the device exists and QEMU may not open it: libvirtd then probes QEMU's
// capabilities in every call, and each define and start takes five seconds or more.
func checkKVM(device string, account *virt.QEMUAccount) (detail string, err error) {
	info, err := os.Stat(device)
	if errors.Is(err, os.ErrNotExist) {
		return "it does not exist: guests are emulated, which is slow", nil
	}
	if err != nil {
		return "", err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || account.May(virt.ReadWrite, uint32(info.Mode().Perm()), stat.Uid, stat.Gid) {
		return account.Name() + " may open it", nil
	}
	return "", fmt.Errorf("%s exists, but %s, which QEMU runs as, may not open it: libvirtd then takes five seconds and more for each define and start: chgrp kvm %[1]s; chmod 660 %[1]s; usermod -aG kvm %[2]s", device, account.Name())
}

// networkCheck is the name of the checks of the network.
const networkCheck = "network"

// checkNetwork checks the bridge or the DHCP server of the network on which the address is
// looked up.
func (d *diagnosis) checkNetwork(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) {
	switch {
	case c.Network == "":
		d.report(networkCheck, "the base domain has no interface", nil)
		return
	case !c.IsOnLibvirtNetwork():
		d.report(networkCheck, "bridge "+c.Network, d.checkBridge(ctx, c.Network))
		return
	}
	d.checkNetworkNamed(ctx, conn, c.Network)
}

// checkNetworkNamed checks the DHCP server of a libvirt network.
func (d *diagnosis) checkNetworkNamed(ctx context.Context, conn *libvirt.Connect, name string) {
	network, err := conn.LookupNetworkByName(name)
	if err != nil {
		d.report(networkCheck, "", fmt.Errorf("looking up network %s: %w", name, virt.StripCodes(err)))
		return
	}
	defer network.Free()
	d.checkDHCP(ctx, conn, network)
}

// checkDHCP checks the DHCP server of a network and how many addresses are free.
func (d *diagnosis) checkDHCP(ctx context.Context, conn *libvirt.Connect, network *libvirt.Network) {
	definition, err := address.ReadNetwork(network)
	if err != nil {
		d.report(networkCheck, "", err)
		return
	}
	leases, err := address.ReadLeases(conn, definition.Name)
	used := address.DHCPUsage(definition, leases)
	if err != nil || used.Total == 0 {
		d.report(networkCheck, definition.Name+" is active", err)
		if missing := d.missingDHCP(conn, definition.Name); missing != "" {
			d.warn("DHCP", missing)
		}
		return
	}
	gateway := &virt.Gateway{Target: d.gatewayTarget}
	if definition.Bridge != nil {
		err = address.CheckDHCPServer(ctx, gateway, definition.Name, definition.Bridge.Name)
	}
	if d.report(networkCheck, fmt.Sprintf("%s is active, %v", definition.Name, used), err) && used.NearlyFull() {
		d.warn("DHCP range", (&address.RangeFullError{Network: definition.Name, Used: used}).Error())
	}
}

// checkClientIDs warns of a base whose clones send the same DHCP client identifier. It
// sees only clones that this machine has run.
func (d *diagnosis) checkClientIDs(c *domainxml.Clone) {
	const link = "client identifier"
	id, macs := address.SharedClientID(address.ReadClientIDs(c.Base))
	if id == "" {
		return
	}
	d.warn(link, fmt.Sprintf("clones of base domain %q with MAC addresses %s have sent the same DHCP client identifier, %s: clones that run at the same time get one address: %s:\n%s",
		d.config.BaseDomain, strings.Join(macs, " and "), id, address.ClientIDHint, ignoreClientIDs))
}

// ignoreClientIDs is an addition to a libvirt network (virsh net-edit) that makes dnsmasq
// 2.81 and later identify machines by their MAC addresses.
const ignoreClientIDs = `<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'>
  <dnsmasq:options><dnsmasq:option value='dhcp-ignore-clid'/></dnsmasq:options>
</network>`

// checkBridge fails if a bridge does not exist on the hypervisor's machine. libvirt has no
// call for that.
func (d *diagnosis) checkBridge(ctx context.Context, name string) error {
	device := "/sys/class/net/" + name
	missing := fmt.Errorf("there is no bridge %q on the hypervisor's machine: create it (ip link add %[1]s type bridge), or change networkDeviceId and the base domain", name)
	gateway, err := d.gatewayTarget()
	if err != nil {
		return err
	}
	if gateway == nil {
		if _, err := os.Stat(device); err != nil {
			return missing
		}
		return nil
	}
	client, err := sshclient.Dial(ctx, *gateway, nil)
	if err != nil {
		return fmt.Errorf("looking for bridge %s: %w", name, err)
	}
	defer client.Close()
	result, err := client.Run(ctx, "test -e '"+strings.ReplaceAll(device, "'", "")+"'")
	if err == nil && result.ExitCode != 0 {
		err = missing
	}
	return err
}

// checkReach logs in to the hypervisor's machine if hosts may only be reachable through it.
// A login that fails is an error only if the network is not reachable directly.
func (d *diagnosis) checkReach(ctx context.Context, conn *libvirt.Connect, network string) {
	const name = "reach"
	if d.config.Reach == provider.ReachDirect {
		return
	}
	gateway, err := d.gatewayTarget()
	if err != nil {
		d.report(name, "", err)
		return
	}
	if gateway == nil {
		return
	}
	client, err := sshclient.Dial(ctx, *gateway, nil)
	if err == nil {
		d.report(name, fmt.Sprintf("through %v if they cannot be reached directly", gateway), client.Close())
		return
	}
	if d.config.Reach == provider.ReachAuto && !isHidden(conn, network) {
		d.report(name, fmt.Sprintf("directly only: %v", err), nil)
		return
	}
	d.report(name, "", fmt.Errorf("guests of %s are reached through the hypervisor's machine: %w: "+
		"make this work: ssh %s true; or set reach = direct if this machine has a route to them", network, err, gateway.Host))
}

// isHidden reports whether, by its definition, only the hypervisor's machine can reach the
// guests of a network.
func isHidden(conn *libvirt.Connect, name string) bool {
	network, err := conn.LookupNetworkByName(name)
	if err != nil {
		return false
	}
	defer network.Free()
	definition, err := address.ReadNetwork(network)
	if err != nil {
		return false
	}
	return definition.Forward == nil || definition.Forward.Mode == "" || definition.Forward.Mode == "nat"
}
