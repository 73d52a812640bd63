package mount_test

import (
	"fmt"

	"github.com/overcast-go/overcast/mount"
	"libvirt.org/go/libvirtxml"
)

func ExampleApply() {
	domain := &libvirtxml.Domain{Name: "clone"}
	mount.Apply(domain, map[string]mount.Mapping{"data": {HostPath: "/srv/data"}})
	text, _ := domain.Devices.Filesystems[0].Marshal()
	fmt.Println(text)
	// Output:
	// <filesystem type="mount" accessmode="passthrough">
	//   <source dir="/srv/data"></source>
	//   <target dir="data"></target>
	//   <readonly></readonly>
	// </filesystem>
}
