package rpcproxy

import "fmt"

// procedures are the numbers that calls have in libvirt's remote protocol, by the function
// of libvirt's API. They never change. The list has the calls of set-ups and teardowns.
var procedures = map[string]uint32{
	"virConnectOpen":                     1,
	"virConnectClose":                    2,
	"virConnectGetCapabilities":          7,
	"virDomainCreateXML":                 10,
	"virDomainDefineXML":                 11,
	"virDomainDestroy":                   12,
	"virDomainGetXMLDesc":                14,
	"virDomainGetInfo":                   16,
	"virDomainLookupByName":              23,
	"virDomainLookupByUUID":              24,
	"virDomainResume":                    28,
	"virNetworkGetXMLDesc":               43,
	"virNetworkGetBridgeName":            45,
	"virNetworkLookupByName":             46,
	"virConnectGetHostname":              59,
	"virConnectSupportsFeature":          60, // by the library itself, when it connects
	"authList":                           66, // likewise
	"virStoragePoolCreateXML":            76,
	"virStoragePoolDestroy":              80,
	"virStoragePoolRefresh":              83,
	"virStoragePoolLookupByName":         84,
	"virStoragePoolLookupByVolume":       86,
	"virStoragePoolGetInfo":              87,
	"virStoragePoolGetXMLDesc":           88,
	"virStorageVolCreateXML":             93,
	"virStorageVolDelete":                94,
	"virStorageVolLookupByName":          95,
	"virStorageVolLookupByPath":          97,
	"virStorageVolGetInfo":               98,
	"virStorageVolGetXMLDesc":            99,
	"virStorageVolGetPath":               100,
	"virConnectDomainXMLToNative":        136,
	"virStoragePoolIsActive":             154,
	"virConnectGetURI":                   110,
	"virStorageVolCreateXMLFrom":         125,
	"virDomainIsActive":                  150,
	"virDomainIsPersistent":              151,
	"virNetworkIsActive":                 152,
	"virDomainMemoryStats":               159,
	"virConnectGetLibVersion":            157,
	"virDomainHasManagedSaveImage":       183,
	"virDomainGetBlockInfo":              194,
	"virDomainCreateWithFlags":           196,
	"virDomainOpenConsole":               201,
	"virDomainGetState":                  212,
	"virNodeGetMemoryStats":              228,
	"virDomainUndefineFlags":             231,
	"virDomainSetMetadata":               264,
	"virConnectListAllDomains":           273,
	"virConnectListAllStoragePools":      281,
	"virStoragePoolListAllVolumes":       282,
	"virConnectListAllNetworks":          283,
	"virConnectDomainEventRegisterAny":   316,
	"virConnectDomainEventDeregisterAny": 317,
	"virNetworkGetDHCPLeases":            341,
	"virConnectGetDomainCapabilities":    342,
	"virConnectRegisterCloseCallback":    360,
	"virConnectUnregisterCloseCallback":  361,
}

// names are the names of procedures by their numbers.
var names = func() map[uint32]string {
	byNumber := map[uint32]string{}
	for name, number := range procedures {
		byNumber[number] = name
	}
	return byNumber
}()

// nameOf returns the name of the call in a packet.
func nameOf(call packet) string {
	if name, ok := names[call.procedure()]; ok && call.program() == remoteProgram {
		return name
	}
	return fmt.Sprintf("procedure %d of program %#x", call.procedure(), call.program())
}
