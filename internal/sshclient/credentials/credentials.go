// Package credentials collects what to log in with: key files, the keys of an ssh
// agent, and a password.
package credentials

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/overcast-go/overcast/internal/redact"
	"github.com/overcast-go/overcast/internal/sshclient/sshconfig"
	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// An identity is a key to log in with and what to call it in errors.
type identity struct {
	label  string
	signer xssh.Signer
}

// Credentials is what one login is tried with, and the record of it.
type Credentials struct {
	identities []identity
	password   redact.Secret
	agentConn  net.Conn
	Offered    []string // methods of the server
	Tried      []string
	Skipped    []string
}

// Gather collects the identities in the order in which ssh tries them: the
// key that the URL names, those of ~/.ssh/config, the agent's, the usual
// files.
func Gather(ctx context.Context, e sshconfig.Endpoint, agentSocket string) (*Credentials, error) {
	c := &Credentials{password: e.Password()}
	fromAgent := c.askAgent(ctx, agentSocket)
	if e.PrivateKeyFile != "" {
		if err := c.addExplicit(e.PrivateKeyFile, e.Passphrase(), fromAgent); err != nil {
			c.Close()
			return nil, err
		}
	}
	for _, file := range e.IdentityFiles {
		c.addOptional(file, e.Passphrase(), fromAgent)
	}
	if !e.IdentitiesOnly {
		for _, id := range fromAgent {
			c.add(id)
		}
	}
	for _, file := range e.DefaultFiles {
		c.addOptional(file, e.Passphrase(), fromAgent)
	}
	return c, nil
}

// addExplicit adds the key that the URL names: it has to be usable, be it by
// way of the agent.
func (c *Credentials) addExplicit(file string, passphrase redact.Secret, fromAgent []identity) error {
	signer, public, err := readKey(file, passphrase)
	if err != nil && public != nil {
		if held, found := find(fromAgent, public); found {
			c.add(identity{"key " + file + " (by the agent)", held.signer})
			return nil
		}
	}
	if err != nil {
		return err
	}
	c.add(identity{"key " + file, signer})
	return nil
}

// addOptional adds a key if its file is there and usable, and notes why not.
func (c *Credentials) addOptional(file string, passphrase redact.Secret, fromAgent []identity) {
	err := c.addExplicit(file, passphrase, fromAgent)
	if err != nil && !errors.Is(err, ErrKeyFileMissing) {
		c.Skipped = append(c.Skipped, err.Error())
	}
}

func (c *Credentials) add(id identity) {
	if _, known := find(c.identities, id.signer.PublicKey()); !known {
		c.identities = append(c.identities, id)
	}
}

func find(ids []identity, key xssh.PublicKey) (identity, bool) {
	for _, id := range ids {
		if bytes.Equal(id.signer.PublicKey().Marshal(), key.Marshal()) {
			return id, true
		}
	}
	return identity{}, false
}

// askAgent lists the agent's keys. An agent that is not there or does not
// answer is noted, not fatal: there are other keys. The connection stays open
// because the agent signs; it ends with ctx.
func (c *Credentials) askAgent(ctx context.Context, socket string) []identity {
	if socket == "" {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		c.Skipped = append(c.Skipped, fmt.Sprintf("the ssh agent (%v)", err))
		return nil
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	c.agentConn = conn
	client := agent.NewClient(conn)
	keys, err := client.List()
	if err == nil {
		var signers []xssh.Signer
		if signers, err = client.Signers(); err == nil && len(signers) == len(keys) {
			return labelled(signers, keys)
		}
	}
	stop()
	c.Skipped = append(c.Skipped, fmt.Sprintf("the ssh agent (%v)", err))
	return nil
}

func labelled(signers []xssh.Signer, keys []*agent.Key) []identity {
	ids := make([]identity, len(signers))
	for i, s := range signers {
		ids[i] = identity{fmt.Sprintf("agent key %s %s", xssh.FingerprintSHA256(s.PublicKey()), keys[i].Comment), s}
	}
	return ids
}

// ErrNotConfigured is the error of a method for which no key or password is configured.
var ErrNotConfigured = errors.New("unable to authenticate: no supported methods remain")

// Methods are the methods of the login. There is one for each that a server may
// offer, even if there is no key or no password, to record what the server offers.
func (c *Credentials) Methods() []xssh.AuthMethod {
	return []xssh.AuthMethod{
		xssh.PublicKeysCallback(c.offerKeys),
		xssh.PasswordCallback(func() (string, error) {
			c.offered("password")
			if !c.password.IsSet() {
				return "", ErrNotConfigured
			}
			c.Tried = append(c.Tried, "password")
			return c.password.Reveal(), nil
		}),
		xssh.KeyboardInteractive(c.answer),
	}
}

func (c *Credentials) offered(method string) {
	if !slices.Contains(c.Offered, method) {
		c.Offered = append(c.Offered, method)
	}
}

func (c *Credentials) offerKeys() ([]xssh.Signer, error) {
	c.offered("publickey")
	signers := make([]xssh.Signer, len(c.identities))
	for i, id := range c.identities {
		c.Tried = append(c.Tried, id.label)
		signers[i] = id.signer
	}
	return signers, nil
}

var errSecondFactor = errors.New("the machine asks for more than a password")

// answer gives the password to the one question that is asked for it. A
// question whose answer would be shown is none for a password.
func (c *Credentials) answer(_, _ string, questions []string, echos []bool) ([]string, error) {
	c.offered("keyboard-interactive")
	if len(questions) == 0 {
		return nil, nil
	}
	if !c.password.IsSet() {
		return nil, ErrNotConfigured
	}
	if len(questions) > 1 || echos[0] {
		c.Skipped = append(c.Skipped, "keyboard-interactive ("+errSecondFactor.Error()+")")
		return nil, errSecondFactor
	}
	c.Tried = append(c.Tried, "keyboard-interactive")
	return []string{c.password.Reveal()}, nil
}

func (c *Credentials) Close() {
	if c.agentConn != nil {
		c.agentConn.Close()
	}
}
