package sshconfig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/overcast-go/overcast/internal/sshclient/sshurl"
)

// noIdentity is given to ssh as the first key file: without any, ssh prints its
// default files as if they were configured.
const noIdentity = "/overcast-default"

// evaluateTimeout limits the evaluation, which runs the commands of Match exec.
const evaluateTimeout = 10 * time.Second

// evaluate returns the values of the keywords for a machine, in lower case, as the
// ssh program evaluates them (ssh -G). There are none if the program is not
// installed.
func (s *Settings) evaluate(ctx context.Context, t sshurl.Target) (map[string][]string, error) {
	program, err := exec.LookPath("ssh")
	if err != nil {
		return nil, nil
	}
	args := []string{"-G", "-o", "IdentityFile=" + noIdentity}
	if file := s.explicitFile(); file != "" {
		args = append(args, "-F", file)
	}
	if t.User != "" {
		args = append(args, "-l", t.User)
	}
	if t.Port != 0 {
		args = append(args, "-p", strconv.Itoa(t.Port))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, evaluateTimeout, fmt.Errorf("not done within %v", evaluateTimeout))
	defer cancel()
	command := exec.CommandContext(ctx, program, append(args, "--", t.Host)...)
	command.Env = append(os.Environ(), "LC_ALL=C")
	command.WaitDelay = time.Second
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w: %.500q", err, strings.TrimSpace(stderr.String()))
	}
	return parseOutput(output)
}

// explicitFile is the configuration file to name to ssh, or "" if ssh is to read
// those of the user and of the system.
func (s *Settings) explicitFile() string {
	if me, err := user.Current(); !s.isExplicit && err == nil && me.HomeDir == s.home {
		return ""
	}
	if _, err := os.Stat(s.file); err != nil {
		return "none"
	}
	return s.file
}

// parseOutput reads lines of a keyword and a value.
func parseOutput(output []byte) (map[string][]string, error) {
	values := map[string][]string{}
	for line := range strings.Lines(string(output)) {
		keyword, value, found := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if !found || value == noIdentity {
			continue
		}
		keyword = strings.ToLower(keyword)
		values[keyword] = append(values[keyword], value)
	}
	if len(values["hostname"]) != 1 {
		return nil, errors.New("the output of ssh -G has no hostname")
	}
	return values, nil
}
