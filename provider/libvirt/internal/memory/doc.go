// Package memory reserves the memory of a hypervisor for clones that are about to
// start.
//
// Reservations are queued in the order of their arrival. A clone holds its place in
// the queue from the reservation until it runs, and everything ahead of a clone in the
// queue counts as used. The memory of running clones is read from the hypervisor,
// whichever process started them. So no memory is reserved twice by processes of one
// machine. Processes on different machines see each other's clones once those run.
//
// The clones of a batch have one place in the queue and get the memory for all of them
// at once: a process releases its hosts only after it has had all of them, so waiting
// for a part of them could deadlock.
package memory
