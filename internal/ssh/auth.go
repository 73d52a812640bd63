package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	xssh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// An identity is a key to log in with and what to call it in errors.
type identity struct {
	label  string
	signer xssh.Signer
}

// credentials is what one login is tried with, and the record of it.
type credentials struct {
	identities []identity
	password   secret
	agentConn  net.Conn
	tried      []string
	skipped    []string
}

// gather collects the identities in the order in which ssh tries them: the
// key that the URL names, those of ~/.ssh/config, the agent's, the usual
// files.
func gather(ctx context.Context, e endpoint, agentSocket string) (*credentials, error) {
	c := &credentials{password: e.password}
	fromAgent := c.askAgent(ctx, agentSocket)
	if e.PrivateKeyFile != "" {
		if err := c.addExplicit(e.PrivateKeyFile, e.passphrase, fromAgent); err != nil {
			c.close()
			return nil, err
		}
	}
	for _, file := range e.identityFiles {
		c.addOptional(file, e.passphrase, fromAgent)
	}
	if !e.identitiesOnly {
		for _, id := range fromAgent {
			c.add(id)
		}
	}
	for _, file := range e.defaultFiles {
		c.addOptional(file, e.passphrase, fromAgent)
	}
	return c, nil
}

// addExplicit adds the key that the URL names: it has to be usable, be it by
// way of the agent.
func (c *credentials) addExplicit(file string, passphrase secret, fromAgent []identity) error {
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
func (c *credentials) addOptional(file string, passphrase secret, fromAgent []identity) {
	err := c.addExplicit(file, passphrase, fromAgent)
	if err != nil && !errors.Is(err, ErrKeyFileMissing) {
		c.skipped = append(c.skipped, err.Error())
	}
}

func (c *credentials) add(id identity) {
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
func (c *credentials) askAgent(ctx context.Context, socket string) []identity {
	if socket == "" {
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		c.skipped = append(c.skipped, fmt.Sprintf("the ssh agent (%v)", err))
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
	c.skipped = append(c.skipped, fmt.Sprintf("the ssh agent (%v)", err))
	return nil
}

func labelled(signers []xssh.Signer, keys []*agent.Key) []identity {
	ids := make([]identity, len(signers))
	for i, s := range signers {
		ids[i] = identity{fmt.Sprintf("agent key %s %s", xssh.FingerprintSHA256(s.PublicKey()), keys[i].Comment), s}
	}
	return ids
}

// methods are what is offered to the server, each recorded when it is used.
func (c *credentials) methods() []xssh.AuthMethod {
	var methods []xssh.AuthMethod
	if len(c.identities) > 0 {
		methods = append(methods, xssh.PublicKeysCallback(c.offerKeys))
	}
	if c.password.text != nil {
		methods = append(methods,
			xssh.PasswordCallback(func() (string, error) {
				c.tried = append(c.tried, "password")
				return c.password.reveal(), nil
			}),
			xssh.KeyboardInteractive(c.answer))
	}
	return methods
}

func (c *credentials) offerKeys() ([]xssh.Signer, error) {
	signers := make([]xssh.Signer, len(c.identities))
	for i, id := range c.identities {
		c.tried = append(c.tried, id.label)
		signers[i] = id.signer
	}
	return signers, nil
}

var errSecondFactor = errors.New("the machine asks for more than a password")

// answer gives the password to the one question that is asked for it. A
// question whose answer would be shown is none for a password.
func (c *credentials) answer(_, _ string, questions []string, echos []bool) ([]string, error) {
	if len(questions) == 0 {
		return nil, nil
	}
	if len(questions) > 1 || echos[0] {
		c.skipped = append(c.skipped, "keyboard-interactive ("+errSecondFactor.Error()+")")
		return nil, errSecondFactor
	}
	c.tried = append(c.tried, "keyboard-interactive")
	return []string{c.password.reveal()}, nil
}

func (c *credentials) close() {
	if c.agentConn != nil {
		c.agentConn.Close()
	}
}

// agentSocketFromEnv is where ssh finds the agent.
func agentSocketFromEnv() string { return os.Getenv("SSH_AUTH_SOCK") }
