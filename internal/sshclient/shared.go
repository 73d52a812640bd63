package sshclient

import (
	"context"
	"fmt"
)

// A SharedClient is a connection to one machine that several goroutines use. The zero value
// is not usable; see [NewSharedClient].
type SharedClient struct {
	machine   string          // for messages
	life      context.Context // after its end there are no logins
	semaphore chan struct{}   // holds a token while a goroutine uses client
	client    *Client
}

// NewSharedClient returns a SharedClient that is not connected. machine names the machine in
// messages. A login that is in progress when life ends fails with the cause.
func NewSharedClient(life context.Context, machine string) *SharedClient {
	return &SharedClient{machine: machine, life: life, semaphore: make(chan struct{}, 1)}
}

// Get returns the connection. It calls login if there is none or if it was lost.
// Only one goroutine logs in; the others wait for it under their own contexts.
func (s *SharedClient) Get(ctx context.Context, login func(context.Context) (*Client, error)) (*Client, error) {
	select {
	case s.semaphore <- struct{}{}:
		defer func() { <-s.semaphore }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another login to %s: %w", s.machine, context.Cause(ctx))
	}
	if s.life.Err() != nil {
		return nil, context.Cause(s.life)
	}
	if s.client != nil {
		select {
		case <-s.client.Done(): // lost
			_ = s.client.Close()
			s.client = nil
		default:
			return s.client, nil
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(context.Cause(s.life)) })()
	client, err := login(ctx)
	if err != nil {
		return nil, err
	}
	s.client = client
	return client, nil
}

// Close waits until a login in progress has ended, and closes the connection. The
// next call of Get logs in again, unless the life has ended.
func (s *SharedClient) Close(ctx context.Context) error {
	select {
	case s.semaphore <- struct{}{}:
		defer func() { <-s.semaphore }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for a login to %s to end: %w", s.machine, context.Cause(ctx))
	}
	_ = s.client.Close() // it is not used again; may be nil
	s.client = nil
	return nil
}
