package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/overcast-go/overcast/internal/host"
)

// joinShared waits until the shared hosts are up and makes them known in this
// process.
func (f *Fixtures) joinShared(ctx context.Context, set *hostSet, encoded []byte) error {
	var message bootstrapMessage
	if err := json.Unmarshal(encoded, &message); err != nil {
		return fmt.Errorf("joining the shared hosts: reading the message of process 1: %w", err)
	}
	if message.Version != messageVersion {
		return fmt.Errorf("joining the shared hosts: the message of process 1 has version %d, not %d: run all processes from the same build", message.Version, messageVersion)
	}
	f.uses.setRun(message.Run)
	f.joined.Store(&message)
	if len(message.Hosts) == 0 {
		return nil
	}
	labels := strings.Join(message.Hosts, ", ")
	start := time.Now()
	detach := ginkgo.AttachProgressReporter(func() string {
		return fmt.Sprintf("waiting for process 1 to set up %s for %v", labels, time.Since(start).Round(time.Second))
	})
	defer detach()
	r, err := f.awaitResult(ctx, &message)
	if err != nil {
		return fmt.Errorf("waiting for process 1 to set up %s: %w", labels, err)
	}
	if r.Failure != "" {
		return errors.New(r.Failure)
	}
	if err := host.Default.Adopt(ctx, r.Hosts, set.prepare); err != nil {
		return err
	}
	return f.requireExclusive(set.unique)
}

// awaitResult waits for the result: in process 1 from its own set-up, in the
// others over the network.
func (f *Fixtures) awaitResult(ctx context.Context, message *bootstrapMessage) (*result, error) {
	var encoded []byte
	if b := f.shared.Load(); b != nil {
		select {
		case <-b.done:
			encoded = b.result
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	} else {
		var err error
		if encoded, err = send(ctx, message.Address, request{Run: message.Run}); err != nil {
			return nil, err
		}
	}
	var r result
	if err := json.Unmarshal(encoded, &r); err != nil { // the kernel closed the connection
		return nil, fmt.Errorf("process 1 has ended (%w): see its output for the cause", err)
	}
	if r.Run != message.Run {
		return nil, fmt.Errorf("process 1 has ended: another program answers at %s", message.Address)
	}
	return &r, nil
}

// send sends a request to process 1 and returns what it answers before it closes
// the connection.
func send(ctx context.Context, address string, req request) ([]byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	var answer []byte
	if err == nil {
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		if err = json.NewEncoder(conn).Encode(req); err == nil {
			answer, err = io.ReadAll(conn)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("process 1 has ended: %w", err)
	}
	return answer, nil
}
