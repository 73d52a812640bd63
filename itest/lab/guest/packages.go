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
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// source is one distribution package in the version that would be fetched now.
type source struct {
	name, version, sha256 string
	section               string
	depends               string // and what it depends on before it is unpacked
}

// sources returns the kernel's package, and those that are named together with
// the libraries that they need, in the versions that apt would fetch.
func sources(ctx context.Context, named []string) (kernel source, rest []source, err error) {
	roots := append([]string{kernelMeta}, named...)
	args := []string{"depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances"}
	out, err := run(ctx, "", "apt-cache", append(args, roots...)...)
	if err != nil {
		return source{}, nil, &listsError{err}
	}
	known, err := candidates(ctx, packageNames(string(out)))
	if err != nil {
		return source{}, nil, &listsError{err}
	}
	for _, name := range roots {
		if known[name].sha256 == "" {
			return source{}, nil, &listsError{fmt.Errorf("apt knows no package %s that it could fetch", name)}
		}
	}
	name := regexp.MustCompile(`linux-image-[^ ,]+`).FindString(known[kernelMeta].depends)
	if name == "" || known[name].sha256 == "" {
		return source{}, nil, fmt.Errorf("package %s names no kernel among its dependencies: %q", kernelMeta, known[kernelMeta].depends)
	}
	return known[name], withLibraries(known, named), nil
}

// packageNames returns the packages that "apt-cache depends" prints, without
// those that are virtual or of another architecture.
func packageNames(text string) []string {
	return regexp.MustCompile(`(?m)^[a-z0-9][^ :\n]*$`).FindAllString(text, -1)
}

// withLibraries returns the named packages and the libraries that they depend
// on, directly or not, sorted by name. Programs among the dependencies are not
// followed: guests have busybox in their place.
func withLibraries(known map[string]source, named []string) []source {
	chosen := map[string]source{}
	for queue := slices.Clone(named); len(queue) > 0; queue = queue[1:] {
		s := known[queue[0]]
		if _, ok := chosen[s.name]; ok {
			continue
		}
		chosen[s.name] = s
		for _, alternatives := range strings.Split(s.depends, ",") {
			if library := firstKnown(known, alternatives); library.section == "libs" || strings.HasSuffix(library.section, "/libs") {
				queue = append(queue, library.name)
			}
		}
	}
	return slices.SortedFunc(maps.Values(chosen), func(a, b source) int { return strings.Compare(a.name, b.name) })
}

// firstKnown returns the first package of "a (>= 1) | b" that can be fetched.
func firstKnown(known map[string]source, alternatives string) source {
	for _, alternative := range strings.Split(alternatives, "|") {
		name, _, _ := strings.Cut(strings.TrimSpace(alternative), " ")
		name, _, _ = strings.Cut(name, ":")
		if s := known[name]; s.sha256 != "" {
			return s
		}
	}
	return source{}
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

// candidates reads apt's records of packages, by name.
func candidates(ctx context.Context, names []string) (map[string]source, error) {
	out, err := run(ctx, "", "apt-cache", append([]string{"show", "--no-all-versions"}, names...)...)
	if err != nil {
		return nil, err
	}
	known := map[string]source{}
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
		case "Section":
			one.section = value
		case "Depends", "Pre-Depends":
			one.depends += "," + value
		case "":
			known[one.name], one = one, source{}
		}
	}
	return known, lines.Err()
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
