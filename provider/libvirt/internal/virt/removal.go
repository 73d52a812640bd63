package virt

import "libvirt.org/go/libvirt"

// undefineAll is everything that would keep a definition from going.
const undefineAll = libvirt.DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
	libvirt.DOMAIN_UNDEFINE_NVRAM | libvirt.DOMAIN_UNDEFINE_CHECKPOINTS_METADATA

// undefine takes a definition away, with all that belongs to it. A domain that
// runs goes on running.
func Undefine(domain *libvirt.Domain) error {
	err := domain.UndefineFlags(undefineAll)
	if IsCode(err, libvirt.ERR_INVALID_ARG, libvirt.ERR_NO_SUPPORT) { // a libvirt before checkpoints
		err = domain.UndefineFlags(undefineAll &^ libvirt.DOMAIN_UNDEFINE_CHECKPOINTS_METADATA)
	}
	if IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	return err
}

// removeDomain ends a clone and takes its definition away; one that is gone
// already is no error. libvirt asks QEMU to end, and kills it if it has not
// within 15 seconds.
func RemoveDomain(conn *libvirt.Connect, name string) error {
	domain, err := conn.LookupDomainByName(name)
	if IsCode(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	if err != nil {
		return err
	}
	defer domain.Free()
	// A transient domain is gone once it is destroyed. One that does not run
	// has a definition, or has ended between two calls.
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
