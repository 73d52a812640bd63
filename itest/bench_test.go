package itest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/overcast-go/overcast/fixture"
)

// Benchmarks of what the project adds to libvirt, in the lab:
//
//	make bench
//
// They compare with the same libvirt calls made by hand, in turn, so that
// whatever else the machine does, it does to both.

// still is a base that boots nothing: what its clones cost is the making.
const still = `<domain type='qemu'><name>still</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os>
	<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/var/lib/libvirt/images/lab-two-disks.qcow2'/><target dev='vdb'/></disk>
	<interface type='network'><source network='my_nat_network'/></interface><serial type='pty'/></devices></domain>`

// benchBase defines it and declares hosts that are its clones.
func benchBase(b testing.TB, labels ...string) *libvirt.Connect {
	b.Helper()
	if os.Getenv("LAB_CONF") == "" {
		b.Fatal("this needs the lab: make bench")
	}
	var set strings.Builder
	for _, label := range labels {
		fmt.Fprintf(&set, "%s = ${booting} { libvirtBaseDomain = still }\n", label)
	}
	b.Setenv("OVERCAST_SET", set.String())
	conn, err := libvirt.NewConnect("qemu:///system")
	must(b, err)
	b.Cleanup(func() { conn.Close() })
	domain, err := conn.DomainDefineXML(still)
	must(b, err)
	b.Cleanup(func() { _ = domain.Undefine() })
	return conn
}

func must(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// byHand makes and starts a clone of still by libvirt's calls alone, and answers
// with it.
func byHand(b testing.TB, conn *libvirt.Connect, name string) *libvirt.Domain {
	b.Helper()
	return byHandOf(b, conn, "still", name)
}

// definitionOf returns the definition of a base for a domain of another name.
func definitionOf(b testing.TB, conn *libvirt.Connect, base, name string) *libvirtxml.Domain {
	b.Helper()
	domain, err := conn.LookupDomainByName(base)
	must(b, err)
	text, err := domain.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	must(b, err)
	definition := &libvirtxml.Domain{}
	must(b, definition.Unmarshal(text))
	definition.Name, definition.UUID = name, ""
	for n := range definition.Devices.Interfaces {
		definition.Devices.Interfaces[n].MAC = nil
	}
	return definition
}

// byHandOf is byHand with a base of one disk.
func byHandOf(b testing.TB, conn *libvirt.Connect, from, name string) *libvirt.Domain {
	b.Helper()
	definition := definitionOf(b, conn, from, name)
	pool, err := conn.LookupStoragePoolByName("default")
	must(b, err)
	backing := definition.Devices.Disks[0].Source.File.File
	volume, err := pool.StorageVolCreateXML(`<volume><name>`+name+`.qcow2</name><target><format type='qcow2'/></target>
		<backingStore><path>`+backing+`</path><format type='qcow2'/></backingStore></volume>`, 0)
	must(b, err)
	path, err := volume.GetPath()
	must(b, err)
	definition.Devices.Disks[0].Source.File.File = path
	definition.Devices.Disks[0].Driver.Cache = "unsafe"
	text, err := definition.Marshal()
	must(b, err)
	domain, err := conn.DomainCreateXML(text, libvirt.DOMAIN_START_AUTODESTROY)
	must(b, err)
	must(b, volume.Delete(0))
	return domain
}

// BenchmarkClone compares making and starting a clone with the same by hand.
func BenchmarkClone(b *testing.B) {
	conn := benchBase(b, "bench")
	warm := byHand(b, conn, "by-hand-warm")
	must(b, warm.Destroy())
	_, err := fixture.SetUp(b.Context(), "bench") // which sweeps, once in a process
	must(b, err)
	must(b, fixture.TearDown(b.Context(), "bench"))
	keep, err := fixture.SetUp(b.Context(), "bench") // holds the connection open
	_ = keep
	must(b, err)
	defer fixture.TearDown(b.Context(), "bench")
	b.Setenv("OVERCAST_SET", "bench = ${booting} { libvirtBaseDomain = still }, timed = ${bench}")
	var hand, ours time.Duration
	for b.Loop() {
		start := time.Now()
		domain := byHand(b, conn, "by-hand")
		hand += time.Since(start)
		must(b, domain.Destroy())

		start = time.Now()
		_, err := fixture.SetUp(b.Context(), "timed")
		ours += time.Since(start)
		must(b, err)
		must(b, fixture.TearDown(b.Context(), "timed"))
	}
	n := float64(b.N)
	b.ReportMetric(hand.Seconds()*1000/n, "hand-ms/clone")
	b.ReportMetric(ours.Seconds()*1000/n, "overcast-ms/clone")
	b.ReportMetric((ours-hand).Seconds()*1000/n, "added-ms/clone")
	b.ReportMetric(ours.Seconds()/hand.Seconds(), "ratio")
}

// BenchmarkClonesAtOnce compares eight clones of one base at once with eight
// one after the other: a lock around the making would make the ratio 1.
func BenchmarkClonesAtOnce(b *testing.B) {
	labels := make([]string, 8)
	for n := range labels {
		labels[n] = fmt.Sprintf("bench_%d", n)
	}
	benchBase(b, labels...)
	var inTurn, atOnce time.Duration
	tearDown := func() {
		for _, label := range labels {
			must(b, fixture.TearDown(b.Context(), label))
		}
	}
	for b.Loop() {
		start := time.Now()
		for _, label := range labels {
			_, err := fixture.SetUp(b.Context(), label)
			must(b, err)
		}
		inTurn += time.Since(start)
		tearDown()
		start = time.Now()
		setUpAll(b, labels)
		atOnce += time.Since(start)
		tearDown()
	}
	b.ReportMetric(inTurn.Seconds()*1000/float64(b.N), "in-turn-ms")
	b.ReportMetric(atOnce.Seconds()*1000/float64(b.N), "at-once-ms")
	b.ReportMetric(atOnce.Seconds()/inTurn.Seconds(), "ratio")
}

func setUpAll(b *testing.B, labels []string) {
	b.Helper()
	errs := make([]error, len(labels))
	var all sync.WaitGroup
	for n, label := range labels {
		all.Go(func() { _, errs[n] = fixture.SetUp(b.Context(), label) })
	}
	all.Wait()
	for _, err := range errs {
		must(b, err)
	}
}

// BenchmarkPoolSize compares making and starting a clone from a base whose
// pool has 1,000 volumes with the same from one whose pool has one.
func BenchmarkPoolSize(b *testing.B) {
	conn := benchBase(b)
	var set strings.Builder
	for _, size := range []int{1, 1000} {
		name := fmt.Sprintf("still-%d", size)
		dir := filepath.Join(os.TempDir(), name)
		must(b, os.Mkdir(dir, 0o755))
		defer os.RemoveAll(dir)
		for n := range size - 1 {
			must(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("other-%d.img", n)), nil, 0o600))
		}
		out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", filepath.Join(dir, "still.qcow2"), "8M").CombinedOutput()
		if err != nil {
			b.Fatal(string(out))
		}
		pool, err := conn.StoragePoolCreateXML(`<pool type='dir'><name>`+name+`</name><target><path>`+dir+`</path></target></pool>`, 0)
		must(b, err)
		defer pool.Destroy()
		domain, err := conn.DomainDefineXML(strings.NewReplacer("<name>still", "<name>"+name, "/var/lib/libvirt/images/lab-two-disks.qcow2", dir+"/still.qcow2").Replace(still))
		must(b, err)
		defer domain.Undefine()
		fmt.Fprintf(&set, "pool_%d = ${booting} { libvirtBaseDomain = %s }\n", size, name)
	}
	b.Setenv("OVERCAST_SET", set.String())
	once := func(label string) time.Duration {
		start := time.Now()
		_, err := fixture.SetUp(b.Context(), label)
		must(b, err)
		took := time.Since(start)
		must(b, fixture.TearDown(b.Context(), label))
		return took
	}
	once("pool_1")
	var small, large time.Duration
	for b.Loop() {
		small += once("pool_1")
		large += once("pool_1000")
	}
	b.ReportMetric(small.Seconds()*1000/float64(b.N), "of-1-ms")
	b.ReportMetric(large.Seconds()*1000/float64(b.N), "of-1000-ms")
	b.ReportMetric(large.Seconds()/small.Seconds(), "ratio")
}

// BenchmarkMemory measures how much memory the process has with 16 clones, and how
// much of that each clone takes.
func BenchmarkMemory(b *testing.B) {
	labels := make([]string, 16)
	for n := range labels {
		labels[n] = fmt.Sprintf("bench_%d", n)
	}
	benchBase(b, labels...)
	for b.Loop() {
		before := residentMB(b)
		setUpAll(b, labels)
		with := residentMB(b)
		for _, label := range labels {
			must(b, fixture.TearDown(b.Context(), label))
		}
		b.ReportMetric(with, "MB-with-16-clones")
		b.ReportMetric((with-before)/16, "MB/clone")
	}
}

// residentMB is the resident memory of this process, in 10^6 bytes.
func residentMB(b *testing.B) float64 {
	b.Helper()
	runtime.GC()
	statm, err := os.ReadFile("/proc/self/statm")
	must(b, err)
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	must(b, err)
	return float64(pages*os.Getpagesize()) / 1e6
}
