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

// disks returns the nodes of the domain's writable disks. A clone's writable disks
// are overlays, whose format is qcow2. Backing files are read-only, and UEFI
// variables have the format raw: they are part of the memory state.
func disks(domain *libvirt.Domain) ([]node, error) {
	var nodes []node
	if err := execute(domain, "query-named-block-nodes", map[string]any{"flat": true}, &nodes); err != nil {
		return nil, err
	}
	return writable(nodes)
}

func writable(nodes []node) ([]node, error) {
	nodes = slices.DeleteFunc(nodes, func(n node) bool { return n.ReadOnly || n.Driver != "qcow2" })
	if len(nodes) == 0 {
		return nil, errors.New("the domain has no writable disk to save its state in")
	}
	return nodes, nil
}

func names(nodes []node) (all []string) {
	for _, n := range nodes {
		all = append(all, n.Name)
	}
	return all
}

// Has reports whether each writable disk of a domain has a snapshot.
func Has(domain *libvirt.Domain, snapshot string) (bool, error) {
	nodes, err := disks(domain)
	if err != nil {
		return false, fmt.Errorf("listing the snapshots: %w", err)
	}
	return !slices.ContainsFunc(nodes, func(n node) bool { return !n.has(snapshot) }), nil
}
