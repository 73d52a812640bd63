package host

import (
	"context"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
)

func TestASilentSetUpReportsWhatItWaitsFor(t *testing.T) {
	told := make(chan provider.Progress, 100)
	ctx := WithProgress(context.Background(), func(p provider.Progress) {
		select {
		case told <- p:
		default:
		}
	})
	p := newProgress(ctx, "web")
	p.report(provider.StepStarted, "")
	assert.Equal(t, provider.StepStarted, (<-told).Step)
	stop := p.remind(time.Millisecond, func() string { return "console: eth0: link is up" })
	for range 2 { // again and again
		waiting := <-told
		assert.Equal(t, provider.StepWaiting, waiting.Step)
		assert.Regexp(t, `^web: waiting since started; console: eth0: link is up; after \d+\.\ds$`, waiting.String())
	}
	stop()
	assert.Equal(t, provider.StepStarted, p.reached().Step, "the step of progress reports")
}
