// Package image gets disk images into local files that are ready for import into
// a storage pool.
//
// A [Source] says where an image comes from: a local file, a URL, or a volume of
// the hypervisor. [Parse] reads one from the configuration.
package image
