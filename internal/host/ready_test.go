package host

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/overcast-go/overcast/provider"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readyMachine is an existing machine on the loopback interface.
type readyMachine struct {
	provider.Instance
	settings provider.Settings
}

func (m *readyMachine) Common() provider.Settings { return m.settings }
func (m *readyMachine) Address() string           { return "127.0.0.1" }

func readyHost(limit time.Duration, conditions ...provider.Condition) *Host {
	settings := provider.DefaultSettings()
	settings.Ready, settings.ReadyTimeout = conditions, limit
	return newHost(&readyMachine{settings: settings})
}

func TestReadyWaitsUntilAServerAnswersWithTheStatus(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" || asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	port := server.Listener.Addr().(*net.TCPAddr).Port
	h := readyHost(time.Minute, provider.Condition{Port: port}, provider.Condition{HTTP: "/healthz", Port: port, Status: 200})
	require.NoError(t, h.awaitConditions(t.Context()))
	assert.EqualValues(t, 3, asked.Load())
}

func TestReadyNamesTheConditionAndWhatWasSeenLast(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	port := server.Listener.Addr().(*net.TCPAddr).Port
	h := readyHost(2*time.Second, provider.Condition{HTTP: "/", Port: port})
	err := h.awaitConditions(t.Context())
	require.Error(t, err)
	assert.Contains(t, err.Error(), "waiting until HTTP / on port "+strconv.Itoa(port)+" answers: readyTimeout of 2s expired after ")
	assert.Contains(t, err.Error(), "it answered 404 Not Found")
}

func TestReadyEndsWithItsContext(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	require.NoError(t, listener.Close())
	stopped := errors.New("stopped")
	ctx, cancel := cancelled(t, stopped)
	defer cancel()
	err = readyHost(time.Minute, provider.Condition{Port: port}).awaitConditions(ctx)
	assert.ErrorIs(t, err, stopped)
}

// cancelled is a context that ends soon, with a cause.
func cancelled(t *testing.T, cause error) (context.Context, func()) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	timer := time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
	return ctx, func() { timer.Stop(); cancel(nil) }
}
