package warm

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func FuzzReplaceDefinition(f *testing.F) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		f.Add(beginning(order, "<domain/>", "<cookie/>"), "<domain><name>new</name></domain>")
		f.Add(beginning(order, "<domain/>", ""), "")
	}
	f.Add([]byte(partialMagic), "")
	f.Fuzz(func(t *testing.T, image []byte, definition string) {
		after, err := replaceDefinition(image, definition)
		if err != nil {
			return
		}
		before, _ := parseImage(image)
		now, err := parseImage(after)
		require.NoError(t, err)
		assert.Equal(t, before.memoryAt(), now.memoryAt())
		assert.Len(t, after, len(image))
		assert.True(t, bytes.HasPrefix(after[imageHeader:], append([]byte(definition), 0)))
	})
}
