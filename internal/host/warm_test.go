package host

import (
	"errors"
	"fmt"
	"testing"

	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
)

// warmInstance is an instance whose host was restored from memory, or was to be.
type warmInstance struct {
	provider.Instance
	provider.WarmStarter
	restored bool
}

func (w *warmInstance) WarmSlot() (int, bool, bool) { return 3, w.restored, true }

func TestMemoryIsDiscardedOnlyIfItMayBeToBlame(t *testing.T) {
	for name, test := range map[string]struct {
		restored bool
		err      error
		step     string
	}{
		"a login that fails":            {true, errors.New("a"), provider.StepDiscardedMemory},
		"another machine's address":     {true, provider.ErrAddressConflict, provider.StepDiscardedMemory},
		"memory that was just saved":    {false, fmt.Errorf("a: %w", provider.ErrNotRestored), provider.StepDiscardedMemory},
		"a boot that fails":             {false, errors.New("a"), ""},
		"a hypervisor that is gone":     {true, provider.ErrHypervisorNotReachable, ""},
		"a static address that is held": {true, provider.ErrStaticAddressInUse, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := &Host{instance: &warmInstance{restored: test.restored}}
			step, _ := h.discardAfter(t.Context(), test.err)
			assert.Equal(t, test.step, step)
		})
	}
}
