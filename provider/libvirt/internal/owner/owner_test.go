package owner

import (
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNameContainsLabelAndOwner(t *testing.T) {
	by := Process{Boot: "01234567", PIDNamespace: "89ab", PID: 4711, Started: 183264}
	name := NewName("web server/1", by)
	assert.Regexp(t, `^overcast-web_server_1-0123456789ab-4711-183264-[0-9a-f]{8}$`, name)
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
		"my-overcast-web-0123456789ab-4711-183264-0123abcd", "overcast-web-0123456789ab-4711-183264-0123abcd.qcow2", "overcast-web-0123456789ab-4711-183264-0123abcd-vda.qcow2.bak", "overcast-web-0123456789ab-4711-183264-0123abcd-vda.s2",
		"overcast-web-0123456789ab-4711-183264-0123abc", "overcast-web-0123456789ab-99999999999999999999999-1-0123abcd",
	} {
		_, ok := ParseName(name)
		assert.False(t, ok, name)
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
	reused.Started--
	assert.Equal(t, Gone, reused.State(me), "another process has the PID")

	parent := me
	parent.PID = os.Getppid()
	parent.Started, _ = processStart(parent.PID)
	assert.Equal(t, Alive, parent.State(me))

	for name, change := range map[string]func(*Process){
		"another machine or boot":   func(o *Process) { o.Boot = "ffffffff" },
		"another PID namespace":     func(o *Process) { o.PIDNamespace = "ffff" },
		"a machine without proc(5)": func(o *Process) { o.Started = 0 },
	} {
		elsewhere := gone
		change(&elsewhere)
		assert.Equal(t, Unknown, elsewhere.State(me), name)
	}
	assert.Equal(t, Unknown, Process{Boot: "00000000", PIDNamespace: "0000", PID: gone.PID, Started: 1}.State(Process{Boot: "00000000", PIDNamespace: "0000"}), "nothing is known here")
}

func TestMetadataRoundTrip(t *testing.T) {
	m := NewMetadata("overcast-web-1", `base "&" <one>`, "web", time.Minute)
	read := ParseMetadata("overcast-web-1", `<other xmlns="urn:other"/>`+m.XML())
	require.NotNil(t, read)
	read.XMLName = m.XMLName
	assert.Equal(t, m, read)
	assert.Contains(t, m.XML(), MetadataNamespace)
	assert.Equal(t, Self(), Process(read.Owner))
	assert.False(t, m.IsLeaseExpired(m.Created.Add(59*time.Second)))
	assert.True(t, m.IsLeaseExpired(m.Created.Add(61*time.Second)))

	assert.Nil(t, ParseMetadata("a-copy", m.XML()), "a copy of a clone is not overcast's")
	m.Version = 99
	assert.Nil(t, ParseMetadata("overcast-web-1", m.XML()), "of a later version")
	assert.Nil(t, ParseMetadata("overcast-web-1", `<clone xmlns="urn:other"/>`))
	assert.Nil(t, ParseMetadata("overcast-web-1", ""))
}
