package suite

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/overcast-go/overcast/internal/host"
)

// sharedBoot is the set-up of the shared hosts in process 1.
type sharedBoot struct {
	run      string
	labels   []string
	cancel   context.CancelCauseFunc
	done     chan struct{}  // closed when result is set
	result   []byte         // JSON
	listener net.Listener   // nil in a run of one process
	serving  sync.WaitGroup // the listener and the connections
}

// bootShared starts the set-up of the shared hosts, and returns the bootstrap
// message when each of them has its place in the queues that it needs.
func (f *Fixtures) bootShared(ctx context.Context, set *hostSet) ([]byte, error) {
	message := bootstrapMessage{Version: messageVersion, Run: rand.Text(), Hosts: set.shared}
	if len(set.shared) > 0 {
		b := &sharedBoot{run: message.Run, labels: set.shared, done: make(chan struct{})}
		if processes() > 1 {
			var err error
			if b.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				return nil, fmt.Errorf("listening for the other processes: %w", err)
			}
			message.Address = b.listener.Addr().String()
			b.serving.Go(b.serve)
		}
		// The node's context ends before the hosts are up.
		nodeCtx := ctx
		ctx, b.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		queued := make(chan struct{})
		go b.setUp(ctx, set, func() { close(queued) })
		f.shared.Store(b)
		// Every process waits for these hosts, so they are queued for memory
		// ahead of the hosts of each process.
		select {
		case <-queued:
		case <-nodeCtx.Done():
			return nil, context.Cause(nodeCtx)
		}
	}
	return json.Marshal(message)
}

// setUp sets up the hosts and stores the result.
func (b *sharedBoot) setUp(ctx context.Context, set *hostSet, queued func()) {
	defer close(b.done)
	r := result{Version: messageVersion, Run: b.run}
	err := <-set.setUp(ctx, b.labels, queued)
	if err == nil {
		r.Hosts, err = host.Default.Share(b.labels...)
	}
	if err != nil {
		r.Failure = err.Error()
	}
	b.result, _ = json.Marshal(r) // cannot fail: strings and JSON
}

// messageLimit bounds the exchange of a message with a process that may have
// ended.
const messageLimit = 10 * time.Second

// serve answers the requests of the other processes until the listener is
// closed.
func (b *sharedBoot) serve() {
	defer b.listener.Close() // so that the other processes do not wait for an answer
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return
		}
		b.serving.Go(func() {
			defer conn.Close()
			b.answer(conn)
		})
	}
}

// answer answers one request. A request of another run gets an empty result.
func (b *sharedBoot) answer(conn net.Conn) {
	var req request
	_ = conn.SetReadDeadline(time.Now().Add(messageLimit))
	if err := json.NewDecoder(conn).Decode(&req); err != nil {
		return
	}
	if req.Run != b.run {
		_ = json.NewEncoder(conn).Encode(result{})
		return
	}
	if req.Failed {
		for _, label := range b.labels {
			host.Default.NoteFailure(label)
		}
		return
	}
	<-b.done
	_ = conn.SetWriteDeadline(time.Now().Add(messageLimit))
	_, _ = conn.Write(b.result) // fails if the other process has ended
}

// errSuiteEnded cancels the set-up of shared hosts.
var errSuiteEnded = errors.New("the suite ended before its shared hosts were up")

// close waits for all goroutines of bootShared.
func (b *sharedBoot) close() {
	<-b.done
	if b.listener != nil {
		_ = b.listener.Close() // serve may have closed it
		b.serving.Wait()
	}
}

// without returns labels without those of the shared hosts.
func (b *sharedBoot) without(labels []string) []string {
	return slices.DeleteFunc(slices.Clone(labels), func(label string) bool { return slices.Contains(b.labels, label) })
}
