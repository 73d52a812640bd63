package owner

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/filelock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNameContainsLabelAndOwner(t *testing.T) {
	by := Process{Machine: "0123456789abcdef", PID: 4711, Started: 183264}
	name := NewName("web server/1", by)
	assert.Regexp(t, `^overcast-web_server_1-0123456789abcdef-4711-183264-[0-9a-f]{8}$`, name)
	for _, of := range []string{name, name + "-vda.qcow2", name + "-tpmfrom"} {
		made, ok := ParseName(of)
		require.True(t, ok, of)
		assert.Equal(t, Name{Clone: name, Label: "web_server_1", Process: by}, made)
	}
}

func TestNameOfATemporaryPoolHasItsTimeOfCreation(t *testing.T) {
	name := NewName("web", Self())
	for suffix, want := range map[string]time.Time{
		"-look1-1764000000": time.Unix(1764000000, 0), "-tpmfrom-1764000000": time.Unix(1764000000, 0), "-tpmto": {},
	} {
		made, ok := ParseName(name + suffix)
		require.True(t, ok, suffix)
		assert.Equal(t, name, made.Clone)
		assert.Equal(t, want, made.Created, suffix)
	}
}

func TestNameCutsALongLabel(t *testing.T) {
	by := Self()
	assert.Len(t, NewName(strings.Repeat("long", 100), by), len(NewName("l", by))+maxLabelBytes-1)
}

func TestForeignNamesAreNotParsed(t *testing.T) {
	for _, name := range []string{
		"", "overcast", "overcast-", "overcast-web", "overcast-web-1f3a5b7c", "overcast-test-vm.qcow2",
		"my-overcast-web-0123456789abcdef-4711-183264-0123abcd", "overcast-web-0123456789abcdef-4711-183264-0123abcd.qcow2", "overcast-web-0123456789abcdef-4711-183264-0123abcd-vda.qcow2.bak", "overcast-web-0123456789abcdef-4711-183264-0123abcd-vda.s2",
		"overcast-web-0123456789abcdef-4711-183264-0123abc", "overcast-web-0123456789abcdef-99999999999999999999999-1-0123abcd",
	} {
		_, ok := ParseName(name)
		assert.False(t, ok, name)
	}
}

func TestNamesAndMetadataIdentifyTheSameProcess(t *testing.T) {
	me := Announced()
	made, ok := ParseName(NewName("web", me))
	require.True(t, ok)
	assert.True(t, me.Is(made.Process))
	assert.True(t, made.Process.Is(me))
	for name, change := range map[string]func(*Process){
		"another machine":  func(p *Process) { p.Machine = digest("another", machineDigits) },
		"unknown machine":  func(p *Process) { p.Machine = strings.Repeat("0", machineDigits) },
		"another PID":      func(p *Process) { p.PID++ },
		"PID was reused":   func(p *Process) { p.Started++ },
		"another snapshot": func(p *Process) { p.Random += "x" },
	} {
		other := me
		change(&other)
		assert.False(t, me.Is(other), name)
	}
}

func TestStateOfOwners(t *testing.T) {
	me := Self()
	require.NotZero(t, me.Started)
	assert.Equal(t, Alive, me.State(me))

	ended := exec.Command("cat")
	out, err := ended.StdoutPipe()
	require.NoError(t, err)
	_, err = ended.StdinPipe() // or else it ends at once by itself
	require.NoError(t, err)
	require.NoError(t, ended.Start())
	gone := me
	gone.Random = ""
	gone.PID = ended.Process.Pid
	gone.Started, err = processStart(gone.PID)
	require.NoError(t, err)
	assert.Equal(t, Alive, gone.State(me))
	require.NoError(t, ended.Process.Kill())
	_, _ = io.ReadAll(out) // until it has ended
	require.Eventually(t, func() bool { return gone.State(me) == Gone }, 10*time.Second, time.Millisecond, "although its parent has not waited for it")
	require.Error(t, ended.Wait())
	assert.Equal(t, Gone, gone.State(me))

	reused := me
	reused.Random = ""
	reused.Started--
	assert.Equal(t, Gone, reused.State(me), "another process has the PID")

	parent := me
	parent.Random = ""
	parent.PID = os.Getppid()
	parent.Started, _ = processStart(parent.PID)
	assert.Equal(t, Alive, parent.State(me))

	for name, change := range map[string]func(*Process){
		"another machine":           func(o *Process) { o.Machine = strings.Repeat("f", 32) },
		"a part of its digest":      func(o *Process) { o.Machine = o.Machine[:12] },
		"a machine without proc(5)": func(o *Process) { o.Started = 0 },
		"a restored copy":           func(o *Process) { o.Random = "announced on the other machine" },
	} {
		elsewhere := gone
		change(&elsewhere)
		assert.Equal(t, Unknown, elsewhere.State(me), name)
	}
	zeros := machineDigest("host", "", "")
	assert.Equal(t, Unknown, Process{Machine: zeros, PID: gone.PID, Started: 1}.State(Process{Machine: zeros}), "nothing is known here")
}

// Two machines that were restored from one snapshot have the same host name, boot ID and
// PIDs. What one of them has announced shows which process is meant.
func TestAnAnnouncementDecidesAboutARestoredMachine(t *testing.T) {
	dir, err := filelock.Dir()
	require.NoError(t, err)
	me := Announced()
	require.NotEmpty(t, me.Random)
	assert.Equal(t, Alive, me.State(Self()))
	gone := me
	gone.PID, gone.Started = 1<<30, 1
	gone.Random = rand.Text()
	assert.Equal(t, Unknown, gone.State(me), "the PID is unused here, and the process may run on the other machine")
	file, err := filelock.Announce(dir, announcementPrefix+gone.Random)
	require.NoError(t, err)
	assert.Equal(t, Alive, gone.State(me), "of another PID namespace")
	require.NoError(t, file.Close())
	assert.Equal(t, Gone, gone.State(me))
	require.NoError(t, os.Remove(filepath.Join(dir, announcementPrefix+gone.Random+".announced")))
}

func TestMachinesAreToldApart(t *testing.T) {
	seen := map[string]bool{}
	for namespace := range 20_000 {
		seen[machineDigest("host", "boot", fmt.Sprintf("pid:[%d]", 4026531836+namespace))[:machineDigitsInName]] = true
	}
	assert.Len(t, seen, 20_000, "containers of one machine have different PID namespaces")
	one := machineDigest("host", "boot", "pid:[1]")
	assert.NotEqual(t, one, machineDigest("other", "boot", "pid:[1]"))
	assert.NotEqual(t, one, machineDigest("host", "other", "pid:[1]"))
	assert.Len(t, one, machineDigits)
}

func TestMetadataRoundTrip(t *testing.T) {
	m := NewMetadata("overcast-web-1", `base "&" <one>`, "web", time.Minute)
	read := ParseMetadata("overcast-web-1", `<other xmlns="urn:other"/>`+m.XML())
	require.NotNil(t, read)
	read.XMLName = m.XMLName
	assert.Equal(t, m, read)
	assert.Contains(t, m.XML(), MetadataNamespace)
	assert.Equal(t, Announced(), Process(read.Owner))

	assert.Nil(t, ParseMetadata("a-copy", m.XML()), "a copy of a clone is not overcast's")
	m.Version = 99
	assert.Nil(t, ParseMetadata("overcast-web-1", m.XML()), "of a later version")
	assert.Nil(t, ParseMetadata("overcast-web-1", `<clone xmlns="urn:other"/>`))
	assert.Nil(t, ParseMetadata("overcast-web-1", ""))
}
