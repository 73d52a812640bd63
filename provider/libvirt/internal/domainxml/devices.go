package domainxml

import (
	"errors"
	"fmt"
	"path"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"libvirt.org/go/libvirtxml"
)

// checkDevices fails if the base has a device that several domains cannot use at the
// same time and that cannot be copied.
func checkDevices(base *libvirtxml.Domain) error {
	if base.Devices == nil {
		return nil
	}
	for n := range base.Devices.Hostdevs {
		return fmt.Errorf("has %s of the hypervisor's machine passed through, which one domain at a time can have: detach it from the base domain", hostdevKind(&base.Devices.Hostdevs[n]))
	}
	for _, fs := range base.Devices.Filesystems {
		if fs.Source != nil && fs.Source.Mount != nil && fs.Source.Mount.Socket != "" {
			return fmt.Errorf("has a file system on a socket of its own (%s), which one domain at a time can have: give it a folder", fs.Source.Mount.Socket)
		}
	}
	for n := range base.Devices.Interfaces {
		if err := checkInterface(&base.Devices.Interfaces[n]); err != nil {
			return err
		}
	}
	for _, tpm := range base.Devices.TPMs {
		if tpm.Backend != nil && tpm.Backend.Emulator == nil {
			return errors.New("has a TPM that is passed through or run by another program, which one domain at a time can have: use an emulated one (<backend type='emulator'/>)")
		}
	}
	for _, card := range base.Devices.Smartcards {
		if card.Host != nil {
			return errors.New("has a smart card reader of the hypervisor's machine passed through: detach it from the base domain")
		}
	}
	for _, memory := range base.Devices.Memorydevs {
		if memory.Source != nil && memory.Source.Path != "" && (memory.Target == nil || memory.Target.ReadOnly == nil) {
			return fmt.Errorf("has a memory device (%s) whose file %s its clones would write to: make it read-only, or detach it from the base domain", memory.Model, memory.Source.Path)
		}
	}
	return nil
}

// hostdevKind names the kind of a device that is passed through.
func hostdevKind(device *libvirtxml.DomainHostdev) string {
	switch {
	case device.SubsysPCI != nil:
		return "a PCI device"
	case device.SubsysUSB != nil:
		return "a USB device"
	case device.SubsysSCSI != nil, device.SubsysSCSIHost != nil:
		return "a SCSI device"
	case device.SubsysMDev != nil:
		return "a mediated device"
	}
	return "a device"
}

// checkInterface fails for an interface that one domain at a time can have.
func checkInterface(i *libvirtxml.DomainInterface) error {
	switch s := i.Source; {
	case len(i.PortForward) > 0:
		return errors.New("has an interface that ports of the hypervisor's machine are forwarded to (<portForward>), which one domain at a time can have: remove them")
	case s == nil:
	case s.Hostdev != nil:
		return errors.New("has a network device of the hypervisor's machine passed through (<interface type='hostdev'>), which one domain at a time can have: attach it to a network or bridge")
	case s.VHostUser != nil:
		return errors.New("has an interface on a socket of its own (<interface type='vhostuser'>), which one domain at a time can have: attach it to a network or bridge")
	case s.VDPA != nil:
		return errors.New("has a vDPA device (<interface type='vdpa'>), which one domain at a time can have: attach it to a network or bridge")
	case s.Server != nil, s.UDP != nil:
		return errors.New("has an interface that listens on a port of its own (<interface type='server'> or 'udp'), which one domain at a time can have: attach it to a network or bridge")
	case s.Direct != nil && s.Direct.Mode == "passthrough":
		return fmt.Errorf("has %s passed through (<source mode='passthrough'>), which one domain at a time can have: use mode='bridge'", s.Direct.Dev)
	case s.Ethernet != nil && i.Target != nil && i.Target.Managed == "no":
		return fmt.Errorf("has an interface on device %s that was made for it (managed='no'), which one domain at a time can have: attach it to a network or bridge", i.Target.Dev)
	}
	return nil
}

// planCharacterDevices replaces the paths and ports of serial ports, consoles and
// channels. It removes logs and replaces files by terminals: a file would be left
// behind, and a terminal can be read while the clone runs.
func (c *Clone) planCharacterDevices() {
	d := c.Definition.Devices
	for i := range d.Serials {
		d.Serials[i].Log = nil
		c.privatize(d.Serials[i].Source)
	}
	for i := range d.Parallels {
		d.Parallels[i].Log = nil
		c.privatize(d.Parallels[i].Source)
	}
	for i := range d.Consoles {
		d.Consoles[i].Log, d.Consoles[i].TTY = nil, ""
		c.privatize(d.Consoles[i].Source)
	}
	for i := range d.Channels {
		d.Channels[i].Log = nil
		if s := d.Channels[i].Source; s != nil && s.UNIX != nil && s.UNIX.Mode != "connect" && d.Channels[i].Target != nil && d.Channels[i].Target.VirtIO != nil {
			s.UNIX.Path = "" // libvirt chooses one
			continue
		}
		c.privatize(d.Channels[i].Source)
	}
	for i := range d.RedirDevs {
		c.privatize(d.RedirDevs[i].Source)
	}
	for i := range d.RNGs {
		if backend := d.RNGs[i].Backend; backend != nil && backend.EGD != nil {
			c.privatize(backend.EGD.Source)
		}
	}
}

// maxSocketPath is the maximum length of the path of a socket, in bytes (unix(7)).
const maxSocketPath = 107

// shortName identifies the clone in the paths of sockets.
func (c *Clone) shortName() string { return owner.NamePrefix + c.Name[len(c.Name)-8:] }

// privatize replaces what a character device uses exclusively on the hypervisor's
// machine. A device that connects to another program stays as it is.
func (c *Clone) privatize(s *libvirtxml.DomainChardevSource) {
	if s == nil {
		return
	}
	switch {
	case s.File != nil, s.Pipe != nil, s.Dev != nil, s.Pty != nil:
		*s = libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}
	case s.UNIX != nil && s.UNIX.Mode != "connect" && s.UNIX.Path != "":
		s.UNIX.Path = path.Join(path.Dir(s.UNIX.Path), c.shortName()+"-"+path.Base(s.UNIX.Path))
		if len(s.UNIX.Path) > maxSocketPath {
			*s = libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}
		}
	case s.TCP != nil && s.TCP.Mode != "connect":
		// QEMU cannot choose a free port: the clone gets a terminal.
		*s = libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}
	case s.UDP != nil && s.UDP.BindService != "":
		*s = libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}}
	}
}

// planGraphics makes libvirt choose the ports, sockets and addresses that one domain at
// a time can have.
func (c *Clone) planGraphics() {
	for i := range c.Definition.Devices.Graphics {
		g := &c.Definition.Devices.Graphics[i]
		switch {
		case g.VNC != nil:
			if g.VNC.Port > 0 {
				g.VNC.Port, g.VNC.AutoPort = 0, "yes"
			}
			if g.VNC.WebSocket > 0 {
				g.VNC.WebSocket = -1 // any
			}
			g.VNC.Socket = "" // older definitions repeat the listener's
			privatizeListeners(g.VNC.Listeners)
		case g.Spice != nil:
			if g.Spice.Port > 0 || g.Spice.TLSPort > 0 {
				g.Spice.Port, g.Spice.TLSPort, g.Spice.AutoPort = 0, 0, "yes"
			}
			privatizeListeners(g.Spice.Listeners)
		case g.RDP != nil:
			g.RDP.Port, g.RDP.AutoPort = 0, "yes"
		}
	}
	if pstore := c.Definition.Devices.PStore; pstore != nil {
		pstore.Path = "" // libvirt chooses one
	}
	if vsock := c.Definition.Devices.VSock; vsock != nil && vsock.CID != nil {
		vsock.CID.Auto, vsock.CID.Address = "yes", ""
	}
}

func privatizeListeners(listeners []libvirtxml.DomainGraphicListener) {
	for i := range listeners {
		if listeners[i].Socket != nil {
			listeners[i].Socket.Socket = "" // libvirt chooses one
		}
	}
}

// AgentChannel is the name of the channel that QEMU's guest agent listens on.
const AgentChannel = "org.qemu.guest_agent.0"

// HasAgentChannel reports whether the clone has a channel for QEMU's guest agent.
func (c *Clone) HasAgentChannel() bool {
	for _, channel := range c.Definition.Devices.Channels {
		if channel.Target != nil && channel.Target.VirtIO != nil && channel.Target.VirtIO.Name == AgentChannel {
			return true
		}
	}
	return false
}

// HasConsole reports whether the clone has a serial port or console with a terminal.
func (c *Clone) HasConsole() bool {
	isTerminal := func(s *libvirtxml.DomainChardevSource) bool { return s != nil && s.Pty != nil }
	for _, serial := range c.Definition.Devices.Serials {
		if isTerminal(serial.Source) {
			return true
		}
	}
	for _, console := range c.Definition.Devices.Consoles {
		if isTerminal(console.Source) {
			return true
		}
	}
	return false
}
