package fsmapping

import (
	"fmt"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider/libvirt/internal/owner"
	"github.com/stretchr/testify/assert"
)

// nameOf returns the name of a copy of a process.
func nameOf(by owner.Process) string { return owner.NewName("web", by) + "-fs0" }

func TestCopiesOfEndedProcessesAreRemoved(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	self := owner.Self()
	ended, elsewhere := self, self
	ended.Started++
	elsewhere.Machine = "0123456789abcdef0123456789abcdef"
	for name, test := range map[string]struct {
		by        owner.Process
		age       time.Duration
		hasDomain bool
		keeps     string
	}{
		"of a living process":                      {self, 48 * time.Hour, false, "its owner is alive"},
		"of an ended process":                      {ended, 0, false, ""},
		"of a kept clone":                          {ended, 48 * time.Hour, true, "its clone exists"},
		"of another boot or namespace, recent":     {elsewhere, 23 * time.Hour, false, "its owner may be alive: changed within the last 24h0m0s"},
		"of another boot or namespace, old":        {elsewhere, 25 * time.Hour, false, ""},
		"of another boot or namespace, with clone": {elsewhere, 25 * time.Hour, true, "its clone exists"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := nameOf(test.by)
			made, changed, ok := parseCopy(fmt.Sprintf("%d %s", now.Add(-test.age).Unix(), folder))
			assert.True(t, ok)
			r := judgeCopy(folder, made, changed, now, test.hasDomain)
			assert.Equal(t, test.keeps, r.SkipReason)
			assert.Equal(t, "web", r.Label)
			assert.Equal(t, "/var/tmp/"+folder, r.Name)
		})
	}
}

func TestOnlyNamesOfCopiesAreListed(t *testing.T) {
	clone := owner.NewName("web", owner.Self())
	for _, line := range []string{"", "1", "x " + clone + "-fs0", "1 " + clone, "1 " + clone + "-disk.qcow2", "1 " + clone + "-fs0/../..", "1 ../" + clone + "-fs0", "1 " + clone + "-fs0 /etc", "1 /etc"} {
		_, _, ok := parseCopy(line)
		assert.False(t, ok, line)
	}
}
