// Package gc lists what overcast created on a hypervisor and removes it when its owner
// has ended.
package gc
