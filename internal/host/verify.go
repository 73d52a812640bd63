package host

import (
	"context"
	"errors"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/provider"
)

// verifyAddress has the provider check which machine was logged in to.
func (h *Host) verifyAddress(ctx context.Context) error {
	verifier, ok := h.instance.(provider.AddressVerifier)
	if !ok {
		return nil
	}
	return verifier.VerifyAddress(ctx, func(ctx context.Context, cmd string) (string, error) {
		stdout, err := h.output(ctx, cmd)
		if errors.Is(err, sshclient.ErrConnectionLost) { // a booting system may restart its sshd
			if err = h.awaitLogin(ctx); err == nil {
				stdout, err = h.output(ctx, cmd)
			}
		}
		return stdout, err
	})
}

// output runs a command and returns its standard output.
func (h *Host) output(ctx context.Context, cmd string) (string, error) {
	client, err := h.Client(ctx)
	if err != nil {
		return "", err
	}
	result, err := client.Run(ctx, cmd)
	return result.Stdout, err
}
