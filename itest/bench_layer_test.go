package itest

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/provider/libvirt"
)

const benchURL = "qemu:///system"

// emptyCache removes all layers, also at the end of a benchmark.
func emptyCache(b testing.TB) {
	b.Helper()
	_, err := libvirt.PruneLayers(context.WithoutCancel(b.Context()), benchURL, time.Now().Add(time.Minute))
	must(b, err)
}

// BenchmarkCachedLayer compares the set-up of a host with a cached layer with that of a
// clone that is not provisioned, until a login works.
func BenchmarkCachedLayer(b *testing.B) {
	benchBase(b)
	b.Setenv("OVERCAST_SET", `plain = ${guest}, cached = ${guest} { provision { cache = true, cmd = "echo > /root/provisioned" } }`)
	b.Cleanup(func() { emptyCache(b) })
	took := map[string]time.Duration{}
	setUp := func(label string) {
		start := time.Now()
		_, err := fixture.SetUp(b.Context(), label)
		took[label] += time.Since(start)
		must(b, err)
		must(b, fixture.TearDown(b.Context(), label))
	}
	setUp("plain")
	setUp("cached") // builds the layer
	clear(took)
	for b.Loop() {
		setUp("plain")
		setUp("cached")
	}
	reportRatio(b, "plain-s", took["plain"], "cached-s", took["cached"])
}

// reportRatio reports two times in seconds for an iteration, and the second divided by the
// first.
func reportRatio(b *testing.B, name string, first time.Duration, other string, second time.Duration) {
	b.Helper()
	b.ReportMetric(first.Seconds()/float64(b.N), name)
	b.ReportMetric(second.Seconds()/float64(b.N), other)
	b.ReportMetric(second.Seconds()/first.Seconds(), "ratio")
}

// randomImage writes a raw image of random bytes.
func randomImage(b *testing.B, size int64) string {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "image.raw"))
	must(b, err)
	defer file.Close()
	_, err = io.CopyN(file, rand.Reader, size)
	must(b, err)
	return file.Name()
}

// BenchmarkImport compares the import of an image of 1 GB, which includes its digest, with
// virsh vol-upload.
func BenchmarkImport(b *testing.B) {
	benchBase(b)
	b.Cleanup(func() { emptyCache(b) })
	b.Setenv("XDG_CACHE_HOME", b.TempDir())
	image := randomImage(b, 1e9)
	var hand, ours time.Duration
	for b.Loop() {
		start := time.Now()
		for _, arguments := range []string{"vol-create-as default by-hand.raw 1000000000b", "vol-upload by-hand.raw " + image + " --pool default"} {
			out, err := exec.Command("virsh", strings.Fields("-q -c "+benchURL+" "+arguments)...).CombinedOutput()
			if err != nil {
				b.Fatalf("virsh %s: %v: %s", arguments, err, out)
			}
		}
		hand += time.Since(start)
		must(b, exec.Command("virsh", "-q", "-c", benchURL, "vol-delete", "by-hand.raw", "default").Run())

		must(b, os.Chtimes(image, time.Time{}, time.Now())) // the digest is computed again
		start = time.Now()
		_, err := libvirt.ImportImage(b.Context(), benchURL, "", image, "")
		ours += time.Since(start)
		must(b, err)
		emptyCache(b)
	}
	reportRatio(b, "virsh-s", hand, "overcast-s", ours)
}

// BenchmarkColdCache compares ten processes that need the same image at the same time,
// which none has imported, with one.
func BenchmarkColdCache(b *testing.B) {
	benchBase(b)
	b.Setenv("XDG_CACHE_HOME", b.TempDir())
	image := randomImage(b, 256<<20)
	definition := filepath.Join(b.TempDir(), "still.xml")
	must(b, os.WriteFile(definition, []byte(still), 0o644))
	b.Setenv("OVERCAST_SET", fmt.Sprintf("cold = ${booting} { libvirtBaseDomain = null, image = %q, domainXML = %q, cloudInit.enabled = false }", image, definition))
	process := func(int) (time.Duration, func()) {
		cmd := exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.v")
		cmd.Env = append(os.Environ(), childVariable+"=cold")
		start := time.Now()
		stop := startChild(b, cmd)
		return time.Since(start), stop
	}
	var one, ten time.Duration
	for b.Loop() {
		one += inTurn(b, 1, process)
		emptyCache(b)
		ten += inTurn(b, 10, process)
		emptyCache(b)
	}
	reportRatio(b, "one-s", one, "ten-s", ten)
}
