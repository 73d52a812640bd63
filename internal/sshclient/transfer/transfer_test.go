package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/internal/sshclient/transfer"
)

// tree makes a folder with all that is to survive a copy.
func tree(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	big := bytes.Repeat([]byte("0123456789abcdef\x00\r\n\xff"), 20_000)
	err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "sub", "empty"), 0o755),
		os.WriteFile(filepath.Join(dir, "plain"), []byte("plain\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "-odd name'\n"), []byte("odd"), 0o600),
		os.WriteFile(filepath.Join(dir, "sub", "run"), []byte("#!/bin/sh\n"), 0o755),
		os.WriteFile(filepath.Join(dir, "sub", "big"), big, 0o444),
		os.WriteFile(filepath.Join(dir, "nothing"), nil, 0o640),
		os.Symlink("/etc/passwd", filepath.Join(dir, "sub", "link")),
		os.Symlink("/no where/\n", filepath.Join(dir, "dangling")),
		os.Chmod(filepath.Join(dir, "sub"), 0o750),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// contents describes all that is in a folder: modes, targets and bytes.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		relative, _ := filepath.Rel(dir, name)
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(name)
			found[relative] = "-> " + target
		case info.IsDir():
			found[relative] = info.Mode().String()
		default:
			text, _ := os.ReadFile(name)
			found[relative] = fmt.Sprintf("%v %d %.20q", info.Mode(), len(text), text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func same(t testing.TB, want, got map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%q is %s, want %s", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("there is %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// thereAndBack copies files and folders to the server, whose commands start in
// dir, and back.
func thereAndBack(t *testing.T, c *sshclient.Client, dir string) {
	ctx := t.Context()
	from, back := tree(t), filepath.Join(t.TempDir(), "back")
	up := func(local, remote string) {
		t.Helper()
		if err := transfer.Upload(ctx, c, local, remote); err != nil {
			t.Fatal(err)
		}
	}
	down := func(remote, local string) {
		t.Helper()
		if err := transfer.Download(ctx, c, remote, local); err != nil {
			t.Fatal(err)
		}
	}
	want := contents(t, from)

	up(from, "copy")
	same(t, want, contents(t, filepath.Join(dir, "copy")))
	down("copy", back)
	same(t, want, contents(t, back))
	down(filepath.Join(dir, "copy"), back)
	same(t, want, contents(t, back))

	one := func(name, copied string) {
		t.Helper()
		text, err := os.ReadFile(copied)
		info, statErr := os.Stat(copied)
		if err != nil || statErr != nil {
			t.Fatal(err, statErr)
		}
		if got := fmt.Sprintf("%v %d %.20q", info.Mode(), len(text), text); got != want[name] {
			t.Errorf("%s is %s, want %s", copied, got, want[name])
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	up(filepath.Join(from, "sub", "run"), "new-name")
	one("sub/run", filepath.Join(dir, "new-name"))
	up(filepath.Join(from, "plain"), "new-name")
	one("plain", filepath.Join(dir, "new-name"))
	up(filepath.Join(from, "sub", "run"), "folder")
	one("sub/run", filepath.Join(dir, "folder", "run"))
	up(filepath.Join(from, "sub", "big"), filepath.Join(dir, "folder")+"/")
	one("sub/big", filepath.Join(dir, "folder", "big"))
	up(filepath.Join(from, "sub", "run"), "~/-x")
	one("sub/run", filepath.Join(dir, "-x"))
	local := t.TempDir()
	down("folder/run", local)
	one("sub/run", filepath.Join(local, "run"))
	down("folder/big", filepath.Join(local, "other"))
	one("sub/big", filepath.Join(local, "other"))
	down("copy/-odd name'\n", local+"/")
	one("-odd name'\n", filepath.Join(local, "-odd name'\n"))
}

var servers = []struct {
	name       string
	config     sshtest.Config
	parameters []string
}{
	{"SFTP", sshtest.Config{}, []string{"connectionType=SFTP"}},
	{"SCP with SFTP", sshtest.Config{}, nil},
	{"SCP without SFTP", sshtest.Config{NoSFTP: true}, nil},
	{"SCP with a broken SFTP", sshtest.Config{BrokenSFTP: true}, nil},
}

func TestUploadAndDownload(t *testing.T) {
	t.Parallel()
	for _, tc := range servers {
		t.Run(tc.name, func(t *testing.T) {
			server := sshtest.Start(t, tc.config)
			thereAndBack(t, connect(t, server.URL(tc.parameters...)), server.Dir)
			if usesShell := len(server.Commands()) > 0; usesShell != (tc.config.NoSFTP || tc.config.BrokenSFTP) {
				t.Errorf("the shell was used: %v", usesShell)
			}
		})
	}
}

// The SFTP server of pkg/sftp makes links absolute when it has a working
// directory, so this is for the shell alone.
func TestRelativeLinksStayRelative(t *testing.T) {
	t.Parallel()
	server := sshtest.Start(t, sshtest.Config{NoSFTP: true})
	c := connect(t, server.URL())
	from, back := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "back")
	if err := errors.Join(os.Mkdir(from, 0o755), os.Symlink("../-x 'y", filepath.Join(from, "link"))); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there are links already
		if err := transfer.Upload(t.Context(), c, from, "copy"); err != nil {
			t.Fatal(err)
		}
		if err := transfer.Download(t.Context(), c, "copy", back); err != nil {
			t.Fatal(err)
		}
	}
	same(t, contents(t, from), contents(t, back))
}

func TestFoldersMayBeNamedByLinks(t *testing.T) {
	t.Parallel()
	for _, tc := range servers {
		t.Run(tc.name, func(t *testing.T) {
			server := sshtest.Start(t, tc.config)
			c := connect(t, server.URL(tc.parameters...))
			from, back := tree(t), filepath.Join(t.TempDir(), "back")
			link := filepath.Join(t.TempDir(), "link")
			if err := errors.Join(os.Symlink(from, link), os.Symlink("copy", filepath.Join(server.Dir, "link"))); err != nil {
				t.Fatal(err)
			}
			if err := transfer.Upload(t.Context(), c, link, "copy"); err != nil {
				t.Fatal(err)
			}
			if err := transfer.Download(t.Context(), c, "link", back); err != nil {
				t.Fatal(err)
			}
			same(t, contents(t, from), contents(t, back))
		})
	}
}

func TestTransferErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range servers {
		t.Run(tc.name, func(t *testing.T) {
			server := sshtest.Start(t, tc.config)
			c := connect(t, server.URL(tc.parameters...))
			local := filepath.Join(t.TempDir(), "local")
			if err := os.WriteFile(local, []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := transfer.Upload(t.Context(), c, local+"x", "remote")
			if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), local+"x") {
				t.Errorf("uploading what is not there: %v", err)
			}
			err = transfer.Upload(t.Context(), c, local, "no/such/folder")
			if err == nil || !strings.Contains(err.Error(), "no/such/folder") {
				t.Errorf("uploading to where no folder is: %v", err)
			}
			err = transfer.Upload(t.Context(), c, "/dev/null", "remote")
			if err == nil || !strings.Contains(err.Error(), "neither a file nor a folder") {
				t.Errorf("uploading a device: %v", err)
			}
			err = transfer.Download(t.Context(), c, "missing", local)
			if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "missing") {
				t.Errorf("downloading what is not there: %v", err)
			}
			err = transfer.Download(t.Context(), c, "/dev/null", local)
			if err == nil || !strings.Contains(err.Error(), "neither a file nor a folder") {
				t.Errorf("downloading a device: %v", err)
			}
			if text, _ := os.ReadFile(local); string(text) != "mine" {
				t.Errorf("a download that failed left %q", text)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := transfer.Upload(ctx, c, local, "remote"); !errors.Is(err, context.Canceled) {
				t.Errorf("uploading without time: %v", err)
			}
		})
	}
}

func TestSFTPInsistsOnSFTP(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{NoSFTP: true})
	c := connect(t, server.URL("connectionType=SFTP"))
	err := transfer.Download(t.Context(), c, "/etc/hostname", t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "use connectionType=SCP") {
		t.Errorf("got %v", err)
	}
}

func TestDownloadStaysInItsFolder(t *testing.T) {
	for _, tc := range servers[1:3] {
		t.Run(tc.name, func(t *testing.T) {
			server := sshtest.Start(t, tc.config)
			c := connect(t, server.URL())
			outside, into := t.TempDir(), filepath.Join(t.TempDir(), "into")
			if err := errors.Join(
				os.MkdirAll(filepath.Join(server.Dir, "tree", "link"), 0o755),
				os.WriteFile(filepath.Join(server.Dir, "tree", "link", "file"), []byte("x"), 0o644),
				os.Mkdir(into, 0o755),
				os.Symlink(outside, filepath.Join(into, "link")),
			); err != nil {
				t.Fatal(err)
			}
			if err := transfer.Download(t.Context(), c, "tree", into); err == nil {
				t.Error("it was downloaded through a link that leads out")
			}
			if found, _ := os.ReadDir(outside); len(found) > 0 {
				t.Errorf("written outside: %v", found)
			}
		})
	}
}
