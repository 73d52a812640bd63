package itest

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/overcast-go/overcast/fixture"
)

// BenchmarkWarm compares the set-up of a warm host with the same calls of libvirt by hand,
// from a memory that virDomainSave has saved, and with a boot: medians. Both log in and set the
// clock.
func BenchmarkWarm(b *testing.B) {
	conn := benchBase(b)
	emptyCache(b)
	b.Setenv("OVERCAST_SET", "cold = ${guest}, warmed = ${guest} { warm = true }")
	setUpAndDown(b, "warmed")
	saved := saveByHand(b, conn)

	var hand, ours, boot []time.Duration
	for b.Loop() {
		start := time.Now()
		domain := saved.restore(b, conn)
		runByHand(b, domain, fmt.Sprintf("date -s @%d", time.Now().Unix()))
		hand = append(hand, time.Since(start))
		must(b, domain.Destroy())
		ours = append(ours, setUpAndDown(b, "warmed"))
		boot = append(boot, setUpAndDown(b, "cold"))
	}
	slices.Sort(hand)
	b.ReportMetric(float64(median(hand).Milliseconds()), "hand-ms")
	reportWarm(b, ours, boot)
	b.ReportMetric(median(ours).Seconds()/median(hand).Seconds(), "ratio")
}

// BenchmarkWarmSystemd compares the set-up of a warm host whose guest has systemd with its
// boot.
func BenchmarkWarmSystemd(b *testing.B) {
	conn := benchBase(b)
	if domain, err := conn.LookupDomainByName("lab-debian-bios"); err != nil {
		b.Skip("there is no base domain lab-debian-bios: run the lab with LAB_DEBIAN=1")
	} else {
		_ = domain.Free()
	}
	emptyCache(b)
	b.Setenv("OVERCAST_SET", `cold = ${guest} { libvirtBaseDomain = lab-debian-bios, addressTimeout = 10 minutes, provision.startTimeout = 10 minutes }
		warmed = ${cold} { warm = true }`)
	setUpAndDown(b, "warmed")
	var ours, boot []time.Duration
	for b.Loop() {
		ours = append(ours, setUpAndDown(b, "warmed"))
		boot = append(boot, setUpAndDown(b, "cold"))
	}
	reportWarm(b, ours, boot)
}

// setUpAndDown returns how long the set-up of a host takes.
func setUpAndDown(b *testing.B, label string) time.Duration {
	b.Helper()
	start := time.Now()
	_, err := fixture.SetUp(b.Context(), label)
	took := time.Since(start)
	must(b, err)
	must(b, fixture.TearDown(b.Context(), label))
	return took
}

func reportWarm(b *testing.B, ours, boot []time.Duration) {
	slices.Sort(ours)
	slices.Sort(boot)
	b.ReportMetric(float64(median(ours).Milliseconds()), "overcast-ms")
	b.ReportMetric(float64(median(boot).Milliseconds()), "boot-ms")
	b.ReportMetric(median(ours).Seconds()/median(boot).Seconds(), "ratio-to-boot")
}

// savedByHand is a machine that virDomainSave has saved.
type savedByHand struct{ definition, overlay, memory string }

// saveByHand boots a clone, whose overlay stays, and saves it.
func saveByHand(b *testing.B, conn *libvirt.Connect) savedByHand {
	b.Helper()
	s := savedByHand{overlay: imageDir + "/by-hand-frozen.qcow2", memory: imageDir + "/by-hand-memory"}
	makeOverlay(b, s.overlay, imageDir+"/my_base_domain.qcow2")
	definition := definitionOf(b, conn, "my_base_domain", "by-hand-frozen")
	definition.Devices.Disks[0].Source.File.File = s.overlay
	text, err := definition.Marshal()
	must(b, err)
	domain, err := conn.DomainCreateXML(text, 0)
	must(b, err)
	logInByHand(b, domain)
	must(b, domain.Save(s.memory))
	s.definition, err = conn.DomainSaveImageGetXMLDesc(s.memory, 0)
	must(b, err)
	return s
}

// makeOverlay creates a qcow2 file over another.
func makeOverlay(b *testing.B, path, over string) {
	b.Helper()
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-b", over, "-F", "qcow2", path).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	b.Cleanup(func() { _ = os.Remove(path) })
}

// incoming makes QEMU wait for the memory.
const incoming = `<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-incoming'/><qemu:arg value='defer'/></qemu:commandline></domain>`

// restore starts a domain with an overlay of its own, loads the memory, and resumes it.
func (s savedByHand) restore(b *testing.B, conn *libvirt.Connect) *libvirt.Domain {
	b.Helper()
	overlay := imageDir + "/by-hand-restored.qcow2"
	makeOverlay(b, overlay, s.overlay)
	var definition libvirtxml.Domain
	must(b, definition.Unmarshal(s.definition))
	definition.Name, definition.UUID, definition.SecLabel = "by-hand-restored", "", nil
	disk := &definition.Devices.Disks[0]
	disk.Source.File.File, disk.BackingStore, disk.Driver.Cache = overlay, nil, "unsafe"
	text, err := definition.Marshal()
	must(b, err)
	domain, err := conn.DomainCreateXML(strings.Replace(text, "</domain>", incoming, 1), libvirt.DOMAIN_START_AUTODESTROY|libvirt.DOMAIN_START_PAUSED)
	must(b, err)
	memory, err := os.Open(s.memory)
	must(b, err)
	defer memory.Close()
	header := make([]byte, 92) // of libvirt's save image; the length of the definition is at 20
	_, err = io.ReadFull(memory, header)
	must(b, err)
	_, err = memory.Seek(int64(binary.LittleEndian.Uint32(header[20:])), io.SeekCurrent)
	must(b, err)
	_, _, err = domain.QemuMonitorCommandWithFiles(`{"execute":"getfd","arguments":{"fdname":"memory"}}`, []os.File{*memory}, 0)
	must(b, err)
	_, err = domain.QemuMonitorCommand(`{"execute":"migrate-incoming","arguments":{"uri":"fd:memory"}}`, 0)
	must(b, err)
	for said := ""; !strings.Contains(said, `"completed"`); {
		said, err = domain.QemuMonitorCommand(`{"execute":"query-migrate"}`, 0)
		must(b, err)
		if strings.Contains(said, `"failed"`) {
			b.Fatal(said)
		}
	}
	must(b, domain.Resume())
	return domain
}
