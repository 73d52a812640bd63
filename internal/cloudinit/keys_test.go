package cloudinit_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/overcast-go/overcast/internal/cloudinit"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

func TestHostKeysAreFreshPairs(t *testing.T) {
	first, err := cloudinit.GenerateHostKeys()
	require.NoError(t, err)
	second, err := cloudinit.GenerateHostKeys()
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, key := range append(first, second...) {
		assert.False(t, seen[key.Fingerprint])
		seen[key.Fingerprint] = true
		signer, err := ssh.ParsePrivateKey(key.PrivateKey())
		require.NoError(t, err)
		public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key.Public))
		require.NoError(t, err)
		assert.Equal(t, public.Marshal(), signer.PublicKey().Marshal())
		assert.Equal(t, ssh.FingerprintSHA256(public), key.Fingerprint)
		signed, err := signer.Sign(rand.Reader, []byte("text"))
		require.NoError(t, err)
		require.NoError(t, public.Verify([]byte("text"), signed))
	}
	assert.Equal(t, "ed25519", first[0].Type)
	assert.Equal(t, "ecdsa", first[1].Type)
	assert.Equal(t, "ed25519 "+first[0].Fingerprint, first[0].String())
}

func TestOpenSSHReadsHostKeys(t *testing.T) {
	keygen := program(t, "ssh-keygen")
	keys, err := cloudinit.GenerateHostKeys()
	require.NoError(t, err)
	for _, key := range keys {
		path := writeFile(t, "key", key.PrivateKey())
		public, err := exec.Command(keygen, "-y", "-f", path).CombinedOutput()
		require.NoError(t, err, "%s", public)
		assert.Equal(t, key.Public, strings.TrimSpace(string(public)))
		shown, err := exec.Command(keygen, "-l", "-f", path).CombinedOutput()
		require.NoError(t, err, "%s", shown)
		assert.Contains(t, string(shown), " "+key.Fingerprint+" ")
	}
}

func TestTheLoginKeyIsCreatedOnceForItsUserAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "overcast", "ssh")
	key, err := cloudinit.LoginKey(dir)
	require.NoError(t, err)
	again, err := cloudinit.LoginKey(dir)
	require.NoError(t, err)
	assert.Equal(t, key, again)
	assert.Equal(t, filepath.Join(dir, "id_ed25519"), key.Path)
	for path, mode := range map[string]os.FileMode{dir: os.ModeDir | 0o700, key.Path: 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, mode, info.Mode())
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)

	text, err := os.ReadFile(key.Path)
	require.NoError(t, err)
	signer, err := ssh.ParsePrivateKey(text)
	require.NoError(t, err)
	public, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(key.Public))
	require.NoError(t, err)
	assert.Equal(t, public.Marshal(), signer.PublicKey().Marshal())
	assert.Equal(t, ssh.KeyAlgoED25519, public.Type())
	assert.Equal(t, "overcast", comment)
	assert.Equal(t, ssh.FingerprintSHA256(public), key.Fingerprint)
}

func TestAFolderThatOthersMayReadIsClosed(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	_, err := cloudinit.LoginKey(dir)
	require.NoError(t, err)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestALoginKeyThatCannotBeTrustedIsRefused(t *testing.T) {
	other, err := cloudinit.LoginKey(t.TempDir())
	require.NoError(t, err)
	text, err := os.ReadFile(other.Path)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		text []byte
		mode os.FileMode
		want string
	}{
		"others could read it": {text, 0o640, "its mode is -rw-r-----, so that other users could have read it: remove it, and overcast creates a new one"},
		"it is no key":         {[]byte("geheim"), 0o600, "it is not a private key without a passphrase: remove it, and overcast creates a new one"},
		"it is empty":          {nil, 0o600, "it is not a private key without a passphrase: remove it, and overcast creates a new one"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "id_ed25519")
			require.NoError(t, os.WriteFile(path, test.text, test.mode))
			require.NoError(t, os.Chmod(path, test.mode))
			_, err := cloudinit.LoginKey(dir)
			var refused *cloudinit.KeyError
			require.ErrorAs(t, err, &refused)
			assert.Equal(t, "login key "+path+": "+test.want, err.Error())
			now, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(test.text, now), "it is left alone")
		})
	}
	file := writeFile(t, "file", nil)
	_, err = cloudinit.LoginKey(filepath.Join(file, "below"))
	require.ErrorContains(t, err, "its folder cannot be created")
}

const keyDirVariable = "CLOUDINIT_TEST_DIR"

// TestLoginKeyInAProcess is one of the processes of
// TestAllProcessesUseOneLoginKey.
func TestLoginKeyInAProcess(t *testing.T) {
	dir := os.Getenv(keyDirVariable)
	if dir == "" {
		t.Skip("one of the processes of another test")
	}
	// They all begin when this end of file arrives.
	_, err := os.Stdin.Read(make([]byte, 1))
	require.Error(t, err)
	key, err := cloudinit.LoginKey(dir)
	require.NoError(t, err)
	fmt.Println("key", key.Fingerprint)
}

func TestAllProcessesUseOneLoginKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ssh")
	start, begin, err := os.Pipe()
	require.NoError(t, err)
	defer start.Close()
	var all sync.WaitGroup
	outputs := make([]bytes.Buffer, 10)
	for n := range outputs {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLoginKeyInAProcess$", "-test.v")
		cmd.Env = append(os.Environ(), keyDirVariable+"="+dir)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = start, &outputs[n], &outputs[n]
		require.NoError(t, cmd.Start())
		all.Go(func() { assert.NoError(t, cmd.Wait()) })
	}
	require.NoError(t, begin.Close())
	all.Wait()
	key, err := cloudinit.LoginKey(dir)
	require.NoError(t, err)
	for n := range outputs {
		assert.Contains(t, outputs[n].String(), "key "+key.Fingerprint+"\n")
		assert.NotContains(t, outputs[n].String(), "PRIVATE")
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, entries, 1)
}
