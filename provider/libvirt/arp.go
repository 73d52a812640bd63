package libvirt

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/overcast-go/overcast/internal/ssh"
	"github.com/overcast-go/overcast/strategy"
	"libvirt.org/go/libvirt"
)

// neighbours is the hypervisor's table of whom it has heard of on its networks.
type neighbours struct {
	conn    *libvirt.Connect
	domain  string
	gateway func() (*ssh.Target, error) // how to log in to the hypervisor's machine; nil if that is this one

	byCommand bool        // libvirt cannot read the table
	byLibvirt bool        // its word counts: it reads all, or the command cannot be run
	inPart    bool        // it is known to be one that may read a part
	client    *ssh.Client // that the command is run over
}

var _ strategy.Source = (*neighbours)(nil)

func (n *neighbours) String() string { return "the hypervisor's neighbour table" }

// wholeTables is the version of libvirt from which on it reads the table whole.
// Before, it fails at that of kernels from 6.9 on, or takes its first part for
// all of it.
const wholeTables = 10_003_000

// Addresses are those that the hypervisor's kernel has seen the interface with.
func (n *neighbours) Addresses(ctx context.Context, mac net.HardwareAddr) ([]netip.Addr, error) {
	if !n.byCommand {
		found, err := interfaceAddresses(ctx, n.conn, n.domain, mac, libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_ARP)
		switch {
		case isCode(err, libvirt.ERR_NO_DOMAIN, libvirt.ERR_OPERATION_INVALID):
			return nil, strategy.NotYet("%v", err)
		case isCode(err, libvirt.ERR_INTERNAL_ERROR, libvirt.ERR_NO_SUPPORT):
			n.byCommand = true
		case err != nil || len(found) > 0 || n.byLibvirt:
			return found, err
		default:
			return n.look(ctx, mac), nil
		}
	}
	table, err := n.read(ctx)
	if err != nil {
		return nil, err
	}
	return neighboursOf(table, mac), nil
}

// look is for an interface that libvirt does not find in the table: it may have
// read a part of it. Where the command cannot be run, its word counts.
func (n *neighbours) look(ctx context.Context, mac net.HardwareAddr) []netip.Addr {
	if !n.inPart {
		version, err := n.conn.GetLibVersion()
		n.inPart = err == nil && version < wholeTables
		if n.byLibvirt = !n.inPart; n.byLibvirt {
			return nil
		}
	}
	table, err := n.read(ctx)
	if err != nil {
		n.byLibvirt = ctx.Err() == nil
		return nil
	}
	return neighboursOf(table, mac)
}

// neighbourCommand prints the table.
const neighbourCommand = "ip neighbour"

// read has the hypervisor's machine print its table.
func (n *neighbours) read(ctx context.Context) (string, error) {
	target, err := n.gateway()
	if err != nil {
		return "", err
	}
	if target == nil {
		words := strings.Fields(neighbourCommand)
		out, err := exec.CommandContext(ctx, words[0], words[1:]...).Output()
		if err != nil {
			return "", fmt.Errorf("reading the neighbour table: %s: %w", neighbourCommand, err)
		}
		return string(out), nil
	}
	if n.client == nil {
		client, err := ssh.Dial(ctx, *target, nil)
		if err != nil {
			return "", fmt.Errorf("reading the neighbour table: %w", err)
		}
		context.AfterFunc(ctx, func() { client.Close() }) // ctx is that of the whole search
		n.client = client
	}
	result, err := n.client.Run(ctx, neighbourCommand)
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("it exited with %d: %s", result.ExitCode, strings.TrimSpace(result.Stderr))
	}
	if err != nil {
		return "", fmt.Errorf("reading the neighbour table: %s on %s: %w", neighbourCommand, target.Host, err)
	}
	return result.Stdout, nil
}

// neighboursOf reads lines as
//
//	192.168.122.195 dev virbr0 lladdr 52:54:00:7a:29:db REACHABLE
//
// Neighbours that do not answer have no lladdr, or the word FAILED at the end.
func neighboursOf(table string, mac net.HardwareAddr) []netip.Addr {
	var found []netip.Addr
	for line := range strings.Lines(table) {
		words := strings.Fields(line)
		for n, word := range words {
			if word != "lladdr" || n+1 >= len(words) || !strings.EqualFold(words[n+1], mac.String()) || words[len(words)-1] == "FAILED" {
				continue
			}
			if addr, err := netip.ParseAddr(words[0]); err == nil {
				found = append(found, addr)
			}
		}
	}
	return found
}
