//go:build linux

package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// The machines that the seed document logs in to. linux-box is the lab itself;
// dhcp-box is a machine of its own on br0, as far as namespaces go.
const (
	boxName        = "linux-box"
	dhcpBoxName    = "dhcp-box"
	dhcpBoxAddress = "192.168.124.2"
)

const (
	userKey     = labHome + "/.ssh/id_rsa"
	passphrase  = "bigsecret"
	agentSocket = labDir + "/ssh-agent"
)

// makeKey makes the key that both machines accept, locked by its passphrase,
// and an agent that has it unlocked: libvirt's own SSH client does not prompt for
// a passphrase. The client finds the agent by its configuration, too, so that
// it does not depend on the environment.
func makeKey() error {
	if err := os.Mkdir(filepath.Dir(userKey), 0o700); err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(key, boxUser.name, []byte(passphrase))
	if err != nil {
		return err
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return err
	}
	config := fmt.Sprintf("Host %s %s\n\tIdentityAgent %s\n", boxName, dhcpBoxName, agentSocket)
	for path, text := range map[string][]byte{
		userKey:          pem.EncodeToMemory(locked),
		userKey + ".pub": ssh.MarshalAuthorizedKey(public),
		filepath.Join(filepath.Dir(userKey), "config"): []byte(config),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
	}
	return startAgent(key)
}

// startAgent starts an SSH agent that has the key.
func startAgent(key *rsa.PrivateKey) error {
	cmd, err := daemon("ssh-agent", "-D", "-a", agentSocket)
	if err != nil {
		return err
	}
	if err := await(cmd, "unix", agentSocket); err != nil {
		return err
	}
	conn, err := net.Dial("unix", agentSocket)
	if err != nil {
		return err
	}
	defer conn.Close()
	return agent.NewClient(conn).Add(agent.AddedKey{PrivateKey: key, Comment: boxUser.name})
}

// openHome makes an account's home, which the key opens.
func openHome(a account) error {
	dir := filepath.Join(a.home, ".ssh")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(dir, "authorized_keys"), userKey+".pub", 0o600); err != nil {
		return err
	}
	return tool("chown", "-R", fmt.Sprintf("%d:%d", a.id, a.id), a.home)
}

// sshdArgs makes the files of a machine's sshd, which lets one account in, and
// answers with its arguments. known_hosts learns the machine's key.
func sshdArgs(machine, address string, a account) ([]string, error) {
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		return nil, err
	}
	if err := openHome(a); err != nil {
		return nil, err
	}
	hostKey := filepath.Join(labDir, "etc", machine+"_host_key")
	if err := tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", hostKey); err != nil {
		return nil, err
	}
	public, err := os.ReadFile(hostKey + ".pub")
	if err != nil {
		return nil, err
	}
	known, err := os.OpenFile(filepath.Join(labHome, ".ssh", "known_hosts"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(known, "%s %s", machine, public)
	if closeErr := known.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(labDir, "etc", "sshd_config")
	if err := writeEmbedded(conf, "sshd_config", 0o600); err != nil {
		return nil, err
	}
	return []string{"-D", "-e", "-f", conf, "-h", hostKey, "-o", "ListenAddress=" + address, "-o", "AllowUsers=" + a.name}, nil
}

// startBox starts the sshd of linux-box.
func startBox() error {
	args, err := sshdArgs(boxName, bridgeAddress, boxUser)
	if err != nil {
		return err
	}
	cmd, err := daemon("sshd", args...)
	if err != nil {
		return err
	}
	return await(cmd, "tcp", bridgeAddress+":22")
}

// startDHCPBox plugs dhcp-box into br0 and starts its sshd and its dnsmasq.
// The only way out of it is br0: it has no route to the other networks.
func startDHCPBox() error {
	for _, args := range [][]string{
		{"netns", "add", dhcpBoxName},
		{"link", "add", dhcpBoxName, "type", "veth", "peer", "name", "eth0", "netns", dhcpBoxName},
		{"link", "set", dhcpBoxName, "master", bridgeName, "up"},
		{"-n", dhcpBoxName, "link", "set", "lo", "up"},
		{"-n", dhcpBoxName, "link", "set", "eth0", "up"},
		{"-n", dhcpBoxName, "address", "add", dhcpBoxAddress + "/24", "dev", "eth0"},
	} {
		if err := tool("ip", args...); err != nil {
			return err
		}
	}
	args, err := sshdArgs(dhcpBoxName, dhcpBoxAddress, dhcpUser)
	if err != nil {
		return err
	}
	for _, name := range []string{"dhcp-box", "dhcp-box.conf"} {
		if err := writeEmbedded(filepath.Join(labDir, "etc", name), name, 0o755); err != nil {
			return err
		}
	}
	start := append([]string{"netns", "exec", dhcpBoxName, "unshare", "--uts", filepath.Join(labDir, "etc", "dhcp-box")}, args...)
	cmd, err := loggedDaemon(dhcpBoxName, "ip", start...)
	if err != nil {
		return err
	}
	return await(cmd, "tcp", dhcpBoxAddress+":22")
}

// leasesHelper is the program that libvirt has its dnsmasq call for each lease.
const leasesHelper = "/usr/lib/libvirt/libvirt_leaseshelper"

// keepLeaseFiles has the leases of libvirt's networks written to text files
// beside libvirt's own, as older libvirts did it themselves: those are the
// files that the seed document looks into.
func keepLeaseFiles() error {
	original := filepath.Join(labDir, "etc", "libvirt_leaseshelper")
	if err := copyFile(original, leasesHelper, 0o755); err != nil {
		return err
	}
	wrapper := filepath.Join(labDir, "etc", "leases-helper")
	if err := writeEmbedded(wrapper, "leases-helper", 0o755); err != nil {
		return err
	}
	return bind(wrapper, leasesHelper)
}

// writeEmbedded writes one of the embedded files.
func writeEmbedded(path, name string, mode os.FileMode) error {
	text, err := files.ReadFile("files/" + name)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, mode)
}
