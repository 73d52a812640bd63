//go:build linux

package guest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// debianDisk is the only file of a Debian guest's cache entry.
const debianDisk = "disk.qcow2"

// EnsureDebian returns the path of a bootable disk, in qcow2 format, with the
// machine's own release of Debian: systemd, OpenSSH and the QEMU guest agent
// (see the package documentation). Its root accepts the key of the other guest.
// Like [Ensure] it builds only what is not in the cache in dir.
//
// The error says what apt or mmdebstrap reported, for instance that the package
// mirror cannot be reached.
func EnsureDebian(ctx context.Context, dir string, other Image, building func() (done func(error))) (string, error) {
	return ensureDebian(ctx, dir, other, debianVariant{packages: debianPackages, rootMiB: debianRootMiB}, building)
}

// EnsureCloud is EnsureDebian for a disk that is also a cloud image: it has
// cloud-init, and no machine ID.
func EnsureCloud(ctx context.Context, dir string, other Image, building func() (done func(error))) (string, error) {
	return ensureDebian(ctx, dir, other, debianVariant{packages: slices.Concat(debianPackages, cloudPackages), rootMiB: cloudRootMiB, noMachineID: true}, building)
}

// debianVariant is one of the Debian guests.
type debianVariant struct {
	packages    []string
	rootMiB     int64
	noMachineID bool
}

func ensureDebian(ctx context.Context, dir string, other Image, variant debianVariant, building func() (done func(error))) (string, error) {
	key, err := os.ReadFile(other.Key + ".pub")
	if err != nil {
		return "", err
	}
	var entry string
	err = withFreshLists(ctx, func() error {
		kernel, loaders, err := sources(ctx, bootPackages)
		if err != nil {
			return err
		}
		installed, err := simulateInstall(ctx, variant.packages)
		if err != nil {
			return err
		}
		parts := append(slices.Concat(loaders, installed), source{name: "key", version: string(key)})
		entry, err = cache{dir}.entry(ctx, "debian-"+fingerprint(kernel, parts), func(tmp string) error {
			done := building()
			b := debianBuilder{debianVariant: variant, ctx: ctx, out: tmp, scratch: filepath.Join(tmp, "scratch"), key: key}
			err := b.build(kernel, loaders)
			done(err)
			return err
		})
		return err
	})
	return filepath.Join(entry, debianDisk), err
}

// simulateInstall returns the packages, without checksums, that apt would
// install on a system that has none, to get those that are named.
func simulateInstall(ctx context.Context, names []string) ([]source, error) {
	args := append([]string{"install", "--simulate", "--no-install-recommends", "-o", "Dir::State::status=/dev/null"}, names...)
	out, err := run(ctx, "", "apt-get", args...)
	if err != nil {
		return nil, &listsError{err}
	}
	var list []source
	for _, found := range regexp.MustCompile(`(?m)^Inst (\S+) \((\S+)`).FindAllSubmatch(out, -1) {
		list = append(list, source{name: string(found[1]), version: string(found[2])})
	}
	slices.SortFunc(list, func(a, b source) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// debianBuilder makes the disk of a Debian guest in the folder out.
type debianBuilder struct {
	debianVariant
	ctx     context.Context
	out     string
	scratch string // removed at the end
	key     []byte // public key that root accepts
	kernel  kernelTree
}

func (b *debianBuilder) path(elements ...string) string {
	return filepath.Join(append([]string{b.scratch}, elements...)...)
}

func (b *debianBuilder) build(kernel source, loaders []source) error {
	for _, dir := range []string{"debs", "boot"} {
		if err := os.MkdirAll(b.path(dir), 0o755); err != nil {
			return err
		}
	}
	defer os.RemoveAll(b.scratch)
	if err := fetch(b.ctx, b.path("debs"), append([]source{kernel}, loaders...)); err != nil {
		return err
	}
	var err error
	if b.kernel, err = unpackKernel(b.ctx, b.path("debs"), kernel, b.path("kernel"), debianKernelParts); err != nil {
		return err
	}
	for _, s := range loaders {
		if err := unpack(b.ctx, b.path("debs"), s.name, b.path("boot")); err != nil {
			return err
		}
		if err := mergeUsr(b.ctx, b.path("boot")); err != nil {
			return err
		}
	}
	for _, step := range []func() error{b.bootstrap, b.configure, b.initrd, b.disk} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// bootstrap installs the packages. mmdebstrap runs in a process namespace of
// its own, so that all of its processes end when this one is killed.
func (b *debianBuilder) bootstrap() error {
	release, err := readRelease()
	if err != nil {
		return err
	}
	lines, err := release.sources(b.ctx)
	if err != nil {
		return err
	}
	list := b.path("sources.list")
	if err := os.WriteFile(list, []byte(lines), 0o644); err != nil {
		return err
	}
	options, err := aptOptions(b.ctx)
	if err != nil {
		return err
	}
	settings := b.path("apt.conf")
	if err := os.WriteFile(settings, []byte(options), 0o644); err != nil {
		return err
	}
	args := []string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap", "--quiet",
		"--mode=root", "--variant=minbase", "--include=" + strings.Join(b.packages, ","), "--aptopt=" + settings}
	for _, path := range debianExcluded {
		args = append(args, "--dpkgopt=path-exclude="+path)
	}
	_, err = run(b.ctx, "", "unshare", append(args, release.codename, b.path("root"), list)...)
	return err
}

// configure writes the guest's own files and takes away what only costs time.
func (b *debianBuilder) configure() error {
	root := b.path("root")
	if err := copyTree(root, "files/debian"); err != nil {
		return err
	}
	for _, path := range debianRemoved {
		if err := os.RemoveAll(filepath.Join(root, path)); err != nil {
			return err
		}
	}
	if b.noMachineID { // systemd makes one at the first boot
		if err := os.WriteFile(filepath.Join(root, "etc/machine-id"), nil, 0o444); err != nil {
			return err
		}
	}
	links := map[string]string{}
	for _, unit := range debianMasked {
		links[unit] = "/dev/null"
	}
	for link, unit := range debianEnabled {
		links[link] = "/usr/lib/systemd/system/" + unit
	}
	for link, to := range links {
		path := filepath.Join(root, "etc/systemd/system", link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if err := os.Symlink(to, path); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "root/.ssh"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "root/.ssh/authorized_keys"), b.key, 0o600); err != nil {
		return err
	}
	return b.installModules(root)
}

// installModules puts the modules below the root file system, where kmod of the
// guest loads them from.
func (b *debianBuilder) installModules(root string) error {
	to := filepath.Join(root, "usr/lib/modules")
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	if _, err := run(b.ctx, "", "cp", "-a", b.kernel.modules(), to); err != nil {
		return err
	}
	if _, err := run(b.ctx, "", "depmod", "-b", root, b.kernel.release); err != nil {
		return err
	}
	// systemd compares the times of these with that of /usr, and does once
	// what is to be done after an update if they are older.
	for _, name := range []string{"etc/.updated", "var/.updated"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (b *debianBuilder) initrd() error {
	files := initrd{init: "files/debian-initrd-init", busybox: b.path("boot/bin/busybox"), modules: debianModules}
	return files.pack(b.kernel, b.path("initrd"), b.path("initrd.img"))
}

// release is the distribution that this machine runs.
type release struct{ id, codename string }

func readRelease() (release, error) {
	text, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return release{}, err
	}
	value := func(name string) string {
		found := regexp.MustCompile(`(?m)^` + name + `="?([^"\n]*)`).FindSubmatch(text)
		if found == nil {
			return ""
		}
		return string(found[1])
	}
	r := release{value("ID"), value("VERSION_CODENAME")}
	if r.id == "" || r.codename == "" {
		return r, fmt.Errorf("reading /etc/os-release: it has no ID and VERSION_CODENAME, which name the release to install")
	}
	return r, nil
}

// sources returns the lines of a sources.list with the places from which apt
// has the packages of this machine's distribution, and of no other.
func (r release) sources(ctx context.Context) (string, error) {
	out, err := run(ctx, "", "apt-get", "indextargets", "--format", "$(ORIGIN) deb $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
	if err != nil {
		return "", err
	}
	var lines strings.Builder
	for line := range strings.Lines(string(out)) {
		if origin, place, _ := strings.Cut(line, " "); strings.EqualFold(origin, r.id) {
			lines.WriteString(place)
		}
	}
	if lines.Len() == 0 {
		return "", &listsError{fmt.Errorf("apt has no lists of packages from %s", r.id)}
	}
	return lines.String(), nil
}

// aptOptions returns the settings of apt that say how to reach a mirror.
func aptOptions(ctx context.Context) (string, error) {
	out, err := run(ctx, "", "apt-config", "dump")
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^Acquire::(https?|ftp|Check-[^:]*|Retries)[: ].*\n`).FindAllString(string(out), -1)
	return strings.Join(found, ""), nil
}
