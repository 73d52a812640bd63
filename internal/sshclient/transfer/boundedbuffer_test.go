package transfer

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBoundedBufferKeepsTheBeginning(t *testing.T) {
	b := boundedBuffer{limit: 5}
	for range 3 {
		n, err := b.Write([]byte("abc"))
		assert.Equal(t, 3, n)
		assert.NoError(t, err)
	}
	assert.Equal(t, "abcab", b.String())
	assert.True(t, b.isFull())
	_, _ = b.Write([]byte(strings.Repeat("x", 100)))
	assert.Equal(t, "abcab", b.String())
}
