package itest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/overcast-go/overcast/fixture"
	"github.com/overcast-go/overcast/internal/host"
	"libvirt.org/go/libvirt"
)

// way is a way to get machines that answer on SSH, a row of the table. Its functions are
// called at the same time for different machines.
type way struct {
	name string
	// once is called before the first run of a column, and prepare before each run. They
	// are nil if there is nothing to prepare.
	once, prepare func(machine int) error
	// setUp returns when the machine has answered.
	setUp func(machine int) error
	// tearDown removes the machine. It is nil if setUp brings a machine back that stays.
	tearDown func(machine int) error
	// finish removes what is left; nil if nothing is.
	finish func(machine int) error
}

// column is a number of machines at once.
type column struct {
	machines int
	runs     int           // at most
	limit    time.Duration // after which no further run begins
}

// columns are those of the table. On two cores, 16 emulated guests take minutes to boot.
func columns() []column {
	all := []column{{1, 10, 5 * time.Minute}, {4, 5, 5 * time.Minute}, {16, 2, 10 * time.Minute}}
	runs, err := strconv.Atoi(os.Getenv("BENCH_RUNS"))
	wanted := strings.Fields(cmp.Or(os.Getenv("BENCH_AT_ONCE"), "1 4 16"))
	var chosen []column
	for _, c := range all {
		if err == nil {
			c.runs = runs
		}
		if slices.Contains(wanted, strconv.Itoa(c.machines)) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

// overcastRows are the rows of overcast: what the section of a host has in addition.
var overcastRows = []struct{ name, label, settings string }{
	{"overcast, cold", "cold", ``},
	{"overcast, cached layer", "cached", `provision { cache = true, cmd = "echo > /root/provisioned" }`},
	{"overcast, warm", "warm", `warm = true`},
	{"overcast, Pristine", "pristine", ``},
}

// TestBenchmark compares the ways, each in turn in every run, prints a table and writes it
// to the file that BENCH names:
//
//	make bench
//
// BENCH_RUNS limits the runs, BENCH_AT_ONCE selects columns ("1 4"), BENCH_ONLY rows by a
// regular expression, and BENCH_BUSY starts processes that keep a core busy each.
func TestBenchmark(t *testing.T) {
	file := os.Getenv("BENCH")
	if file == "" {
		t.Skip("a benchmark: make bench")
	}
	conn := benchBase(t)
	t.Setenv("OVERCAST_SET", benchHosts())
	t.Cleanup(func() { emptyCache(t) })
	emptyCache(t)
	b := &benchmark{t: t, ways: ways(t, conn), busy: startBusy(t)}
	b.measure(columns())
	text := b.report(conn)
	fmt.Print(text)
	must(t, os.WriteFile(file, []byte(text), 0o644))
}

func benchHosts() string {
	var set strings.Builder
	for _, row := range overcastRows {
		for machine := range 16 {
			fmt.Fprintf(&set, "%s_%d = ${guest} { addressTimeout = 10 minutes, libvirtStartTimeout = 5 minutes, provision.startTimeout = 10 minutes\n%s }\n", row.label, machine, row.settings)
		}
	}
	return set.String()
}

// startBusy starts processes that keep cores busy.
func startBusy(t *testing.T) int {
	t.Helper()
	count, _ := strconv.Atoi(os.Getenv("BENCH_BUSY"))
	for range count {
		busy := exec.Command("sh", "-c", "while :; do :; done")
		must(t, busy.Start())
		t.Cleanup(func() {
			_ = busy.Process.Kill()
			_ = busy.Wait()
		})
	}
	return count
}

// ways are the rows that can be measured here and that BENCH_ONLY selects.
func ways(t *testing.T, conn *libvirt.Connect) []way {
	all := []way{byHandWay(t, conn)}
	for _, row := range overcastRows {
		all = append(all, overcastWay(row.label, row.name))
	}
	if dir := os.Getenv("BENCH_VAGRANT"); dir != "" {
		all = append(all, vagrantWay(t, dir))
	}
	only := regexp.MustCompile(os.Getenv("BENCH_ONLY"))
	return slices.DeleteFunc(all, func(w way) bool { return !only.MatchString(w.name) })
}

// byHandWay is the same libvirt calls and the same login without overcast.
func byHandWay(t *testing.T, conn *libvirt.Connect) way {
	domains := make([]*libvirt.Domain, 16)
	return way{
		name: "by hand",
		setUp: func(machine int) error {
			domains[machine] = byHandOf(t, conn, "my_base_domain", fmt.Sprintf("by-hand-%d", machine))
			logInByHand(t, domains[machine])
			return nil
		},
		tearDown: func(machine int) error {
			if domains[machine] == nil {
				return errors.New("there is no domain")
			}
			return domains[machine].Destroy()
		},
	}
}

func overcastWay(prefix, name string) way {
	ctx := context.Background()
	label := func(machine int) string { return fmt.Sprintf("%s_%d", prefix, machine) }
	setUp := func(machine int) error { _, err := fixture.SetUp(ctx, label(machine)); return err }
	tearDown := func(machine int) error { return fixture.TearDown(ctx, label(machine)) }
	w := way{name: name, setUp: setUp, tearDown: tearDown}
	pristine := func(machine int) error { return host.Default.Pristine(ctx, []string{label(machine)}, false) }
	switch prefix {
	case "cached", "warm": // the first set-up builds the layer, or saves the memory
		w.once = func(machine int) error { return cmp.Or(setUp(machine), tearDown(machine)) }
	case "pristine": // the first call saves the state
		w.prepare = func(machine int) error { return cmp.Or(setUp(machine), pristine(machine)) }
		w.setUp = func(machine int) error {
			if _, err := fixture.Host(label(machine)).Run(ctx, "true"); err != nil {
				return err
			}
			return pristine(machine)
		}
		w.tearDown, w.finish = nil, tearDown
	}
	return w
}

// vagrantWay runs vagrant in copies of a folder with a Vagrantfile: see docs/internals.md.
func vagrantWay(t *testing.T, dir string) way {
	copies := t.TempDir()
	run := func(machine int, args ...string) error {
		cmd := exec.Command("vagrant", args...)
		cmd.Dir = filepath.Join(copies, strconv.Itoa(machine))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("vagrant %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	return way{
		name: "vagrant-libvirt",
		prepare: func(machine int) error {
			return os.CopyFS(filepath.Join(copies, strconv.Itoa(machine)), os.DirFS(dir))
		},
		setUp:    func(machine int) error { return run(machine, "up", "--provider=libvirt") },
		tearDown: func(machine int) error { return run(machine, "destroy", "--force") },
		finish:   func(machine int) error { return os.RemoveAll(filepath.Join(copies, strconv.Itoa(machine))) },
	}
}

// benchmark is the measurement of ways.
type benchmark struct {
	t     *testing.T
	ways  []way
	busy  int
	cells []cells // by column
}

// cells are the times of a column by the name of the row.
type cells struct {
	column
	setUp, tearDown map[string][]time.Duration
}

func (b *benchmark) measure(all []column) {
	for _, c := range all {
		at := cells{c, map[string][]time.Duration{}, map[string][]time.Duration{}}
		for _, w := range b.ways {
			b.atOnce(w, c.machines, w.once)
		}
		for begun, run := time.Now(), 0; run < c.runs && (run == 0 || time.Since(begun) < c.limit); run++ {
			for _, w := range b.ways {
				b.run(w, c.machines, at)
			}
		}
		b.cells = append(b.cells, at)
	}
}

// run measures one way once. The guests of another way would take its CPU time, so that
// nothing is left of it afterwards.
func (b *benchmark) run(w way, machines int, at cells) {
	b.atOnce(w, machines, w.prepare)
	at.setUp[w.name] = append(at.setUp[w.name], b.atOnce(w, machines, w.setUp))
	if w.tearDown != nil {
		at.tearDown[w.name] = append(at.tearDown[w.name], b.atOnce(w, machines, w.tearDown))
	}
	b.atOnce(w, machines, w.finish)
	b.t.Logf("%s, %d at once: %v", w.name, machines, at.setUp[w.name])
}

// atOnce does something for several machines at once and returns how long that took.
func (b *benchmark) atOnce(w way, machines int, do func(int) error) time.Duration {
	if do == nil {
		return 0
	}
	begun := time.Now()
	errs := make([]error, machines)
	var all sync.WaitGroup
	for machine := range machines {
		all.Go(func() { errs[machine] = do(machine) })
	}
	all.Wait()
	took := time.Since(begun)
	for _, err := range errs {
		if err != nil {
			b.t.Fatalf("%s: %v", w.name, err)
		}
	}
	return took
}

// report is the text of BENCHMARKS.md.
func (b *benchmark) report(conn *libvirt.Connect) string {
	var text strings.Builder
	fmt.Fprintf(&text, `# Benchmarks

%s. %s

Time from the first call to the first SSH answer, and time of the removal: median (lowest to
highest), ratio to the same libvirt calls and the same login by hand. The rows take turns in
every run. "At once" is the time until the last machine has answered. Pristine restores a
host that stays up. "make bench" measures again.

`, strings.Join(environment(conn), "; "), b.load())
	head, line := "| |", "| --- |"
	for _, c := range b.cells {
		what := fmt.Sprintf("%d at once", c.machines)
		if c.machines == 1 {
			what = "set-up"
		}
		head += fmt.Sprintf(" %s |", what)
		line += " --- |"
		if c.machines == 1 {
			head, line = head+" teardown |", line+" --- |"
		}
	}
	fmt.Fprintln(&text, head+"\n"+line)
	for _, w := range b.ways {
		fmt.Fprintf(&text, "| %s |", w.name)
		for _, c := range b.cells {
			fmt.Fprintf(&text, " %s |", cell(c.setUp, w.name))
			if c.machines == 1 {
				fmt.Fprintf(&text, " %s |", cell(c.tearDown, w.name))
			}
		}
		fmt.Fprintln(&text)
	}
	if os.Getenv("BENCH_VAGRANT") == "" {
		fmt.Fprintln(&text, "\nvagrant-libvirt was not measured: BENCH_VAGRANT names no folder (see docs/internals.md).")
	}
	return text.String()
}

func (b *benchmark) load() string {
	text := "Runs:"
	for _, c := range b.cells {
		for _, times := range c.setUp {
			text += fmt.Sprintf(" %d of %d at once,", len(times), c.machines)
			break
		}
	}
	text = strings.TrimSuffix(text, ",")
	if b.busy > 0 {
		text += fmt.Sprintf("; %d other processes keep a core busy each", b.busy)
	}
	return text + "."
}

// cell is the median, the range and the ratio to the row "by hand".
func cell(times map[string][]time.Duration, name string) string {
	if len(times[name]) == 0 {
		return "-"
	}
	sorted := slices.Sorted(slices.Values(times[name]))
	text := fmt.Sprintf("%.2f s (%.2f to %.2f)", median(sorted).Seconds(), sorted[0].Seconds(), sorted[len(sorted)-1].Seconds())
	if hand := times["by hand"]; len(hand) > 0 && name != "by hand" {
		text += fmt.Sprintf(", %.2f", median(sorted).Seconds()/median(slices.Sorted(slices.Values(hand))).Seconds())
	}
	return text
}

func median(sorted []time.Duration) time.Duration {
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// memory is the memory of the machine in GiB.
func memory() string {
	kibibytes, err := strconv.Atoi(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"))
	if err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB", float64(kibibytes)/(1<<20))
}

// environment describes the machine and the versions.
func environment(conn *libvirt.Connect) []string {
	all := []string{
		time.Now().Format(time.DateOnly),
		fmt.Sprintf("%d cores (%s)", runtime.NumCPU(), field("/proc/cpuinfo", "model name")),
		"memory " + memory(),
		runtime.Version(),
	}
	if library, err := conn.GetLibVersion(); err == nil {
		all = append(all, "libvirt "+version(library))
	}
	if qemu, err := conn.GetVersion(); err == nil {
		all = append(all, "QEMU "+version(qemu))
	}
	if commit, err := exec.Command("git", "describe", "--always", "--dirty").Output(); err == nil {
		all = append(all, "overcast "+strings.TrimSpace(string(commit)))
	}
	accel := "KVM"
	if !strings.Contains(virshXML(conn), "type='kvm'") {
		accel = "emulated"
	}
	return append(all, "the lab's guest of 10 MB, "+accel)
}

func virshXML(conn *libvirt.Connect) string {
	domain, err := conn.LookupDomainByName("my_base_domain")
	if err != nil {
		return ""
	}
	text, _ := domain.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	return text
}

// version is a version as libvirt has it: 9000000 is 9.0.0.
func version(number uint32) string {
	return fmt.Sprintf("%d.%d.%d", number/1_000_000, number/1000%1000, number%1000)
}

// field is the value of a field of a file in /proc.
func field(path, name string) string {
	text, _ := os.ReadFile(path)
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
