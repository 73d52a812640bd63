package snapshot

import (
	"errors"
	"fmt"
	"slices"

	"libvirt.org/go/libvirt"
)

// node is a node of QEMU's block layer.
type node struct {
	Name     string `json:"node-name"`
	Driver   string `json:"drv"`
	ReadOnly bool   `json:"ro"`
	Image    struct {
		Snapshots []struct {
			Name string `json:"name"`
		} `json:"snapshots"`
	} `json:"image"`
}

func (n *node) has(snapshot string) bool {
	for _, s := range n.Image.Snapshots {
		if s.Name == snapshot {
			return true
		}
	}
	return false
}

// Disks are the writable disks of a domain, with the snapshots that they had when they
// were read.
type Disks []node

// ReadDisks reads the writable disks of a domain. A clone's writable disks are overlays,
// whose format is qcow2. Backing files are read-only, and UEFI variables have the format
// raw: they are part of the memory state.
func ReadDisks(domain *libvirt.Domain) (Disks, error) {
	var nodes []node
	if err := execute(domain, "query-named-block-nodes", map[string]any{"flat": true}, &nodes); err != nil {
		return nil, fmt.Errorf("listing the disks: %w", err)
	}
	return writable(nodes)
}

func writable(nodes []node) (Disks, error) {
	nodes = slices.DeleteFunc(nodes, func(n node) bool { return n.ReadOnly || n.Driver != "qcow2" })
	if len(nodes) == 0 {
		return nil, errors.New("the domain has no writable disk to save its state in")
	}
	return nodes, nil
}

func (d Disks) names() (all []string) {
	for _, n := range d {
		all = append(all, n.Name)
	}
	return all
}

// Have reports whether each disk has a snapshot.
func (d Disks) Have(snapshot string) bool {
	return !slices.ContainsFunc(d, func(n node) bool { return !n.has(snapshot) })
}
