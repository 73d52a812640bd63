package libvirt

import (
	"context"
	"errors"
	"testing"

	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/virt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"libvirt.org/go/libvirt"
)

const testURL = "test:///default"

func TestCallThatDoesNotAnswerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	answer, answered := make(chan struct{}), make(chan error)
	found, err := withConnection(ctx, testURL, func(ctx context.Context, conn *libvirt.Connect) (string, error) {
		cancel()
		<-answer
		_, err := conn.GetHostname()
		answered <- errors.Join(err, ctx.Err())
		return "late", nil
	})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "libvirt has not answered")
	assert.Empty(t, found)
	close(answer)
	err = <-answered
	require.ErrorIs(t, err, context.Canceled, "its context has ended")
	assert.False(t, virt.IsFromLibvirt(err), "the call still has its connection: %v", err)
}

func TestConnectionIsReleasedWhenTheCallOverItHasEnded(t *testing.T) {
	on, release, err := virt.NewConnections().Acquire(t.Context(), testURL)
	require.NoError(t, err)
	defer release()
	released, answer := make(chan struct{}), make(chan struct{})
	call := func() error {
		_, err := over(t.Context(), on, func() { close(released) }, func(ctx context.Context) (string, error) {
			on.Keepalive.MarkLost("it has not answered for 10 seconds")
			<-ctx.Done()
			<-answer
			return "late", nil
		})
		return err
	}
	var lost *virt.ConnectionLostError
	require.ErrorAs(t, call(), &lost)
	select {
	case <-released:
		t.Fatal("the call still uses the connection")
	default:
	}
	close(answer)
	<-released
}

func TestResultOfACallThatEndsByItselfIsKept(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	found, err := withConnection(ctx, testURL, func(ctx context.Context, _ *libvirt.Connect) (string, error) {
		cancel()
		<-ctx.Done()
		return "a part", errors.New("no")
	})
	require.EqualError(t, err, "no")
	assert.Equal(t, "a part", found)
	_, err = withConnection(t.Context(), testURL, func(context.Context, *libvirt.Connect) (string, error) { panic("a mistake") })
	require.ErrorContains(t, err, "a mistake")
}

func TestDiagnosisEndsWithItsContext(t *testing.T) {
	d := &diagnosis{instance: &instance{config: config{URL: testURL}, pool: virt.NewConnections()}}
	ctx, cancel := context.WithCancel(t.Context())
	answer, over := make(chan struct{}), make(chan struct{})
	results := d.check(ctx, func(context.Context, *virt.Connection) {
		defer close(over)
		d.report("base domain", "is shut off", nil)
		cancel()
		<-answer
		d.report("late", "", nil)
	})
	require.Len(t, results, 3)
	assert.Equal(t, provider.Result{Name: "connection", Detail: testURL}, results[0])
	assert.Equal(t, provider.Result{Name: "base domain", Detail: "is shut off"}, results[1])
	require.ErrorIs(t, results[2].Err, context.Canceled)
	close(answer)
	<-over
}
