// Package cloudinit makes what cloud-init reads in a clone at its first boot, and
// interprets what cloud-init says about it.
//
// [Build] writes the seed of cloud-init's datasource NoCloud: an ISO 9660 image
// with the label cidata, for a disk or CD-ROM drive of the clone. It gives the
// clone an instance ID, a host name, a user to log in as, SSH host keys, and the
// user data and network configuration of the test author.
//
// [GenerateHostKeys] makes the host keys before the clone boots, so that the first
// login can verify the host. [LoginKey] is the key of the generated user.
//
// After the login, [WaitCommand] waits in the guest until cloud-init has finished,
// and [ParseStatus] reports whether it succeeded.
package cloudinit
