// Package rpcproxy is a proxy for libvirt's RPC protocol on UNIX sockets. Specs put it
// between overcast and libvirtd, to see the calls and to make single calls fail.
package rpcproxy

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Kind is what happens to a call.
type Kind string

const (
	// Refuse answers the call with an error. libvirtd does not receive it.
	Refuse Kind = "error"
	// Fail lets libvirtd execute the call, and replaces its answer by an error.
	Fail Kind = "error afterwards"
	// Hang lets libvirtd execute the call, and delays its answer. Other calls of the
	// connection continue.
	Hang Kind = "hang"
	// Drop lets libvirtd execute the call, and closes the connection instead of
	// answering.
	Drop Kind = "drop"
)

// HangTime is how long [Hang] delays an answer by default.
const HangTime = 15 * time.Second

// Message is the message of the errors of [Refuse] and [Fail].
const Message = "injected fault"

// Fault makes one call fail.
type Fault struct {
	Kind  Kind
	Call  string        // a function of libvirt's API; "" is any
	After string        // a call that is made before; "" is none
	Skip  int           // matching calls that succeed before
	Delay time.Duration // of [Hang]; 0 is [HangTime]
	Then  func()        // called when the fault is injected, before libvirtd receives the call; nil for nothing
}

// Proxy passes packets between clients and libvirtd.
type Proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	open  map[io.Closer]bool
	ended bool
	calls []string
	fault *Fault // nil if there is none, or it has been injected
	fired string
}

// Start starts a proxy that listens on the socket at path and connects to the socket of
// libvirtd, at target. Close must be called.
func Start(path, target string) (*Proxy, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("starting a proxy for libvirtd: %w", err)
	}
	p := &Proxy{listener: listener, target: target, open: map[io.Closer]bool{}}
	p.running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.serve(client) })
		}
	})
	return p, nil
}

// Close closes all connections and waits for their end.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.ended = true
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// Inject makes a later call fail, once. It replaces a fault that was not injected yet.
func (p *Proxy) Inject(fault Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.fired = &fault, ""
}

// Injected returns the call that the last fault was injected into, or "".
func (p *Proxy) Injected() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fired
}

// Calls returns the calls of all clients since the start, in their order.
func (p *Proxy) Calls() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.calls...)
}

// record records a call, and returns the fault to inject, or the zero Fault.
func (p *Proxy) record(call packet) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := nameOf(call)
	p.calls = append(p.calls, name)
	f := p.fault
	switch {
	case f == nil:
		return Fault{}
	case f.After != "":
		if f.After == name {
			f.After = ""
		}
		return Fault{}
	case f.Call != "" && f.Call != name:
		return Fault{}
	case f.Skip > 0:
		f.Skip--
		return Fault{}
	}
	p.fault, p.fired = nil, name
	return *f
}

// track records a connection for Close, and reports whether it may be used.
func (p *Proxy) track(c io.Closer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[c] = true
	return !p.ended
}

func (p *Proxy) untrack(c io.Closer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
	_ = c.Close()
}

// serve passes the packets of one client.
func (p *Proxy) serve(client net.Conn) {
	defer p.untrack(client)
	if !p.track(client) {
		return
	}
	daemon, err := net.Dial("unix", p.target)
	if err != nil {
		return
	}
	defer p.untrack(daemon)
	if !p.track(daemon) {
		return
	}
	c := &connection{proxy: p, client: client, daemon: daemon, faults: map[uint32]Fault{}, ended: make(chan struct{})}
	var both sync.WaitGroup
	both.Go(func() { c.passCalls() })
	c.passAnswers()
	close(c.ended)
	both.Wait()
	c.delayed.Wait()
}

// connection is a client's connection to libvirtd.
type connection struct {
	proxy          *Proxy
	client, daemon net.Conn
	ended          chan struct{}
	delayed        sync.WaitGroup

	mu     sync.Mutex       // for faults, and for writing to client
	faults map[uint32]Fault // of calls that libvirtd executes, by their serial numbers
}

// passCalls passes what the client sends, until the connection ends.
func (c *connection) passCalls() {
	defer c.daemon.Close() // ends passAnswers
	for {
		p, err := readPacket(c.client)
		if err != nil {
			return
		}
		var fault Fault
		if p.kind() == typeCall {
			fault = c.proxy.record(p)
		}
		if fault.Then != nil {
			fault.Then()
		}
		switch fault.Kind {
		case "":
		case Refuse:
			c.answer(errorReply(p, Message))
			continue
		default:
			c.mu.Lock()
			c.faults[p.serial()] = fault
			c.mu.Unlock()
		}
		if _, err := c.daemon.Write(p); err != nil {
			return
		}
	}
}

// passAnswers passes what libvirtd sends, until the connection ends.
func (c *connection) passAnswers() {
	defer c.client.Close() // ends passCalls
	for {
		p, err := readPacket(c.daemon)
		if err != nil {
			return
		}
		switch fault := c.faultOf(p); fault.Kind {
		case Drop:
			return
		case Fail:
			c.answer(errorReply(p, Message))
		case Hang:
			c.delayed.Go(func() {
				select {
				case <-time.After(cmp.Or(fault.Delay, HangTime)):
					c.answer(p)
				case <-c.ended:
				}
			})
		default:
			c.answer(p)
		}
	}
}

// faultOf returns the fault of the call that a packet answers, or the zero Fault.
func (c *connection) faultOf(answer packet) Fault {
	if answer.kind() != typeReply {
		return Fault{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	fault := c.faults[answer.serial()]
	delete(c.faults, answer.serial())
	return fault
}

// answer sends a packet to the client. If that fails, the connection has ended, and so do
// the loops that read from it.
func (c *connection) answer(p packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.client.Write(p)
}
