package layers

import (
	"encoding/xml"
	"fmt"
	"os"
	"strings"

	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Firmware of a generated domain.
const (
	FirmwareBIOS = "bios"
	FirmwareEFI  = "efi"
)

// Hardware describes the machine of an image.
type Hardware struct {
	Memory    uint64 // bytes
	VCPUs     int
	Network   string // a libvirt network or a bridge
	Firmware  string
	DomainXML string // file with a definition that replaces the generated one; "" without
}

// Disk is the volume that holds an image.
type Disk struct{ Pool, Volume, Format string }

// Host is what a generated definition depends on besides its hardware.
type Host struct {
	Arch    string
	KVM     bool
	Bridges domainxml.Bridges
}

// ReadHost asks a hypervisor.
func ReadHost(conn *libvirt.Connect) (Host, error) {
	found, err := virt.ReadCapabilities(conn)
	if err != nil {
		return Host{}, err
	}
	h := Host{Arch: found.Host.CPU.Arch}
	for _, guest := range found.Guests {
		for _, domain := range guest.Arch.Domains {
			if guest.Arch.Name == h.Arch && domain.Type == "kvm" {
				h.KVM = hasVirtualization(conn, found.Host.CPU)
			}
		}
	}
	h.Bridges, err = domainxml.ReadBridges(conn)
	return h, err
}

// hasVirtualization reports whether the CPU has the extensions that KVM needs.
// The device /dev/kvm can exist without them, and guests then hang.
func hasVirtualization(conn *libvirt.Connect, cpu *libvirtxml.CapsHostCPU) bool {
	if cpu.Arch != "x86_64" {
		return true
	}
	text, err := xml.Marshal(cpu)
	if err != nil {
		return true
	}
	all, err := conn.BaselineCPU([]string{string(text)}, libvirt.CONNECT_BASELINE_CPU_EXPAND_FEATURES)
	if err != nil {
		all = string(text)
	}
	for _, feature := range []string{"vmx", "svm"} {
		if strings.Contains(all, "name='"+feature+"'") || strings.Contains(all, `name="`+feature+`"`) {
			return true
		}
	}
	return false
}

// Definition is that of a shut-off machine with the hardware and the disk. Its
// name and UUID are to be set.
func (h Hardware) Definition(on Host, disk Disk) (*libvirtxml.Domain, error) {
	if h.DomainXML != "" {
		return h.readDefinition(disk)
	}
	domain := &libvirtxml.Domain{
		Type:       "qemu",
		GenID:      &libvirtxml.DomainGenID{},
		Memory:     &libvirtxml.DomainMemory{Value: uint(h.Memory), Unit: "b"},
		VCPU:       &libvirtxml.DomainVCPU{Value: uint(h.VCPUs)},
		CPU:        &libvirtxml.DomainCPU{Mode: "maximum"},
		OS:         &libvirtxml.DomainOS{Type: &libvirtxml.DomainOSType{Arch: on.Arch, Machine: "q35", Type: "hvm"}},
		Features:   &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}},
		Clock:      &libvirtxml.DomainClock{Offset: "utc"},
		OnPoweroff: "destroy", OnReboot: "restart", OnCrash: "destroy",
	}
	if on.KVM {
		domain.Type, domain.CPU.Mode = "kvm", "host-passthrough"
	}
	if on.Arch != "x86_64" {
		domain.OS.Type.Machine = "virt"
	}
	if h.Firmware == FirmwareEFI {
		// An image that is not signed boots only without Secure Boot.
		domain.OS.Firmware = "efi"
		domain.OS.FirmwareInfo = &libvirtxml.DomainOSFirmwareInfo{Features: []libvirtxml.DomainOSFirmwareFeature{{Enabled: "no", Name: "secure-boot"}}}
	}
	domain.Devices = h.devices(on)
	domain.Devices.Disks = []libvirtxml.DomainDisk{{
		Device: "disk",
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: disk.Format, Discard: "unmap"},
		Source: disk.source(),
		Target: &libvirtxml.DomainDiskTarget{Dev: "vda", Bus: "virtio"},
	}}
	return domain, nil
}

func (d Disk) source() *libvirtxml.DomainDiskSource {
	return &libvirtxml.DomainDiskSource{Volume: &libvirtxml.DomainDiskSourceVolume{Pool: d.Pool, Volume: d.Volume}}
}

// devices are the generated ones, without the disk.
func (h Hardware) devices(on Host) *libvirtxml.DomainDeviceList {
	network := &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{}}
	name, group, _ := strings.Cut(h.Network, "/")
	if _, known := on.Bridges[name]; known {
		network.Network.Network, network.Network.PortGroup = name, group
	} else {
		network = &libvirtxml.DomainInterfaceSource{Bridge: &libvirtxml.DomainInterfaceSourceBridge{Bridge: h.Network}}
	}
	port := uint(0)
	return &libvirtxml.DomainDeviceList{
		Interfaces: []libvirtxml.DomainInterface{{Source: network, Model: &libvirtxml.DomainInterfaceModel{Type: "virtio"}}},
		Serials:    []libvirtxml.DomainSerial{{Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}, Target: &libvirtxml.DomainSerialTarget{Port: &port}}},
		Channels: []libvirtxml.DomainChannel{{
			Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{Mode: "bind"}},
			Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: domainxml.AgentChannel}},
		}},
		RNGs:     []libvirtxml.DomainRNG{{Model: "virtio", Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}}}},
		Graphics: []libvirtxml.DomainGraphic{{VNC: &libvirtxml.DomainGraphicVNC{AutoPort: "yes", Listen: "127.0.0.1"}}},
		Videos:   []libvirtxml.DomainVideo{{Model: libvirtxml.DomainVideoModel{Type: "vga"}}},
	}
}

// readDefinition reads the definition of the user. The image replaces its first
// disk.
func (h Hardware) readDefinition(disk Disk) (*libvirtxml.Domain, error) {
	text, err := os.ReadFile(h.DomainXML)
	if err != nil {
		return nil, fmt.Errorf("reading domainXML: %w", err)
	}
	domain := &libvirtxml.Domain{}
	if err := domain.Unmarshal(string(text)); err != nil {
		return nil, fmt.Errorf("reading domainXML: %s is not the definition of a domain: %w", h.DomainXML, err)
	}
	if domain.Devices == nil {
		domain.Devices = &libvirtxml.DomainDeviceList{}
	}
	for n := range domain.Devices.Disks {
		d := &domain.Devices.Disks[n]
		if d.Device != "" && d.Device != "disk" {
			continue
		}
		if d.Driver == nil {
			d.Driver = &libvirtxml.DomainDiskDriver{Name: "qemu"}
		}
		d.Driver.Type, d.Source, d.BackingStore = disk.Format, disk.source(), nil
		return domain, nil
	}
	return nil, fmt.Errorf("reading domainXML: %s has no disk that the image could replace: add <disk device='disk'><target dev='vda' bus='virtio'/></disk>", h.DomainXML)
}
