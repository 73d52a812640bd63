//go:build linux

package guest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Names of the files in a cache entry.
const (
	kernelFile = "vmlinux"
	initrdFile = "initrd"
	rootFile   = "root.qcow2"
	keyFile    = "id_ed25519"
)

// Image names the files of a built guest. They are shared with every other
// user of the cache: copy them, never write to them.
type Image struct {
	Kernel string // for direct kernel boot
	Initrd string
	Root   string // qcow2, the file system on the whole disk
	Key    string // private key, OpenSSH format, that root of the guest accepts; Key+".pub" is its other half
}

// Ensure answers with an image from the cache in dir, which it builds first if
// dir has no whole one for the current packages and recipe. building is called
// before a build starts, and what it returns when the build has ended. Two
// processes that ask at once build once.
func Ensure(ctx context.Context, dir string, building func() (done func(error))) (Image, error) {
	var entry string
	err := withFreshLists(ctx, func() error {
		kernel, rest, err := sources(ctx, packages)
		if err != nil {
			return err
		}
		entry, err = cache{dir}.entry(ctx, "guest-"+fingerprint(kernel, rest), func(tmp string) error {
			done := building()
			err := build(ctx, tmp, kernel, rest)
			done(err)
			return err
		})
		return err
	})
	if err != nil {
		return Image{}, err
	}
	return Image{
		Kernel: filepath.Join(entry, kernelFile),
		Initrd: filepath.Join(entry, initrdFile),
		Root:   filepath.Join(entry, rootFile),
		Key:    filepath.Join(entry, keyFile),
	}, nil
}

// fingerprint is the hash of all that goes into an image.
func fingerprint(kernel source, rest []source) string {
	sum := sha256.New()
	for _, s := range append([]source{kernel}, rest...) {
		fmt.Fprintln(sum, s.name, s.version, s.sha256)
	}
	// The embedded files cannot fail to be read.
	_ = fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasSuffix(path, "_test.go") {
			data, _ := files.ReadFile(path)
			fmt.Fprintf(sum, "%s %x\n", path, sha256.Sum256(data))
		}
		return err
	})
	return fmt.Sprintf("%x", sum.Sum(nil))[:16]
}
