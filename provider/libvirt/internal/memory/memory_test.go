package memory

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirtxml"
)

func TestMemoryThatACloneNeeds(t *testing.T) {
	const mib = 1 << 20
	for name, test := range map[string]struct {
		definition string
		want       uint64
	}{
		"its memory and QEMU's": {`<domain><memory unit='KiB'>65536</memory><currentMemory unit='KiB'>1024</currentMemory></domain>`, 64*mib + qemuOverhead},
		"a generated size":      {`<domain><memory unit='b'>67108864</memory></domain>`, 64*mib + qemuOverhead},
		"a size in MiB":         {`<domain><memory unit='MiB'>64</memory></domain>`, 64*mib + qemuOverhead},
		"a size without unit":   {`<domain><memory>65536</memory></domain>`, 64*mib + qemuOverhead},
		"nothing on huge pages": {`<domain><memory unit='KiB'>65536</memory><memoryBacking><hugepages/></memoryBacking></domain>`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var definition libvirtxml.Domain
			require.NoError(t, definition.Unmarshal(test.definition))
			assert.Equal(t, test.want, memoryOf(&definition))
		})
	}
}

func TestUnusedMemoryOfClonesIsReserved(t *testing.T) {
	assert.EqualValues(t, 70, clones{{max: 100, rss: 30}, {max: 100, rss: 120}}.unreserved())
}

// Every user can write a ticket. A sum that overflows would admit a clone that does
// not fit.
func TestAnAbsurdTicketCountsForTheTotalMemory(t *testing.T) {
	ahead := []filelock.Holder{{Needs: 10}, {Needs: math.MaxUint64}, {Needs: math.MaxUint64}}
	assert.EqualValues(t, 210, reservedBy(ahead, 100))
}

func TestSharedMemoryIsDetected(t *testing.T) {
	for text, want := range map[string]bool{
		`<domain/>`: false,
		`<domain><memoryBacking><source type='memfd'/></memoryBacking></domain>`:                         false,
		`<domain><memoryBacking><source type='memfd'/><access mode='private'/></memoryBacking></domain>`: false,
		`<domain><memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking></domain>`:  true,
	} {
		var definition libvirtxml.Domain
		require.NoError(t, definition.Unmarshal(text))
		assert.Equal(t, want, hasSharedMemory(&definition), text)
	}
}

// Figures of a machine with 8 GiB, of which 2 GiB are page cache and 4 GiB a tmpfs.
const meminfo = `MemTotal:        8388608 kB
MemFree:         1048576 kB
MemAvailable:    3145728 kB
Buffers:               0 kB
Cached:          6291456 kB
Shmem:           4194304 kB
HugePages_Total:       0
`

func TestFreeMemoryDoesNotIncludeTmpfs(t *testing.T) {
	const gib = 1 << 30
	without := func(key string) string {
		var lines []string
		for line := range strings.Lines(meminfo) {
			if !strings.HasPrefix(line, key+":") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	for name, text := range map[string]string{"with MemAvailable": meminfo, "without MemAvailable": without("MemAvailable")} {
		m, ok := parseMeminfo(text)
		assert.True(t, ok, name)
		assert.Equal(t, nodeMemory{total: 8 * gib, free: 3 * gib}, m, name)
	}
	for _, text := range []string{"", "MemTotal", without("MemTotal"), "MemTotal: 1 kB\nMemFree: 1 kB", "MemTotal: 18446744073709551615 kB\nMemAvailable: 1 kB"} {
		_, ok := parseMeminfo(text)
		assert.False(t, ok, text)
	}
}

func TestMemoryOfThisMachineIsReadFromItsKernel(t *testing.T) {
	text, err := os.ReadFile(meminfoPath)
	require.NoError(t, err)
	m, ok := parseMeminfo(string(text))
	assert.True(t, ok)
	assert.LessOrEqual(t, m.free, m.total)
}

func TestShortageErrorNamesTheSizes(t *testing.T) {
	short := &ShortageError{URL: "qemu:///system", Domain: "debian", Needs: 3 << 30, Free: 512 << 20, Total: 8 << 30}
	require.ErrorIs(t, short, provider.ErrNotEnoughMemory)
	assert.Equal(t, `a clone of "debian" needs 3.0 GiB of memory at qemu:///system, which has 8.0 GiB in all: it can never fit: give the base domain less <memory>, or use another hypervisor`, short.Error())
	short.Cause, short.Waited = errors.New("memoryWait of 2s expired"), 2*time.Second
	assert.Equal(t, `a clone of "debian" needs 3.0 GiB of memory at qemu:///system, where 512 MiB of 8.0 GiB are free (no clone holds memory); waited 2s: memoryWait of 2s expired: wait longer (memoryWait), run fewer processes, tear their hosts down earlier (AfterSuite(hosts.TearDown)), or remove clones that were kept (overcast gc)`, short.Error())
	short.Users = []string{"web of process 7", "db of process 8"}
	assert.Contains(t, short.Error(), "(web of process 7, db of process 8 hold memory or are queued ahead)")
	require.ErrorIs(t, short, short.Cause)
}

func TestWaitReportsAStepWhenTheHoldersChange(t *testing.T) {
	wait := newWait(ShortageError{URL: "qemu:///system", Needs: 3 << 30, Free: 512 << 20, Total: 8 << 30})
	type step struct{ name, detail string }
	var steps []step
	ctx := provider.WithReporter(t.Context(), func(name, detail string) { steps = append(steps, step{name, detail}) })
	for _, users := range [][]string{{"db of process 7"}, {"db of process 7"}, {}} {
		wait.shortage.Users = users
		wait.report(ctx)
	}
	require.Len(t, steps, 2, "one for each change of the holders")
	assert.Equal(t, step{"waiting for memory", "of qemu:///system (needs 3.0 GiB, 512 MiB of 8.0 GiB are free): db of process 7 hold memory or are queued ahead"}, steps[0])
	assert.Contains(t, steps[1].detail, "no clone holds memory")
}

func TestMemoryIsNotReservedForASetUpThatHasEnded(t *testing.T) {
	queue := "memory-test-" + rand.Text()
	dir, err := filelock.Dir()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, filelock.RemoveQueue(dir, queue)) })
	ticket, err := joinQueue(t.Context(), queue, "web", 1, filelock.Join)
	require.NoError(t, err)
	ctx, end := context.WithCancel(t.Context())
	end()
	_, err = afterWait(ctx, nil, ticket, "web")
	require.ErrorIs(t, err, context.Canceled)
	next, err := joinQueue(t.Context(), queue, "next", 1, filelock.Join)
	require.NoError(t, err)
	defer next.Release()
	ahead, err := next.Ahead()
	require.NoError(t, err)
	assert.Empty(t, ahead)
}

func TestHeldMemoryIsAheadOfTheQueue(t *testing.T) {
	const gib = 1 << 30
	queue := "memory-test-" + rand.Text()
	dir, err := filelock.Dir()
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, filelock.RemoveQueue(dir, queue)) })
	waiting, err := joinQueue(t.Context(), queue, "waiting", 8*gib, filelock.Join)
	require.NoError(t, err)
	defer waiting.Release()
	held, err := Hold(t.Context(), Need{Queue: queue, total: 8 * gib, Bytes: 2 * gib}, "web")
	require.NoError(t, err)
	assert.True(t, held.IsFor("web"))
	ahead, err := waiting.Ahead()
	require.NoError(t, err)
	assert.EqualValues(t, 2*gib, reservedBy(ahead, 8*gib))
	held.Release("web")
	ahead, err = waiting.Ahead()
	require.NoError(t, err)
	assert.Empty(t, ahead)
}
