// Package cloudinit makes what cloud-init reads in a clone at its first boot, and
// interprets what cloud-init says about it.
package cloudinit
