package sshclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// DialContext opens a connection from the machine to addr, as ssh -L does:
// names are looked up there. network is tcp, tcp4, tcp6 or unix. Deadlines of
// the connection work as those of any other, and so does CloseWrite. It ends
// with the client.
func (c *Client) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := do(ctx, c, operation[net.Conn]{
		work: func() (net.Conn, error) {
			return openChannel(c.first, func() (net.Conn, error) { return c.first.ssh.Dial(network, addr) })
		},
		interrupt: func() {},
		grace:     cancelGrace,
		discard:   func(conn net.Conn) { conn.Close() },
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s through %s: %w", addr, c, err)
	}
	t := newTunnel(c, conn, network, addr)
	if !t.start() {
		conn.Close()
		return nil, fmt.Errorf("connecting to %s through %s: %w", addr, c, c.Err())
	}
	return t, nil
}

// A tunnel is a connection from the machine to another address. A channel of SSH has no
// deadlines and a pipe has them, so that data passes through a pipe in each direction.
type tunnel struct {
	client          *Client
	channel         net.Conn
	read, received  net.Conn // Read takes from the one what came into the other
	write, outgoing net.Conn // Write puts into the one what leaves by the other
	remote          net.Addr
	closeOnce       sync.Once
	closing         chan struct{} // closed by Close
}

func newTunnel(c *Client, channel net.Conn, network, addr string) *tunnel {
	t := &tunnel{client: c, channel: channel, remote: tunnelAddr{network, addr}, closing: make(chan struct{})}
	t.read, t.received = net.Pipe()
	t.write, t.outgoing = net.Pipe()
	return t
}

// start begins to copy. Both directions end with the client at the latest, which waits
// for all three tasks.
func (t *tunnel) start() bool {
	received := make(chan struct{})
	return t.client.spawn(func() {
		select {
		case <-t.client.ctx.Done():
			t.Close()
		case <-t.closing:
		}
	}) && t.client.spawn(func() {
		defer close(received)
		t.receive()
	}) && t.client.spawn(func() {
		t.send()
		select {
		case <-t.closing:
		case <-received:
		}
		t.channel.Close()
	})
}

func (t *tunnel) receive() {
	io.Copy(t.received, onlyReader{t.channel})
	t.client.first.orLost(io.EOF) // learn first whether it is the machine that is gone
	t.received.Close()
}

func (t *tunnel) send() {
	io.Copy(onlyWriter{t.channel}, t.outgoing)
	t.outgoing.Close() // what is written from now on fails
	if half, ok := t.channel.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// onlyWriter and onlyReader keep io.Copy from shortcuts past the pipe.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// Read returns io.EOF only if the other side has ended the stream, and otherwise an
// error if the connection to the machine was lost.
func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.read.Read(p)
	return n, t.explain(err)
}

func (t *tunnel) Write(p []byte) (int, error) {
	n, err := t.write.Write(p)
	return n, t.explain(err)
}

func (t *tunnel) explain(err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	if lost := t.client.Err(); lost != nil {
		return lost
	}
	select {
	case <-t.closing:
		return net.ErrClosed
	default:
		return err
	}
}

// CloseWrite tells the other side that nothing more will come.
func (t *tunnel) CloseWrite() error { return t.write.Close() }

// Close ends the connection. What was written before is still sent.
func (t *tunnel) Close() error {
	t.closeOnce.Do(func() { close(t.closing) })
	t.write.Close()
	return t.read.Close()
}

func (t *tunnel) SetDeadline(at time.Time) error {
	t.write.SetWriteDeadline(at)
	return t.read.SetReadDeadline(at)
}

func (t *tunnel) SetReadDeadline(at time.Time) error  { return t.read.SetReadDeadline(at) }
func (t *tunnel) SetWriteDeadline(at time.Time) error { return t.write.SetWriteDeadline(at) }
func (t *tunnel) LocalAddr() net.Addr                 { return tunnelAddr{"ssh", t.client.String()} }
func (t *tunnel) RemoteAddr() net.Addr                { return t.remote }

type tunnelAddr struct{ network, addr string }

func (a tunnelAddr) Network() string { return a.network }
func (a tunnelAddr) String() string  { return a.addr }
