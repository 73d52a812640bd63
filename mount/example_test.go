package mount_test

import (
	"fmt"

	"github.com/overcast-go/overcast/mount"
	"libvirt.org/go/libvirtxml"
)

func ExampleApply() {
	domain := &libvirtxml.Domain{Name: "clone"}
	mount.Apply(domain, []mount.Entry{{Target: "data", Mapping: mount.Mapping{HostPath: "/srv/data"}}})
	text, _ := domain.Devices.Filesystems[0].Marshal()
	fmt.Println(text)
	// Output:
	// <filesystem type="mount" accessmode="passthrough">
	//   <source dir="/srv/data"></source>
	//   <target dir="data"></target>
	//   <readonly></readonly>
	// </filesystem>
}

func ExampleCheck() {
	err := mount.Check([]mount.Entry{
		{Target: "data", Mapping: mount.Mapping{HostPath: "/srv/data", MountAt: "/data"}},
		{Target: "more", Mapping: mount.Mapping{HostPath: "/srv/more", MountAt: "/data"}},
	})
	fmt.Println(err)
	// Output: fsMapping.more.mountAt: the target "data" is already mounted at /data
}

func ExampleGuest_Failed() {
	folder := mount.Guest{Tag: "data", Path: "/data", Driver: mount.NineP}
	fmt.Println(folder.Failed("mount: mounting data on /data failed: No such device\n"))
	// Output:
	// mounting data at /data by 9p: the guest's kernel has no driver for it: mount: mounting data on /data failed: No such device
	//   add it to the base domain's system:
	//   Debian: printf '9p\n9pnet_virtio\n' >>/etc/initramfs-tools/modules && update-initramfs -u (the kernels of linux-image-cloud-amd64 have no 9p: install linux-image-amd64)
	//   Fedora: dracut --force --add-drivers "9p 9pnet_virtio"
}
