// Package guard has the guard process of a process: this program, started again, which
// waits until its parent has ended and then does what the parent could not do any more.
//
// The parent holds the write end of a pipe, which the guard reads: it ends together with
// the parent, whatever ends that. The guard has a session of its own, so that it survives
// a signal to the parent's process group, and ignores SIGINT, SIGTERM and SIGHUP.
//
// The guard waits in the init function of this package, which imports only the standard
// library: most of the program is not initialized meanwhile, and its main function never
// runs.
package guard
