package suite

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/overcast-go/overcast/fixture"
)

// Ginkgo lets the other processes go on when the first body of a
// SynchronizedBeforeSuite has returned, and hands them what it has returned.
// So that nobody waits who could boot hosts of its own, that is an invitation:
// which hosts are coming, and where process 1 will tell what has become of
// them. Who asks there is answered once they are all up, or have failed. A
// connection that ends before that tells that process 1 has ended: the kernel
// closes it.

// invitationVersion is that of the format of invitation and outcome.
const invitationVersion = 1

// invitation is what SetUpShared answers with.
type invitation struct {
	Version int      `json:"version"`
	Run     string   `json:"run"`          // tells this run from any other
	Coming  []string `json:"coming"`       // labels of the shared hosts
	At      string   `json:"at,omitempty"` // where to ask for the outcome; none within process 1
}

// question is what another process sends first: it asks for the outcome, or
// tells that something has failed there.
type question struct {
	Run    string `json:"run"`
	Failed bool   `json:"failed,omitempty"`
}

// outcome is what has become of the shared hosts.
type outcome struct {
	Version int             `json:"version"`
	Run     string          `json:"run"`
	Hosts   json.RawMessage `json:"hosts,omitempty"`   // of fixture.Share
	Failure string          `json:"failure,omitempty"` // why there are none
}

// boot is that of the shared hosts, in process 1.
type boot struct {
	run      string
	labels   []string
	end      context.CancelCauseFunc // ends it before its time
	over     chan struct{}           // closed once told is set
	told     []byte                  // the outcome
	listener net.Listener            // nil where there are no other processes
	answers  sync.WaitGroup          // those who wait to be told
}

// bootShared begins to set the shared hosts up.
func (f *Fixtures) bootShared(ctx context.Context, p *plan) ([]byte, error) {
	invited := invitation{Version: invitationVersion, Run: rand.Text(), Coming: p.shared}
	if len(p.shared) > 0 {
		b := &boot{run: invited.Run, labels: p.shared, over: make(chan struct{})}
		if processes() > 1 {
			var err error
			if b.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				return nil, fmt.Errorf("listening for the other processes: %w", err)
			}
			invited.At = b.listener.Addr().String()
			b.answers.Go(b.answer)
		}
		// The node's context ends before the hosts are up.
		asked := ctx
		ctx, b.end = context.WithCancelCause(context.WithoutCancel(ctx))
		ctx, placed := fixture.Together(ctx, len(b.labels))
		go b.setUp(ctx, p)
		f.boot.Store(b)
		// Others wait for these hosts, and are not to have the memory before.
		select {
		case <-placed:
		case <-asked.Done():
			return nil, context.Cause(asked)
		}
	}
	return json.Marshal(invited)
}

// setUp sets the hosts up, and notes the outcome.
func (b *boot) setUp(ctx context.Context, p *plan) {
	defer close(b.over)
	result := outcome{Version: invitationVersion, Run: b.run}
	err := p.setUpEach(ctx, b.labels)
	if err == nil {
		result.Hosts, err = fixture.Share(b.labels...)
	}
	if err != nil {
		result.Failure = err.Error()
	}
	b.told, _ = json.Marshal(result) // texts, and JSON: it cannot fail
}

// tellLimit bounds telling a process that may not listen any more.
const tellLimit = 10 * time.Second

// answer tells every process that asks, when there is something to tell.
func (b *boot) answer() {
	defer b.listener.Close() // who still waits for an answer then is not kept waiting
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return // it has been closed, or nobody can be answered any more
		}
		b.answers.Go(func() {
			defer conn.Close()
			b.hear(conn)
		})
	}
}

// hear answers a question of the run's; any other gets no outcome.
func (b *boot) hear(conn net.Conn) {
	var asked question
	_ = conn.SetReadDeadline(time.Now().Add(tellLimit))
	if err := json.NewDecoder(conn).Decode(&asked); err != nil {
		return
	}
	if asked.Run != b.run {
		_ = json.NewEncoder(conn).Encode(outcome{})
		return
	}
	if asked.Failed {
		for _, label := range b.labels {
			fixture.NoteFailure(label)
		}
		return
	}
	<-b.over
	_ = conn.SetWriteDeadline(time.Now().Add(tellLimit))
	_, _ = conn.Write(b.told) // who has ended needs no answer
}

// errSuiteOver is why shared hosts are not set up any further.
var errSuiteOver = errors.New("the suite has ended before they were up")

// close waits until everything has ended that the boot began.
func (b *boot) close() {
	<-b.over
	if b.listener != nil {
		_ = b.listener.Close() // it may be closed already
		b.answers.Wait()
	}
}

// others are the labels that are not the boot's.
func (b *boot) others(labels []string) []string {
	return slices.DeleteFunc(slices.Clone(labels), func(label string) bool { return slices.Contains(b.labels, label) })
}

// joinShared waits for the shared hosts, and makes them known in this process.
func (f *Fixtures) joinShared(ctx context.Context, p *plan, told []byte) error {
	var invited invitation
	if err := json.Unmarshal(told, &invited); err != nil {
		return fmt.Errorf("reading which hosts are shared: %w", err)
	}
	if invited.Version != invitationVersion {
		return fmt.Errorf("reading which hosts are shared: version %d is not %d: the processes of a run must be of one build", invited.Version, invitationVersion)
	}
	f.turns.begin(invited.Run)
	f.invited.Store(&invited)
	if len(invited.Coming) == 0 {
		return nil
	}
	start := time.Now()
	detach := ginkgo.AttachProgressReporter(func() string {
		return fmt.Sprintf("waiting for process 1 to set up %s, for %v so far", strings.Join(invited.Coming, ", "), time.Since(start).Round(time.Second))
	})
	defer detach()
	result, err := f.await(ctx, &invited)
	if err != nil {
		return fmt.Errorf("waiting for process 1 to set up %s: %w", strings.Join(invited.Coming, ", "), err)
	}
	if result.Failure != "" {
		return errors.New(result.Failure)
	}
	if err := p.config.Adopt(ctx, result.Hosts); err != nil {
		return err
	}
	return f.guard(p.unique)
}

// await waits for the outcome: here in process 1, and else there.
func (f *Fixtures) await(ctx context.Context, invited *invitation) (*outcome, error) {
	var told []byte
	if b := f.boot.Load(); b != nil {
		select {
		case <-b.over:
			told = b.told
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	} else {
		var err error
		if told, err = ask(ctx, invited.At, question{Run: invited.Run}); err != nil {
			return nil, err
		}
	}
	var result outcome
	if err := json.Unmarshal(told, &result); err != nil {
		return nil, fmt.Errorf("it has ended without telling why (%w): its output has the cause", err)
	}
	if result.Run != invited.Run {
		return nil, fmt.Errorf("it has ended: something else answers at %s", invited.At)
	}
	return &result, nil
}

// ask asks process 1, and waits for the answer.
func ask(ctx context.Context, at string, what question) ([]byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	var told []byte
	if err == nil {
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		if err = json.NewEncoder(conn).Encode(what); err == nil {
			told, err = io.ReadAll(conn)
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("it has ended: %w", err)
	}
	return told, nil
}
