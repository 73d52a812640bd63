package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/hostkey"
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

// pinHostKey has logins accept only the key that the provider knows, if it does.
func (h *Host) pinHostKey() error {
	keyer, ok := h.instance.(provider.HostKeyer)
	if !ok || keyer.HostKey() == "" {
		return nil
	}
	pin := hostkey.NewPin()
	if err := pin.UnmarshalText([]byte(keyer.HostKey())); err != nil {
		return fmt.Errorf("reading the host key: %w", err)
	}
	h.keys, h.keyKnown = pin, true
	return nil
}

// awaitReady waits until the host has configured itself.
func (h *Host) awaitReady(ctx context.Context) error {
	checker, ok := h.instance.(provider.ReadyChecker)
	if !ok {
		return nil
	}
	return checker.AwaitReady(ctx, func(ctx context.Context, cmd string) (string, int, error) {
		client, err := h.Client(ctx)
		if err != nil {
			return "", 0, err
		}
		result, err := client.Run(ctx, cmd)
		return result.Stdout, result.ExitCode, err
	})
}
