package suite

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLinesHaveAColourOnATerminalOnly(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	assert.Equal(t, "\x1b[36movercast:\x1b[0m", livePrefix(true, false))
	assert.Equal(t, "overcast:", livePrefix(true, true))
	assert.Equal(t, "overcast:", livePrefix(false, false))
	t.Setenv("NO_COLOR", "1")
	assert.Equal(t, "overcast:", livePrefix(true, false))
}
