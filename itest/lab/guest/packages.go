//go:build linux

package guest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// source is one distribution package in the version that would be fetched now.
type source struct {
	name, version, sha256 string
	depends               string
}

// sources answers which version of each package apt would fetch.
func sources(ctx context.Context) (kernel source, rest []source, err error) {
	found, err := candidates(ctx, append([]string{kernelMeta}, packages...))
	if err != nil {
		return source{}, nil, &listsError{err}
	}
	name := regexp.MustCompile(`linux-image-[^ ,]+`).FindString(found[0].depends)
	if name == "" {
		return source{}, nil, fmt.Errorf("package %s names no kernel among its dependencies: %q", kernelMeta, found[0].depends)
	}
	kernels, err := candidates(ctx, []string{name})
	if err != nil {
		return source{}, nil, &listsError{err}
	}
	return kernels[0], found[1:], nil
}

// listsError is a failure that apt's lists may be the reason of: there are
// none on a fresh machine, and old ones name versions that are gone.
type listsError struct{ cause error }

func (e *listsError) Error() string { return e.cause.Error() }
func (e *listsError) Unwrap() error { return e.cause }

// withFreshLists does something, and does it once more with fresh lists if
// the ones that apt has did not serve.
func withFreshLists(ctx context.Context, do func() error) error {
	err := do()
	var lists *listsError
	if !errors.As(err, &lists) {
		return err
	}
	if _, updateErr := run(ctx, "", "apt-get", "update", "-q"); updateErr != nil {
		return fmt.Errorf("%w; fetching new package lists failed, too: %w", err, updateErr)
	}
	return do()
}

// candidates reads apt's own records; they come in the order of names.
func candidates(ctx context.Context, names []string) ([]source, error) {
	out, err := run(ctx, "", "apt-cache", append([]string{"show", "--no-all-versions"}, names...)...)
	if err != nil {
		return nil, err
	}
	byName := map[string]source{}
	var one source
	lines := bufio.NewScanner(bytes.NewReader(append(out, "\n\n"...)))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "Package":
			one.name = value
		case "Version":
			one.version = value
		case "SHA256":
			one.sha256 = value
		case "Depends":
			one.depends = value
		case "":
			byName[one.name], one = one, source{}
		}
	}
	var list []source
	for _, name := range names {
		found, ok := byName[name]
		if !ok || found.sha256 == "" {
			return nil, fmt.Errorf("apt knows no package %s that it could fetch", name)
		}
		list = append(list, found)
	}
	return list, nil
}

// fetch downloads packages into dir without installing them.
func fetch(ctx context.Context, dir string, list []source) error {
	args := []string{"download", "-q", "-o", "APT::Sandbox::User=root"}
	for _, s := range list {
		args = append(args, s.name+"="+s.version)
	}
	if _, err := run(ctx, dir, "apt-get", args...); err != nil {
		return &listsError{err}
	}
	return nil
}

// archive answers with the file that fetch left for a package.
func archive(dir, name string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, name+"_*.deb"))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("package %s was not downloaded to %s", name, dir)
	}
	return found[0], nil
}

// unpack extracts a fetched package below root.
func unpack(ctx context.Context, dir, name, root string) error {
	deb, err := archive(dir, name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	_, err = run(ctx, "", "dpkg-deb", "-x", deb, root)
	return err
}

// unpackFiles extracts the regular files of a fetched package for which place
// returns a path: there.
func unpackFiles(ctx context.Context, dir, name string, place func(name string) string) error {
	deb, err := archive(dir, name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := dieWithUs(exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", deb))
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	data, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := extract(tar.NewReader(data), place); err != nil {
		cancel()
		cmd.Wait()
		return fmt.Errorf("unpacking %s: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("unpacking %s: %w: %s", name, err, lastLine(complaint.Bytes()))
	}
	return nil
}

func extract(archive *tar.Reader, place func(name string) string) error {
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		path := place(filepath.Clean(header.Name))
		if header.Typeflag != tar.TypeReg || path == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		if _, err := io.Copy(f, archive); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
}

// dieWithUs has the kernel end a command when this process is killed.
func dieWithUs(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run executes a command and answers with its standard output; a failure
// carries the last line of what it complained of.
func run(ctx context.Context, dir, name string, args ...string) ([]byte, error) {
	cmd := dieWithUs(exec.CommandContext(ctx, name, args...))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lastLine(complaint.Bytes()))
	}
	return out.Bytes(), nil
}

func lastLine(text []byte) string {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(lines[len(lines)-1])
}
