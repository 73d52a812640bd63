package virt

import "libvirt.org/go/libvirt"

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
	domain, err := conn.LookupDomainByName(name)
	if IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	if err != nil {
		return err
	}
	defer domain.Free()
	// A transient domain no longer exists once it is destroyed. A domain that does
	// not run is persistent, or has ended between two calls.
	if err := domain.Destroy(); err != nil && !IsCode(err, libvirt.ERR_NO_DOMAIN, libvirt.ERR_OPERATION_INVALID) {
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
}
