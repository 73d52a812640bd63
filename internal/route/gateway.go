package route

import (
	"context"
	"fmt"
	"time"

	"github.com/overcast-go/overcast/internal/mark"
	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/provider"
)

// loginBackoff is the pause after a login to the gateway that failed. The gateway
// may count failed logins.
const loginBackoff = 5 * time.Second

// gatewayLogin is the connection to the gateway, which all users of a host share.
type gatewayLogin struct {
	semaphore chan struct{} // holds a token while a goroutine uses the fields below
	client    *sshclient.Client
	failure   error // of the last login
	retryAt   time.Time
}

// connect returns the connection to the gateway. It logs in if there is none or if
// it was lost.
func (r *Route) connect(ctx context.Context) (*sshclient.Client, error) {
	l := &r.login
	select {
	case l.semaphore <- struct{}{}:
		defer func() { <-l.semaphore }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another login to the hypervisor: %w", context.Cause(ctx))
	}
	if r.life.Err() != nil {
		return nil, context.Cause(r.life)
	}
	if l.client != nil {
		select {
		case <-l.client.Done(): // lost
			_ = l.client.Close()
			l.client = nil
		default:
			return l.client, nil
		}
	}
	if time.Now().Before(l.retryAt) {
		return nil, l.failure
	}
	target, err := r.Gateway()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.life, func() { cancel(context.Cause(r.life)) })()
	client, err := sshclient.Dial(ctx, target, nil)
	if err != nil {
		err = mark.As(fmt.Errorf("logging in to the hypervisor as %v: %w", target, err), provider.ErrHypervisorNotReachable)
		if ctx.Err() == nil {
			l.failure, l.retryAt = err, time.Now().Add(loginBackoff)
		}
		return nil, err
	}
	l.client = client
	return client, nil
}

// close ends the connection. A login in progress has been cancelled before.
func (l *gatewayLogin) close() {
	l.semaphore <- struct{}{}
	defer func() { <-l.semaphore }()
	_ = l.client.Close()
	l.client = nil
}
