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
	"strings"

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
// key that the URL names, those of ~/.ssh/config, the agent's, the default
// files. agentSocket is "" if none is known, or [sshconfig.NoAgent].
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
	switch {
	case !e.IdentitiesOnly:
		for _, id := range fromAgent {
			c.add(id)
		}
	case len(fromAgent) > 0:
		c.skip("the other keys of the ssh agent (IdentitiesOnly yes)")
	}
	missing := 0
	for _, file := range e.DefaultFiles {
		if err := c.addExplicit(file, e.Passphrase(), fromAgent); errors.Is(err, ErrKeyFileMissing) {
			missing++
		} else if err != nil {
			c.skip(err.Error())
		}
	}
	if missing > 0 && missing == len(e.DefaultFiles) {
		c.skip("the default key files (none of " + strings.Join(e.DefaultFiles, ", ") + " exists)")
	}
	return c, nil
}

// skip records what is not tried, and why.
func (c *Credentials) skip(what string) {
	if !slices.Contains(c.Skipped, what) {
		c.Skipped = append(c.Skipped, what)
	}
}

// addExplicit adds the key that the URL names, or fails with a [*KeyFileError]. An
// encrypted key whose passphrase is not known can be used if the agent has it.
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

// addOptional adds the key of a file, or records why it cannot be used.
func (c *Credentials) addOptional(file string, passphrase redact.Secret, fromAgent []identity) {
	if err := c.addExplicit(file, passphrase, fromAgent); err != nil {
		c.skip(err.Error())
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

// askAgent lists the agent's keys. An agent that does not answer is recorded as
// skipped. The connection stays open because the agent signs; it ends with ctx.
func (c *Credentials) askAgent(ctx context.Context, socket string) []identity {
	switch socket {
	case sshconfig.NoAgent:
		return nil
	case "":
		c.skip("the ssh agent (SSH_AUTH_SOCK is not set)")
		return nil
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		c.skip(fmt.Sprintf("the ssh agent (%v)", err))
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
	c.skip(fmt.Sprintf("the ssh agent (%v)", err))
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
				c.skip(noPassword)
				return "", ErrNotConfigured
			}
			c.Tried = append(c.Tried, "password")
			return c.password.Reveal(), nil
		}),
		xssh.KeyboardInteractive(c.answer),
	}
}

// noPassword is what is not tried if the server asks for a password.
const noPassword = "a password (the URL has none)"

// SkipUnofferedPassword records that a password was not tried because the server accepts none.
func (c *Credentials) SkipUnofferedPassword() {
	if c.password.IsSet() && len(c.Offered) > 0 && !slices.Contains(c.Offered, "password") && !slices.Contains(c.Offered, "keyboard-interactive") {
		c.skip("the password (the server accepts no password)")
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

var errSecondFactor = errors.New("the machine requires more than a password")

// answer answers one question with the password. It fails for several questions and
// for a question whose answer would be shown, which does not ask for a password.
func (c *Credentials) answer(_, _ string, questions []string, echos []bool) ([]string, error) {
	c.offered("keyboard-interactive")
	if len(questions) == 0 {
		return nil, nil
	}
	if !c.password.IsSet() {
		c.skip(noPassword)
		return nil, ErrNotConfigured
	}
	if len(questions) > 1 || echos[0] {
		c.skip("keyboard-interactive (" + errSecondFactor.Error() + ")")
		return nil, errSecondFactor
	}
	c.Tried = append(c.Tried, "keyboard-interactive")
	return []string{c.password.Reveal()}, nil
}

// Close ends the connection to the agent.
func (c *Credentials) Close() {
	if c.agentConn != nil {
		c.agentConn.Close()
	}
}
