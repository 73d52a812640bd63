package suite

import (
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/host"
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

func TestTheSummaryNamesTheTimeThatALayerSaved(t *testing.T) {
	web := host.Status{Label: "web", Up: true, Elapsed: 7400 * time.Millisecond}
	assert.Equal(t, "web in 7.4s", summaryOf(web))
	web.Saved = 41 * time.Second
	assert.Equal(t, "web in 7.4s (its layer saved 41.0s)", summaryOf(web))
}
