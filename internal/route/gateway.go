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
	shared *sshclient.SharedClient

	// Of the last login; only the goroutine that logs in uses them.
	failure error
	retryAt time.Time
}

// connect returns the connection to the gateway. It logs in if there is none or if
// it was lost.
func (r *Route) connect(ctx context.Context) (*sshclient.Client, error) {
	return r.login.shared.Get(ctx, r.logIn)
}

// logIn logs in to the gateway. After a failure, it returns the same error until
// loginBackoff has passed.
func (r *Route) logIn(ctx context.Context) (*sshclient.Client, error) {
	if time.Now().Before(r.login.retryAt) {
		return nil, r.login.failure
	}
	target, err := r.Gateway()
	if err != nil {
		return nil, err
	}
	client, err := sshclient.Dial(ctx, target, nil)
	if err != nil {
		err = mark.As(fmt.Errorf("logging in to the hypervisor as %v: %w", target, err), provider.ErrHypervisorNotReachable)
		if ctx.Err() == nil {
			r.login.failure, r.login.retryAt = err, time.Now().Add(loginBackoff)
		}
	}
	return client, err
}
