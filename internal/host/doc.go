// Package host manages the hosts of a process: it sets them up, shares them
// between processes, runs commands on them, and tears them down. Package fixture
// is its interface for test authors; the adapters for test frameworks use it
// directly.
package host
