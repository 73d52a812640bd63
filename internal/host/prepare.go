package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/overcast-go/overcast/hocon"
	"github.com/overcast-go/overcast/internal/cloudinit"
	"github.com/overcast-go/overcast/internal/sshclient/credentials"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/overcast-go/overcast/provider"
)

// Preparer prepares the instance of a label. It creates nothing.
type Preparer func(label string) (Prepared, error)

// Prepared is an instance with the provider that it comes from.
type Prepared struct {
	provider.Instance
	Provider     provider.Provider
	ProviderName string
	Section      *hocon.Value // of the configuration
}

// Prepare prepares the instance of a host from its section.
func Prepare(label string, section *hocon.Value) (Prepared, error) {
	name, p, err := provider.Of(section)
	if err != nil {
		return Prepared{}, err
	}
	instance, err := provider.New(label, section)
	return Prepared{instance, p, name, section}, err
}

// Check checks everything that the set-up of a host depends on, without setting it
// up. The error is that of an invalid section.
func Check(ctx context.Context, label string, section *hocon.Value) ([]provider.Result, error) {
	prepared, err := Prepare(label, section)
	if err != nil {
		return nil, err
	}
	results := []provider.Result{checkLogin(prepared.Common().ConnectionURL())}
	if checker, ok := prepared.Provider.(provider.Checker); ok {
		results = append(results, checker.Check(ctx, label, section)...)
	}
	return results, nil
}

// checkLogin checks what can be checked of a login before the host exists.
func checkLogin(url string) provider.Result {
	result := provider.Result{Name: "login", Detail: "none configured"}
	if url == "" {
		return result
	}
	target, err := sshurl.ParseURL(sshurl.ExpandHost(url, "address"))
	if err == nil {
		result.Detail, err = target.User, credentials.CheckKeyFile(target)
		if errors.Is(err, credentials.ErrKeyFileMissing) && isGeneratedKey(target.PrivateKeyFile) {
			result.Detail, err = target.User+", with a key that the first set-up generates", nil
		}
	}
	if err != nil {
		result.Err = fmt.Errorf("connection.url: %w", err)
	}
	return result
}

// isGeneratedKey reports whether a path is that of the key that set-ups generate for
// cloud-init.
func isGeneratedKey(path string) bool {
	dir, err := cloudinit.DefaultKeyDir()
	return err == nil && path == cloudinit.LoginKeyPath(dir)
}
