// Package webserver is a provider of overcast whose hosts are web servers in the
// test process, each at a loopback address of its own. It shows what a provider
// needs: import the package for its side effect, and declare hosts with the key
// webserver.
package webserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/provider"
)

// Port is the port that the servers listen on.
const Port = 8080

func init() { provider.Register("webserver", servers{}) }

type servers struct{}

var _ provider.Checker = servers{}

// Keys are the keys of a host of this provider.
func (servers) Keys() []string { return []string{"webserver"} }

// Instance checks a host's section. It does not start the server.
func (servers) Instance(label string, section *hocon.Value) (provider.Instance, error) {
	s := &server{Settings: provider.DefaultSettings(), label: label, ended: make(chan struct{})}
	if err := section.Decode(s); err != nil {
		return nil, err
	}
	if !s.Config.Address.IsLoopback() {
		return nil, section.Invalid("webserver.address", "must be a loopback address")
	}
	return s, nil
}

// Check is what overcast doctor calls: it starts the server and stops it again.
func (p servers) Check(ctx context.Context, label string, section *hocon.Value) []provider.Result {
	result := provider.Result{Name: "server", Detail: "can be started"}
	s, err := p.Instance(label, section)
	if err == nil {
		err = errors.Join(s.SetUp(ctx), s.TearDown(ctx))
	}
	result.Err = err
	return []provider.Result{result}
}

// server is one host.
type server struct {
	provider.Settings
	Config struct {
		Address netip.Addr `hocon:"address,required"`
		Page    string     `hocon:"page"`
	} `hocon:"webserver"`

	label   string
	http    *http.Server
	serving sync.WaitGroup

	ended chan struct{} // closed when the server has stopped
	exit  error         // how it stopped; set before ended is closed
}

var _ provider.OutageReporter = (*server)(nil)

// SetUp starts the server.
func (s *server) SetUp(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(s.Config.Address, Port).String())
	if err != nil {
		return fmt.Errorf("starting the server of %s: %w", s.label, err)
	}
	s.http = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, s.Config.Page)
	})}
	s.serving.Go(func() {
		defer close(s.ended)
		s.exit = fmt.Errorf("the server of %s has stopped (%w): %w", s.label, provider.ErrHostStopped, s.http.Serve(listener))
	})
	provider.Report(ctx, provider.StepStarted, listener.Addr().String())
	return nil
}

// Address is the host's address.
func (s *server) Address() string { return s.Config.Address.String() }

// TearDown stops the server. It succeeds if the server was never started.
func (s *server) TearDown(context.Context) error {
	if s.http == nil {
		return nil
	}
	err := s.http.Close()
	s.serving.Wait()
	return err
}

// Outage returns how the server stopped, or nil while it runs.
func (s *server) Outage() (changed <-chan struct{}, err error) {
	select {
	case <-s.ended:
		return nil, s.exit
	default:
		return s.ended, nil
	}
}
