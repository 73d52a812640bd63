// Package domainxml derives the definition of a clone from the definition of its
// base domain: identity, disks, interfaces, firmware, TPM and character devices. It
// creates nothing.
package domainxml
