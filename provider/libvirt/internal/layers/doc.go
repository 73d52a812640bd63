// Package layers has the cache of a hypervisor: images that were imported and
// machines that were provisioned.
//
// A layer is a shut-off domain with the name overcast-layer-KEY and the volumes of
// its disks. Its metadata has the kind, key, parent and times of the layer. Clones
// are made from a layer as from any other base domain.
//
// Defining the domain is the last step of building a layer, so a builder that ends
// early leaves no layer. The volumes have names that identify the builder, so
// garbage collection removes them when it has ended. While the domain is defined,
// they are in use and stay. If two machines build one layer at the same time, the first
// definition counts, and the other machine removes its volumes.
//
// [Evict] removes layers by age and by the size of the cache. A layer stays while a domain
// or a volume refers to it, and for an hour after its last use.
package layers
