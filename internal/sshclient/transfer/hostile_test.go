package transfer

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient"
	"github.com/overcast-go/overcast/internal/sshclient/sshtest"
	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/pkg/sftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// hostileFiles is an SFTP server that lists what it is given, and whose files have no end.
type hostileFiles struct {
	list   func(dir string, at int64) fs.FileInfo // entry number at; nil for the end
	target string                                 // of every symbolic link
}

func (h hostileFiles) Fileread(*sftp.Request) (io.ReaderAt, error)  { return endless{}, nil }
func (h hostileFiles) Filewrite(*sftp.Request) (io.WriterAt, error) { return nil, os.ErrPermission }
func (h hostileFiles) Filecmd(*sftp.Request) error                  { return os.ErrPermission }

func (h hostileFiles) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	switch r.Method {
	case "List":
		return lister(func(at int64) fs.FileInfo { return h.list(r.Filepath, at) }), nil
	case "Readlink":
		return lister(func(at int64) fs.FileInfo { return only(at, entry{name: h.target}) }), nil
	}
	mode := fs.FileMode(0o644)
	if strings.HasPrefix(path.Base(r.Filepath), "dir") {
		mode = fs.ModeDir | 0o755
	}
	return lister(func(at int64) fs.FileInfo { return only(at, entry{path.Base(r.Filepath), mode}) }), nil
}

func only(at int64, e entry) fs.FileInfo {
	if at > 0 {
		return nil
	}
	return e
}

type endless struct{}

func (endless) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }

type lister func(at int64) fs.FileInfo

func (l lister) ListAt(to []fs.FileInfo, at int64) (int, error) {
	for n := range to {
		if to[n] = l(at + int64(n)); to[n] == nil {
			return n, io.EOF
		}
	}
	return len(to), nil
}

type entry struct {
	name string
	mode fs.FileMode
}

func (e entry) Name() string       { return e.name }
func (e entry) Size() int64        { return 1 }
func (e entry) Mode() fs.FileMode  { return e.mode }
func (e entry) ModTime() time.Time { return time.Unix(0, 0) }
func (e entry) IsDir() bool        { return e.mode.IsDir() }
func (e entry) Sys() any           { return nil }

func connectTo(t *testing.T, h hostileFiles) *sshclient.Client {
	t.Helper()
	server := sshtest.Start(t, sshtest.Config{SFTP: &sftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h}})
	target, err := sshurl.ParseURL(server.URL())
	require.NoError(t, err)
	client, err := sshclient.Dial(t.Context(), target, &sshclient.Options{Home: t.TempDir(), AgentSocket: sshclient.NoAgent})
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	return client
}

func listing(entries ...entry) func(string, int64) fs.FileInfo {
	return func(dir string, at int64) fs.FileInfo {
		if path.Base(dir) != "dir" || at >= int64(len(entries)) {
			return nil
		}
		return entries[at]
	}
}

// tinyDownload is a limit that a hostile server passes at once.
const tinyDownload = 1 << 20

func downloadFrom(t *testing.T, h hostileFiles, remote, local string) error {
	t.Helper()
	c := connectTo(t, h)
	return withFiles(t.Context(), c, func(f remoteFiles) error {
		f.(*sftpFiles).listLimit = tinyDownload
		return download(t.Context(), &limitedFiles{remoteFiles: f, limit: tinyDownload}, remote, local, path.Base(remote))
	})
}

func TestNamesOfAHostileServerStayInTheFolder(t *testing.T) {
	for name, entries := range map[string][]entry{
		"parent":        {{"../escaped", 0o644}},
		"two parents":   {{"../../escaped", 0o644}},
		"absolute":      {{"/escaped", 0o644}},
		"the parent":    {{"..", fs.ModeDir | 0o777}},
		"root":          {{"/", fs.ModeDir | 0o777}},
		"empty":         {{"", 0o644}},
		"through links": {{"link", fs.ModeSymlink | 0o777}, {"link", fs.ModeDir | 0o777}, {"link", 0o644}},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			outside, into := filepath.Join(parent, "outside"), filepath.Join(parent, "into")
			require.NoError(t, os.Mkdir(outside, 0o700))
			_ = downloadFrom(t, hostileFiles{list: listing(entries...), target: outside}, "/dir", into)
			for dir, want := range map[string]int{parent: 2, outside: 0} {
				found, err := os.ReadDir(dir)
				require.NoError(t, err)
				assert.LessOrEqual(t, len(found), want, "%s has %v", dir, found)
			}
			info, err := os.Stat(outside)
			require.NoError(t, err)
			assert.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
		})
	}
}

func TestListsOfAHostileServerAreLimited(t *testing.T) {
	for name, list := range map[string]func(string, int64) fs.FileInfo{
		"no end": func(string, int64) fs.FileInfo { return entry{"file", 0o644} },
		"no depth limit": func(_ string, at int64) fs.FileInfo {
			return only(at, entry{"dir" + strings.Repeat("x", 200), fs.ModeDir | 0o755})
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := downloadFrom(t, hostileFiles{list: list}, "/dir", filepath.Join(t.TempDir(), "into"))
			var limit *limitError
			require.ErrorAs(t, err, &limit)
			assert.ErrorContains(t, err, "listing /dir: the list of the folder has more than 1048576 bytes")
		})
	}
}

func TestFilesWithoutEndAreLimited(t *testing.T) {
	into := t.TempDir()
	err := downloadFrom(t, hostileFiles{}, "/file", into)
	require.ErrorContains(t, err, "the download has more than 1048576 bytes")
	found, err := os.ReadDir(into)
	require.NoError(t, err)
	assert.Empty(t, found, "a partial file is removed")
}

func TestFilesWithoutEndAreLimitedThroughTheShell(t *testing.T) {
	server := sshtest.Start(t, sshtest.Config{NoSFTP: true})
	target, err := sshurl.ParseURL(server.URL())
	require.NoError(t, err)
	client, err := sshclient.Dial(t.Context(), target, &sshclient.Options{Home: t.TempDir(), AgentSocket: sshclient.NoAgent})
	require.NoError(t, err)
	t.Cleanup(func() { client.Close() })
	f := &limitedFiles{remoteFiles: shellFiles{client}, limit: tinyDownload}
	err = f.get(t.Context(), "/dev/zero", io.Discard)
	require.ErrorContains(t, err, "the download has more than 1048576 bytes")
}

// The limit counts all files of a download.
func TestDownloadLimitCountsAllFiles(t *testing.T) {
	f := &limitedFiles{remoteFiles: tenBytes{}, limit: 25}
	require.NoError(t, f.get(t.Context(), "a", io.Discard))
	require.NoError(t, f.get(t.Context(), "b", io.Discard))
	require.ErrorContains(t, f.get(t.Context(), "c", io.Discard), "more than 25 bytes")
}

type tenBytes struct{ remoteFiles }

func (tenBytes) get(_ context.Context, _ string, to io.Writer) error {
	_, err := to.Write(make([]byte, 10))
	return err
}
