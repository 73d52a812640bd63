package libvirt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/overcast-go/overcast/internal/cloudinit"
	"github.com/overcast-go/overcast/provider"
	"github.com/overcast-go/overcast/provider/libvirt/internal/domainxml"
	"github.com/overcast-go/overcast/provider/libvirt/internal/layers"
	"github.com/overcast-go/overcast/provider/libvirt/internal/storage"
	"libvirt.org/go/libvirt"
)

// cloudInitSeed is the volume that cloud-init of a clone reads, and what the clone
// is known by afterwards. The zero value is none.
type cloudInitSeed struct {
	pool, volume string
	hostKey      string // public, as in authorized_keys
}

// seedTarget is the device name of the seed in the definition of a clone.
const seedTarget = "vdz"

// createSeed creates the seed of the clone and adds it to the definition as a disk.
func (i *instance) createSeed(ctx context.Context, conn *libvirt.Connect, c *domainxml.Clone) error {
	if from := i.warm.found; from != nil {
		i.seed = cloudInitSeed{hostKey: from.Warm.HostKey} // the volume is the layer's
		return nil
	}
	if !i.config.usesCloudInit() {
		return nil
	}
	content, hostKey, err := i.buildSeed()
	if err != nil {
		return fmt.Errorf("making the seed of cloud-init: %w", err)
	}
	s := cloudInitSeed{pool: c.Overlays[0].Pool, volume: c.Name + "-seed.iso", hostKey: hostKey}
	i.undo.RecordVolume(storage.VolumeRef{Pool: s.pool, Name: s.volume})
	path, err := layers.CreateSecretVolume(ctx, conn, s.pool, s.volume, content)
	if err != nil {
		return fmt.Errorf("making the seed of cloud-init: %w", err)
	}
	i.seed = s
	c.SetSeed(path)
	return nil
}

// cloudInitInput is what cloud-init gets from files. It is read once, so that the seed of
// a builder has the content that the key of its layer is computed from.
type cloudInitInput struct {
	userData, networkConfig []byte
}

// readCloudInit reads the input of cloud-init, or returns what it has read before.
func (i *instance) readCloudInit() (*cloudInitInput, error) {
	if i.cloudInit != nil {
		return i.cloudInit, nil
	}
	var found cloudInitInput
	var err error
	if found.userData, err = i.readTextOrFile("cloudInit.userData", i.config.CloudInit.UserData); err != nil {
		return nil, err
	}
	if found.networkConfig, err = i.readTextOrFile("cloudInit.networkConfig", i.config.CloudInit.NetworkConfig); err != nil {
		return nil, err
	}
	i.cloudInit = &found
	return i.cloudInit, nil
}

// checkSeed checks the input of cloud-init, so that a mistake is an error before an image
// is imported and anything boots. The error has the position of the key.
func (p *planning) checkSeed(context.Context) error {
	if !p.config.usesCloudInit() {
		return nil
	}
	seed, err := p.seedConfig()
	if err != nil {
		return err
	}
	err = seed.Check()
	var invalid *cloudinit.ConfigError
	if errors.As(err, &invalid) {
		return p.section.Invalid(invalid.Field, "%s", invalid.Problem)
	}
	return err
}

func (p *planning) describeSeed() string {
	if !p.config.usesCloudInit() {
		return "not used"
	}
	return "creates user " + p.config.CloudInit.User
}

// seedConfig returns the content of the seed without the keys of overcast.
func (i *instance) seedConfig() (cloudinit.Config, error) {
	of, err := i.readCloudInit()
	if err != nil {
		return cloudinit.Config{}, err
	}
	return cloudinit.Config{
		Hostname: cloudinit.Hostname(i.label),
		User:     cloudinit.User{Name: i.config.CloudInit.User, AuthorizedKeys: i.config.CloudInit.AuthorizedKeys},
		UserData: of.userData, NetworkConfig: of.networkConfig,
	}, nil
}

// loginKey returns the public login key of overcast, which it generates if needed.
func loginKey() (string, error) {
	dir, err := cloudinit.DefaultKeyDir()
	if err != nil {
		return "", err
	}
	login, err := cloudinit.LoginKey(dir)
	return login.Public, err
}

// buildSeed returns the image of the seed and the host key that the clone will have.
func (i *instance) buildSeed() (content []byte, hostKey string, err error) {
	seed, err := i.seedConfig()
	if err != nil {
		return nil, "", err
	}
	login, err := loginKey()
	if err != nil {
		return nil, "", err
	}
	seed.User.AuthorizedKeys = append([]string{login}, seed.User.AuthorizedKeys...)
	if seed.HostKeys, err = cloudinit.GenerateHostKeys(); err != nil {
		return nil, "", err
	}
	var image bytes.Buffer
	if err := cloudinit.Build(&image, seed); err != nil {
		return nil, "", err
	}
	return image.Bytes(), seed.HostKeys[0].Public, nil
}

// unlink deletes the volume. QEMU has it open, or does not need it any more.
func (s *cloudInitSeed) unlink(conn *libvirt.Connect) error {
	if s.volume == "" {
		return nil
	}
	if err := storage.DeleteVolume(conn, s.pool, s.volume); err != nil {
		return fmt.Errorf("unlinking volume %s in pool %s: %w", s.volume, s.pool, err)
	}
	return nil
}

var (
	_ provider.HostKeyer      = (*instance)(nil)
	_ provider.ReadyChecker   = (*instance)(nil)
	_ provider.AccountCreator = (*instance)(nil)
)

// HostKey is the key that cloud-init gave the clone, or "".
func (i *instance) HostKey() string { return i.seed.hostKey }

// CreatesAccounts reports whether cloud-init creates the user of the clone.
func (i *instance) CreatesAccounts() bool { return i.config.usesCloudInit() }

// AwaitReady waits until cloud-init has finished in the clone.
func (i *instance) AwaitReady(ctx context.Context, run func(context.Context, string) (string, int, error)) error {
	if !i.config.usesCloudInit() || !i.config.CloudInit.Wait {
		return nil
	}
	output, code, err := run(ctx, cloudinit.WaitCommand)
	if err != nil {
		return fmt.Errorf("waiting for cloud-init: %w", err)
	}
	status := cloudinit.ParseStatus(code, output)
	if status.State == cloudinit.Degraded && len(status.Problems) > 0 {
		provider.Report(ctx, stepDegraded, strings.Join(status.Problems, "; "))
	}
	return status.Err()
}

// stepDegraded warns that cloud-init has recovered from errors.
const stepDegraded = "warning: cloud-init:"
