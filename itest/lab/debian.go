//go:build linux

package main

import (
	"bytes"
	"path/filepath"
	"text/template"
)

// debianDomain is one of the base domains that boot the Debian guest's disk.
type debianDomain struct {
	Name   string
	UEFI   bool
	Target string // of the disk
	Bus    string
	NIC    string // model
}

var debianDomains = []debianDomain{
	{Name: "lab-debian", UEFI: true, Target: "vda", Bus: "virtio", NIC: "virtio"},
	{Name: "lab-debian-bios", Target: "sda", Bus: "sata", NIC: "e1000"},
}

func (d debianDomain) disk() string { return filepath.Join(imageDir, d.Name+".qcow2") }

// defineDebian gives each of the Debian domains a disk of its own and defines
// it, if the lab was asked for them.
func (h *hypervisor) defineDebian() error {
	if h.plan.Debian == "" {
		return nil
	}
	tmpl, err := template.ParseFS(files, "files/debian.xml.tmpl")
	if err != nil {
		return err
	}
	for _, domain := range debianDomains {
		if err := copyFile(domain.disk(), h.plan.Debian, 0o600); err != nil {
			return err
		}
		var text bytes.Buffer
		err := tmpl.Execute(&text, map[string]any{"Domain": domain, "Disk": domain.disk(), "Network": natNetwork, "KVM": h.plan.Accel == kvm})
		if err != nil {
			return err
		}
		if err := defineTwice(domain.Name, text.String()); err != nil {
			return err
		}
	}
	return tool("virsh", "-q", "-c", "qemu:///system", "pool-refresh", "default")
}

// defineTwice defines a domain, and again from what libvirt made of it: libvirt
// puts the controllers that it adds in another order when it reads its own
// definition after a restart, and the suite compares definitions.
func defineTwice(name, xml string) error {
	if err := define("define", xml); err != nil {
		return err
	}
	xml, err := toolOutput("virsh", "-q", "-c", "qemu:///system", "dumpxml", "--inactive", name)
	if err != nil {
		return err
	}
	return define("define", xml)
}
