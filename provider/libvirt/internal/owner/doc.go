// Package owner records which process created a domain, volume or pool, in names and
// in the metadata of domains, and determines whether that process has ended. On
// another machine a process cannot be seen: there its ownership lease decides, which
// the process renews.
package owner
