package virt

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSSHNeverPrompts(t *testing.T) {
	for url, opened := range map[string]string{
		"qemu:///system":                              "qemu:///system",
		"qemu+tls://box/system":                       "qemu+tls://box/system",
		"qemu+ssh://u@box/system":                     "qemu+ssh://u@box/system?no_tty=1",
		"qemu+ssh://u@box/system?keyfile=/k":          "qemu+ssh://u@box/system?keyfile=/k&no_tty=1",
		"qemu+ssh://u@box/system?no_tty=0":            "qemu+ssh://u@box/system?no_tty=0",
		"qemu+ssh://u@box/system?keyfile=/k&no_tty=1": "qemu+ssh://u@box/system?keyfile=/k&no_tty=1",
		"qemu+libssh2://box/system":                   "qemu+libssh2://box/system",
	} {
		assert.Equal(t, opened, withoutPrompt(url))
	}
}

func TestAnUnknownHostKeySaysHowToAddIt(t *testing.T) {
	err := connectError("qemu+ssh://user@box:2222/system", errors.New("Cannot recv data: Host key verification failed.: Connection reset by peer"))
	assert.ErrorContains(t, err, "compare the key of box with the one that an administrator gives you: ssh-keyscan -p 2222 box | ssh-keygen -lf -; then log in once: ssh -p 2222 user@box; remove an old key with: ssh-keygen -R '[box]:2222'")
	err = connectError("qemu+ssh://box/system", errors.New("Cannot recv data: Host key verification failed.: Connection reset by peer"))
	assert.ErrorContains(t, err, "ssh-keyscan box | ssh-keygen -lf -; then log in once: ssh box; remove an old key with: ssh-keygen -R box")
}
