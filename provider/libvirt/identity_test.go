package libvirt

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

func TestNameTellsWhoseItIs(t *testing.T) {
	by := owner{Boot: "01234567", Space: "89ab", PID: 4711, Started: 183264}
	name := newName("web server/1", by)
	assert.Regexp(t, `^overcast-web_server_1-0123456789ab-4711-183264-[0-9a-f]{8}$`, name)
	for _, of := range []string{name, name + "-vda.qcow2", name + "-tpmfrom"} {
		made, ok := parseName(of)
		require.True(t, ok, of)
		assert.Equal(t, madeName{clone: name, label: "web_server_1", owner: by}, made)
	}
}

func TestNameOfAVeryLongLabel(t *testing.T) {
	by := self()
	assert.Len(t, newName(strings.Repeat("long", 100), by), len(newName("l", by))+longestLabel-1)
}

func TestNamesThatAreNotOurs(t *testing.T) {
	for _, name := range []string{
		"", "overcast", "overcast-", "overcast-web", "overcast-web-1f3a5b7c", "overcast-test-vm.qcow2",
		"my-overcast-web-0123456789ab-4711-183264-0123abcd", "overcast-web-0123456789ab-4711-183264-0123abcd.qcow2", "overcast-web-0123456789ab-4711-183264-0123abcd-vda.qcow2.bak", "overcast-web-0123456789ab-4711-183264-0123abcd-vda.s2",
		"overcast-web-0123456789ab-4711-183264-0123abc", "overcast-web-0123456789ab-99999999999999999999999-1-0123abcd",
	} {
		_, ok := parseName(name)
		assert.False(t, ok, name)
	}
}

func TestFateOfOwners(t *testing.T) {
	me := self()
	require.NotZero(t, me.Started)
	assert.Equal(t, fateAlive, me.fate(me))

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
	assert.Equal(t, fateAlive, gone.fate(me))
	require.NoError(t, ended.Process.Kill())
	_, _ = io.ReadAll(out) // until it has ended
	require.Eventually(t, func() bool { return gone.fate(me) == fateGone }, 10*time.Second, time.Millisecond, "though nobody has waited for it")
	require.Error(t, ended.Wait())
	assert.Equal(t, fateGone, gone.fate(me))

	reused := me
	reused.Started--
	assert.Equal(t, fateGone, reused.fate(me), "another process has the PID")

	parent := me
	parent.PID = os.Getppid()
	parent.Started, _ = processStart(parent.PID)
	assert.Equal(t, fateAlive, parent.fate(me))

	for name, change := range map[string]func(*owner){
		"another machine or boot":   func(o *owner) { o.Boot = "ffffffff" },
		"another PID namespace":     func(o *owner) { o.Space = "ffff" },
		"a machine without proc(5)": func(o *owner) { o.Started = 0 },
	} {
		elsewhere := gone
		change(&elsewhere)
		assert.Equal(t, fateUnknown, elsewhere.fate(me), name)
	}
	assert.Equal(t, fateUnknown, owner{Boot: "00000000", Space: "0000", PID: gone.PID, Started: 1}.fate(owner{Boot: "00000000", Space: "0000"}), "nothing is known here")
}

func TestMetadataIsReadAsItWasWritten(t *testing.T) {
	m := newMetadata("overcast-web-1", `base "&" <one>`, "web", time.Minute)
	read := parseMetadata("overcast-web-1", `<other xmlns="urn:other"/>`+m.text())
	require.NotNil(t, read)
	read.XMLName = m.XMLName
	assert.Equal(t, m, read)
	assert.Contains(t, m.text(), MetadataNamespace)
	assert.Equal(t, self(), owner(read.Owner))
	assert.False(t, m.leaseOver(m.Created.Add(59*time.Second)))
	assert.True(t, m.leaseOver(m.Created.Add(61*time.Second)))

	assert.Nil(t, parseMetadata("a-copy", m.text()), "what a person has copied from a clone is the person's")
	m.Version = 99
	assert.Nil(t, parseMetadata("overcast-web-1", m.text()), "of a version to come")
	assert.Nil(t, parseMetadata("overcast-web-1", `<clone xmlns="urn:other"/>`))
	assert.Nil(t, parseMetadata("overcast-web-1", ""))
}
