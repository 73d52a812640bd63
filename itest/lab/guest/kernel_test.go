//go:build linux

package guest

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bzImage is the least that kernelPayload reads: setup sectors, the header's
// magic, and a payload after the setup code.
func bzImage(sectors byte, offset, length uint32, payload string) []byte {
	setup := int(sectors)
	if setup == 0 {
		setup = 4 // for compatibility with the oldest kernels, says the boot protocol
	}
	image := make([]byte, (setup+1)*512)
	image[0x1f1] = sectors
	copy(image[0x202:], "HdrS")
	binary.LittleEndian.PutUint32(image[0x248:], offset)
	binary.LittleEndian.PutUint32(image[0x24c:], length)
	image = append(image, make([]byte, offset)...)
	return append(image, payload...)
}

func TestKernelPayload(t *testing.T) {
	for name, image := range map[string][]byte{
		"right after the setup code": bzImage(2, 0, 7, "payload"),
		"further on":                 bzImage(30, 100, 7, "payload and what follows"),
		"no number of sectors":       bzImage(0, 3, 7, "payload"),
	} {
		t.Run(name, func(t *testing.T) {
			payload, err := kernelPayload(image)
			require.NoError(t, err)
			assert.Equal(t, "payload", string(payload))
		})
	}
}

func TestKernelPayloadRefusesWhatIsNoKernel(t *testing.T) {
	whole := bzImage(2, 0, 7, "payload")
	unmarked := bzImage(2, 0, 7, "payload")
	copy(unmarked[0x202:], "nope")
	for name, image := range map[string][]byte{
		"empty":                    nil,
		"ends in the header":       whole[:0x24e],
		"no magic":                 unmarked,
		"cut off":                  whole[:len(whole)-1],
		"payload beyond the end":   bzImage(2, 1<<10, 1<<20, ""),
		"length of all bits":       bzImage(2, 0, 1<<32-1, "payload"),
		"an ELF file, not packed":  append([]byte("\x7fELF"), make([]byte, 4096)...),
		"a text of the right size": make([]byte, 4096),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := kernelPayload(image)
			assert.Error(t, err)
		})
	}
}
