package virt

import (
	"regexp"
	"strings"

	"libvirt.org/go/libvirt"
)

// open connects to a hypervisor. It never prompts.
func open(url string) (*libvirt.Connect, error) { return libvirt.NewConnect(withoutPrompt(url)) }

var (
	sshTransport  = regexp.MustCompile(`^[a-z]+\+ssh://`)
	noTTYIsChosen = regexp.MustCompile(`[?&;]no_tty=`)
)

// withoutPrompt adds the parameter no_tty to a URL with the transport ssh: the ssh
// program then fails instead of asking for a password or about a host key. libvirt's
// other transports never ask.
func withoutPrompt(url string) string {
	if !sshTransport.MatchString(url) || noTTYIsChosen.MatchString(url) {
		return url
	}
	separator := "?"
	if strings.Contains(url, "?") {
		separator = "&"
	}
	return strings.TrimRight(url, "?&") + separator + "no_tty=1"
}
