//go:build linux

package main

import (
	"bytes"
	"embed"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed files
var files embed.FS

//go:embed files/overcast.conf
var labConf []byte

// Addresses of the lab's networks. They exist in its network namespace only.
const (
	staticAddress = "192.168.122.50" // of guests of lab-static, on my_nat_network
	bridgeName    = "br0"
	bridgeAddress = "192.168.124.1" // of linux-box on br0
	natNetwork    = "my_nat_network"
	routedNetwork = "my_routed_network"
	byMACNetwork  = "lab-by-mac" // 192.168.125.0/24; only where there are Debian guests
)

const (
	imageDir = "/var/lib/libvirt/images"
	bootDir  = "/var/lib/libvirt/boot"
)

// baseDomain is one shut-off domain that suites clone.
type baseDomain struct {
	Name     string
	Cmdline  string   // added to the kernel's
	Networks []string // that it has an interface on
	Bridges  []string // likewise
	Disks    []baseDisk
	Agent    bool // it has a channel for the guest agent, which then runs
}

type baseDisk struct{ Target, File, Format string }

var baseDomains = []baseDomain{
	{Name: "my_base_domain", Networks: []string{natNetwork, routedNetwork}, Bridges: []string{bridgeName}, Disks: []baseDisk{{"vda", "my_base_domain.qcow2", "qcow2"}}},
	{Name: "lab-static", Cmdline: "lab.ip=" + staticAddress + "/24,192.168.122.1", Networks: []string{natNetwork}, Disks: []baseDisk{{"vda", "lab-static.qcow2", "qcow2"}}},
	{Name: "lab-two-disks", Networks: []string{natNetwork}, Disks: []baseDisk{{"vda", "lab-two-disks.qcow2", "qcow2"}, {"vdb", "lab-two-disks-data.img", "raw"}}},
	{Name: "lab-agent", Networks: []string{natNetwork}, Disks: []baseDisk{{"vda", "lab-agent.qcow2", "qcow2"}}, Agent: true},
}

// hypervisor is the lab's libvirt.
type hypervisor struct{ settings settings }

func (h *hypervisor) keyPath() string { return filepath.Join(labDir, "id_ed25519") }

// copyImages gives every base domain disks of its own.
func (h *hypervisor) copyImages() error {
	for _, dir := range []string{imageDir, bootDir} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return err
		}
	}
	copies := []struct {
		to, from string
		mode     os.FileMode
	}{
		{bootDir + "/vmlinux", h.settings.Image.Kernel, 0o644},
		{bootDir + "/initrd", h.settings.Image.Initrd, 0o644},
		{h.keyPath(), h.settings.Image.Key, 0o600},
		{h.keyPath() + ".pub", h.settings.Image.Key + ".pub", 0o644},
	}
	for _, c := range copies {
		if err := copyFile(c.to, c.from, c.mode); err != nil {
			return err
		}
	}
	for _, domain := range baseDomains {
		for i, disk := range domain.Disks {
			path := filepath.Join(imageDir, disk.File)
			var err error
			if i == 0 {
				err = copyFile(path, h.settings.Image.Root, 0o600)
			} else {
				err = tool("qemu-img", "create", "-q", "-f", disk.Format, path, "16M")
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// start starts virtlogd and libvirtd and waits until libvirt answers.
func (h *hypervisor) start() error {
	for _, name := range []string{"libvirtd.conf", "virtlogd.conf", "qemu.conf"} {
		text, err := files.ReadFile("files/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join("/etc/libvirt", name), text, 0o600); err != nil {
			return err
		}
	}
	for _, d := range []struct{ name, socket string }{
		{"virtlogd", "/run/libvirt/virtlogd-sock"},
		{"libvirtd", "/run/libvirt/libvirt-sock"},
	} {
		cmd, err := daemon(d.name)
		if err != nil {
			return err
		}
		if err := await(cmd, "unix", d.socket); err != nil {
			return err
		}
	}
	return nil
}

func (h *hypervisor) defineNetworks() error {
	if err := tool("ip", "link", "add", bridgeName, "type", "bridge", "stp_state", "0", "forward_delay", "0"); err != nil {
		return err
	}
	if err := tool("ip", "address", "add", bridgeAddress+"/24", "dev", bridgeName); err != nil {
		return err
	}
	if err := tool("ip", "link", "set", bridgeName, "up"); err != nil {
		return err
	}
	names := []string{natNetwork, routedNetwork}
	if h.settings.Debian != "" {
		names = append(names, byMACNetwork)
	}
	for _, name := range names {
		text, err := files.ReadFile("files/" + name + ".xml")
		if err != nil {
			return err
		}
		if err := define("net-define", string(text), "net-start", name); err != nil {
			return err
		}
	}
	return nil
}

func (h *hypervisor) defineDomains() error {
	pool := "<pool type='dir'><name>default</name><target><path>" + imageDir + "</path></target></pool>"
	if err := define("pool-define", pool, "pool-start", "default"); err != nil {
		return err
	}
	tmpl, err := template.ParseFS(files, "files/domain.xml.tmpl")
	if err != nil {
		return err
	}
	for _, domain := range baseDomains {
		var text bytes.Buffer
		err := tmpl.Execute(&text, map[string]any{"Domain": domain, "KVM": h.settings.Accel == kvm, "ImageDir": imageDir, "BootDir": bootDir})
		if err != nil {
			return err
		}
		if err := define("define", text.String()); err != nil {
			return err
		}
	}
	return h.defineDebian()
}

// define hands a definition to virsh, and then one more command, if any.
func define(verb, xml string, then ...string) error {
	f, err := os.CreateTemp(labDir+"/tmp", "define-*.xml")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.WriteString(xml); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	command := verb + " " + f.Name()
	if len(then) > 0 {
		command += "; " + strings.Join(then, " ")
	}
	return tool("virsh", "-q", "-c", "qemu:///system", command)
}

func copyFile(to, from string, mode os.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

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
	if h.settings.Debian == "" {
		return nil
	}
	tmpl, err := template.ParseFS(files, "files/debian.xml.tmpl")
	if err != nil {
		return err
	}
	for _, domain := range debianDomains {
		if err := copyFile(domain.disk(), h.settings.Debian, 0o600); err != nil {
			return err
		}
		var text bytes.Buffer
		err := tmpl.Execute(&text, map[string]any{"Domain": domain, "Disk": domain.disk(), "Network": natNetwork, "KVM": h.settings.Accel == kvm})
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
