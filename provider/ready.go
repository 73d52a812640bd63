package provider

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/overcast-go/overcast/hocon"
)

// Condition is an element of ready: something that must hold before tests use a host.
// It has one of Port alone, HTTP, Log with File, and Cmd.
type Condition struct {
	// Port is a TCP port that must accept a connection, or the port of HTTP.
	Port int `hocon:"port"`
	// HTTP is a path that must answer with Status. The default of Port is 80.
	HTTP string `hocon:"http"`
	// Status is the status that HTTP must answer with; the default is any of 200
	// to 299.
	Status int `hocon:"status"`
	// Log is a text that File must contain.
	Log string `hocon:"log"`
	// File is a file of the host.
	File string `hocon:"file"`
	// Cmd is a command that must exit with 0.
	Cmd string `hocon:"cmd"`
}

// String describes the condition, without the command, which may contain a secret.
func (c Condition) String() string {
	switch {
	case c.HTTP != "" && c.Status != 0:
		return fmt.Sprintf("HTTP %s on port %d answers %d", c.HTTP, c.HTTPPort(), c.Status)
	case c.HTTP != "":
		return fmt.Sprintf("HTTP %s on port %d answers", c.HTTP, c.HTTPPort())
	case c.Port != 0:
		return fmt.Sprintf("port %d accepts connections", c.Port)
	case c.Log != "":
		return fmt.Sprintf("%s contains %q", c.File, c.Log)
	}
	return "cmd succeeds"
}

// HTTPPort is the port of HTTP.
func (c Condition) HTTPPort() int {
	if c.Port == 0 {
		return 80
	}
	return c.Port
}

// IsStatus reports whether a status is the one that HTTP must answer with.
func (c Condition) IsStatus(status int) bool {
	if c.Status != 0 {
		return status == c.Status
	}
	return status >= http.StatusOK && status < http.StatusMultipleChoices
}

// NeedsLogin reports whether the condition is checked by a command on the host.
func (c Condition) NeedsLogin() bool { return c.Log != "" || c.Cmd != "" }

func (c Condition) check() error {
	kinds := 0
	for _, set := range []bool{c.HTTP != "" || c.Port != 0, c.Log != "" || c.File != "", c.Cmd != ""} {
		if set {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		return errors.New("must set exactly one of port, http, log with file, and cmd")
	case (c.Log == "") != (c.File == ""):
		return errors.New("log and file belong together")
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("port %d is not between 1 and 65535", c.Port)
	case c.HTTP != "" && !strings.HasPrefix(c.HTTP, "/"):
		return errors.New("http must be a path that begins with /")
	case c.Status != 0 && c.HTTP == "":
		return errors.New("status belongs to http")
	}
	return nil
}

// checkReady checks the conditions of a host.
func (s Settings) checkReady(section *hocon.Value) error {
	if s.ReadyTimeout <= 0 {
		return section.Invalid("readyTimeout", "must be greater than 0")
	}
	for n, c := range s.Ready {
		if err := c.check(); err != nil {
			return section.Invalid("ready", "condition %d %v", n+1, err)
		}
		if c.NeedsLogin() && s.ConnectionURL() == "" {
			return section.Invalid("ready", "condition %d needs a login: set connection.url", n+1)
		}
	}
	return nil
}
