package virt

import (
	"fmt"
	"slices"
	"strings"

	"github.com/overcast-go/overcast/internal/redact"
	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// ReadBase returns the inactive definition of a base domain. It fails with a
// *[BaseMissingError], or with a *[BaseRunningError] if the domain is not shut off.
// ownPrefix begins the names of the domains that overcast has created: an error does
// not name these.
func ReadBase(conn *libvirt.Connect, url, name, ownPrefix string) (*libvirtxml.Domain, error) {
	domain, err := conn.LookupDomainByName(name)
	if IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil, &BaseMissingError{URL: url, Domain: name, Known: domainNames(conn, ownPrefix)}
	}
	if err != nil {
		return nil, fmt.Errorf("looking up base domain %q at %s: %w", redact.Text(name), redact.Text(url), hideIn(err, name))
	}
	defer domain.Free()
	state, err := BaseState(domain)
	if err != nil {
		return nil, fmt.Errorf("asking for the state of base domain %q at %s: %w", name, redact.Text(url), StripCodes(err))
	}
	if state != "" {
		return nil, &BaseRunningError{URL: url, Domain: name, State: state}
	}
	base, err := ReadDefinition(domain, libvirt.DOMAIN_XML_INACTIVE|libvirt.DOMAIN_XML_SECURE)
	if err != nil {
		return nil, fmt.Errorf("reading the definition of base domain %q at %s: %w", name, redact.Text(url), StripCodes(err))
	}
	return base, nil
}

// BaseState returns the state of a domain as virsh shows it, or "" if the domain is shut
// off, so that its disks do not change.
func BaseState(domain *libvirt.Domain) (string, error) {
	state, _, err := domain.GetState()
	if err != nil {
		return "", err
	}
	if state != libvirt.DOMAIN_SHUTOFF {
		return StateName(state), nil
	}
	saved, err := domain.HasManagedSaveImage(0)
	if err != nil && !IsCode(err, libvirt.ERR_NO_SUPPORT) {
		return "", err
	}
	if saved {
		return stateSaved, nil
	}
	return "", nil
}

// ReadDefinition reads the definition of a domain.
func ReadDefinition(domain *libvirt.Domain, flags libvirt.DomainXMLFlags) (*libvirtxml.Domain, error) {
	text, err := domain.GetXMLDesc(flags)
	if err != nil {
		return nil, err
	}
	var definition libvirtxml.Domain
	if err := definition.Unmarshal(text); err != nil {
		return nil, err
	}
	return &definition, nil
}

// stateSaved is the state of a domain that is shut off and has a managed save
// image (virsh managedsave). Its disks are those of a running system.
const stateSaved = "saved"

// domainNames lists the domains of a hypervisor whose names do not begin with ownPrefix,
// for an error message. On failure the list is empty.
func domainNames(conn *libvirt.Connect, ownPrefix string) []string {
	domains, err := conn.ListAllDomains(0)
	if err != nil {
		return nil
	}
	var names []string
	for i := range domains {
		if name, err := domains[i].GetName(); err == nil && !strings.HasPrefix(name, ownPrefix) {
			names = append(names, name)
		}
		_ = domains[i].Free()
	}
	slices.Sort(names)
	return names
}

// StateOf reads the state of a domain and the reason for it.
func StateOf(conn *libvirt.Connect, name string) (state libvirt.DomainState, reason int, err error) {
	domain, err := conn.LookupDomainByName(name)
	if err != nil {
		return libvirt.DOMAIN_NOSTATE, 0, err
	}
	defer domain.Free()
	return domain.GetState()
}

// StateName returns the name that virsh has for a state.
func StateName(state libvirt.DomainState) string {
	switch state {
	case libvirt.DOMAIN_RUNNING:
		return "running"
	case libvirt.DOMAIN_BLOCKED:
		return "idle"
	case libvirt.DOMAIN_PAUSED:
		return "paused"
	case libvirt.DOMAIN_SHUTDOWN:
		return "in shutdown"
	case libvirt.DOMAIN_SHUTOFF:
		return "shut off"
	case libvirt.DOMAIN_CRASHED:
		return "crashed"
	case libvirt.DOMAIN_PMSUSPENDED:
		return "pmsuspended"
	}
	return "in no known state"
}

// undefineFlags remove everything that would make libvirt refuse to undefine a domain.
const undefineFlags = libvirt.DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
	libvirt.DOMAIN_UNDEFINE_NVRAM | libvirt.DOMAIN_UNDEFINE_CHECKPOINTS_METADATA

// Undefine removes the definition of a domain and its files. A running domain keeps
// running. A domain that no longer exists is not an error.
func Undefine(domain *libvirt.Domain) error {
	err := domain.UndefineFlags(undefineFlags)
	if IsCode(err, libvirt.ERR_INVALID_ARG, libvirt.ERR_NO_SUPPORT) { // a libvirt before checkpoints
		err = domain.UndefineFlags(undefineFlags &^ libvirt.DOMAIN_UNDEFINE_CHECKPOINTS_METADATA)
	}
	if IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	return err
}

// RemoveDomain destroys a clone and removes its definition. A domain that no longer
// exists is not an error. libvirt sends QEMU SIGTERM, and SIGKILL after 15 seconds.
func RemoveDomain(conn *libvirt.Connect, name string) error {
	return ifExists(conn, name, func(domain *libvirt.Domain) error {
		if err := stop(domain); err != nil {
			return err
		}
		persistent, err := domain.IsPersistent()
		if IsCode(err, libvirt.ERR_NO_DOMAIN) {
			return nil
		}
		if err != nil || !persistent {
			return err
		}
		return Undefine(domain)
	})
}

// StopDomain destroys a domain; its definition stays. A domain that no longer exists is not
// an error.
func StopDomain(conn *libvirt.Connect, name string) error { return ifExists(conn, name, stop) }

func ifExists(conn *libvirt.Connect, name string, do func(*libvirt.Domain) error) error {
	domain, err := conn.LookupDomainByName(name)
	if IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	if err != nil {
		return err
	}
	defer domain.Free()
	return do(domain)
}

// stop destroys a domain. A transient domain no longer exists then. A domain that does not
// run is persistent, or has ended between two calls.
func stop(domain *libvirt.Domain) error {
	err := domain.Destroy()
	if IsCode(err, libvirt.ERR_NO_DOMAIN, libvirt.ERR_OPERATION_INVALID) {
		return nil
	}
	return err
}
