package sshconfig

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// resolve resolves a URL with a configuration file.
func resolve(t *testing.T, url, config string) (*Settings, Endpoint) {
	t.Helper()
	home := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(home, ".ssh"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(home, ".ssh", "config"), []byte(config), 0o600))
	s, err := Read(Options{Home: home})
	require.NoError(t, err)
	target, err := sshurl.ParseURL(url)
	require.NoError(t, err)
	e, err := s.Resolve(t.Context(), target, nil)
	require.NoError(t, err)
	return s, e
}

func TestResolveEvaluatesMatch(t *testing.T) {
	if _, err := exec.LookPath("ssh"); err != nil {
		t.Skip("the ssh program is not installed")
	}
	s, e := resolve(t, "ssh://box", `Match exec "true"
  User by-exec
Match user by-exec
  Port 2222
  IdentityFile ~/.ssh/special
Match final host box
  IdentitiesOnly yes
`)
	assert.Equal(t, "by-exec", e.User)
	assert.Equal(t, 2222, e.Port)
	assert.Equal(t, "box", e.Host)
	assert.Equal(t, []string{filepath.Join(s.home, ".ssh", "special")}, e.IdentityFiles)
	assert.Empty(t, e.DefaultFiles)
	assert.True(t, e.IdentitiesOnly)
	assert.Empty(t, s.Warnings)
}

func TestResolveKeepsTheDefaultFilesApart(t *testing.T) {
	_, e := resolve(t, "ssh://me@box:23", "")
	assert.Empty(t, e.IdentityFiles)
	assert.NotEmpty(t, e.DefaultFiles)
	assert.Equal(t, 23, e.Port)
}

func TestResolveWithoutTheSSHProgramIgnoresMatchWithAWarning(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	s, e := resolve(t, "ssh://box", "Match exec true\n  User wrong\nHost box\n  User right\n")
	assert.Equal(t, "right", e.User)
	require.Len(t, s.Warnings, 1)
	assert.Contains(t, s.Warnings[0], "Match exec true")
}

func FuzzParseOutput(f *testing.F) {
	f.Add([]byte("user me\nhostname box\nport 22\nidentityfile ~/.ssh/id_rsa\n"))
	f.Add([]byte("hostname \r\n\nhostname"))
	f.Fuzz(func(t *testing.T, output []byte) {
		values, err := parseOutput(output)
		if err != nil {
			return
		}
		for keyword, all := range values {
			if strings.ContainsAny(keyword, " \n") || slices.ContainsFunc(all, func(v string) bool { return strings.Contains(v, "\n") }) {
				t.Errorf("%q has %q", keyword, all)
			}
		}
	})
}
